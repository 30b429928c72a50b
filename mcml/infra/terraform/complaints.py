"""What a provider's, a backend's or Terraform's own complaint means in our words: the kind of error, the cloud, the command to try (pure).

Judged by its text, for there are no codes. The texts of the tests in `tests/infra/complaints` say where each comes from.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from mcml.core.errors import Conflict, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.infra.units.units import Unit

MOST_TEXT = 600

_HIDDEN = (
    (re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*"), r"\1"),  # a query tells a person nothing, and may be signed
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{6,}"), "[hidden]"),
    (re.compile(r"\s*Encoded authorization failure message:\s*\S+"), ""),
    (re.compile(r"\s*To see which modules are currently depending on .*", re.DOTALL), ""),
    (re.compile(r"\s*Please see \S+\s+for more information about providing credentials\.\s*"), " "),
)


@dataclass(frozen=True)
class Place:
    """What commands are to name: the unit, and the AWS profile of mcml.toml."""

    unit: str = "UNIT"
    profile: str = ""


class _Rule(NamedTuple):
    """A text that is recognised. `message` and `step` may name the groups of the pattern, and {unit}, {address}, {sso}, {account}."""

    pattern: str
    kind: Callable[..., McmlError]
    message: str
    step: str


_GOOGLE_LOGIN = "gcloud auth application-default login"
_RULES = (
    # Credentials: that there are none, or no longer any that count.
    _Rule(r"failed to get shared config profile, (?P<name>\S+)", NotAuthenticated, "no profile {name} for AWS",
          "aws configure list-profiles"),
    _Rule(r"cached SSO token|SSO (?:session|token)[^.]* (?:has )?expired", NotAuthenticated, "the login to AWS has ended", "{sso}"),
    _Rule(r"No valid credential sources found", NotAuthenticated, "no credentials for AWS", "{sso}    # or: aws configure"),
    _Rule(r"\b(?:ExpiredToken\w*|RequestExpired|TokenRefreshRequired)\b", NotAuthenticated, "the credentials for AWS have expired",
          "{sso}"),
    _Rule(
        r"\b(?:InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|SignatureDoesNotMatch|AuthFailure)\b",
        NotAuthenticated, "AWS does not accept the credentials", "{account}    # then: {sso}",
    ),
    _Rule(r"AWS account ID not allowed: (?P<id>\d+)", NotAuthenticated, "logged in to another AWS account, {id}", "{account}"),
    _Rule(r"could not find default credentials", NotAuthenticated, "no credentials for Google Cloud", _GOOGLE_LOGIN),
    _Rule(
        r"reauth related error|invalid_rapt|oauth2: \S*(?:invalid_grant|token expired)|googleapi: Error 401",
        NotAuthenticated, "the credentials for Google Cloud have expired", _GOOGLE_LOGIN,
    ),
    _Rule(r"AADSTS(?:70043|700082|50173|50076|50078|50079)|refresh token has expired", NotAuthenticated,
          "the credentials for Azure have expired", "az login"),
    _Rule(r"Azure CLI.*executable file not found", NotAuthenticated, "no credentials for Azure",
          "install the Azure CLI, then: az login"),
    _Rule(r"could not configure AzureCli Authorizer|Please run 'az login'|unable to build authorizer", NotAuthenticated,
          "no credentials for Azure", "az login"),
    _Rule(r"One of `access_key`, `sas_token`, `use_azuread_auth`", NotAuthenticated, "no credentials for the store of the state on Azure",
          "add to backends/azure.tfbackend: use_azuread_auth = true    # then: az login"),
    # Rights: which action, on what.
    _Rule(r"not authorized to perform: (?P<action>\S+)(?: on resource: (?P<on>\S+))?", NotAuthenticated, "AWS refuses {action}",
          "{account}"),
    _Rule(r"\b(?:UnauthorizedOperation|AccessDenied\w*|api error Forbidden)\b", NotAuthenticated, "AWS refuses it", "{account}"),
    _Rule(r"(?:Required|Permission) '(?P<action>[a-z]\w*\.[\w.]+)' (?:permission for|denied on)", NotAuthenticated,
          "Google Cloud refuses {action}", "gcloud projects get-iam-policy PROJECT    # who may do what"),
    _Rule(r"does not have authorization to perform action '(?P<action>[^']+)'", NotAuthenticated, "Azure refuses {action}",
          "az account show    # who is logged in; az role assignment list --all --assignee NAME"),
    # Limits: of requests a second, and of an account.
    _Rule(r"\b(?:RequestLimitExceeded|Throttling\w*|TooManyRequests\w*|rateLimitExceeded|SlowDown)\b", Unavailable,
          "the cloud takes no more requests for now", ""),
    _Rule(r"\b(?P<name>\w+LimitExceeded\w*|ServiceQuotaExceeded\w*|Insufficient\w+Capacity)\b", QuotaExceeded,
          "a limit of the AWS account is reached: {name}", "aws service-quotas list-services    # or ask for more in its console"),
    _Rule(r"Quota '(?P<name>[^']+)' exceeded|quota to satisfy request for resource: \"(?P<other>\w+)\"|QUOTA_EXCEEDED", QuotaExceeded,
          "a quota of the Google Cloud project is reached", "gcloud compute regions describe REGION"),
    _Rule(r"QuotaExceeded|exceeding (?:approved|quota)", QuotaExceeded,
          "a quota of the Azure subscription is reached", "az vm list-usage --location LOCATION -o table"),
    # It is there already.
    _Rule(r"A resource with the ID \"(?P<id>[^\"]+)\" already exists", Conflict,
          "{address} exists already and is in no state", "mcml infra import {unit} '{address}' {id}"),
    _Rule(r"\bBucketAlreadyExists\b", Conflict, "somebody else has a bucket of this name",
          "choose another name: set infra.part in mcml.toml"),
    _Rule(
        r"EntityAlreadyExists|AlreadyOwnedByYou|\b\w*AlreadyExists\w*\b|InvalidGroup\.Duplicate|Error 409:[^\n]*already exists",
        Conflict, "{address} exists already and is in no state", "mcml infra import {unit} '{address}' ID",
    ),
    # What Terraform downloads.
    _Rule(r"provider (?P<name>\S+) was not found in any of the search locations", NotFound,
          "no mirror has the provider {name}", "add it to the mirror that Terraform's configuration file names, or name another"),
    _Rule(r"must use terraform init -upgrade", Conflict, "the lock file holds another version of a provider",
          "remove .terraform.lock.hcl from the root, then: mcml infra init {unit}"),
    _Rule(r"versions for provider (?P<name>\S+): no available releases match[^~><=]*(?P<wanted>[^\n]*)", NotFound,
          "no version {wanted} of the provider {name} is to be had", "terraform providers mirror FOLDER    # or a newer mirror"),
    _Rule(r"installing (?P<name>\S+ v\S+): .*doesn't match any of the checksums", McmlError,
          "the provider {name} is not the one of the lock file",
          "terraform providers lock -platform=linux_amd64    # in the root, when it was only made on another platform"),
    _Rule(r"failed to request discovery document", Unavailable,
          "Terraform cannot reach the registry of providers and modules",
          "check the network and HTTPS_PROXY, or name a mirror in Terraform's configuration file"),
    _Rule(r"Unsupported Terraform Core version", McmlError, "{unit} wants another version of Terraform",
          "install one that its required_version allows, and set infra.binary in mcml.toml"),
    # The store of the state, and whatever does not answer.
    _Rule(r"S3 bucket \"(?P<name>[^\"]+)\" does not exist|storage: bucket doesn't exist", NotFound,
          "the store of the state does not exist", "mcml infra bootstrap"),
    _Rule(r"connection refused|no such host|i/o timeout|handshake timeout|context deadline exceeded|StatusCode: 5\d\d|Error 50[023]:",
          Unavailable, "no answer from the other side", ""),
    # Faults of a provider.
    _Rule(r"plugin (?:did not respond|encountered an error|crashed)|plugin process exited", McmlError, "a provider has crashed",
          "run the same command again; with TF_LOG=error the provider says more"),
    _Rule(r"Provider produced (?:inconsistent|invalid)", McmlError, "a provider did not do what it had planned: a fault of it",
          "run the same command again: what was made is in the state"),
)  # fmt: skip


def recognise(text: str, address: str, place: Place) -> McmlError | None:
    """Return what a complaint means; None for one that is not known. `text` is its summary and its detail."""
    for rule in _RULES:
        if found := re.search(rule.pattern, text, re.IGNORECASE | re.DOTALL):
            words = {name: (value or "").strip().rstrip(",;.") for name, value in found.groupdict().items()} | _commands(place)
            words |= {"unit": place.unit, "address": address or "it"}
            return rule.kind(rule.message.format_map(words), why=readable(text), next_step=rule.step.format_map(words))
    return None


def place_of(unit: Unit) -> Place:
    """Return what commands about a unit are to name."""
    login = unit.variables.get("login")
    return Place(unit.name, str(login.get("profile") or "") if isinstance(login, dict) else "")


def _commands(place: Place) -> dict[str, str]:
    profile = f" --profile {place.profile}" if place.profile else ""
    return {"sso": f"aws sso login{profile}", "account": f"aws sts get-caller-identity{profile}"}


def readable(text: str) -> str:
    """Return a complaint on one line, without what may be secret and what helps nobody."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:MOST_TEXT]
