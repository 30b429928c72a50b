"""The HTTP side of the OCI registry stub: paths, headers, bodies."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import ClassVar, Literal
from urllib.parse import parse_qs, quote, urlsplit

from mcml.testing.stubs.oci_holdings import Holdings, Refusal

IDLE_SECONDS = 60.0
_NAME = r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)"
_DIGEST = r"sha256:[0-9a-f]{64}"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
_ROUTES = tuple(
    (methods.split(), re.compile(f"/v2/{path}"), action)
    for methods, path, action in (
        ("GET", "", "base"),
        ("GET", "_catalog", "catalog"),
        ("GET", f"{_NAME}/tags/list", "tags"),
        ("GET HEAD", f"{_NAME}/blobs/(?P<digest>{_DIGEST})", "read_blob"),
        ("POST", f"{_NAME}/blobs/uploads/", "begin"),
        ("GET PATCH PUT", f"{_NAME}/blobs/uploads/(?P<upload>[0-9a-f]+)", "upload"),
        ("GET HEAD", f"{_NAME}/manifests/(?P<reference>{_DIGEST}|{_TAG})", "read_manifest"),
        ("PUT", f"{_NAME}/manifests/(?P<reference>{_DIGEST}|{_TAG})", "write_manifest"),
    )
)


class Handler(BaseHTTPRequestHandler):
    """One connection; `stub` is set by the class made for each stub."""

    stub: ClassVar[Holdings]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self._query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if not self._chunked() else self._chunks()
        self.stub.requests.append((self.command, parts.path))
        try:
            self._route(parts.path)
        except Refusal as refused:
            body = json.dumps({"errors": [{"code": refused.code, "message": refused.text}]}).encode()
            self._send(refused.status, body, **{"Content-Type": "application/json", **refused.headers})

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - their names in the standard library

    def _route(self, path: str) -> None:
        if path == "/token" and self.command == "GET" and self.stub.challenge == "bearer":
            asked = self.stub.new_token(self.headers.get("Authorization", ""), self._query.get("service", ""), self._query.get("scope", ""))
            self._json(asked)
            return
        for methods, shape, action in _ROUTES:
            found = shape.fullmatch(path)
            if found and self.command in methods:
                named = found.groupdict()
                does: Literal["pull", "push"] = "pull" if self.command in ("GET", "HEAD") else "push"
                if action != "base":
                    self.stub.allow(self.headers.get("Authorization", ""), named.get("name") or "", does)
                getattr(self, f"_{action}")(**named)
                return
        raise Refusal(404, "UNSUPPORTED", f"{self.command} {path} is not in the specification, or not in this stub")

    def _base(self) -> None:
        self._json({})

    def _catalog(self) -> None:
        with self.stub.lock:
            names = [name for name, held in self.stub.repositories.items() if held.manifests]
        self._listing("repositories", names, {})

    def _tags(self, name: str) -> None:
        tags = self.stub.repository(name).tags
        self._listing("tags", list(tags), {"name": name})

    def _listing(self, key: str, names: list[str], about: dict[str, str]) -> None:
        page, more = self.stub.listing(names, self._query.get("last", ""), self._query.get("n", ""))
        n = f"n={self._query['n']}&" if "n" in self._query else ""
        link = {"Link": f'<{urlsplit(self.path).path}?{n}last={quote(page[-1])}>; rel="next"'} if more and page else {}
        self._json({**about, key: page}, **link)

    def _read_blob(self, name: str, digest: str) -> None:
        content = self.stub.repository(name).blobs.get(digest)
        if content is None:
            raise Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
        self._send(200, content, **{"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest})

    def _begin(self, name: str) -> None:
        upload = self.stub.begin(name)
        if "digest" in self._query:
            self.stub.append(name, upload, self._body, None)
            self._finished(name, upload)
            return
        if self._body:
            raise Refusal(400, "BLOB_UPLOAD_INVALID", "a POST without a digest has no body")
        self._send(202, b"", Location=f"/v2/{name}/blobs/uploads/{upload}?_state=begun")

    def _upload(self, name: str, upload: str) -> None:
        where = f"/v2/{name}/blobs/uploads/{upload}"
        if self.command == "GET":
            size = self.stub.append(name, upload, b"", None)
            self._send(204, b"", Location=where, Range=f"0-{max(size - 1, 0)}")
            return
        if self._query.get("_state") not in ("begun", "on"):
            raise Refusal(400, "BLOB_UPLOAD_INVALID", "the location that was given must be used as it is")
        told = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", ""))
        start = int(told.group(1)) if told else None
        if told and int(told.group(2)) - int(told.group(1)) + 1 != len(self._body):
            raise Refusal(416, "SIZE_INVALID", "Content-Range and Content-Length differ")
        if self._body and self.headers.get("Content-Type") != "application/octet-stream":
            raise Refusal(415, "BLOB_UPLOAD_INVALID", "a blob comes as application/octet-stream")
        size = self.stub.append(name, upload, self._body, start)
        if self.command == "PATCH":
            self._send(202, b"", Location=f"{where}?_state=on", Range=f"0-{size - 1}")
            return
        self._finished(name, upload)

    def _finished(self, name: str, upload: str) -> None:
        digest = self._query.get("digest", "")
        self.stub.finish(name, upload, digest)
        self._send(201, b"", **{"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _read_manifest(self, name: str, reference: str) -> None:
        digest, media, body = self.stub.manifest(name, reference, self.headers.get("Accept", ""))
        self._send(200, body, **{"Content-Type": media, "Docker-Content-Digest": digest})

    def _write_manifest(self, name: str, reference: str) -> None:
        digest = self.stub.put_manifest(name, reference, self.headers.get("Content-Type", ""), self._body)
        self._send(201, b"", **{"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest})

    def _json(self, value: object, **headers: str) -> None:
        self._send(200, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def _chunked(self) -> bool:
        return self.headers.get("Transfer-Encoding", "").lower() == "chunked"

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole
