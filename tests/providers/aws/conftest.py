"""A moto server of this test process, an environment with known credentials and nothing else of AWS, and sessions that are closed."""

import os
import subprocess
import sys
import time
import urllib.request
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

pytest.register_assert_rewrite("mcml.testing.contracts")

LAUNCHER = Path(__file__).with_name("moto_launcher.py")
READY_SECONDS = 60
KEY_ID = "AKIATESTKEY000000001"
SECRET = "mcml-test-secret/key+that-no-text-may-hold"
TOKEN = "mcml-test-session-token-that-no-text-may-hold"
CREDENTIALS = (KEY_ID, SECRET, TOKEN)

MakeContext = Callable[..., ProviderContext]
MakeSession = Callable[..., Session]


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that is ours: its process lives, and it knows our proof."""
    folder, proof = tmp_path_factory.mktemp("moto"), uuid4().hex
    out = folder / "out"
    with out.open("wb") as log, (folder / "err").open("wb") as errors:
        argv = [sys.executable, str(LAUNCHER), proof]
        server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=errors)
    try:
        port = waited(server, out)
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/proof", timeout=10) as answer:
            assert answer.read().decode() == proof
        yield url
        assert server.poll() is None, (folder / "err").read_text()[-2000:]
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.kill()
        server.wait(10)


def waited(server: subprocess.Popen[bytes], out: Path) -> int:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, out.with_name("err").read_text()[-2000:]
        if (said := out.read_text()).endswith("\n"):
            return int(said)
        time.sleep(0.02)
    raise TimeoutError(f"moto did not start in {READY_SECONDS} s")


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
