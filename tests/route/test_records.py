"""The files that other commands read: never more than they should hold, and never believed more than the process itself."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.core.errors import NotFound
from mcml.core.process import ProcessRef, reference
from mcml.route import records
from mcml.route.records import DecisionLog, Running, read_decisions, read_engine, read_running, read_status, write_running
from mcml.route.weights.decide import Decision

BEGIN = datetime(2026, 11, 21, 9, tzinfo=UTC)


def me() -> ProcessRef:
    found = reference(os.getpid())
    assert found is not None
    return found


def decision(minute: int, route: str = "fraud") -> Decision:
    return Decision(BEGIN + timedelta(minutes=minute), route, "fraud", f"reason {minute}", {}, ())


def test_a_running_router_is_found(tmp_path: Path) -> None:
    running = Running(me(), "0.0.0.0", 8080, 9901, ("fraud", "churn"))
    write_running(tmp_path, running)
    assert read_running(tmp_path) == running
    assert running.url == "http://127.0.0.1:8080"
    assert Running(me(), "::", 8080, 9901, ()).url == "http://[::1]:8080"


def test_the_file_of_a_dead_router_is_not_believed(tmp_path: Path) -> None:
    """The pid lives, but it is another program that got the same number later."""
    write_running(tmp_path, Running(ProcessRef(os.getpid(), me().started - 100), "127.0.0.1", 8080, 9901, ()))
    assert read_running(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x"}', '{"pid": 1, "started": null}'])
def test_a_broken_file_says_that_nothing_runs(tmp_path: Path, content: str) -> None:
    (tmp_path / records.SERVE_FILE).write_text(content)
    (tmp_path / records.ENGINE_FILE).write_text(content)
    assert read_running(tmp_path) is None
    assert read_engine(tmp_path) is None


def test_no_status_yet(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no router has run"):
        read_status(tmp_path)


def test_decisions_by_route_and_time(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    for minute in range(4):
        log.append(decision(minute))
        log.append(decision(minute, "churn"))
    assert [one["reason"] for one in read_decisions(tmp_path, route="churn", until=BEGIN + timedelta(minutes=2))] == [
        "reason 0",
        "reason 1",
        "reason 2",
    ]
    assert len(read_decisions(tmp_path)) == 8


def test_the_log_of_decisions_is_bounded_and_goes_on_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "KEPT_DECISIONS", 10)
    for begin in (0, 15, 30):
        log = DecisionLog(tmp_path)
        for minute in range(begin, begin + 15):
            log.append(decision(minute))
            assert len((tmp_path / records.DECISIONS_FILE).read_text().splitlines()) < 20
    assert [one["reason"] for one in read_decisions(tmp_path)][-10:] == [f"reason {minute}" for minute in range(35, 45)]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    log.append(decision(1))
    with (tmp_path / records.DECISIONS_FILE).open("a") as torn:
        torn.write(json.dumps({"route": "fraud", "at": "2026"})[:-5])
    assert [one["reason"] for one in read_decisions(tmp_path, route="fraud")] == ["reason 1"]
