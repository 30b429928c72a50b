"""What local instances used: the meter's lines, read as shares; the machine metrics; and machines that really work."""

import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.clock import utc_now
from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.instances import MachineRequest
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, Metrics, SeriesQuery, Statistic, Window
from mcml.providers.local import runner
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.layout import LocalResource, write_resource
from mcml.providers.local.machine_usage import MachineUse, machine_uses
from mcml.providers.local.metrics import open_metrics
from mcml.testing.contracts.instances import InstancesContract
from mcml.testing.contracts.metrics import MachineMetricsContract
from tests.providers.local.conftest import MakeContext, Processes

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WINDOW = Window(NOON, NOON + 5 * MINUTE, MINUTE)
GIB = 1 << 30


def line(seconds: float, cpu: float, rss: float, **changed: Any) -> dict[str, Any]:
    """Return a line of a machine with 2 CPUs and 4 GiB, of a command that began at noon; `rss` is in GiB."""
    memory = {"memory_bytes": 4 * GIB, "rss_bytes": round(rss * GIB), "peak_rss_bytes": round(rss * GIB)}
    about = {"at": NOON.timestamp() + seconds, "started": NOON.timestamp(), "pid": 7, "vcpus": 2}
    return {**about, **memory, "cpu_seconds": cpu, "peak_cpus": 0.0, **changed}


def write_lines(folder: Path, *lines: dict[str, Any], name: str = runner.USAGE_FILE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a") as out:
        out.writelines(f"\n{json.dumps(one)}" for one in lines)
    return folder


def write_instance(root: Path, name: str, *lines: dict[str, Any], target: str = "eu-1") -> Path:
    folder = write_lines(root / "instances" / name, *lines)
    write_resource(folder, LocalResource("instance", name, "eu", target, NOON))
    return folder


@pytest.fixture
def metrics(make_context: MakeContext, root: Path) -> Metrics:
    busy = line(60, 60, 1, peak_cpus=1.5, peak_rss_bytes=2 * GIB), line(90, 60, 3), line(150, 180, 3)
    write_instance(root, "busy", *busy)
    write_instance(root, "other", line(60, 6, 1), target="us-1")
    return open_metrics(make_context("eu-1"))


class TestMachineMetrics(MachineMetricsContract):
    answered = ("machine.cpu", "machine.memory")

    @pytest.fixture
    def metrics(self, metrics: Metrics) -> Metrics:
        return metrics

    @pytest.fixture
    def machine(self) -> tuple[str, Window]:
        return "busy", WINDOW


def values(metrics: Metrics, metric: str, statistic: Statistic = "average") -> list[float | None]:
    return [point.value for point in metrics.query(SeriesQuery(metric, {MACHINE: "busy"}, statistic), WINDOW)]


def test_shares_of_the_machine_weighed_by_time(metrics: Metrics) -> None:
    """A sample that reaches over the end of a step counts in both."""
    assert values(metrics, "machine.cpu") == [0.5, 0.5, 1.0, None, None]
    assert values(metrics, "machine.cpu", "maximum") == [0.75, 1.0, 1.0, None, None]
    assert values(metrics, "machine.memory") == [0.25, 0.75, 0.75, None, None]
    assert values(metrics, "machine.memory", "maximum") == [0.5, 0.75, 0.75, None, None]
    assert values(metrics, "machine.cpu", "count") == [1, 2, 1, None, None]


def test_the_last_step_may_be_cut(metrics: Metrics) -> None:
    window = Window(NOON + timedelta(seconds=30), NOON + timedelta(seconds=100), timedelta(seconds=60))
    points = metrics.query(SeriesQuery("machine.cpu", {MACHINE: "busy"}), window)
    assert [point.value for point in points] == [0.25, 1.0]


def test_an_instance_of_another_target_is_not_found(metrics: Metrics, make_context: MakeContext) -> None:
    with pytest.raises(NotFound, match="no instance 'other'"):
        metrics.query(SeriesQuery("machine.cpu", {MACHINE: "other"}), WINDOW)
    everything = open_metrics(make_context())
    assert everything.query(SeriesQuery("machine.cpu", {MACHINE: "other"}), WINDOW)[0].value == 0.05
    with pytest.raises(InvalidRequest, match="of which machine"):
        everything.query(SeriesQuery("machine.cpu", {"model": "fraud"}), WINDOW)


def test_what_no_machine_here_has_says_what_there_is(metrics: Metrics) -> None:
    for name in MACHINE_METRICS[2:]:
        with pytest.raises(NotFound, match="on this machine") as caught:
            metrics.query(SeriesQuery(name, {MACHINE: "busy"}), WINDOW)
        assert caught.value.next_step == "ask for machine.cpu or machine.memory"


def test_a_change_of_the_type_changes_nothing_of_before(tmp_path: Path) -> None:
    later = {"started": NOON.timestamp() + 120, "pid": 8, "vcpus": 4, "memory_bytes": 8 * GIB}
    folder = write_lines(tmp_path, line(60, 60, 2), line(180, 120, 2, **later))
    first, second = machine_uses(folder)
    assert (first.cpu, first.memory) == (0.5, 0.5)
    assert (second.cpu, second.memory) == (0.5, 0.25)
    assert second.start - first.end == 60_000_000


def test_the_older_file_comes_first(tmp_path: Path) -> None:
    write_lines(tmp_path, line(120, 60, 1))
    write_lines(tmp_path, line(60, 60, 1), name=runner.OLD_USAGE_FILE)
    assert [(used.start, used.end, used.cpu) for used in machine_uses(tmp_path)] == [
        (used * 1_000_000 + round(NOON.timestamp()) * 1_000_000, (used + 60) * 1_000_000 + round(NOON.timestamp()) * 1_000_000, cpu)
        for used, cpu in ((0, 0.5), (60, 0.0))
    ]


def test_no_file_is_no_use(tmp_path: Path) -> None:
    assert list(machine_uses(tmp_path)) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"cpu_seconds": -1}, {"cpu_seconds": 1e30}, {"vcpus": 0}, {"memory_bytes": 0}, {"at": "noon"}, {"rss_bytes": None},
        {"at": float("nan")}, {"started": float("inf")}, {"pid": []},
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_skipped(tmp_path: Path, broken: dict[str, Any]) -> None:
    write_lines(tmp_path, line(60, 60, 1), line(90, 70, 1, **broken), line(120, 180, 1))
    assert [used.cpu for used in machine_uses(tmp_path)] == [0.5, 1.0]


