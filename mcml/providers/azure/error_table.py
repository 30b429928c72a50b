"""The one table from the errors of Azure's SDK to ours; pure."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.azure.management_errors import ManagementError, management_error

SET_CLOCK = "sudo timedatectl set-ntp true"
MOST_SKEW_SECONDS = 300.0  # signed requests are refused beyond 15 minutes, fresh tokens beyond 5


class ContainerMissing(NotFound):
    """There is no such container (a NotFound of a blob in one that is there is none of these)."""


class RangeOutside(InvalidRequest):
    """The range begins at or beyond the end of the blob."""


_AUTHENTICATION = {"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"}
_WHY_REFUSED = {
    "AuthenticationFailed": "Azure does not accept the key or token",
    "InvalidAuthenticationInfo": "Azure does not accept the token: it is expired, or for another tenant",
    "NoAuthenticationInformation": "Azure got no credentials",
    "AuthorizationPermissionMismatch": "the credentials are good, but they lack the role for it",
    "AuthorizationFailure": "the credentials are good, but the storage account's network rules or the role refuse it",
    "AuthorizationSourceIPMismatch": "the storage account's network rules refuse this address",
    "KeyBasedAuthenticationNotPermitted": "the storage account takes no keys, only logins",
    "AccountIsDisabled": "the storage account is disabled",
}
_BY_CODE: dict[str, type[McmlError]] = {
    "ContainerNotFound": ContainerMissing,
    "InvalidRange": RangeOutside,
    "BlockCountExceedsLimit": QuotaExceeded,
    "QuotaExceeded": QuotaExceeded,
    "AccountLimitExceeded": QuotaExceeded,
    "BlobArchived": InvalidRequest,
    "Md5Mismatch": Unavailable,
    "Crc64Mismatch": Unavailable,
    "InvalidBlockList": Conflict,
    "InvalidBlockId": Conflict,
    "InvalidBlobOrBlock": Conflict,
}
_BY_STATUS: dict[int, type[McmlError]] = {
    401: NotAuthenticated,
    403: NotAuthenticated,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    412: Conflict,
    429: Unavailable,
    501: InvalidRequest,
    507: QuotaExceeded,
}
_NOT_SET_UP = ("unavailable", "not installed", "not found", "could not be found", "requires the", "not fully configured")
_LIBRARIES = {"azure", "requests", "urllib3", "msal"}  # a body that breaks off, or that is no answer of the service, leaves the SDK raw
_NEXT_STEP = {
    "AccountLimitExceeded": "az storage account show-usage --location REGION",
    "BlobArchived": "az storage blob set-tier --tier Hot --auth-mode login --account-name {account} ...; it takes hours",
    "ContainerBeingDeleted": "try again in a minute: a deleted container's name is free after 30 seconds or more",
    "ContainerNotFound": "az storage container list --auth-mode login --account-name {account}",
}


def list_containers(account: str) -> str:
    """Return the command that shows which containers there are."""
    return _NEXT_STEP["ContainerNotFound"].format(account=account or "ACCOUNT")


def translate(failed: Exception, what: str, *, clock: Clock, tenant: str = "", account: str = "") -> McmlError | None:
    """Return an exception of the SDK in our words; `what` is what was tried. None for an exception that is not the SDK's.

    No text of a request gets into a message: it could hold a signature.
    """
    if isinstance(failed, HttpResponseError) and failed.response is not None:
        return _answered(failed, what, clock, tenant, account)
    if isinstance(failed, ClientAuthenticationError):
        return NotAuthenticated(f"cannot {what}", why=_no_login(str(failed)), next_step=_login(tenant))
    if not isinstance(failed, AzureError) and type(failed).__module__.partition(".")[0] not in _LIBRARIES:
        return None
    reason = _first_line(failed)
    if "CERTIFICATE_VERIFY_FAILED" in str(failed):
        step = "set REQUESTS_CA_BUNDLE to the file of the authority that signed it"
        return InvalidRequest(f"cannot {what}", why="the server's certificate is not trusted", next_step=step)
    if "Failed to resolve" in str(failed) or "NameResolutionError" in str(failed):
        if not account:
            why = "the service's name does not resolve: offline, or it does not exist"
            return Unavailable(f"cannot {what}", why=why, next_step="mcml doctor")
        why = f"the name of storage account {account!r} does not resolve: offline, or it does not exist"
        return Unavailable(f"cannot {what}", why=why, next_step=f"az storage account show --name {account}")
    return Unavailable(f"cannot {what}", why=f"no whole answer came: {reason}", next_step="mcml doctor")


def _answered(failed: HttpResponseError, what: str, clock: Clock, tenant: str, account: str) -> McmlError:
    headers = failed.response.headers
    said = management_error(failed)
    if said is not None:
        return _managed(failed, said, what, clock, tenant)
    named = getattr(failed, "error_code", None)  # only the storage client sets one
    code = str(headers.get("x-ms-error-code") or getattr(named, "value", named) or "")
    status = int(failed.status_code or failed.response.status_code)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (Unavailable if status >= 500 else InvalidRequest)
    kind = NotAuthenticated if isinstance(failed, ClientAuthenticationError) else kind
    told = f"{_WHY_REFUSED.get(code) or _first_line(failed)} ({', '.join(part for part in (str(status), code) if part)})"
    if kind is Unavailable:
        return Unavailable(f"cannot {what}", why=told, next_step="mcml doctor", retry_after=retry_after(headers, clock))
    if kind is NotAuthenticated:
        return _refused(headers, what, told, code, clock, tenant, account)
    return kind(f"cannot {what}", why=told, next_step=_NEXT_STEP.get(code, "").format(account=account))


def _managed(failed: HttpResponseError, said: ManagementError, what: str, clock: Clock, tenant: str) -> McmlError:
    """Return an error of Azure Resource Manager (or of a service that speaks as it does) in our words."""
    headers = failed.response.headers
    status = int(failed.status_code or failed.response.status_code)  # 200 for an operation that failed after it had begun
    meaning = said.meaning(tenant)
    kind = meaning.kind if meaning else _BY_STATUS.get(status) or (Unavailable if status >= 500 else InvalidRequest)
    kind = Unavailable if status == 429 else kind
    why = f"{(meaning.why if meaning else '') or said.message} ({', '.join(part for part in (str(status), said.code) if part)})"
    if kind is Unavailable:
        return Unavailable(f"cannot {what}", why=why, next_step="mcml doctor", retry_after=retry_after(headers, clock))
    ahead = skew(headers, clock)
    if kind is NotAuthenticated and abs(ahead) > MOST_SKEW_SECONDS:
        return _wrong_clock(what, why, ahead)
    step = meaning.step if meaning else _login(tenant) if kind is NotAuthenticated else ""
    return kind(f"cannot {what}", why=why, next_step=step)


def _wrong_clock(what: str, told: str, ahead: float) -> NotAuthenticated:
    return NotAuthenticated(f"cannot {what}", why=f"{told_skew(ahead)}; {told}", next_step=SET_CLOCK)


def told_skew(ahead: float) -> str:
    """Say how wrong this machine's clock is, by how many seconds it is ahead of Azure's."""
    return f"this machine's clock is {abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} Azure's"


def _refused(
    headers: Mapping[str, str], what: str, told: str, code: str, clock: Clock, tenant: str, account: str
) -> NotAuthenticated:
    ahead = skew(headers, clock)
    if abs(ahead) > MOST_SKEW_SECONDS:
        return _wrong_clock(what, told, ahead)
    if code in _AUTHENTICATION or not code:
        return NotAuthenticated(f"cannot {what}", why=told, next_step=_login(tenant))
    if code == "KeyBasedAuthenticationNotPermitted":
        step = f"unset AZURE_STORAGE_KEY AZURE_STORAGE_CONNECTION_STRING; {_login(tenant)}"
        return NotAuthenticated(f"cannot {what}", why=told, next_step=step)
    scope = f"$(az storage account show --name {account or 'ACCOUNT'} --query id --output tsv)"
    step = f"az role assignment create --role 'Storage Blob Data Contributor' --assignee YOU --scope {scope}"
    return NotAuthenticated(f"cannot {what}", why=told, next_step=step)


def _no_login(text: str) -> str:
    """Return what of the credential chain's long story matters: the ways that were there and failed, not those that are not set up."""
    tried = [line.strip().partition(": ") for line in text.splitlines() if line.startswith("\t")]
    if not tried:
        return text.strip().splitlines()[0][:300] if text.strip() else "there is no token"
    failed = [f"{name}: {why[:200]}" for name, _, why in tried if not any(word in why.lower() for word in _NOT_SET_UP)]
    nothing = "no way to log in is set up: no service principal in the environment, no workload or managed identity, no az login"
    return "; ".join(failed) or nothing


