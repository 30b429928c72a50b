"""Drills: the arithmetic on made samples, and a real one through Envoy."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import NotFound, ProviderCannot, Unavailable
from mcml.core.fact import Fact
from mcml.core.process import free_port, is_alive
from mcml.core.report import Silent
from mcml.route.drill.fault import Killed
from mcml.route.drill.load import Sample
from mcml.route.drill.plan import Drill
from mcml.route.drill.result import Phase
from mcml.route.drill.run import run_drill, summarise
from mcml.route.drill.victim import listener, victim
from tests.route.rig import Rig, until

LISTEN = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('ready', flush=True); time.sleep(60)"


@dataclass(frozen=True)
class Broken:
    """A fault that the test makes, and nobody mends."""

    break_it: Callable[[], object]

    def begin(self) -> None:
        self.break_it()

    def end(self) -> bool:
        return False


def sample(began: float, seconds: float = 0.01, *, status: int = 200, backend: str = "m@a", attempts: int = 1, error: str = "") -> Sample:
    return Sample(began, seconds, status, backend, attempts, error)


def test_the_arithmetic_of_a_drill() -> None:
    samples = [
        sample(0.0),
        sample(0.5, backend="m@b"),
        sample(1.01, 0.2, backend="m@b", attempts=2),
        sample(1.02, 0.05, status=503, backend="", error="503: x"),
        sample(1.5, backend="m@b"),
        sample(1.6, 0.02, backend="m@b"),
    ]
    result = summarise(Drill("m", "eu-1", 6, 2), samples, 1.0, 0.3, "m@a")
    assert (result.requests, result.failed, result.retried) == (6, 1, 1)
    assert result.seconds == 1.62
    assert result.seconds_to_silence == 0.21  # the last request that was tried there first
    assert result.seconds_to_zero == 0.3
    assert result.served == {"m@a": 1, "m@b": 4}
    assert result.errors == {"503: x": 1}
    assert result.phases == (
        Phase("before", 2, 0, 10.0, 10.0),
        Phase("during", 2, 1, 50.0, 200.0),
        Phase("after", 2, 0, 10.0, 20.0),
    )


def test_a_load_without_a_kill_is_one_phase() -> None:
    result = summarise(Drill("m", "", 1, 1), [sample(0.0)], None, None, "")
    assert result.phases == (Phase("all", 1, 0, 10.0, 10.0),)
    assert (result.seconds_to_silence, result.seconds_to_zero) == (None, None)


def test_a_drill_through_envoy(rig: Rig) -> None:
    facts: list[Fact] = []
    until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
    result = run_drill(
        Drill("fraud", "eu-2", 3000, 16),
        rig.running,
        rig.folder,
        fault=Broken(rig.upstreams["eu-2"].kill),
        emit=facts.append,
        reporter=Silent(),
        clock=utc_now,
    )
    assert (result.requests, result.failed, result.errors) == (3000, 0, {})
    assert result.seconds_to_zero is not None
    assert result.seconds_to_zero < 1.0
    assert result.seconds_to_silence is not None
    assert result.seconds_to_silence < 1.5
    assert [phase.name for phase in result.phases] == ["before", "during", "after"]
    assert sum(result.served.values()) == 3000
    assert [fact.kind for fact in facts] == ["route.drill_started", "route.drill_killed", "route.drill_finished"]
    assert {fact.target for fact in facts} == {"eu-2"}
    assert facts[2].facts["failed"] == 0
    assert facts[1].facts["backend"] == facts[2].facts["backend"] == "fraud@eu-2"
    print(asdict(result))


def test_a_load_alone_leaves_everybody_alive(shared: Rig) -> None:
    until(lambda: (shared.folder / "status.json").exists(), 5, "no status file")
    result = run_drill(
        Drill("public", "", 200, 4),
        shared.running,
        shared.folder,
        fault=None,
        emit=lambda _: None,
        reporter=Silent(),
        clock=utc_now,
    )
    assert (result.requests, result.failed) == (200, 0)


@pytest.mark.parametrize(
    ("route", "target", "error", "message"),
    [
        ("frud", "", NotFound, "no route that is served named 'frud'"),
        ("fraud", "eu-9", NotFound, "no backend of fraud on a target named 'eu-9'"),
        ("empty", "", Unavailable, "the model behind empty does not answer"),
    ],
)
def test_names_are_checked_before_anything_is_sent(shared: Rig, route: str, target: str, error: type[Exception], message: str) -> None:
    until(lambda: (shared.folder / "status.json").exists(), 5, "no status file")
    with pytest.raises(error, match=message):
        run_drill(
            Drill(route, target, 10, 1),
            shared.running,
            shared.folder,
            fault=None,
            emit=lambda _: pytest.fail("told"),
            reporter=Silent(),
            clock=utc_now,
        )


def test_only_a_model_server_of_ours_is_killed(shared: Rig) -> None:
    until(lambda: (shared.folder / "status.json").exists(), 5, "no status file")
    with pytest.raises(ProviderCannot, match="will not break the backend on eu-1"):
        victim(Drill("fraud", "eu-1", 1, 1), shared.folder)  # the little server of the tests does not call itself mcml.serving
    with pytest.raises(NotFound):
        victim(Drill("fraud", "eu-9", 1, 1), shared.folder)
    with pytest.raises(Unavailable, match="does not run"):
        listener(free_port(), "eu-1")


def test_a_model_server_is_found_by_its_port_and_killed_once(tmp_path: Path) -> None:
    port = free_port()
    child = subprocess.Popen([sys.executable, "-c", LISTEN, str(port), "mcml.serving"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        found = listener(port, "eu-1")
        assert found.pid == child.pid
        Killed(found).begin()
        assert child.wait(5) == -9
        assert not is_alive(found)
        with pytest.raises(Unavailable, match="is gone already"):
            Killed(found).begin()
    finally:
        child.kill()
        child.communicate()
