"""The credentials of backends: asked for well before they end, kept in files that only their owner and the proxy read, taken up at once.

Each backend has a folder of its own (`credentials/MODEL@TARGET/`), which the proxy watches. Nothing of a credential is ever in a log, a
fact or an argument. While a provider does not answer, the last one stays; what comes of one that has ended the backend itself says: it
refuses the requests, they are tried elsewhere, and it is taken out.
"""

import json
import os
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcml.core.backend import Backend
from mcml.core.clock import Clock, rfc3339
from mcml.core.credential import Credential, SigningKeys
from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated
from mcml.core.fact import Fact
from mcml.core.files import write_atomic
from mcml.core.report import Reporter
from mcml.core.secret import Secret
from mcml.route.config.upstream import BEARER_FILE, KEYS_FILE
from mcml.route.config.values import TYPE

ASK_SECONDS = 60.0
"""How often a provider is asked: it answers with the credential it has until that one is near its end."""

SOONEST_SECONDS = 2.0
"""The shortest pause between two questions: after a failure (then it doubles), and when a credential is about to end."""

FORGET_SECONDS = 30.0
"""How long the credential of a backend that is gone is kept: the proxy may still have requests for it."""

AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")

Ask = Callable[[Backend], Credential]
_FILES = {"bearer": BEARER_FILE, "sigv4": KEYS_FILE}


@dataclass(frozen=True)
class Held:
    """A credential that the proxy has: of which kind, since when, until when, and why it could not be renewed (empty: it could)."""

    kind: str
    since: datetime
    expires: datetime | None
    failing: str = ""


