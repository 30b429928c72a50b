"""What an error of AWS's SDK means in our words, and what a person may be told of it: never a key, a token or a signature.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and the "Common Errors" of each service's reference. A code that
is in no table is judged by its ending, then by the HTTP status.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from mcml.core.clock import Clock, utc_now
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.resilience import Translate

SET_CLOCK = "sudo timedatectl set-ntp true"
WHO_AM_I = "aws sts get-caller-identity"
QUOTAS = "aws service-quotas list-service-quotas --service-code {service}"
SERVICE = "Service"
"""In an answer's ResponseMetadata (put there by the session): whose it is, as the quotas name it."""
MOST_SKEW = timedelta(minutes=5)
MOST_TEXT = 500

Kind = type[McmlError]

_NO_LOGIN = """
    ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken InvalidAccessKeyId InvalidClientTokenId UnrecognizedClientException
    AuthFailure MissingAuthenticationToken MissingSecurityHeader InvalidSecurity NotSignedUp OptInRequired
    SignatureDoesNotMatch InvalidSignatureException IncompleteSignature
"""
_FORBIDDEN = """
    AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedAccess AuthorizationError AllAccessDisabled AccountProblem
"""
_CLOCK = "RequestTimeTooSkewed RequestExpired RequestInTheFuture"
_CODES: tuple[tuple[Kind, str], ...] = (
    (NotAuthenticated, _NO_LOGIN + _FORBIDDEN + " " + _CLOCK),
    (Conflict, "PreconditionFailed BucketNotEmpty NoSuchUpload InvalidBucketState DependencyViolation IncorrectInstanceState"),
    (Conflict, "IncorrectState IncorrectSpotRequestState ScalingActivityInProgress OperationNotPermitted"),
    (QuotaExceeded, "TooManyBuckets ServiceQuotaExceededException ServiceLimitExceeded MaxMessageLengthExceeded"),
    (QuotaExceeded, "InsufficientInstanceCapacity InsufficientHostCapacity SpotMaxPriceTooLow MaxSpotInstanceCountExceeded"),
    (InvalidRequest, "NotImplemented EntityTooLarge EntityTooSmall"),
    (
        Unavailable,
        """
        SlowDown RequestLimitExceeded BandwidthLimitExceeded ProvisionedThroughputExceededException TooManyRequestsException
        PriorRequestNotComplete ServiceUnavailable InternalError InternalFailure InternalServerError RequestTimeout RequestTimeoutException
        OperationAborted ConditionalRequestConflict BadDigest IncompleteBody XAmzContentChecksumMismatch XAmzContentSHA256Mismatch
        ResourceContention InsufficientCapacity IDPCommunicationError ConcurrentModificationException SnapshotCreationPerVolumeRateExceeded
        """,
    ),
)
BY_CODE: Mapping[str, Kind] = {code: kind for kind, codes in _CODES for code in codes.split()}
BY_PATTERN: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"Throttl"), Unavailable),
    (re.compile(r"^NoSuch|NotFound(Exception|Fault)?$|DoesNotExist|NonExistent|^Invalid\w+I[dD]\.Malformed$"), NotFound),
    (re.compile(r"LimitExceeded|QuotaExceeded|^Insufficient\w+Capacity$"), QuotaExceeded),
    (re.compile(r"AlreadyExists|AlreadyOwned|InUse|Conflict|^InvalidDB\w+State"), Conflict),
)
BY_STATUS: Mapping[int, Kind] = {
    401: NotAuthenticated,
    403: NotAuthenticated,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: Unavailable,
}

