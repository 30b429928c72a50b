"""A small Google on 127.0.0.1: Cloud Storage as `gcs_state` has it, the token endpoint, tokeninfo, impersonation and V4 signed URLs.

Requests need a token that this server gave and has not forgotten, or a valid signature. `ahead` shifts its clock.
"""

import base64
import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mcml.testing.stubs.google_schemas import load
from tests import secrets_found
from tests.providers.gcp.gcs_state import Json, Refused, Storage

ACCOUNT = "robot@stub-project.iam.gserviceaccount.com"
ACTING = "acting@stub-project.iam.gserviceaccount.com"
PERSON = "ada@example.com"
REFRESH_TOKEN = "1//stub-refresh-token-5e0c"
TOKEN = "ya29.stub-"  # the beginning of every token that it gives
secrets_found.register("a refresh token of Google", REFRESH_TOKEN)
secrets_found.register("a token of Google", TOKEN)
BAD_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


class GoogleStub(ThreadingHTTPServer):
    """The server; listens until `close`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, public_key: RSAPublicKey) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.public_key = public_key
        self.storage = Storage()
        self.tokens: dict[str, str] = {}
        self.given: list[str] = []
        self.problems: list[str] = []
        self.ahead = timedelta()
        self.known_users = True
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def token(self, email: str) -> str:
        token = f"{TOKEN}{uuid.uuid4().hex}"
        self.tokens[token] = email
        self.given.append(token)
        return token

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


@dataclass
class Call:
    """One request, taken apart."""

    method: str
    path: str
    query: dict[str, str]
    headers: Any
    body: bytes
    parts: tuple[str, ...] = ()

    @property
    def condition(self) -> int | None:
        found = self.query.get("ifGenerationMatch")
        return None if found is None else int(found)

    def json(self) -> Json:
        found: Json = json.loads(self.body or b"{}")
        return found


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def in_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8", **headers})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    @property
    def stub(self) -> GoogleStub:
        return cast(GoogleStub, self.server)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.stub.ahead.total_seconds())

    def _one(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        call = Call(self.command, parts.path, query, self.headers, body)
        try:
            with self.stub.storage.lock:
                reply = route(self.stub, call)
        except Refused as refused:
            error = {"code": refused.status, "message": refused.message, "errors": [{"reason": refused.reason, "message": refused.message}]}
            reply = in_json({"error": error}, refused.status)
        self.stub.problems += wrong_storage(call, reply)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._one
        raise AttributeError(name)


def wrong_storage(call: Call, reply: Reply) -> list[str]:
    """Return what a request to Cloud Storage's JSON API, or our answer, has that Google's discovery document does not know."""
    path = call.path.removeprefix("/upload")
    if not path.startswith("/storage/v1/") or reply.status >= 300:
        return []
    document, verb = load("storage.v1"), "POST" if call.method == "PUT" else call.method
    found = [method for method in document.methods.values() if method.match(verb, path) is not None]
    if not found:
        return [f"no method of Cloud Storage: {call.method} {call.path}"]
    method = max(found, key=lambda one: one.literal)
    query = {name: [value] for name, value in call.query.items() if name != "upload_id"}
    wrong = method.wrong_query(query)
    if reply.body and reply.body != b"{}":
        wrong += document.wrong_body(method.response, json.loads(reply.body))
    return [f"{method.id}: {one}" for one in wrong]


def route(stub: GoogleStub, call: Call) -> Reply:
    for methods, pattern, handler, is_open in ROUTES:
        found = re.fullmatch(pattern, call.path)
        if found and call.method in methods.split():
            call.parts = tuple(unquote(part) for part in found.groups())
            if not is_open:
                authorise(stub, call)
            return handler(stub, call)
    raise Refused(501, "notImplemented", f"the stub has no {call.method} {call.path}")


def authorise(stub: GoogleStub, call: Call) -> None:
    kind, _, token = call.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer" or token not in stub.tokens:
        raise Refused(401, "authError", "Invalid Credentials")


# tokens


def give_token(stub: GoogleStub, call: Call) -> Reply:
    form = dict(parse_qsl(call.body.decode()))
    if form["grant_type"] == "refresh_token":
        if form["refresh_token"] != REFRESH_TOKEN:
            return in_json({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400)
        email = PERSON
    else:
        signed, _, signature = form["assertion"].rpartition(".")
        try:
            stub.public_key.verify(_unbase64(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return in_json({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        claims = json.loads(_unbase64(signed.partition(".")[2]))
        if abs(stub.now().timestamp() - claims["iat"]) > 300:
            return in_json({"error": "invalid_grant", "error_description": BAD_TIME}, 400)
        email = claims["iss"]
    return in_json({"access_token": stub.token(email), "expires_in": 3599, "token_type": "Bearer"})


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token_info(stub: GoogleStub, call: Call) -> Reply:
    email = stub.tokens.get(dict(parse_qsl(call.body.decode())).get("access_token", ""))
    if email is None or not stub.known_users:
        return in_json({"error": "invalid_token"}, 400)
    return in_json({"email": email, "expires_in": "3599"})


def impersonate(stub: GoogleStub, call: Call) -> Reply:
    (email,) = call.parts
    if email != ACTING:
        raise Refused(403, "forbidden", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
    expires = (stub.now() + timedelta(hours=1)).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    return in_json({"accessToken": stub.token(email), "expireTime": expires})


# buckets


def buckets(stub: GoogleStub, call: Call) -> Reply:
    project = call.query["project"]
    if call.method == "POST":
        return in_json(stub.storage.create_bucket(project, call.json()))
    return in_json({"items": stub.storage.list_buckets(project, call.query.get("prefix", ""))})


def bucket(stub: GoogleStub, call: Call) -> Reply:
    (name,) = call.parts
    if call.method == "DELETE":
        stub.storage.delete_bucket(name)
        return Reply(204)
    if call.method == "PATCH":
        return in_json(stub.storage.patch_bucket(name, call.json(), call.query.get("ifMetagenerationMatch")))
    return in_json(stub.storage.bucket(name))


# objects


def objects(stub: GoogleStub, call: Call) -> Reply:
    found = list(stub.storage.listing(call.parts[0], call.query.get("prefix", ""), call.query.get("versions", "").lower() == "true"))
    start = int(call.query.get("pageToken", 0))
    stop = start + int(call.query.get("maxResults", 1000))
    more = {"nextPageToken": str(stop)} if stop < len(found) else {}
    return in_json({"items": [content.resource for content in found[start:stop]], **more})


def an_object(stub: GoogleStub, call: Call) -> Reply:
    name, key = call.parts
    generation = call.query.get("generation")
    if call.method == "DELETE":
        stub.storage.delete(name, key, generation, call.condition)
        return Reply(204)
    return in_json(stub.storage.find(name, key, generation, call.condition).resource)


def download(stub: GoogleStub, call: Call) -> Reply:
    content = stub.storage.find(call.parts[0], call.parts[1], call.query.get("generation"), call.condition)
    headers = {"X-Goog-Generation": content.resource["generation"], "X-Goog-Hash": f"crc32c={content.resource['crc32c']}"}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("Range", ""))
    if not wanted:
        return Reply(200, content.data, headers)
    start, size = int(wanted[1]), len(content.data)
    if start >= size:
        raise Refused(416, "requestedRangeNotSatisfiable", "The requested range cannot be satisfied.")
    piece = content.data[start : int(wanted[2] or size) + 1]
    return Reply(206, piece, {**headers, "Content-Range": f"bytes {start}-{start + len(piece) - 1}/{size}"})


def rewrite(stub: GoogleStub, call: Call) -> Reply:
    source = stub.storage.find(call.parts[0], call.parts[1], call.query.get("sourceGeneration"))
    return in_json(stub.storage.rewrite(source, call.parts[2], call.parts[3], call.condition, call.query.get("rewriteToken")))


def insert(stub: GoogleStub, call: Call) -> Reply:
    (name,) = call.parts
    if call.query["uploadType"] == "resumable":
        meta = {**call.json(), **({"name": call.query["name"]} if "name" in call.query else {})}
        session = stub.storage.begin(name, meta, call.condition)
        host = call.headers["Host"]
        return in_json({}, Location=f"http://{host}/upload/storage/v1/b/{quote(name)}/o?uploadType=resumable&upload_id={session}")
    boundary = re.findall(r'boundary="?([^";]+)', call.headers["Content-Type"])[0]
    _, about, content, _ = call.body.split(b"--" + boundary.encode())
    meta = json.loads(about.partition(b"\r\n\r\n")[2])
    return in_json(stub.storage.insert(name, meta, content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"), call.condition))


def proceed(stub: GoogleStub, call: Call) -> Reply:
    session_id = call.query["upload_id"]
    if call.method == "DELETE":
        stub.storage.sessions.pop(session_id, None)
        return Reply(499)
    declared = call.headers.get("X-Goog-Hash", "").removeprefix("crc32c=") or None
    session = stub.storage.proceed(session_id, call.headers["Content-Range"], call.body, declared)
    if session.result is not None:
        return in_json(session.result)
    return Reply(308, b"", {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {})


def over_xml(stub: GoogleStub, call: Call) -> Reply:
    """The XML API: https://cloud.google.com/storage/docs/xml-api/put-object-upload and get-object-download."""
    if "X-Goog-Signature" in call.query:
        return signed(stub, call)
    authorise(stub, call)
    name, key = call.parts
    if call.method == "PUT":
        own = "x-goog-meta-"
        about = {header.lower().removeprefix(own): value for header, value in call.headers.items() if header.lower().startswith(own)}
        resource = stub.storage.insert(name, {"name": key, **({"metadata": about} if about else {})}, call.body, None)
        return Reply(200, b"", _xml_headers(resource))
    content = stub.storage.find(name, key)
    return Reply(200, content.data, _xml_headers(content.resource))


