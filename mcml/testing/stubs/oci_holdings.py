"""What an OCI registry holds and what it refuses, without a network: uploads, digests, manifests, tags, logins."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mcml.core.clock import Clock, utc_now

CHALLENGES = Literal["none", "basic", "bearer"]
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class Refusal(Exception):
    """An error answer: HTTP status, code of the specification, text."""

    def __init__(self, status: int, code: str, text: str = "", **headers: str) -> None:
        super().__init__(f"{status} {code} {text}")
        self.status, self.code, self.text, self.headers = status, code, text, headers


@dataclass
class Repository:
    """What a repository holds; `pushed` is when each manifest came first."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pushed: dict[str, datetime] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Holdings:
    """Safe to use from many threads. A subclass says in `url` where it listens: a challenge names it.

    Listings give `page` names at a time, tokens are good for `token_seconds`; with `known` a push into another repository is refused.
    """

    login: tuple[str, str] = ("", "")
    challenge: CHALLENGES = "none"
    page: int = 1000
    token_seconds: float = 300.0
    known: set[str] | None = None
    clock: Clock = utc_now
    repositories: dict[str, Repository] = field(default_factory=dict, init=False)
    requests: list[tuple[str, str]] = field(default_factory=list, init=False)
    lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _uploads: dict[str, tuple[str, bytearray]] = field(default_factory=dict, init=False)
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, init=False)

    @property
    def url(self) -> str:
        """Its origin."""
        raise NotImplementedError

    def tags(self, repository: str) -> dict[str, str]:
        """Return the digest that each tag points at."""
        with self.lock:
            return dict(self.repositories[repository].tags) if repository in self.repositories else {}

    def forget_logins(self) -> None:
        """End all tokens now."""
        with self.lock:
            self._tokens.clear()

    def allow(self, authorization: str, repository: str, action: Literal["pull", "push"]) -> None:
        """Raise a Refusal with the challenge unless the header is good for the action."""
        if self.challenge == "none" or (self.challenge == "basic" and authorization == self.basic()):
            return
        if self.challenge == "basic":
            raise Refusal(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": 'Basic realm="stub"'})
        wanted = f"repository:{repository}:{'pull' if action == 'pull' else 'pull,push'}" if repository else "registry:catalog:*"
        with self.lock:
            scope, until = self._tokens.get(authorization.removeprefix("Bearer "), ("", 0.0))
        good = scope == wanted or (action == "pull" and scope == f"repository:{repository}:pull,push")
        if not good or time.monotonic() > until:
            told = f'Bearer realm="{self.url}/token",service="stub",scope="{wanted}"'
            raise Refusal(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": told})

    def basic(self) -> str:
        """Return the header of a Basic login."""
        return "Basic " + base64.b64encode(":".join(self.login).encode()).decode()

    def new_token(self, authorization: str, service: str, scope: str) -> dict[str, Any]:
        """Answer the token endpoint."""
        if service != "stub" or not scope:
            raise Refusal(400, "UNSUPPORTED", "service and scope are needed")
        if authorization != self.basic():
            raise Refusal(401, "UNAUTHORIZED", "wrong user name or password")
        token = secrets.token_hex(16)
        with self.lock:
            self._tokens[token] = (scope, time.monotonic() + self.token_seconds)
        return {"token": token, "expires_in": self.token_seconds}

    def repository(self, name: str, *, write: bool = False) -> Repository:
        """Return a repository; a write makes it. Raises Refusal."""
        with self.lock:
            if write and (self.known is None or name in self.known):
                return self.repositories.setdefault(name, Repository())
            if name in self.repositories:
                return self.repositories[name]
            if self.known is not None and name in self.known:
                return Repository()
        raise Refusal(404, "NAME_UNKNOWN", f"The repository with name '{name}' does not exist")

    def begin(self, name: str) -> str:
        """Begin an upload and return its id."""
        self.repository(name, write=True)
        upload = secrets.token_hex(8)
        with self.lock:
            self._uploads[upload] = (name, bytearray())
        return upload

    def append(self, name: str, upload: str, piece: bytes, start: int | None) -> int:
        """Add to an upload and return how much it has; `start` must be where it ends."""
        with self.lock:
            held = self._upload(name, upload)
            if start is not None and start != len(held):
                raise Refusal(416, "BLOB_UPLOAD_INVALID", f"it goes on at {len(held)}, not at {start}")
            held += piece
            return len(held)

    def finish(self, name: str, upload: str, digest: str) -> None:
        """End an upload. Raises Refusal when the digest is not that of what came."""
        with self.lock:
            content = bytes(self._upload(name, upload))
            if digest != digest_of(content):
                raise Refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            del self._uploads[upload]
            self.repository(name, write=True).blobs[digest] = content

    def put_manifest(self, name: str, reference: str, media: str, body: bytes) -> str:
        """Check and store a manifest, and return its digest."""
        if media not in MANIFEST_TYPES:
            raise Refusal(400, "MANIFEST_INVALID", f"media type {media!r} is not supported")
        digest = digest_of(body)
        if reference.startswith("sha256:") and reference != digest:
            raise Refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        with self.lock:
            held = self.repository(name, write=True)
            check_manifest(held, media, body)
            held.manifests[digest] = (media, body)
            held.pushed.setdefault(digest, self.clock())
            if not reference.startswith("sha256:"):
                held.tags[reference] = digest
        return digest

    def manifest(self, name: str, reference: str, accepted: str) -> tuple[str, str, bytes]:
        """Return digest, media type and body. Raises Refusal."""
        with self.lock:
            held = self.repository(name)
            digest = held.tags.get(reference, reference)
            media, body = held.manifests.get(digest, ("", b""))
        takes = [one.partition(";")[0].strip() for one in accepted.split(",")]
        if not media or not (media in takes or "*/*" in takes):
            raise Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return digest, media, body

    def listing(self, names: Iterable[str], last: str, n: str) -> tuple[list[str], bool]:
        """Return a page of names in order, and whether there are more."""
        if n and not n.isdigit():
            raise Refusal(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
        following = [name for name in sorted(names) if name > last]
        size = min(int(n) if n else self.page, self.page)
        return following[:size], len(following) > size

    def _upload(self, name: str, upload: str) -> bytearray:
        owner, held = self._uploads.get(upload, ("", bytearray()))
        if owner != name:
            raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return held


def digest_of(content: bytes) -> str:
    """Return `sha256:` and the hex digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check_manifest(held: Repository, media: str, body: bytes) -> None:
    """Raise a Refusal unless a manifest has the form of its type, and all it names is there in the size that it says.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md
    """
    try:
        about = json.loads(body)
        if about["schemaVersion"] != 2 or about.get("mediaType", media) != media:
            raise ValueError("schemaVersion and mediaType")
        children = about.get("manifests")
        parts = children if children is not None else [about["config"], *about["layers"]]
        named = [(str(part["mediaType"]), str(part["digest"]), int(part["size"])) for part in parts]
        if not all("/" in media_type for media_type, _, _ in named):
            raise ValueError("mediaType of a descriptor")
        if any(not isinstance(value, str) for value in (about.get("annotations") or {}).values()):
            raise ValueError("annotations are texts")
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise Refusal(400, "MANIFEST_INVALID", f"manifest invalid: {broken}") from broken
    for _, digest, size in named:
        content = held.manifests.get(digest, ("", None))[1] if children is not None else held.blobs.get(digest)
        if content is None:
            raise Refusal(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {digest}")
        if len(content) != size:
            raise Refusal(400, "MANIFEST_INVALID", f"{digest} has {len(content)} bytes, not {size}")
