"""A small Blob service with versioning, which Azurite does not have: it replays what the REST reference documents, over real HTTP.

https://learn.microsoft.com/azure/storage/blobs/versioning-overview and the pages of Put Blob, Get Blob, Delete Blob, Copy Blob and List
Blobs. It proves that our requests and our reading of the answers fit the documentation; it does not prove that Azure does as documented.
Credentials are not checked; there are no blocks, leases, snapshots or conditions.
"""

import base64
import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")


@dataclass(frozen=True)
class Blob:
    """One version of a blob."""

    version: str
    data: bytes
    metadata: dict[str, str]
    etag: str
    current: bool = True

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()


@dataclass
class Account:
    """What is in the storage account: containers, keys, and the versions of each, oldest first."""

    versioning: bool = False
    containers: dict[str, dict[str, list[Blob]]] = field(default_factory=dict)
    properties: dict[str, dict[str, str]] = field(default_factory=dict)
    writes: int = 0

    def write(self, blobs: dict[str, list[Blob]], key: str, data: bytes, metadata: dict[str, str]) -> Blob:
        """Make a new current version; without versioning it takes the place of the one before, if that has no id."""
        self.writes += 1
        moment = START + timedelta(seconds=self.writes)
        version = f"{moment:%Y-%m-%dT%H:%M:%S}.{self.writes:07d}Z" if self.versioning else ""
        self.retire(blobs, key)
        made = Blob(version, data, metadata, f"0x8D{self.writes:012X}")
        blobs.setdefault(key, []).append(made)
        return made

    def retire(self, blobs: dict[str, list[Blob]], key: str) -> bool:
        """Delete the current version: with an id it becomes a previous one."""
        kept = [Blob(b.version, b.data, b.metadata, b.etag, current=False) for b in blobs.get(key, []) if b.version]
        was = any(blob.current for blob in blobs.get(key, []))
        blobs[key] = kept
        return was


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Account]]:
    """Serve an empty account, over HTTPS with `tls`; yield its origin and what is in it."""
    account, lock = Account(), threading.Lock()

    class Handler(_Handler):
        pass

    Handler.account, Handler.lock = account, lock
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}", account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10
    account: Account
    lock: threading.Lock

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._one()

    def do_HEAD(self) -> None:
        self._one()

    def do_PUT(self) -> None:
        self._one()

    def do_DELETE(self) -> None:
        self._one()

    def _one(self) -> None:
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        _, _, self.container, *rest = parts.path.split("/", 3)
        self.key = unquote(rest[0]) if rest else ""
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            if self.key:
                self._blob()
            elif self.command == "PUT" and "comp" not in self.query:
                self._create()
            elif self.container not in self.account.containers:
                self._error(404, "ContainerNotFound")
            elif self.query.get("comp") == "list":
                self._list()
            elif self.command == "DELETE":
                del self.account.containers[self.container]
                self._answer(202)
            else:
                self._answer(200, self._meta(self.account.properties[self.container]))

    def _create(self) -> None:
        if self.container in self.account.containers:
            self._error(409, "ContainerAlreadyExists")
            return
        self.account.containers[self.container] = {}
        self.account.properties[self.container] = self._sent_metadata()
        self._answer(201)

    def _blob(self) -> None:
        blobs = self.account.containers.get(self.container)
        version = self.query.get("versionid", "")
        if blobs is None:
            self._error(404, "ContainerNotFound")
        elif version and not _VERSION.fullmatch(version):
            self._error(400, "InvalidQueryParameterValue")
        elif self.command == "PUT":
            self._put(blobs)
        elif self.command == "DELETE":
            self._delete(blobs, version)
        else:
            self._get(_find(blobs, self.key, version))

    def _put(self, blobs: dict[str, list[Blob]]) -> None:
        source = self.headers.get("x-ms-copy-source")
        if not source:
            assert self.headers["x-ms-blob-type"] == "BlockBlob"
            made = self.account.write(blobs, self.key, self.body, self._sent_metadata())
            self._answer(201, {"Content-MD5": made.md5, **self._marks(made)})
            return
        parts = urlsplit(source)
        _, _, container, key = parts.path.split("/", 3)
        found = _find(self.account.containers[container], unquote(key), parse_qs(parts.query)["versionid"][0])
        if found is None:
            self._error(404, "CannotVerifyCopySource")
            return
        made = self.account.write(blobs, self.key, found.data, self._sent_metadata() or found.metadata)
        self._answer(202, {"x-ms-copy-id": "c0de", "x-ms-copy-status": "success", **self._marks(made)})

    def _delete(self, blobs: dict[str, list[Blob]], version: str) -> None:
        found = _find(blobs, self.key, version)
        if found is None:
            self._error(404, "BlobNotFound")
        elif version and found.current:
            self._error(403, "OperationNotAllowedOnRootBlob")
        else:
            if version:
                blobs[self.key].remove(found)
            else:
                self.account.retire(blobs, self.key)
            self._answer(202, {"x-ms-delete-type-permanent": str(bool(version)).lower()})

    def _get(self, found: Blob | None) -> None:
        if found is None:
            self._error(404, "BlobNotFound")
            return
        headers = {
            **self._marks(found), **self._meta(found.metadata), "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream",
            "x-ms-creation-time": format_datetime(START, usegmt=True), "Accept-Ranges": "bytes",
        }  # fmt: skip
        if self.command == "HEAD":
            self._answer(200, {**headers, "Content-MD5": found.md5, "Content-Length": str(len(found.data))})
            return
        start, last = (int(place) for place in (self.headers["x-ms-range"] or self.headers["Range"]).removeprefix("bytes=").split("-"))
        piece = found.data[start : last + 1]
        if not piece:
            self._error(416, "InvalidRange")
            return
        if self.headers.get("x-ms-range-get-content-md5") == "true":
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(piece).digest()).decode()
        span = f"bytes {start}-{start + len(piece) - 1}/{len(found.data)}"
        self._answer(206, {**headers, "x-ms-blob-content-md5": found.md5, "Content-Range": span}, piece)

    def _list(self) -> None:
        """One answer a request of at most `maxresults`; the marker is the place to go on from."""
        everything = "versions" in self.query.get("include", "")
        blobs = self.account.containers[self.container]
        rows = [
            (key, blob) for key in sorted(blobs) if key.startswith(self.query.get("prefix", ""))
            for blob in blobs[key] if blob.current or everything
        ]  # fmt: skip
        start, most = int(self.query.get("marker") or 0), int(self.query.get("maxresults") or 5000)
        marker = str(start + most) if start + most < len(rows) else ""
        items = "".join(_item(key, blob, everything) for key, blob in rows[start : start + most])
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{self.container}"><Blobs>{items}</Blobs>'
            f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
        self._answer(200, {"Content-Type": "application/xml"}, text.encode())

    def _sent_metadata(self) -> dict[str, str]:
        return {name[10:].lower(): value for name, value in self.headers.items() if name.lower().startswith("x-ms-meta-")}

    def _meta(self, metadata: dict[str, str]) -> dict[str, str]:
        return {f"x-ms-meta-{name}": value for name, value in metadata.items()}

    def _marks(self, blob: Blob) -> dict[str, str]:
        marks = {"ETag": f'"{blob.etag}"', "Last-Modified": format_datetime(START, usegmt=True)}
        if blob.version:
            marks["x-ms-version-id"] = blob.version
        if blob.version and blob.current:
            marks["x-ms-is-current-version"] = "true"
        return marks

    def _error(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>As documented: {code}.</Message></Error>'
        self._answer(status, {"x-ms-error-code": code, "Content-Type": "application/xml"}, text.encode())

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        own = {"Content-Length": str(len(body)), "x-ms-request-id": "stub", "x-ms-version": "2025-11-05", "ETag": '"0x8D"'}
        every = {**own, **(headers or {})}
        every.setdefault("Last-Modified", format_datetime(START, usegmt=True))
        for name, value in every.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _find(blobs: dict[str, list[Blob]], key: str, version: str) -> Blob | None:
    return next((blob for blob in blobs.get(key, []) if (blob.version == version if version else blob.current)), None)


def _item(key: str, blob: Blob, everything: bool) -> str:
    ids = f"<VersionId>{blob.version}</VersionId>" if everything and blob.version else ""
    ids += "<IsCurrentVersion>true</IsCurrentVersion>" if everything and blob.version and blob.current else ""
    return (
        f"<Blob><Name>{escape(key)}</Name>{ids}<Properties><Last-Modified>{format_datetime(START, usegmt=True)}</Last-Modified>"
        f"<Etag>{blob.etag}</Etag><Content-Length>{len(blob.data)}</Content-Length><Content-Type>application/octet-stream</Content-Type>"
        f"<Content-MD5>{blob.md5}</Content-MD5><BlobType>BlockBlob</BlobType></Properties></Blob>"
    )
