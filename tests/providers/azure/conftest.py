"""Azurite over HTTP with its key and over HTTPS with tokens, one process each a test process; sessions that do not wait for long."""

import base64
import datetime
import ipaddress
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcml.core.clock import Clock, utc_now
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.session import Session
from mcml.providers.azure.settings import Settings
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Delay, Fault, HalfBody, Reset
from tests import secrets_found
from tests.providers.azure import azurite_server
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY, AzuriteMissing, Server

TENANT, SUBSCRIPTION = "5a1ad0de-0000-4000-8000-00000000c0de", "8d8e1a2b-0000-4000-8000-000000000001"
PRINCIPAL = "ada@example.org"
SIGNATURE = "mcml-test-signature-that-no-text-may-hold-"  # all tokens' signatures begin so: one thing to look for
secrets_found.register("a token of Azure", SIGNATURE)

MakeSession = Callable[..., Session]
PASSING: dict[str, tuple[Fault, ...]] = {
    "reset": (Reset(), Reset()),
    "500": (ArmError(500, "InternalServerError").fault, Answer(502, {}, b"<html>Bad gateway</html>")),
    "429": (ArmError(429, "TooManyRequests", "", {"Retry-After": "3"}).fault,),
    "half": (HalfBody(),),
    "slow": (Delay(3.0, reaches_server=False),),
}
"""What a FaultProxy in front of the stub of Azure Resource Manager does before it lets a request through."""


def token(*, lifetime: float = 3600.0, audience: str = "https://storage.azure.com/", **claims: Any) -> str:
    """Return an unsigned token, which Azurite takes for what it says."""
    now = int(time.time())
    times = {"nbf": now - 300, "iat": now - 300, "exp": int(now + lifetime)}
    issuer = f"https://sts.windows.net/{TENANT}/"
    body = {"aud": audience, "iss": issuer, "tid": TENANT, "oid": str(uuid4()), "upn": PRINCIPAL, "ver": "1.0", **times, **claims}

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    random = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(body)}.{SIGNATURE}{random}"


@dataclass
class GivenToken:
    """A credential that gives one token, and notes for which scopes."""

    text: str = field(default_factory=token, repr=False)
    asked: list[str] = field(default_factory=list)

    def get_token(self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **kwargs: Any) -> AccessToken:
        self.asked += scopes
        return AccessToken(self.text, int(time.time()) + 3600)


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own logins gets in: neither the environment's nor the tools' nor the metadata service's."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "no-azure"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as PEM files."""
    folder = tmp_path_factory.mktemp("certificate")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Azurite over HTTP, for requests signed with its key; skips, with the reason, where it cannot be installed."""
    try:
        with azurite_server.running(tmp_path_factory.mktemp("azurite") / "log") as server:
            yield server
    except AzuriteMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def azurite_tls(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Server]:
    """Azurite over HTTPS, which takes tokens too."""
    cert, key = certificate
    options = ("--oauth", "basic", "--cert", str(cert), "--key", str(key))
    try:
        with azurite_server.running(tmp_path_factory.mktemp("azurite-tls") / "log", *options) as server:
            yield server
    except AzuriteMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate, as a person does: by the variable that the SDK's HTTP library reads."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))


@dataclass
class Waits:
    """A policy whose waits are noted and not waited."""

    seconds: list[float] = field(default_factory=list)

    def policy(self, attempts: int = 5, budget: float = 60.0) -> Policy:
        return Policy(attempts=attempts, budget=Budget(budget), sleep=self.seconds.append)


@pytest.fixture
def make_session(tmp_path: Path) -> MakeSession:
    """Makes a session of an endpoint; keywords are settings, or what `Session` takes."""

    def make(endpoint: str, *, clock: Clock = utc_now, **options: Any) -> Session:
        own = {name: options.pop(name) for name in ("credential", "policy", "read_seconds") if name in options}
        settings = Settings(**{"storage_account": ACCOUNT, "endpoint": endpoint, **options})
        return Session(ProviderContext(settings, tmp_path, clock=clock), **own)

    return make


@pytest.fixture
def key_session(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session over HTTP with the well-known key, as a person's environment would give it."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    return make_session(azurite.endpoint)


@pytest.fixture
def token_session(azurite_tls: Server, make_session: MakeSession, trusted: None) -> Session:
    """A session over HTTPS with a token."""
    return make_session(azurite_tls.endpoint, credential=GivenToken())


@pytest.fixture
def fresh_name() -> str:
    """A name that no container has."""
    return f"test-{uuid4().hex[:16]}"


@pytest.fixture
def new_bucket(fresh_name: str) -> str:
    """The same, for the tests outside of the contract classes (which have a fixture of this name)."""
    return fresh_name


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> dict[str, ssl.SSLContext]:
    """What a FaultProxy needs to speak HTTPS on both sides: FaultProxy(arm.url, **server_tls)."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*certificate)
    return {"tls": ours, "server_tls": ssl.create_default_context(cafile=str(certificate[0]))}


@pytest.fixture
def arm(certificate: tuple[Path, Path], trusted: None) -> Iterator[ArmStub]:
    """A stub of Azure Resource Manager; a request or an answer that does not fit the SDK fails the test at its end."""
    with ArmStub(*certificate) as stub:
        yield stub


@pytest.fixture
def arm_session(arm: ArmStub, make_session: MakeSession) -> Session:
    """A session of the resource group "ml" at that stub, that does not wait between its attempts."""
    return management_session(make_session, arm.url)


def management_session(make_session: MakeSession, url: str, **options: Any) -> Session:
    """Return a session at a stub of Azure Resource Manager, or at a FaultProxy in front of it."""
    given = {"management": url, "subscription": SUBSCRIPTION, "resource_group": "ml", "policy": Waits().policy(), **options}
    return make_session(given.pop("endpoint", "https://{account}.blob.example"), **{"credential": GivenToken(), **given})
