"""Fixtures that more than one room needs: a clean environment, and an empty store on SQLite and on a real PostgreSQL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.secrets_found import pytest_runtest_logreport, secrets_watch

if TYPE_CHECKING:
    from mcml.store.db import Store
    from tests import postgres

pytest.register_assert_rewrite("mcml.testing.contracts")  # else a failure of a contract shows no values

# The machine may be busy, a run can be repeated, and explaining a failure (by tracing every line) takes minutes.
PHASES = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
hypothesis.settings.register_profile("mcml", deadline=None, derandomize=True, phases=PHASES)
hypothesis.settings.load_profile("mcml")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a suite in the background of a shell: what it starts must hear a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["NO_GCE_CHECK"] = "true"  # read once, when google.auth is imported: do not look (for 3 s) for a machine's service account
__all__ = ["pytest_runtest_logreport", "secrets_watch"]  # the watch for credentials that are left behind
CLOUDS = ("aws", "gcp", "azure")
ON_CLOUDS = ("test_clouds", "test_doctor_clouds", "test_errors_seen", "test_one_ledger")  # and the clouds' Terraform modules:
OF_CLOUDS = ("test_aws", "test_aws_moto", "test_gcp", "test_azure", "test_shared", "test_root")
collect_ignore = ["plugins/nimbus"]  # somebody else's package: test_nimbus installs it, and runs its tests there


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cloud's emulator, and begin with the slow tests: otherwise the workers end by waiting for them."""
    for item in items:
        if item.path.parent.name in CLOUDS or item.path.stem in (*ON_CLOUDS, *OF_CLOUDS):
            item.add_marker(pytest.mark.cloud)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the person who runs the tests gets in."""
    for name in [name for name in os.environ if name.startswith("MCML_") or name in ("CI", "NO_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-config"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["postgres.Server"]:
    """A PostgreSQL server of this test process; skips, with the reason, where the wheel has no binaries."""
    from tests import postgres

    try:
        with postgres.running() as server:
            yield server
    except postgres.PostgresMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def postgres_url(postgres_server: "postgres.Server") -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'state' / 'mcml.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database: every test that asks for it runs on SQLite and on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator["Store"]:
    """An open store, on SQLite and on PostgreSQL."""
    from mcml.store.db import Store

    with Store(store_url) as opened:
        yield opened
