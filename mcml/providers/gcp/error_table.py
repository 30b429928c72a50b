"""What an error of Google's SDKs means in our words, and what a person may be told of it: never a URL, a token or a signature.

Reasons: https://cloud.google.com/storage/docs/json_api/v1/status-codes, ErrorInfo's: https://cloud.google.com/apis/design/errors; delays:
the Retry-After header, RetryInfo (https://google.aip.dev/193). An error over gRPC is read as the HTTP answer that it stands for.
"""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from google.api_core.exceptions import DeadlineExceeded, GoogleAPICallError
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.protobuf.json_format import ParseError
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.exceptions import TimeoutError as ReadTimeout

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.resilience import Translate

LOGIN = "gcloud auth application-default login"
SET_CLOCK = "sudo timedatectl set-ntp true"
MOST_SKEW = timedelta(minutes=5)
MOST_TEXT = 300
NOT_IMPLEMENTED = 501
_IN_PATH = ("bigquery", "compute", "storage")  # the older APIs name themselves in every path

Kind = type[McmlError]

_QUOTAS = "gcloud alpha services quota list --service=SERVICE --consumer=projects/PROJECT"
_BILLING = "gcloud billing projects describe PROJECT"
BY_REASON: dict[str, tuple[Kind, str]] = {
    "rateLimitExceeded": (Unavailable, ""),
    "userRateLimitExceeded": (Unavailable, ""),
    "RATE_LIMIT_EXCEEDED": (Unavailable, ""),
    "quotaExceeded": (QuotaExceeded, _QUOTAS),
    "dailyLimitExceeded": (QuotaExceeded, _QUOTAS),
    "RESOURCE_QUOTA_EXCEEDED": (QuotaExceeded, _QUOTAS),
    "accessNotConfigured": (InvalidRequest, "gcloud services enable SERVICE"),
    "SERVICE_DISABLED": (InvalidRequest, "gcloud services enable SERVICE"),
    "accountDisabled": (InvalidRequest, _BILLING),
    "BILLING_DISABLED": (InvalidRequest, _BILLING),
    "resourceInUseByAnotherResource": (Conflict, ""),
    "resourceNotReady": (Conflict, ""),
}
BY_STATUS: dict[int, tuple[Kind, str]] = {
    400: (InvalidRequest, ""),
    401: (NotAuthenticated, LOGIN),
    403: (NotAuthenticated, "gcloud projects get-iam-policy PROJECT"),
    404: (NotFound, ""),
    408: (Unavailable, ""),
    409: (Conflict, ""),
    410: (NotFound, ""),
    412: (Conflict, ""),
    429: (Unavailable, ""),
}

_SECRETS = (
    (re.compile(r"(?i)\b(bearer\s+|upload_id=|access_token=|x-goog-signature=|assertion=|refresh_token=)[^\s&\"',}]+"), r"\1[hidden]"),
    (re.compile(r"\bya29\.[\w.-]+"), "[hidden]"),
    (re.compile(r"-----BEGIN.*?(-----END[^-]*-----|$)", re.DOTALL), "[hidden]"),
    (re.compile(r"https?://[^\s?]+\?\S*"), "[url]"),
)
_OVER_QUOTA = "exceed quota limits"  # how Vertex AI says it, with a 429 that has no reason
_SERVICE = re.compile(r"\b([a-z]+\.googleapis\.com)/")
_NO_TLS = "no secure connection: the certificate is refused (a wrong clock can do that too)"
_DAMAGED = "match calculated"  # of a checksum: what arrived is not what was sent
_CLOCK_WORDS = ("iat and exp", "iat or exp", "token used too early", "token expired", "not yet valid", "reasonable timeframe")


@dataclass
class Clue:
    """What was seen on the way that explains errors: how far this machine's clock is ahead, and the secrets to be kept out of texts."""

    ahead: timedelta = timedelta()
    dated: bool = False
    """Whether an answer has told the time."""
    credentials: Any = field(default=None, repr=False)
    names: dict[str, str] = field(default_factory=lambda: {"PROJECT": "", "ACCOUNT": ""})
    """What stands for these words in a next step."""

    def note_date(self, date: str, now: datetime) -> None:
        """Remember how far our clock is ahead of the `Date` of an answer; a missing or broken one says nothing."""
        try:
            self.ahead = now - parsedate_to_datetime(date)
            self.dated = True
        except (TypeError, ValueError):
            return

    @property
    def skew(self) -> str:
        """Say that the clock is wrong, if it is."""
        if abs(self.ahead) <= MOST_SKEW:
            return ""
        minutes = round(abs(self.ahead).total_seconds() / 60)
        return f"this machine's clock is {minutes} minutes {'ahead of' if self.ahead > timedelta() else 'behind'} Google's"

    def fill(self, step: str) -> str:
        """Put the project and the account into a command."""
        for word, name in self.names.items():
            step = step.replace(word, name) if name else step
        return step

    def clean(self, text: str) -> str:
        """Return a text without secrets, on one line, cut to what fits a message."""
        token = getattr(self.credentials, "token", None)
        if token:
            text = text.replace(token, "[hidden]")
        for pattern, instead in _SECRETS:
            text = pattern.sub(instead, text)
        return " ".join(text.split())[:MOST_TEXT]


