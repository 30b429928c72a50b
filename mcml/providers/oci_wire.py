"""HTTP to an OCI registry: the login that it asks for, time-outs, and its errors in our words.

Login: https://distribution.github.io/distribution/spec/auth/token/ (Bearer) or Basic, as the registry's challenge says. A password goes
to the registry's own host only: not to a token endpoint, an upload or a page elsewhere. Codes of errors:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
"""

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.core.secret import Secret

READ_BYTES = 1 << 20
TOKEN_SECONDS = 60.0  # what a token holds when the registry does not say: the specification's default
MOST_TEXT = 500
_PART = re.compile(r'(\w+)="([^"]*)"')
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_BY_CODE: Mapping[str, type[McmlError]] = {
    "UNAUTHORIZED": NotAuthenticated,
    "DENIED": NotAuthenticated,
    "TOOMANYREQUESTS": Unavailable,
    "TAG_IMMUTABLE": Conflict,
    "TAG_INVALID": Conflict,  # how ECR says that a tag may not move
    "BLOB_UPLOAD_INVALID": Unavailable,
    "DIGEST_INVALID": Unavailable,  # of what we took the digest of ourselves: damaged on the way
    "SIZE_INVALID": Unavailable,
    "LIMIT_EXCEEDED": QuotaExceeded,
}
_BY_STATUS: Mapping[int, type[McmlError]] = {
    401: NotAuthenticated,
    403: NotAuthenticated,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    412: Conflict,
    429: Unavailable,
}

_BARE: Mapping[int, str] = {401: "it refuses the login", 403: "the login may not do it", 404: "there is none by that name"}  # of a HEAD


@dataclass(frozen=True)
class Login:
    """A user's name and password, for Basic and for token endpoints; without a name, a token that is sent as Bearer as it is."""

    user: str
    secret: Secret


Auth = Callable[[], Login | None]


@dataclass(frozen=True)
class Page:
    """What a page of a listing says, and the path of the next one ("": it was the last)."""

    content: Mapping[str, Any]
    next_path: str