class Credentials:
    """The credentials of a router's backends. `ask` may be slow and may fail: each backend is asked in a thread of its own."""

    def __init__(self, folder: Path, ask: Ask, post: Callable[[Fact], object], reporter: Reporter, clock: Clock) -> None:
        self.folder = folder
        self._ask = ask
        self._post = post
        self._reporter = reporter
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._contents: dict[str, tuple[Path, bytes]] = {}
        self._asking: dict[str, threading.Thread] = {}
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wanted_at: dict[str, float] = {}

    def refresh(self, backends: Iterable[Backend]) -> Mapping[str, Held]:
        """Ask for what is due, without waiting for it, and return what the proxy has, by backend name."""
        now = time.monotonic()
        for backend in {one.name: one for one in backends if one.auth != "none"}.values():
            self._wanted_at[backend.name] = now
            self._take_over(backend)
            running = self._asking.get(backend.name)
            if (running is None or not running.is_alive()) and now >= self._due.get(backend.name, 0.0):
                self._asking[backend.name] = threading.Thread(target=self._renew, args=(backend,), daemon=True)
                self._asking[backend.name].start()
        self._forget(now)
        self._write_again()
        with self._lock:
            return dict(self._held)

    def settle(self, seconds: float) -> None:
        """Wait for the answers that are under way, for so many seconds at most."""
        end = time.monotonic() + seconds
        for thread in list(self._asking.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def clear(self) -> None:
        """Remove every file; the proxy must have ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _renew(self, backend: Backend) -> None:
        name = backend.name
        try:
            credential = self._ask(backend)
            path, content = _file(self.folder / name, backend, credential)
            if self._contents.get(name) != (path, content):
                _write(path, content)
        except Exception as failed:  # noqa: BLE001 - whatever a provider raises, the last credential stays
            self._failed(backend, failed)
        else:
            self._renewed(backend, credential, path, content)

    def _renewed(self, backend: Backend, credential: Credential, path: Path, content: bytes) -> None:
        name, now = backend.name, self._clock()
        with self._lock:
            before, recovered = self._held.get(name), self._failures.pop(name, 0) > 0
            changed = self._contents.get(name) != (path, content)
            self._contents[name] = path, content
            since = now if changed or before is None else before.since
            self._held[name] = Held(backend.auth, since, credential.expires)
            self._due[name] = time.monotonic() + _pause(credential.expires, now)
        if recovered:
            self._reporter.note(f"{name} has a credential again")
        if recovered or (changed and before is not None):
            self._post(self._fact("route.credential_renewed", backend, credential.expires, {}))

    def _failed(self, backend: Backend, failed: Exception) -> None:
        name = backend.name
        reason = failed.message + (f": {failed.why}" if failed.why else "") if isinstance(failed, McmlError) else type(failed).__name__
        with self._lock:
            count = self._failures[name] = self._failures.get(name, 0) + 1
            held = self._held.get(name)
            if held is not None:
                self._held[name] = Held(held.kind, held.since, held.expires, reason)
            self._due[name] = time.monotonic() + min(ASK_SECONDS, SOONEST_SECONDS * 2 ** (count - 1))
        if count == 1:
            also = "; the one before stays" if held else "; it gets no requests before it has one"
            self._reporter.note(f"no new credential for {name}{also}: {reason}")
            self._post(self._fact("route.credential_failed", backend, held.expires if held else None, {"reason": reason}))

    def _fact(self, kind: str, backend: Backend, expires: datetime | None, more: Mapping[str, object]) -> Fact:
        facts: dict[str, object] = {"backend": backend.name, "model": backend.model, "auth": backend.auth, **more}
        if expires is not None:
            facts["expires"] = rfc3339(expires)
        return Fact(kind, "route", backend.target, facts, self._clock())

    def _take_over(self, backend: Backend) -> None:
        """Hold what an earlier router left for the proxy that still runs, until there is a newer one."""
        path = self.folder / backend.name / _FILES[backend.auth]
        with suppress(OSError), self._lock:
            if backend.name not in self._held:
                since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                self._contents[backend.name] = path, path.read_bytes()
                self._held[backend.name] = Held(backend.auth, since, None)

    def _forget(self, now: float) -> None:
        for name in [name for name, wanted in self._wanted_at.items() if now - wanted > FORGET_SECONDS]:
            with self._lock:
                for known in (self._held, self._contents, self._due, self._failures, self._wanted_at, self._asking):
                    known.pop(name, None)
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _write_again(self) -> None:
        """A file that somebody removed would keep a new proxy from starting."""
        with self._lock:
            missing = [(path, content) for path, content in self._contents.values() if not path.exists()]
        for path, content in missing:
            with suppress(OSError):
                _write(path, content)


def _pause(expires: datetime | None, now: datetime) -> float:
    if expires is None:
        return ASK_SECONDS
    return min(ASK_SECONDS, max(SOONEST_SECONDS, (expires - now).total_seconds() / 3))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.parent.chmod(0o700)
    write_atomic(path, content, mode=0o600, durable=False)


def _file(folder: Path, backend: Backend, credential: Credential) -> tuple[Path, bytes]:
    """Return the file that the proxy reads. Raises NotAuthenticated when the provider gave another kind than the backend takes."""
    secret = credential.secret
    if backend.auth == "bearer" and isinstance(secret, Secret):
        return folder / BEARER_FILE, _bearer(secret)
    if backend.auth == "sigv4" and isinstance(secret, SigningKeys):
        return folder / KEYS_FILE, _keys(secret)
    raise NotAuthenticated(f"the provider has no {backend.auth} credential for {backend.name}")


def _bearer(token: Secret) -> bytes:
    """An SDS file: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/security/secret."""
    secret = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "bearer",
        "generic_secret": {"secret": {"inline_string": f"Bearer {_one_word(token)}"}},
    }
    return json.dumps({"resources": [secret]}).encode()


def _keys(keys: SigningKeys) -> bytes:
    """A credentials file: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html."""
    lines = ["[default]", f"aws_access_key_id={_one_word(keys.access_key)}", f"aws_secret_access_key={_one_word(keys.secret_key)}"]
    if keys.session_token is not None:
        lines.append(f"aws_session_token={_one_word(keys.session_token)}")
    return ("\n".join(lines) + "\n").encode()


def _one_word(secret: Secret) -> str:
    """A line break in it would be a header or a setting of somebody else's. Raises InvalidRequest."""
    text = secret.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest("a credential is not one word of printable characters")
    return text


def system_authorities() -> str:
    """Return the PEM file with the certificate authorities that this system trusts (SSL_CERT_FILE first), else those of Mozilla."""
    known = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *AUTHORITIES)
    found = next((path for path in known if path and Path(path).is_file()), None)
    if found is None:
        import certifi  # which comes with httpx

        found = certifi.where()
    return str(Path(found).resolve())