def translate(doing: str, clue: Clue) -> Translate:
    """Return the error table for one call: `doing` begins every message."""

    def table(failed: Exception) -> McmlError | None:
        for kinds, told in _TABLE:
            if isinstance(failed, kinds):
                error = told(doing, failed, clue)
                error.next_step = clue.fill(error.next_step)
                return error
        return Unavailable(doing, why="the answer is an error in no form that Google uses") if _is_unreadable(failed) else None

    return table


def _is_unreadable(failed: Exception) -> bool:
    """Tell whether the SDK itself stumbled over an error answer (`{"error": "text"}`, as a gateway may send it): one known place."""
    frames = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(failed.__traceback__)]
    return isinstance(failed, AttributeError) and frames[-1:] == ["google.api_core.exceptions"]


def from_response(doing: str, response: Any, clue: Clue) -> McmlError:
    """Return what an HTTP answer that is an error means."""
    service = service_of(str(response.url or ""))
    return _meant(doing, response.status_code, response.headers, _body(response), response.reason or "", service, clue)


def service_of(url: str) -> str:
    """Return the API that a URL belongs to, as `gcloud services` names it: by its host (a region's too), behind a gateway by its path."""
    parts = urlsplit(url)
    if found := re.fullmatch(r"(?:[a-z]+-[a-z]+\d+-)?([a-z]+\.googleapis\.com)", parts.hostname or ""):
        return found[1]
    name = parts.path.removeprefix("/upload").partition("/")[2].partition("/")[0]
    return f"{name}.googleapis.com" if name in _IN_PATH else "SERVICE"


def _meant(
    doing: str, status: int, headers: Mapping[str, str], body: Mapping[str, Any], otherwise: str, service: str, clue: Clue
) -> McmlError:
    reasons = list(_reasons(body))
    kind, step = next((BY_REASON[reason] for reason in reasons if reason in BY_REASON), BY_STATUS.get(status, (InvalidRequest, "")))
    if status == 429 and _OVER_QUOTA in _said(body):
        kind, step = BY_REASON["quotaExceeded"]
        service = named[1] if (named := _SERVICE.search(_said(body))) else service
    if (status >= 500 and status != NOT_IMPLEMENTED) or _DAMAGED in _said(body):
        kind, step = Unavailable, ""
    why = f"Google answered {status}" + (f": {said}" if (said := clue.clean(_said(body) or otherwise)) else "")
    if kind is NotAuthenticated and clue.skew:
        why, step = f"{clue.skew}; {why}", SET_CLOCK
    if kind is Unavailable:
        return Unavailable(doing, why=why, retry_after=retry_after(headers, body))
    return kind(doing, why=why, next_step=clue.fill(step.replace("SERVICE", _service(body) or service)))


def status_of(failed: BaseException | None) -> str:
    """Return the canonical status of an error answer over REST ("FAILED_PRECONDITION"), or "": HTTP has one code for several of them."""
    response = getattr(failed, "response", None)
    return "" if response is None else str(_body(response).get("status", ""))


def _service(body: Mapping[str, Any]) -> str:
    """Return the API that an error's ErrorInfo names, or ""."""
    told = (detail["metadata"].get("service", "") for detail in _details(body) if isinstance(detail.get("metadata"), Mapping))
    return next((str(name) for name in told if re.fullmatch(r"[a-z0-9.-]+", str(name))), "")