def test_a_clock_that_was_set_back_costs_its_time_only(tmp_path: Path) -> None:
    write_lines(tmp_path, line(60, 60, 1), line(30, 61, 1), line(90, 121, 1))
    assert [used.cpu for used in machine_uses(tmp_path)] == [0.5, 0.5]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_torn_line_spoils_no_other(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever is cut off of any line, all others are read, and every share is one."""
    cpus = data.draw(st.lists(st.floats(0, 300), min_size=2, max_size=6).map(sorted))
    lines = [json.dumps(line(60 * (number + 1), cpu, 1)) for number, cpu in enumerate(cpus)]
    torn = data.draw(st.integers(0, len(lines) - 1))
    lines[torn] = lines[torn][: data.draw(st.integers(0, len(lines[torn]) - 1))]
    folder = tmp_path_factory.mktemp("torn")
    (folder / runner.USAGE_FILE).write_text("".join(f"\n{text}" for text in lines))
    found: list[MachineUse] = list(machine_uses(folder))
    assert len(found) == len(lines) - 1
    assert all(0 <= share <= 1 for used in found for share in used[2:])
    for before, after in pairwise(found):
        assert before.end == after.start


# Real machines.

BUSY = "import time\nwhile time.process_time() < {seconds}:\n    pass\n"
"""Seconds of CPU time, which take longer on a machine that has other work too."""
ORPHAN = f"""
import os, pathlib, subprocess, sys, time
if os.fork() == 0:  # its parent ends at once: it falls to the runner, outside of the session
    os.setsid()
    if os.fork() == 0:
        subprocess.run([sys.executable, "-c", {BUSY.format(seconds=0.5)!r}])
        pathlib.Path("ends").write_text(str(os.getpid()))
        os.rename("ends", "done")
    os._exit(0)
os.wait()
while not pathlib.Path("done").exists():
    time.sleep(0.01)
orphan = pathlib.Path("/proc", pathlib.Path("done").read_text(), "stat")
try:
    while orphan.read_text().rpartition(")")[2].split()[0] != "Z":  # it has ended: the runner has only to count it
        time.sleep(0.01)
except (FileNotFoundError, ProcessLookupError):
    pass
"""


@pytest.fixture
def instances(make_context: MakeContext, runs: Processes) -> LocalInstances:
    return LocalInstances(make_context("eu-1", region="eu"))


def ended(instances: LocalInstances, code: str, token: str = "t") -> str:
    """Run a program on a spot machine to its end; return the machine's id."""
    spot = instances.request(MachineRequest("local-1x1", token, (sys.executable, "-c", code)))
    return InstancesContract().wait(instances, spot.id, "terminated").id


def test_a_machine_that_works_is_measured(instances: LocalInstances, make_context: MakeContext, root: Path) -> None:
    start = utc_now()
    machine = ended(instances, "held = bytearray(200 << 20)\n" + BUSY.format(seconds=1.5))
    metrics, window = open_metrics(make_context("eu-1")), Window(start, start + timedelta(hours=1), timedelta(hours=1))

    def told(metric: str, statistic: Statistic) -> float:
        return metrics.query(SeriesQuery(metric, {MACHINE: machine}, statistic), window)[0].value or 0.0

    uses = list(machine_uses(root / "instances" / machine))
    seconds = (uses[-1].end - uses[0].start) / 1e6
    assert 1.45 < told("machine.cpu", "average") * seconds < seconds + 0.1
    assert told("machine.cpu", "average") <= told("machine.cpu", "maximum") <= 1
    assert 200 / 1024 <= told("machine.memory", "maximum") < 0.5
    assert 0 < told("machine.memory", "average") <= told("machine.memory", "maximum")


def test_what_ended_or_lost_its_parent_counts_too(instances: LocalInstances, root: Path) -> None:
    machine = ended(instances, ORPHAN)
    last = json.loads((root / "instances" / machine / runner.USAGE_FILE).read_text().splitlines()[-1])
    assert last["cpu_seconds"] > 0.48


def test_kill_9_costs_no_line_that_was_written(instances: LocalInstances, root: Path) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    folder, end = root / "instances" / spot.id, time.monotonic() + 20
    while not (folder / runner.USAGE_FILE).exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(json.loads((folder / "process.json").read_text())["pid"], signal.SIGKILL)
    InstancesContract().wait(instances, spot.id, "interrupted")
    instances.start(spot.id)
    instances.stop(spot.id)
    first, *_, last = machine_uses(folder)  # a line a run, and one more of a run that took over a second
    assert first.end < last.start
    assert min(first.memory, last.memory) > 0


def test_each_line_has_the_size_of_its_time(instances: LocalInstances, root: Path) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    instances.stop(spot.id)
    instances.resize(spot.id, "local-1x2")
    instances.start(spot.id)
    instances.stop(spot.id)
    lines = (root / "instances" / spot.id / runner.USAGE_FILE).read_text().split("\n")
    sizes = [json.loads(text)["memory_bytes"] for text in lines if text]
    assert (sizes == sorted(sizes), set(sizes)) == (True, {GIB, 2 * GIB})


def test_a_full_file_becomes_the_older_one(instances: LocalInstances, root: Path) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    instances.stop(spot.id)
    folder = root / "instances" / spot.id
    (folder / runner.USAGE_FILE).write_bytes(b"x" * runner.USAGE_BYTES)
    instances.start(spot.id)
    instances.stop(spot.id)
    assert (folder / runner.OLD_USAGE_FILE).stat().st_size == runner.USAGE_BYTES
    lines = (folder / runner.USAGE_FILE).read_text().splitlines()
    assert {json.loads(text)["vcpus"] for text in lines if text} == {1}


def test_a_command_that_ends_before_the_first_look_is_measured(instances: LocalInstances, root: Path) -> None:
    used, *_ = machine_uses(root / "instances" / ended(instances, "pass"))
    assert 0 < used.memory < 0.2


def test_the_meter_survives_a_file_that_cannot_be_written(instances: LocalInstances, root: Path) -> None:
    spot = instances.request(MachineRequest("local-1x1", "t"))
    instances.stop(spot.id)
    usage = root / "instances" / spot.id / runner.USAGE_FILE
    usage.unlink(missing_ok=True)
    usage.mkdir()
    assert instances.start(spot.id).state == "running"
    time.sleep(1.2)
    assert instances.list()[0].state == "running"