def _login(tenant: str) -> str:
    return f"az login --tenant {tenant}" if tenant else "az login"


def skew(headers: Mapping[str, str], clock: Clock) -> float:
    """Return by how many seconds our clock is ahead of the answer's; 0 when the answer has no date."""
    try:
        return (clock() - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def retry_after(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Return how many seconds the answer asks to wait, by `Retry-After` (seconds or a date) or Azure's own headers; None: it does not say.

    Azure's own are `retry-after-ms`, `x-ms-retry-after-ms` and, of its management services, `x-ms-ratelimit-...-retry-after`.
    """
    waits = [_wait(name.lower(), value, clock) for name, value in headers.items()]
    return max((wait for wait in waits if wait is not None), default=None)


def _wait(name: str, value: str, clock: Clock) -> float | None:
    try:
        if name in ("retry-after-ms", "x-ms-retry-after-ms"):
            return max(0.0, float(value) / 1000)
        if name == "retry-after" or (name.startswith("x-ms-ratelimit-") and name.endswith("retry-after")):
            return max(0.0, float(value))
    except ValueError:
        return _until(value, clock)
    return None


def _until(value: str, clock: Clock) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(value) - clock()).total_seconds())
    except (ValueError, TypeError):
        return None


def _first_line(failed: Any) -> str:
    text = str(getattr(failed, "message", "") or failed).strip()
    if text.startswith("Operation returned an invalid status '"):  # of a HEAD, which has no body: the SDK's own words
        text = f"Azure answered {text.split(chr(39))[1]}"
    return text.splitlines()[0].split("?")[0][:300] if text else type(failed).__name__