_LOGIN_ERRORS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.ProfileNotFound,
    sdk.SSOError,
    sdk.TokenRetrievalError,
    sdk.NoAuthTokenError,
    sdk.ConfigParseError,
    sdk.InvalidConfigError,
    sdk.InfiniteLoopConfigError,
    sdk.RefreshWithMFAUnsupportedError,
)
_PASSING_ERRORS = (
    sdk.HTTPClientError,
    sdk.ConnectionError,
    sdk.IncompleteReadError,
    sdk.ResponseStreamingError,
    sdk.ReadTimeoutError,
    sdk.FlexibleChecksumError,
    sdk.MetadataRetrievalError,
)
_REQUEST_ERRORS = (sdk.ParamValidationError, sdk.ValidationError, sdk.UnsupportedS3ConfigurationError, sdk.NoRegionError)
_BAD_BUCKET = re.compile(r'Invalid bucket name ("[^"]*")')
_SECRETS = (
    (re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*"), r"\1"),  # a query tells a person nothing, and may be signed
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{12,}"), "[hidden]"),
    (re.compile(r"(?i)(x-amz-(?:signature|security-token|credential)|signature|credential|AWSAccessKeyId)=[^\s&\"',]+"), r"\1=[hidden]"),
)


@dataclass
class Clue:
    """What explains errors: the command that logs in, the role to assume, and the values that no text may hold."""

    clock: Clock = utc_now
    login: Callable[[], str] = lambda: "aws configure sso"
    role: str = ""
    secrets: Callable[[], set[str]] = field(default=set, repr=False)

    def clean(self, text: str) -> str:
        """Return a text without secrets, on one line, cut to what fits a message."""
        for secret in self.secrets():
            text = text.replace(secret, "[hidden]")
        for pattern, instead in _SECRETS:
            text = pattern.sub(instead, text)
        return " ".join(text.split())[:MOST_TEXT]


def code_of(failed: Exception) -> str:
    """Return the code of an error that AWS answered ("NoSuchKey"; of a HEAD, which has no body, the status), else nothing."""
    return str(failed.response.get("Error", {}).get("Code", "")) if isinstance(failed, sdk.ClientError) else ""


def translate(doing: str, clue: Clue, next_step: str = "") -> Translate:
    """Return the error table for one call: `doing` begins every message, `next_step` takes the place of the table's own."""

    def table(failed: Exception) -> McmlError | None:
        told = _told(doing, failed, clue)
        if told is not None:
            told.next_step = next_step or told.next_step
            failed.args = tuple(clue.clean(str(part)) for part in failed.args)  # it stays in the chain that --debug shows
        return told

    return table


def _told(doing: str, failed: Exception, clue: Clue) -> McmlError | None:
    if isinstance(failed, sdk.ClientError):
        return _answered(doing, failed, clue)
    said = clue.clean(str(failed))
    if isinstance(failed, _LOGIN_ERRORS):
        return NotAuthenticated(doing, why=said, next_step=clue.login())
    if isinstance(failed, sdk.FlexibleChecksumError):
        return Unavailable(doing, why="the bytes that arrived do not have the checksum that was sent: damaged on the way")
    if isinstance(failed, ResponseParserError):  # its text is the answer's body
        return Unavailable(doing, why="the answer is not what AWS sends: cut off, or from something between")
    if isinstance(failed, _PASSING_ERRORS):
        return Unavailable(doing, why=said)
    if isinstance(failed, _REQUEST_ERRORS):
        if named := _BAD_BUCKET.search(said):  # and goes on with regular expressions
            why = f"no bucket is named {named[1]}: it takes 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends"
            return InvalidRequest(doing, why=why, next_step="aws s3 ls")
        return InvalidRequest(doing, why=said)
    if isinstance(failed, sdk.BotoCoreError):
        return McmlError(doing, why=f"{type(failed).__name__}: {said}")
    return None


def _answered(doing: str, failed: Any, clue: Clue) -> McmlError:
    code, meta = code_of(failed), failed.response.get("ResponseMetadata", {})
    status, headers = int(meta.get("HTTPStatusCode", 0)), meta.get("HTTPHeaders", {})
    kind = kind_of(code, status)
    why = _why(code, status, clue.clean(str(failed.response.get("Error", {}).get("Message", ""))))
    if kind is Unavailable:
        return Unavailable(doing, why=why, retry_after=retry_after(headers))
    step = _STEPS.get(code, "")
    if kind is QuotaExceeded and not _NO_ROOM.search(code):
        step = QUOTAS.format(service=meta.get(SERVICE) or "SERVICE")
    if kind is NotAuthenticated:
        skew = skew_of(failed.response, clue.clock())
        if skew or code in _CLOCK.split() or "Signature expired" in why or "Signature not yet current" in why:
            return kind(doing, why=f"{skew or 'the clock of this machine and that of AWS differ'}; {why}", next_step=SET_CLOCK)
        step = _mend(failed, clue)
    return kind(doing, why=why, next_step=step)


def kind_of(code: str, status: int) -> Kind:
    """Return the class of error for a code and an HTTP status."""
    if code in BY_CODE:
        return BY_CODE[code]
    for pattern, kind in BY_PATTERN:
        if pattern.search(code):
            return kind
    if status >= 500 and status != 501:
        return Unavailable
    return BY_STATUS.get(status, InvalidRequest)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds AWS asks us to wait: Retry-After (seconds or a date), x-amz-retry-after (milliseconds); None: silent."""
    told, millis = headers.get("retry-after", "").strip(), headers.get("x-amz-retry-after", "").strip()
    if told.isdigit():
        return float(told)
    if millis.isdigit():
        return int(millis) / 1000
    try:  # a date is compared with the answer's own, not with our clock
        return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def skew_of(response: Mapping[str, Any], now: datetime) -> str:
    """Say how wrong this machine's clock is, judged by the server's own time in its answer; nothing when it is right or unknown."""
    told = response.get("Error", {}).get("ServerTime", "") or response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        server = datetime.fromisoformat(told) if told[:4].isdigit() else parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return ""
    ahead = now - server.astimezone(UTC)
    if abs(ahead) <= MOST_SKEW:
        return ""
    minutes = round(abs(ahead).total_seconds() / 60)
    return f"the clock of this machine is {minutes} minutes {'ahead of' if ahead > timedelta() else 'behind'} that of AWS"


_NO_ROOM = re.compile(r"Capacity$|SpotMaxPrice")  # AWS has none left, or not at that price: no limit of the account
_STEPS = {"NoSuchBucket": "aws s3 ls"}
_BARE = {404: "there is none by that name", 403: "AWS forbids it, and does not say why"}


def _why(code: str, status: int, said: str) -> str:
    if code.isdigit():  # a HEAD: there is no body that would say more
        return _BARE.get(status, f"AWS answered {status} {said}".strip())
    return f"{said} ({code})" if said and code else said or code or f"AWS answered {status}"


def _mend(failed: Any, clue: Clue) -> str:
    if code_of(failed) not in _FORBIDDEN.split() and not code_of(failed).isdigit():
        return clue.login()
    if failed.operation_name == "AssumeRole":
        return f"aws iam get-role --role-name {clue.role or 'ROLE'}   # its trust policy must name you"
    return WHO_AM_I
