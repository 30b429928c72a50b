"""The usage log: what is written when, and what becomes of it when the disk does not play along."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mcml.serving.metrics import Metrics, ProcessUse
from mcml.serving.usage import UsageLog

ABOUT = {"model": "m", "version": "1", "digest": "d"}
START = datetime(2026, 1, 1, tzinfo=UTC)


class Measured(Metrics):
    """Counters whose process uses what the test says."""

    cpu = 1.0

    def process(self) -> ProcessUse:
        return ProcessUse(self.cpu, 1000, 5.0)


class Bench:
    """A usage log with a clock that stands still until told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = START
        self.said: list[str] = []
        self.metrics = Measured({})
        self.log = UsageLog(path, self.metrics, ABOUT, interval=3600, warn=self.said.append, clock=lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.log.tick()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


def test_a_line_says_what_the_process_used_so_far(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "usage.jsonl")
    bench.metrics.finished(200, 0.1)
    bench.metrics.finished(404, 0.1)
    bench.metrics.finished(500, 0.1)
    bench.log.write(final=True)
    (line,) = bench.lines()
    assert line == {
        "at": "2026-01-01T00:00:00.000000Z",
        "pid": os.getpid(),
        "started": 5.0,
        "model": "m",
        "version": "1",
        "digest": "d",
        "cpu_seconds": 1.0,
        "rss_bytes": 1000,
        "requests": 3,
        "errors": 1,
        "client_errors": 1,
        "final": True,
    }


def test_tokens_are_written_where_they_are_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "usage.jsonl")
    bench.log.write()
    bench.metrics.expect_tokens(entering=True, leaving=False)
    bench.metrics.add_tokens(12, 0)
    bench.log.write()
    assert [{name: said for name, said in line.items() if "tokens" in name} for line in bench.lines()] == [{}, {"input_tokens": 12}]


def test_an_idle_server_writes_a_line_a_minute_and_moves_the_time_of_the_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "usage.jsonl")
    bench.log.write()
    os.utime(bench.path, (0, 0))
    for _ in range(59):
        bench.pass_time(1)
    assert len(bench.lines()) == 1
    assert bench.path.stat().st_mtime > 0
    bench.pass_time(1)
    assert [line["at"][14:19] for line in bench.lines()] == ["00:00", "01:00"]


def test_work_is_written_down_at_the_next_interval(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "usage.jsonl")
    bench.log.write()
    bench.metrics.finished(400, 0.1)
    bench.pass_time(1)
    bench.pass_time(1)
    bench.metrics.cpu += 0.2
    bench.pass_time(1)
    written = [(line["at"][17:19], line["requests"], line["cpu_seconds"]) for line in bench.lines()]
    assert written == [("00", 0, 1.0), ("01", 1, 1.0), ("03", 1, 1.2)]


def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "missing" / "usage.jsonl")
    bench.log.write()
    bench.pass_time(1)
    bench.pass_time(100)
    assert bench.said == [f"cannot write the usage file {bench.path}: No such file or directory; serving goes on, its use is not recorded"]
    bench.path.parent.mkdir()
    bench.pass_time(1)
    assert len(bench.lines()) == 1


def test_a_file_that_was_removed_comes_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "usage.jsonl")
    bench.log.write()
    bench.path.unlink()
    bench.pass_time(1)
    bench.pass_time(1)
    assert len(bench.lines()) == 1


def test_half_a_line_of_an_earlier_process_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    path.write_bytes(b'{"at": "2025')
    bench = Bench(path)
    bench.log.start()
    bench.log.stop()
    half, first, last = path.read_bytes().splitlines()
    assert half == b'{"at": "2025'
    assert "final" not in json.loads(first)
    assert json.loads(last)["final"] is True