class Wire:
    """Requests to one registry. Thread-safe."""

    def __init__(self, url: str, auth: Auth, login: str, timeout: tuple[float, float], verify: Any) -> None:
        self.origin = httpx.URL(url)
        self.host = self.origin.netloc.decode()
        self._auth, self._login, self._timeout = auth, login, timeout
        self._verify = verify
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._scheme = ""  # what the registry asked for: "basic", "bearer", or nothing so far
        self._tokens: dict[str, tuple[float, str]] = {}

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def send(
        self,
        doing: str,
        method: str,
        url: str,
        scope: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        read_seconds: float | None = None,
        fine: tuple[int, ...] = (),
    ) -> httpx.Response:
        """Send a request, log in when it is asked for, and return the answer, read whole. `fine` are statuses that are no errors here.

        `content` makes the body anew for every try; `scope` names what a token is good for, so that one is used again. Raises core errors.
        """
        where, login = self.origin.join(url), self._auth()
        read = read_seconds or self._timeout[1]
        once = _Once(method, where, scope, dict(headers or {}), content, read)
        try:
            answer = self._once(once, self._authorization(once, login, None))
            if answer.status_code == 401 and self._is_ours(where):
                told = self._authorization(once, login, answer)
                if told is not None:
                    answer = self._once(once, told)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as failed:
            raise Unavailable(doing, why=self._clean(str(failed) or type(failed).__name__, login)) from None
        if answer.is_success or answer.status_code in fine:
            return answer
        raise self._told(doing, answer, login)

    def exists(self, doing: str, url: str, scope: str) -> bool:
        """Tell whether a blob is there: a redirection says where it is stored."""
        answer = self.send(doing, "HEAD", url, scope, fine=(301, 302, 303, 307, 308, 404))
        return answer.status_code != 404

    def json(self, doing: str, url: str) -> Page:
        """Return a JSON answer and where it goes on."""
        answer = self.send(doing, "GET", url, url.partition("?")[0])
        try:
            content = answer.json()
            if not isinstance(content, dict):
                raise ValueError("no object")
        except ValueError as broken:
            raise Unavailable(doing, why="the answer is not JSON: cut off, or from something between") from broken
        following = _NEXT.search(answer.headers.get("Link", ""))
        return Page(content, str(answer.url.join(following.group(1))) if following else "")

    def location(self, doing: str, answer: httpx.Response) -> str:
        """Return where an upload that was begun goes on."""
        told = answer.headers.get("Location", "")
        if not told:
            raise Unavailable(doing, why="the registry does not say where the upload goes on")
        return str(answer.url.join(told))

    def _once(self, once: "_Once", authorization: str | None) -> httpx.Response:
        headers = {**once.headers, **({"Authorization": authorization} if authorization else {})}
        timeout = httpx.Timeout(once.read_seconds, connect=self._timeout[0])
        body = once.content() if once.content else None
        return self._http().request(once.method, once.url, headers=headers, content=body, timeout=timeout)

    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(verify=self._verify, headers={"User-Agent": "mcml"}, follow_redirects=False)
            return self._client

    def _is_ours(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self.origin.scheme, self.origin.host, self.origin.port)

    def _authorization(self, once: "_Once", login: Login | None, refused: httpx.Response | None) -> str | None:
        """Return the header to send: what is known to work, or what the challenge of a refusal asks for; None when there is nothing."""
        if not self._is_ours(once.url):
            return None
        if refused is None:
            if login is not None and not login.user:
                return f"Bearer {login.secret.reveal()}"
            if self._scheme == "basic" and login is not None:
                return _basic(login)
            return self._known_token(once.scope)
        scheme, parts = _challenge(refused.headers.get("WWW-Authenticate", ""))
        if scheme == "basic" and login is not None and login.user:
            sent = refused.request.headers.get("Authorization", "")
            self._scheme = "basic"
            return _basic(login) if sent != _basic(login) else None
        if scheme == "bearer" and (login is None or login.user):
            return self._new_token(once.scope, parts, login)
        return None

    def _known_token(self, scope: str) -> str | None:
        with self._lock:
            until, token = self._tokens.get(scope, (0.0, ""))
        return f"Bearer {token}" if token and time.monotonic() < until else None

    def _new_token(self, scope: str, parts: Mapping[str, str], login: Login | None) -> str | None:
        realm = self.origin.join(parts.get("realm", ""))
        if not self._is_ours(realm):
            return None  # whoever it is: it does not get the password
        asked = {name: parts[name] for name in ("service", "scope") if parts.get(name)}
        headers = {"Authorization": _basic(login)} if login is not None else {}
        answer = self._http().get(realm, params=asked, headers=headers, timeout=httpx.Timeout(self._timeout[1], connect=self._timeout[0]))
        if answer.status_code >= 500 or answer.status_code == 429:
            raise self._told(f"cannot log in to {self.host}", answer, login)
        try:
            said = answer.json() if answer.is_success else {}
            token = str(said.get("token") or said.get("access_token") or "")
            holds = float(said.get("expires_in") or TOKEN_SECONDS)
        except (ValueError, AttributeError):
            raise Unavailable(f"cannot log in to {self.host}", why="the answer of its token endpoint is not JSON") from None
        if not token:
            return None
        with self._lock:
            self._tokens[scope] = (time.monotonic() + holds * 0.9, token)
        return f"Bearer {token}"

    def _told(self, doing: str, answer: httpx.Response, login: Login | None) -> McmlError:
        code, said = _error(answer)
        status = answer.status_code
        passing = status >= 500 and status != 501
        kind = Unavailable if passing else _BY_CODE.get(code) or _BY_STATUS.get(status, InvalidRequest)
        why = self._clean(f"{said} ({code})" if code and said else said or code or _BARE.get(status) or f"it answered {status}", login)
        if kind is Unavailable:
            return Unavailable(doing, why=why, retry_after=_retry_after(answer.headers))
        step = self._login if kind is NotAuthenticated else ""
        return kind(doing, why=why, next_step=step)

    def _clean(self, text: str, login: Login | None) -> str:
        with self._lock:
            secrets = {token for _, token in self._tokens.values()}
        for secret in secrets | ({login.secret.reveal(), _basic(login).removeprefix("Basic ")} if login else set()):
            text = text.replace(secret, "[hidden]") if secret else text
        return " ".join(text.split())[:MOST_TEXT]


@dataclass(frozen=True)
class _Once:
    """A request that can be sent again."""

    method: str
    url: httpx.URL
    scope: str
    headers: Mapping[str, str]
    content: Callable[[], Iterator[bytes]] | None
    read_seconds: float


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.secret.reveal()}".encode()).decode()


def _challenge(header: str) -> tuple[str, dict[str, str]]:
    scheme, _, rest = header.strip().partition(" ")
    return scheme.lower(), {name.lower(): value for name, value in _PART.findall(rest)}


def _error(answer: httpx.Response) -> tuple[str, str]:
    """Return the code and the text of an error answer; nothing of what is not in the specification's form."""
    try:
        first = answer.json()["errors"][0]
        detail = first.get("detail")
        return str(first.get("code", "")), " ".join(str(part) for part in (first.get("message"), detail) if part and isinstance(part, str))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", ""


def _retry_after(headers: httpx.Headers) -> float | None:
    told = headers.get("Retry-After", "").strip()
    if told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds())
    except (TypeError, ValueError):
        return None