def _xml_headers(resource: Json) -> dict[str, str]:
    etag = base64.b64decode(resource["md5Hash"]).hex()
    modified = format_datetime(datetime.fromisoformat(resource["updated"]), usegmt=True)
    return {"ETag": f'"{etag}"', "Last-Modified": modified, "x-goog-generation": resource["generation"]}


def signed(stub: GoogleStub, call: Call) -> Reply:
    """https://cloud.google.com/storage/docs/access-control/signing-urls-manually."""
    query = {name: value for name, value in call.query.items() if name != "X-Goog-Signature"}
    canonical = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    headers = f"host:{call.headers['Host']}\n"
    request = "\n".join((call.method, call.path, canonical, headers, "host", "UNSIGNED-PAYLOAD"))
    date, scope = query["X-Goog-Date"], query["X-Goog-Credential"].partition("/")[2]
    text = "\n".join(("GOOG4-RSA-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()))
    try:
        signature = bytes.fromhex(call.query["X-Goog-Signature"])
        stub.public_key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Refused(403, "SignatureDoesNotMatch", "Access denied.") from None
    made = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if not made - timedelta(minutes=15) < stub.now() < made + timedelta(seconds=int(query["X-Goog-Expires"])):
        raise Refused(400, "ExpiredToken", "Invalid argument.")
    if call.method == "PUT":
        stub.storage.insert(call.parts[0], {"name": call.parts[1]}, call.body, None)
        return Reply()
    return Reply(200, stub.storage.find(call.parts[0], call.parts[1]).data)


ROUTES: tuple[tuple[str, str, Callable[[GoogleStub, Call], Reply], bool], ...] = (
    ("POST", "/token", give_token, True),
    ("POST", "/tokeninfo", token_info, True),
    ("POST", r"/v1/projects/-/serviceAccounts/([^/]+):generateAccessToken", impersonate, False),
    ("GET POST", r"/storage/v1/b", buckets, False),
    ("GET PATCH DELETE", r"/storage/v1/b/([^/]+)", bucket, False),
    ("GET", r"/storage/v1/b/([^/]+)/o", objects, False),
    ("GET DELETE", r"/storage/v1/b/([^/]+)/o/([^/]+)", an_object, False),
    ("GET", r"/download/storage/v1/b/([^/]+)/o/([^/]+)", download, False),
    ("POST", r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)", rewrite, False),
    ("POST", r"/upload/storage/v1/b/([^/]+)/o", insert, False),
    ("PUT DELETE", r"/upload/storage/v1/b/([^/]+)/o", proceed, False),
    ("GET PUT", r"/([^/]+)/(.+)", over_xml, True),
)