def retry_after(headers: Mapping[str, str], body: Mapping[str, Any]) -> float | None:
    """Return how many seconds the other side asks us to wait: Retry-After (seconds or a date), or RetryInfo in the body; None: silent."""
    told = headers.get("Retry-After", "").strip()
    if told.isdigit():
        return float(told)
    try:  # a date is compared with the answer's own, not with our clock
        return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(headers["Date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        pass
    for detail in _details(body):
        delay = str(detail.get("retryDelay", ""))
        if re.fullmatch(r"\d+(\.\d+)?s", delay):
            return float(delay[:-1])
    return None


def _body(response: Any) -> Mapping[str, Any]:
    try:
        error = response.json().get("error", {})
    except (ValueError, AttributeError, requests.RequestException):
        return {"message": response.text if "json" not in response.headers.get("Content-Type", "") else ""}
    return error if isinstance(error, Mapping) else {"message": str(error)}


def _details(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("errors", "details"):
        found = body.get(name)
        yield from (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else ()


def _reasons(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(detail["reason"]) for detail in _details(body) if "reason" in detail)


def _said(body: Mapping[str, Any]) -> str:
    return re.sub(r"<[^>]*>", " ", str(body.get("message") or ""))


def _api_call(doing: str, failed: Any, clue: Clue) -> McmlError:
    if getattr(failed.response, "status_code", None) is None:
        return _from_grpc(doing, failed, clue)
    return from_response(doing, failed.response, clue)


def _from_grpc(doing: str, failed: Any, clue: Clue) -> McmlError:
    said = str(failed.message or "")
    if "handshake failed" in said.lower():
        return Unavailable(doing, why=_NO_TLS)
    if failed.code is None or "failed to connect" in said.lower():
        return Unavailable(doing, why=f"no connection: {clue.clean(said).rpartition(': ')[2]}")
    if isinstance(failed, DeadlineExceeded) and not failed.details:
        return Unavailable(doing, why="no answer in time")
    details: list[dict[str, Any]] = [{"reason": failed.reason, "metadata": dict(failed.metadata or {})}] if failed.reason else []
    for detail in failed.details:
        if hasattr(detail, "retry_delay"):
            details.append({"retryDelay": f"{detail.retry_delay.ToNanoseconds() / 1e9:f}s"})
    return _meant(doing, int(failed.code), {}, {"message": said, "details": details}, "", "", clue)


def _bad_response(doing: str, failed: Any, clue: Clue) -> McmlError:
    return from_response(doing, failed.response, clue)


def _damaged(doing: str, _: Exception, __: Clue) -> McmlError:
    return Unavailable(doing, why="the bytes that arrived do not have the checksum that was sent: damaged on the way")


def _no_credentials(doing: str, failed: Exception, clue: Clue) -> McmlError:
    why = clue.clean(_first(failed)) or "no credentials were found"
    if "default credentials were not found" in why:  # and a page to read
        why = "Google's default credentials were not found: neither in the environment, gcloud's own, nor the machine's"
    return NotAuthenticated(doing, why=why, next_step=LOGIN)


def _no_token(doing: str, failed: Exception, clue: Clue) -> McmlError:
    said = clue.clean(_first(failed))
    if getattr(failed, "retryable", False):
        return Unavailable(doing, why=f"no token was given: {said}")
    if clue.skew or any(word in said.lower() for word in _CLOCK_WORDS):
        why = clue.skew or "this machine's clock and Google's differ"
        return NotAuthenticated(doing, why=f"{why}; no token was given: {said}", next_step=SET_CLOCK)
    if "impersonate" in said.lower():
        step = "gcloud iam service-accounts get-iam-policy ACCOUNT   # needs roles/iam.serviceAccountTokenCreator"
        return NotAuthenticated(doing, why="the account to act as gave no token: " + said, next_step=step)
    return NotAuthenticated(doing, why=f"no token was given: {said}", next_step=LOGIN)


def _no_transport(doing: str, failed: Exception, clue: Clue) -> McmlError:
    """A token endpoint that cannot be reached, or an answer from the signing service that is a refusal."""
    cause = failed.__cause__ or next((inner for inner in failed.args if isinstance(inner, requests.RequestException)), None)
    if isinstance(cause, requests.RequestException):
        return _no_connection(doing, cause, clue)
    said = clue.clean(_first(failed))
    if "sign_bytes" in said:
        return NotAuthenticated(doing, why=said, next_step="gcloud iam service-accounts get-iam-policy ACCOUNT")
    return Unavailable(doing, why=said)


def _no_connection(doing: str, failed: Exception, _: Clue) -> McmlError:
    """Their own texts hold whole URLs, so only the kind of failure is told."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (requests.exceptions.SSLError, _NO_TLS),
        (requests.exceptions.ProxyError, "the proxy does not answer"),
        (requests.exceptions.ConnectTimeout, "nothing answers: the time to connect is over"),
        (requests.exceptions.Timeout, "no answer in time"),
        (ReadTimeout, "no answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
        (ProtocolError, "the answer broke off"),
        (requests.exceptions.ContentDecodingError, "the answer cannot be decoded"),
        (requests.exceptions.JSONDecodeError, "the answer is not JSON"),
    )
    text = next((text for kind, text in kinds if isinstance(failed, kind)), "")
    return Unavailable(doing, why=text or f"no connection: {_errno(failed)}")


def _errno(failed: BaseException) -> str:
    """Return the operating system's word for what is at the bottom of an exception."""
    seen: set[int] = set()
    queue: list[BaseException] = [failed]
    while queue:
        one = queue.pop(0)
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        seen.add(id(one))
        inner = [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]
        queue += [found for found in inner if isinstance(found, BaseException) and id(found) not in seen]
    return type(failed).__name__


def _first(failed: Exception) -> str:
    return str(failed.args[0]) if failed.args else ""


def _not_json(doing: str, _: Exception, __: Clue) -> McmlError:
    return Unavailable(doing, why="the answer is not JSON")


_TABLE: tuple[tuple[type[Exception], Callable[[str, Any, Clue], McmlError]], ...] = (
    (GoogleAPICallError, _api_call),
    (InvalidResponse, _bad_response),
    (DataCorruption, _damaged),
    (auth.DefaultCredentialsError, _no_credentials),
    (auth.RefreshError, _no_token),
    (auth.TransportError, _no_transport),
    (auth.GoogleAuthError, _no_credentials),
    (requests.exceptions.JSONDecodeError, _not_json),
    (ParseError, _not_json),  # of a client library that speaks REST
    (requests.RequestException, _no_connection),
    (HTTPError, _no_connection),  # raw downloads let urllib3's own through
)
