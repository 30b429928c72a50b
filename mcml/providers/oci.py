"""A client of the OCI distribution protocol, for every cloud's registry.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md

    registry = OciRegistry("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", auth, session.policy, login="aws sso login")
    pushed = registry.push("models/fraud", Path("models/fraud"), "v1")      # a folder, as an OCI artifact; pushed.digest is its manifest's
    registry.resolve("models/fraud", "v1").digest == pushed.digest
    registry.tag("models/fraud", pushed.digest, "live")
    registry.tags("models/fraud"), registry.repositories()

`auth` is a function that returns the Login to use now (it is asked before every request, so it keeps what it fetched until that ends), or
None for a registry that wants none. Retries, their budget and waits are those of the cloud's session (`policy`); everything raised is a
core error. When something was pushed, only the cloud's own API knows: `Artifact.pushed` is for the caller to find out.

The library `oras` was tried and left: it sends requests without a time-out, repeats them itself with `time.sleep` (3 s and more, also
what is no passing fault), reads a whole layer into memory, drops the status of an answer, and reads ~/.docker/config.json unasked.

A blob goes up in one PUT after the POST, which every cloud takes (Artifact Registry refuses PATCH:
https://cloud.google.com/artifact-registry/docs/docker/pushing-and-pulling), streamed from disk; one that is there is not sent again.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.oci_layer import Layer, pack
from mcml.providers.oci_wire import READ_BYTES, Auth, Login, Wire
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, Policy, guarded

__all__ = ["ARTIFACT_TYPE", "Auth", "Login", "Manifest", "OciRegistry"]

T = TypeVar("T")
ARTIFACT_TYPE = "application/vnd.mcml.model.v1"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
PACKAGE_DIGEST = "dev.mcml.package.digest"
"""The annotation that holds `core.package.folder_digest` of what was packed: known without fetching the layer."""

ACCEPTED = (
    MANIFEST_TYPE,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
PAGE = 100
SLOWEST_RATE = 20 << 20  # bytes a second at which a registry takes a blob into its store before it answers
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """What a tag or a digest points at: `digest` is of `body`; `size_bytes` of what it lists (layers and configuration)."""

    digest: str
    media_type: str
    size_bytes: int
    body: bytes = field(repr=False)

    @property
    def annotations(self) -> Mapping[str, str]:
        """What whoever pushed it wrote on it."""
        found: Mapping[str, str] = json.loads(self.body).get("annotations") or {}
        return found


class OciRegistry:
    """One registry, thread-safe. `url` is its origin; `login` is the command that brings fresh credentials, for the next step of an error.

    `timeout` is (connect, read) in seconds of every single request; `verify` as httpx takes it (an `ssl.SSLContext` for a CA of one's own).
    """

    def __init__(
        self,
        url: str,
        auth: Auth,
        policy: Policy,
        *,
        login: str = "",
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        verify: Any = True,
    ) -> None:
        self._wire = Wire(url, auth, login, timeout, verify)
        self._policy = policy
        self._read_seconds = timeout[1]

    def push(self, repository: str, source: Path, tag: str) -> Manifest:
        """Store a folder (dot-files left out) or a file under a tag, which moves if it is there; the same content has the same digest.

        Raises NotFound for the source and for a repository that a push does not make, InvalidRequest for an empty folder or a bad name.
        """
        _check(_REPOSITORY, repository, "repository")
        _check(_TAG, tag, "tag")
        with tempfile.TemporaryDirectory(prefix="mcml-push-") as folder:
            layer = pack(source, Path(folder) / "layer.tar.gz")
            self._upload(repository, layer.digest, layer.size_bytes, lambda: _pieces(layer.path))
            self._upload(repository, _digest(EMPTY), len(EMPTY), lambda: iter((EMPTY,)))
            return self._put_manifest(repository, tag, _manifest(layer))

    def resolve(self, repository: str, reference: str) -> Manifest:
        """Return what a tag or a digest (`sha256:...`) points at, its digest checked. Raises NotFound."""
        if not _REPOSITORY.fullmatch(repository) or not (_TAG.fullmatch(reference) or _DIGEST.fullmatch(reference)):
            raise NotFound(f"no {reference!r} in repository {repository!r}", why="no artifact can have this name")
        doing = f"cannot find {reference!r} in repository {repository!r} of {self._wire.host}"
        path, accept = f"/v2/{repository}/manifests/{reference}", {"Accept": ", ".join(ACCEPTED)}

        def ask() -> Manifest:
            answer = self._wire.send(doing, "GET", path, f"{repository} pull", headers=accept)
            return _read(doing, answer, reference if _DIGEST.fullmatch(reference) else "")

        return self._guarded(ask)

    def tag(self, repository: str, digest: str, tag: str) -> Manifest:
        """Let a tag point at a digest; it moves if it pointed elsewhere. Raises NotFound, Conflict where tags are made immutable."""
        _check(_TAG, tag, "tag")
        return self._put_manifest(repository, tag, self.resolve(repository, digest))

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, all pages of them, sorted. Raises NotFound."""
        if not _REPOSITORY.fullmatch(repository):
            raise NotFound(f"no repository {repository!r}", why="none can have this name")
        doing = f"cannot list the tags of repository {repository!r} of {self._wire.host}"
        return sorted(self._paged(doing, f"/v2/{repository}/tags/list?n={PAGE}", "tags"))

    def repositories(self) -> list[str]:
        """Return the names of all repositories, all pages of them, sorted. Not every registry tells: NotFound, InvalidRequest then."""
        return sorted(self._paged(f"cannot list the repositories of {self._wire.host}", f"/v2/_catalog?n={PAGE}", "repositories"))

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _guarded(self, call: Callable[[], T]) -> T:
        return guarded(call, lambda _: None, self._policy)

    def _paged(self, doing: str, path: str, key: str) -> list[str]:
        found: list[str] = []
        while path:
            page = self._guarded(partial(self._wire.json, doing, path))
            found += page.content.get(key) or []
            path = page.next_path
        return found

    def _upload(self, repository: str, digest: str, size: int, pieces: Callable[[], Iterator[bytes]]) -> None:
        """Send a blob that is not there. It is named by its content: repeated after a lost answer it is found to be there."""
        doing, scope = f"cannot push to repository {repository!r} of {self._wire.host}", f"{repository} push"

        def send() -> None:
            if self._wire.exists(doing, f"/v2/{repository}/blobs/{digest}", scope):
                return
            place = self._wire.send(doing, "POST", f"/v2/{repository}/blobs/uploads/", scope, headers={"Content-Length": "0"})
            where = httpx.URL(self._wire.location(doing, place)).copy_merge_params({"digest": digest})
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            patience = self._read_seconds + size / SLOWEST_RATE
            try:
                answer = self._wire.send(doing, "PUT", str(where), scope, headers=headers, content=pieces, read_seconds=patience)
            except NotFound as lost:  # the registry has forgotten the upload that it began a moment ago
                raise Unavailable(lost.message, why=lost.why) from lost
            _same(doing, answer, digest)

        self._guarded(send)

    def _put_manifest(self, repository: str, tag: str, manifest: Manifest) -> Manifest:
        doing = f"cannot tag {manifest.digest[:19]} as {tag!r} in repository {repository!r} of {self._wire.host}"
        path = f"/v2/{repository}/manifests/{quote(tag)}"
        headers = {"Content-Type": manifest.media_type, "Content-Length": str(len(manifest.body))}

        def put() -> None:
            answer = self._wire.send(doing, "PUT", path, f"{repository} push", headers=headers, content=lambda: iter((manifest.body,)))
            _same(doing, answer, manifest.digest)

        self._guarded(put)
        return manifest


def _manifest(layer: Layer) -> Manifest:
    """Return the manifest of an artifact with one layer and no configuration; the same content gives the same bytes.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage
    """
    empty = {"mediaType": EMPTY_TYPE, "digest": _digest(EMPTY), "size": len(EMPTY)}
    whole = {"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size_bytes}
    about = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": empty,
        "layers": [whole],
        "annotations": {PACKAGE_DIGEST: layer.package_digest},
    }
    body = json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
    return Manifest(_digest(body), MANIFEST_TYPE, layer.size_bytes + len(EMPTY), body)


def _read(doing: str, answer: httpx.Response, asked: str) -> Manifest:
    """Read a manifest and check that it is what its digest says. Raises Unavailable for a damaged one."""
    body, media = answer.content, answer.headers.get("Content-Type", "").partition(";")[0].strip()
    told = asked or answer.headers.get("Docker-Content-Digest", "")
    if told.startswith("sha256:") and told != _digest(body):
        raise Unavailable(doing, why=f"what arrived has the digest {_digest(body)[:19]}, not {told[:19]}: damaged on the way")
    try:
        about = json.loads(body)
        parts = [*about.get("layers", ()), *about.get("manifests", ()), *([about["config"]] if "config" in about else ())]
        size = sum(int(part["size"]) for part in parts)
    except (ValueError, TypeError, KeyError, AttributeError) as broken:
        raise Unavailable(doing, why="the answer is no manifest: from something between, or of a kind that is not known") from broken
    return Manifest(_digest(body), media or str(about.get("mediaType", MANIFEST_TYPE)), size, body)


def _same(doing: str, answer: httpx.Response, digest: str) -> None:
    told = answer.headers.get("Docker-Content-Digest", "")
    if told.startswith("sha256:") and told != digest:
        raise Unavailable(doing, why=f"the registry holds {told[:19]}, not the {digest[:19]} that was sent: damaged on the way")


def _check(shape: re.Pattern[str], name: str, what: str) -> None:
    if not shape.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for a {what}", why=f"a registry takes {shape.pattern}")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(READ_BYTES):
            yield piece
