"""The three servers that stand for Google (each our own process or thread, on its own port), and contexts that reach them.

- `fake_gcs`: fake-gcs-server, memory backend: objects over real HTTP; what it does not do is named where tests are left out.
- `emulator`: gcp-storage-emulator: the bucket settings that fake-gcs-server drops.
- `bigquery`: the BigQuery emulator, put right where `bqemulator/launcher.py` says, with a fake-gcs-server of its own for `gs://`.
- `google`: our `google_stub`: what Cloud Storage documents and neither does, and everything about credentials.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mcml.core.clock import utc_now
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.settings import Settings
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.faults import FaultProxy
from tests import secrets_found
from tests.providers.gcp import bigquery_server, fake_gcs_server
from tests.providers.gcp.google_stub import ACCOUNT, REFRESH_TOKEN, GoogleStub

PROJECT = "stub-project"
CLIENT_SECRET = "stub-client-secret-77aa"
secrets_found.register("the client's secret of Google", CLIENT_SECRET)
MakeContext = Callable[..., ProviderContext]
MakeSession = Callable[..., Session]
Login = Callable[..., Path]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of the machine's, no metadata server, and no way out: whatever calls another host than ours fails at once."""
    emulators = ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST")
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", *emulators):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-gcloud"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(scope="session")
def fake_gcs_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fake-gcs-server of this test process."""
    with fake_gcs_server.running(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url


@dataclass(frozen=True)
class BigQueryAndBuckets:
    """The BigQuery emulator, and the fake-gcs-server whose files it reads for `gs://`."""

    bigquery: str
    buckets: str


@pytest.fixture(scope="session")
def bigquery_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryAndBuckets]:
    """The BigQuery emulator beside a fake-gcs-server; skips, with the reason, where it cannot be installed."""
    folder = tmp_path_factory.mktemp("bigquery")
    (folder / "home").mkdir()
    try:
        with fake_gcs_server.running(folder, "filesystem") as buckets, bigquery_server.running(folder / "home", folder / "root") as server:
            yield BigQueryAndBuckets(server.url, buckets)
    except bigquery_server.EmulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def bigquery(bigquery_servers: BigQueryAndBuckets, monkeypatch: pytest.MonkeyPatch) -> ProviderContext:
    """A context of the BigQuery emulator, as a person has it who sets the SDKs' variables."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_servers.bigquery)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bigquery_servers.buckets)
    return ProviderContext(Settings(project=PROJECT), Path("unused"))


@pytest.fixture
def fake_gcs(fake_gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> ProviderContext:
    """A context of fake-gcs-server, as a person has it who sets the SDK's variable."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs_url)
    return ProviderContext(Settings(project=PROJECT), Path("unused"))


@pytest.fixture(scope="session")
def emulator_url() -> Iterator[str]:
    """The URL of a gcp-storage-emulator in a thread of this test process."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    host, port = server._api._httpd.server_address[:2]
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def emulator(emulator_url: str, monkeypatch: pytest.MonkeyPatch) -> ProviderContext:
    """A context of gcp-storage-emulator."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator_url)
    return ProviderContext(Settings(project=PROJECT), Path("unused"))


@pytest.fixture(scope="session")
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def google(signing_key: rsa.RSAPrivateKey) -> Iterator[GoogleStub]:
    """A small Google of this test's own."""
    stub = GoogleStub(signing_key.public_key())
    yield stub
    stub.close()
    assert stub.problems == []


@pytest.fixture
def proxy(google: GoogleStub) -> Iterator[FaultProxy]:
    """Stands before it and fails as it is told."""
    with FaultProxy(google.url) as standing:
        yield standing


@pytest.fixture
def private_key(signing_key: rsa.RSAPrivateKey) -> str:
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    text = signing_key.private_bytes(kind, form, serialization.NoEncryption()).decode()
    secrets_found.register("a service account's private key", text.splitlines()[9])
    return text


@pytest.fixture
def login(google: GoogleStub, private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Writes a credentials file and lets the environment name it: the service account's key, or (`user=True`) a person's login."""

    def write(*, user: bool = False, token_url: str = "", **changes: Any) -> Path:
        token_uri = f"{token_url or google.url}/token"
        person = {"type": "authorized_user", "client_id": "stub", "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
        robot = {"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "private_key": private_key}
        path = tmp_path / f"login-{uuid.uuid4().hex}.json"
        path.write_text(json.dumps({**(person if user else robot), "project_id": PROJECT, "token_uri": token_uri, **changes}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        return path

    return write


@pytest.fixture
def make_context(google: GoogleStub, login: Login) -> MakeContext:
    """Makes a context of the small Google, logged in with the service account's key; keywords are settings."""

    def make(*, region: str = "", **settings: Any) -> ProviderContext:
        return ProviderContext(Settings(**{"endpoint": google.url, **settings}), Path("unused"), "", region, utc_now)

    login()
    return make


@pytest.fixture
def make_session(make_context: MakeContext) -> MakeSession:
    """Makes a session that waits shortly; `waits` collects what the policy waited."""

    def make(
        *, timeout: float = 5.0, attempts: int = 4, budget: float = 60.0, waits: list[float] | None = None, **settings: Any
    ) -> Session:
        slept = [] if waits is None else waits
        policy = Policy(attempts=attempts, budget=Budget(budget), sleep=slept.append)
        return Session(make_context(**settings), (timeout, timeout), policy)

    return make
