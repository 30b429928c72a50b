"""A moto server of this test process, an environment with known credentials and nothing else of AWS, and sessions that are closed."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.clock import Clock, utc_now
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.session import Session
from mcml.providers.aws.settings import Settings
from mcml.providers.resilience import Budget, Policy
from mcml.testing.stubs.faults import FaultProxy
from tests import secrets_found
from tests.providers.aws import moto_server

pytest.register_assert_rewrite("mcml.testing.contracts")

KEY_ID = "AKIATESTKEY000000001"
SECRET = "mcml-test-secret/key+that-no-text-may-hold"
TOKEN = "mcml-test-session-token-that-no-text-may-hold"
CREDENTIALS = (KEY_ID, SECRET, TOKEN)
for name, value in (("the key's id of AWS", KEY_ID), ("the secret key of AWS", SECRET), ("the session token of AWS", TOKEN)):
    secrets_found.register(name, value)

MakeContext = Callable[..., ProviderContext]
MakeSession = Callable[..., Session]


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a moto server of this test process."""
    with moto_server.running(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that every test knows, and no other setting of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def make_context(moto_url: str, tmp_path: Path) -> MakeContext:
    """Makes a context whose services are all the moto server; keywords are settings."""

    def make(*, region: str = "eu-west-1", clock: Clock = utc_now, **settings: Any) -> ProviderContext:
        return ProviderContext(Settings(**{"endpoint_url": moto_url, **settings}), tmp_path / "state", region=region, clock=clock)

    return make


@dataclass
class Waits:
    """A policy that does not sleep, and what it would have slept."""

    seconds: list[float] = field(default_factory=list)
    after: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.after()

    def policy(self, budget: float, attempts: int) -> Policy:
        return Policy(attempts, budget=Budget(budget), sleep=self.sleep, jitter=lambda: 1.0)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def make_session(make_context: MakeContext, waits: Waits) -> Iterator[MakeSession]:
    """Makes sessions with short time-outs that wait without sleeping; closes them."""
    made: list[Session] = []

    def make(*, timeout: tuple[float, float] = (5, 5), budget: float = 60, attempts: int = 5, **context: Any) -> Session:
        made.append(Session(make_context(**context), timeout, waits.policy(budget, attempts)))
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_context: MakeContext) -> Iterator[Session]:
    """A session as a command has it."""
    opened = Session(make_context())
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def machine_image() -> str:
    """The one image that our moto server has (moto_amis.json)."""
    return "ami-03cf127a"


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultProxy]:
    """Something between us and the server that fails as a test wants it."""
    with FaultProxy(moto_url) as standing:
        yield standing


@pytest.fixture
def bucket_name() -> str:
    """A name that no bucket has."""
    return f"mcml-test-{uuid4().hex[:16]}"


@pytest.fixture
def s3_bucket(session: Session, bucket_name: str) -> str:
    """An empty bucket."""
    place = {"LocationConstraint": "eu-west-1"}
    session.client("s3").create_bucket(Bucket=bucket_name, CreateBucketConfiguration=place)
    return bucket_name
