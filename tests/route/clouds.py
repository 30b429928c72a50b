"""Managed endpoints in threads: TLS with a certificate of the real host name, authentication as the cloud does it, every request kept."""

import hashlib
import json
import random
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsCredentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcml.core.backend import Backend
from mcml.core.credential import Credential, SigningKeys
from mcml.core.secret import Secret

TOKEN_PREFIX = {"vertex": "ya29.", "azureml": "eyJ0"}


class Authority:
    """A certificate authority; `file` is its PEM file."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        made = self._builder(self.name, self.key.public_key()).add_extension(basic, critical=True).sign(self.key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))

    def certificate(self, host: str) -> Path:
        """Return a PEM file with a certificate for a host (`*.example.com` too) and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        made = self._builder(x509.Name([]), key.public_key()).add_extension(names, critical=True).sign(self.key, hashes.SHA256())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / f"{host.replace('*', 'any')}.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        return path


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    cloud: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    mood: str
    at: float

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    @property
    def id(self) -> str:
        return self.get("x-request-id")

    @property
    def head(self) -> str:
        return "\n".join([f"{self.method} {self.path}", *(f"{key}: {value}" for key, value in self.headers)])


@dataclass
class Cloud:
    """One endpoint. `mode` is how it answers: ok, a status, model-STATUS, reset, hang; one of `moody` requests gets one of `moods`."""

    name: str
    host: str
    path: str = ""
    auth: str = "none"
    headers: tuple[tuple[str, str], ...] = ()
    authority: Authority | None = None
    certificate: str = ""
    mode: str = "ok"
    moods: tuple[str, ...] = ()
    moody: int = 3
    accepted: list[Any] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)

    def start(self) -> "Cloud":
        cloud, self._lock = self, threading.Lock()

        class Handler(_Handler):
            at = cloud

        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.authority.certificate(self.certificate or self.host))
            self._server.context = context
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def mood(self) -> str:
        moods = self.moods
        return random.choice(moods) if moods and random.randrange(self.moody) == 0 else self.mode

    def keep(self, request: Request) -> None:
        with self._lock:
            self.seen.append(request)

    @property
    def backend(self) -> Backend:
        plain = self.auth == "none"
        return Backend(
            self.name, "fraud", self.host if self.authority else "127.0.0.1", 443 if self.authority else self.port, self.name, "somewhere",
            version="1", tls=self.authority is not None, infer_path=self.path, health_path="/v2/health/ready" if plain else "",
            headers=self.headers, auth=self.auth, service="sagemaker" if self.auth == "sigv4" else "",  # type: ignore[arg-type]
            signing_region="eu-west-1" if self.auth == "sigv4" else "", authorities=str(self.authority.file) if self.authority else "",
            via=self.port if self.authority else 0,
        )  # fmt: skip

    def grant(self, number: int = 1, *, only: bool = True, seconds: float = 3600) -> Credential:
        """Make a credential that is accepted from now on (and, with `only`, none of before)."""
        if only:
            self.accepted.clear()
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        if self.auth == "bearer":
            token = f"{TOKEN_PREFIX.get(self.name, '')}{self.name}-token-{number}"
            self.accepted.append(token)
            return Credential(Secret(token), expires)
        keys = f"AKIA{self.name.upper()}{number}", f"{self.name}/secret+key/{number}", f"{self.name}SessionToken{number}=="
        self.accepted.append(keys)
        return Credential(SigningKeys(*map(Secret, keys)), expires)

    def secrets(self) -> set[str]:
        """Return what must not be anywhere else, of all credentials that are accepted."""
        return {part for one in self.accepted for part in ([one] if isinstance(one, str) else one)}

    def admits(self, request: Request) -> bool:
        """Tell whether the credential of a request is good."""
        if self.auth == "none":
            return True
        if self.auth == "bearer":
            return request.get("authorization") in {f"Bearer {token}" for token in self.accepted}
        return any(signed(request, AwsCredentials(*keys)) for keys in self.accepted)


def signed(request: Request, credentials: AwsCredentials) -> bool:
    """Sign the request as botocore would, over the headers that its signature names, and compare."""
    said = request.get("authorization")
    names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    digest = hashlib.sha256(request.body).hexdigest()
    if request.get("x-amz-content-sha256") not in ("", digest) or "host" not in names:
        return False
    again = AWSRequest(request.method, f"https://{request.get('host')}{request.path}", data=request.body)
    for name in names:
        again.headers[name] = request.get(name)
    again.context["timestamp"] = request.get("x-amz-date")
    signer = SigV4Auth(credentials, "sagemaker", "eu-west-1")
    canonical = signer.canonical_request(again)
    signature = signer.signature(signer.string_to_sign(again, canonical), again)
    return said.startswith(f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/") and said.endswith(f"Signature={signature}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
        else:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients go away; that is theirs


class _Handler(BaseHTTPRequestHandler):
    at: Cloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    wbufsize = 65_536  # an answer is one write: one that is cut between its head and its body is lost with any proxy
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(200, {"name": "fraud", "at": self.at.name, "ready": True})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        mode = self.at.mood()
        request = Request(self.at.name, self.command, self.path, headers, body, mode, time.monotonic())
        self.at.keep(request)
        if mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif mode == "hang":
            time.sleep(0.8)
            self.close_connection = True
        elif mode.startswith("model-"):  # as SageMaker says what the model itself answered
            self._answer(424, {"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": int(mode[6:]), "OriginalMessage": "no"})
        elif mode != "ok":
            self._answer(int(mode), {"error": "as it was told"})
        elif not self.at.admits(request):
            self._answer(403 if self.at.auth == "sigv4" else 401, {"message": "who are you?"})
        else:
            self._answer(200, {"served_by": self.at.name, "bytes": len(body), "outputs": [{"name": "y"}]})

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def four(authority: Authority) -> dict[str, Cloud]:
    """Return a plain backend and three managed endpoints, started."""
    made = [
        Cloud("k8s", "127.0.0.1"),
        Cloud(
            "sagemaker", "runtime.sagemaker.eu-west-1.amazonaws.com", "/endpoints/mcml-fraud/invocations", "sigv4",
            (("X-Amzn-SageMaker-Target-Variant", "v1"),), authority,
        ),
        Cloud(
            "vertex", "europe-west1-aiplatform.googleapis.com", "/v1/projects/p/locations/europe-west1/endpoints/7:rawPredict", "bearer",
            authority=authority,
        ),
        Cloud(
            "azureml", "fraud.westeurope.inference.ml.azure.com", "/score", "bearer",
            (("azureml-model-deployment", "one"),), authority, "*.westeurope.inference.ml.azure.com",
        ),
    ]  # fmt: skip
    return {one.name: one.start() for one in made}
