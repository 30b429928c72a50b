"""What the error codes of Azure Resource Manager mean, and the command to try next; pure.

Codes: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors, of Azure ML
https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-online-endpoints. An error may be wrapped in others ("details"):
the innermost that is known counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable


@dataclass(frozen=True)
class Meaning:
    """The class of an error, why it came (""; then the service's own words do), and the command to try next."""

    kind: type[McmlError]
    why: str = ""
    step: str = ""


_LOGIN = "az login{tenant}"
_OTHER_TENANT = "az login --tenant {owner}  (or choose another subscription: az account list --all --output table)"
_ROLE = "az role assignment create --assignee YOU --role ROLE --scope {scope}  (a role that holds {action})"
_QUOTA = "az vm list-usage --location REGION --output table  (then ask for more: https://aka.ms/ProdportalCRP)"
_ML_QUOTA = "az ml compute list-usage --output table  (then ask for more: https://aka.ms/AzureMLQuota)"
_SKUS = "az vm list-skus --location REGION --all --output table  (choose another machine or region)"
_LOCKS = "az lock list --output table"
_WAIT = "try again when the operation that is under way has ended"
_LATER = Meaning(Unavailable, step="mcml doctor")

_MEANINGS: dict[str, Meaning] = {
    "ExpiredAuthenticationToken": Meaning(NotAuthenticated, "the token has expired", _LOGIN),
    "InvalidAuthenticationToken": Meaning(NotAuthenticated, "Azure does not accept the token", _LOGIN),
    "InvalidAuthenticationTokenTenant": Meaning(NotAuthenticated, "the token is for another tenant than the subscription's", _OTHER_TENANT),
    "InvalidAuthenticationTokenAudience": Meaning(NotAuthenticated, "the token is for another service", _LOGIN),
    "AuthenticationFailed": Meaning(NotAuthenticated, "Azure does not accept the token", _LOGIN),
    "AuthenticationFailedMissingToken": Meaning(NotAuthenticated, "Azure got no token", _LOGIN),
    "AuthorizationFailed": Meaning(NotAuthenticated, step=_ROLE),
    "LinkedAuthorizationFailed": Meaning(NotAuthenticated, step=_ROLE),
    "AuthorizationPermissionMismatch": Meaning(NotAuthenticated, step=_ROLE),
    "Forbidden": Meaning(NotAuthenticated, step=_ROLE),
    "ReadOnlyDisabledSubscription": Meaning(InvalidRequest, "the subscription is disabled", "az account list --output table"),
    "RequestDisallowedByPolicy": Meaning(InvalidRequest, step="az policy assignment list --output table"),
    "RequestDisallowedByAzure": Meaning(InvalidRequest, step="choose another region: az account list-locations --output table"),
    "SubscriptionNotFound": Meaning(NotFound, step="az account list --output table  (and set subscription in [providers.azure])"),
    "InvalidSubscriptionId": Meaning(NotFound, step="az account list --output table  (and set subscription in [providers.azure])"),
    "ResourceGroupNotFound": Meaning(NotFound, step="az group list --output table  (and set resource_group in [providers.azure])"),
    "ResourceNotFound": Meaning(NotFound, step="az resource list --resource-group {group} --output table"),
    "ParentResourceNotFound": Meaning(NotFound, step="az resource list --resource-group {group} --output table"),
    "NotFound": Meaning(NotFound, step="az resource list --resource-group {group} --output table"),
    "MissingSubscriptionRegistration": Meaning(InvalidRequest, step="az provider register --namespace {namespace}"),
    "NoRegisteredProviderFound": Meaning(InvalidRequest, step="az provider show --namespace {namespace} --output table"),
    "LocationNotAvailableForResourceType": Meaning(InvalidRequest, step="az account list-locations --output table"),
    "ScopeLocked": Meaning(Conflict, "a lock is on it, on its group or on the subscription", _LOCKS),
    "Conflict": Meaning(Conflict, step=_WAIT),
    "ConflictError": Meaning(Conflict, step=_WAIT),
    "AnotherOperationInProgress": Meaning(Conflict, step=_WAIT),
    "OperationPreempted": Meaning(Conflict, "a later operation on it took the place of this one", _WAIT),
    "ResourceGroupBeingDeleted": Meaning(Conflict, step="wait for its end, or take another: az group list --output table"),
    "EtagMismatch": Meaning(Conflict, "somebody changed it meanwhile", "look at it and try again"),
    "PreconditionFailed": Meaning(Conflict, "somebody changed it meanwhile", "look at it and try again"),
    "OperationNotAllowed": Meaning(Conflict, step=_WAIT),
    "QuotaExceeded": Meaning(QuotaExceeded, step=_QUOTA),
    "ResourceQuotaExceeded": Meaning(QuotaExceeded, step=_QUOTA),
    "InsufficientVCPUQuota": Meaning(QuotaExceeded, step=_QUOTA),
    "ErrCode_InsufficientVCPUQuota": Meaning(QuotaExceeded, step=_QUOTA),
    "InsufficientSubnetSize": Meaning(QuotaExceeded, step="give it a larger subnet, or fewer nodes"),
    "SkuNotAvailable": Meaning(QuotaExceeded, step=_SKUS),
    "AllocationFailed": Meaning(QuotaExceeded, "Azure has none of these machines free there now", _SKUS),
    "ZonalAllocationFailed": Meaning(QuotaExceeded, "Azure has none of these machines free in that zone now", _SKUS),
    "OverconstrainedAllocationRequest": Meaning(QuotaExceeded, "Azure has no machine free that fits all that is asked for", _SKUS),
    "OverconstrainedZonalAllocationRequest": Meaning(QuotaExceeded, "Azure has no machine free that fits all that is asked for", _SKUS),
    "SpotPriceGreaterThanProvidedMaxPrice": Meaning(QuotaExceeded, step="offer more, or start it on demand"),
    "MaxPriceValueInvalid": Meaning(InvalidRequest, step="offer more than 0 USD an hour"),
    "OutOfQuota": Meaning(QuotaExceeded, step=_ML_QUOTA),
    "ClusterCoreQuotaReached": Meaning(QuotaExceeded, step=_ML_QUOTA),
    "OutOfCapacity": Meaning(QuotaExceeded, "Azure has none of these machines free there now", _SKUS),
    "TooManyRequests": _LATER,
    "SubscriptionRequestsThrottled": _LATER,
    "OperationTimedOut": _LATER,
    "StorageAccountOperationInProgress": _LATER,
    "RetryableError": _LATER,
    "ServerTimeout": _LATER,
    "InternalServerError": _LATER,
}

_MAY_BE_QUOTA = {"OperationNotAllowed", "BadRequest", "UserError", "Conflict"}  # their message tells


@dataclass(frozen=True)
class ManagementError:
    """What the service said: the code that matters and its message (one line)."""

    code: str
    message: str

    def meaning(self, tenant: str = "") -> Meaning | None:
        """Return what is known about the code, its next step filled in from the message; None for a code that is not in the table."""
        known = _MEANINGS.get(self.code)
        if self.code in _MAY_BE_QUOTA and re.search(r"\b[qQ]uota\b|\bcores?\b.*\blimit", self.message):
            known = _MEANINGS["QuotaExceeded"]
        if known is None or not known.step:
            return known
        found = {
            "tenant": f" --tenant {tenant}" if tenant else "",
            "owner": _in(r"must match the tenant 'https?://[^/']+/([\w.-]+)/?'", self.message, "TENANT"),
            "scope": _in(r"over scope '([^'?]+)'", self.message, "SCOPE"),
            "action": _in(r"perform action '([\w./*]+)'", self.message, "the action"),
            "group": _in(r"[Rr]esource group '([\w.()-]+)'", self.message, "GROUP"),
            "namespace": _in(r"(?:namespace|provider) '([\w.]+)'", self.message, "NAMESPACE"),
        }
        return Meaning(known.kind, known.why, known.step.format(**found))


def management_error(failed: Any) -> ManagementError | None:
    """Return what an SDK exception holds of an error in ARM's form; None for one of the storage service, or without such a body."""
    if getattr(failed, "error", None) is None or hasattr(failed, "error_code"):
        return None
    said = list(_inside(failed.error))
    known = [error for error in said if error.code in _MEANINGS]
    return known[-1] if known else said[0]


def _inside(error: Any) -> Iterator[ManagementError]:
    yield ManagementError(str(error.code or ""), _line(str(error.message or error.code or "")))
    for detail in error.details or []:
        yield from _inside(detail)


def _line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return re.sub(r"\?\S*", "", line)[:400]  # what follows a question mark in an address may be a signature


def _in(pattern: str, text: str, otherwise: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else otherwise
