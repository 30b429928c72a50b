"""Progress on a terminal as a tree, and for a program as JSON lines."""

import json
import re
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.report import Expecting, Listening, Reporter
from mcml.ui.live import LiveList, Running
from mcml.ui.progress import JsonLines, Lines
from tests.ui.streams import err_of, streams

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def running(*keys: str) -> Running:
    found = Running()
    for key in keys:
        found.start(key, "creating", 0)
    return found


def test_units_are_branches_with_what_runs_below() -> None:
    steps = running("aws-network", "gcp-network", "aws-network: aws_vpc.this", "aws-network: aws_eip.nat", "gcp-network: google_x.y")
    steps.steps["aws-network"].text = "applying"
    assert steps.finish("aws-network: aws_eip.nat", ok=True)[1] is False, "counted and not told"
    found = steps.find("aws-network: aws_vpc.this")
    assert found
    found.expected = 540
    assert steps.lines(130, 24) == [
        (0, "aws-network: applying, 1 done (2m 10s)"),
        (1, "aws_vpc.this: creating (2m 10s of ~9m)"),
        (0, "gcp-network: creating (2m 10s)"),
        (1, "google_x.y: creating (2m 10s)"),
    ]
    assert steps.lines(600, 24)[1] == (1, "aws_vpc.this: creating (10m, usually 9m)")
    found.expected = 3
    assert steps.lines(1, 24)[1] == (1, "aws_vpc.this: creating (1s)"), "what is quick needs no promise"


def test_a_part_of_nothing_that_runs_is_a_step_of_its_own() -> None:
    steps = running("a: b", "target")
    assert [text for _, text in steps.lines(1, 9)] == ["a: b: creating (1s)", "target: creating (1s)"]
    assert steps.finish("a: b", ok=True)[1] is True
    assert steps.finish("never begun", ok=True) == (None, True)


def test_what_failed_in_a_unit_is_told_and_counted() -> None:
    steps = running("u", "u: one", "u: two")
    assert steps.finish("u: one", ok=False)[1] is True
    assert steps.lines(1, 9)[0] == (0, "u: creating, 1 failed (1s)")
    assert steps.finish("u", ok=False)[1] is True
    assert steps.lines(1, 9) == []


def test_what_does_not_fit_is_counted_and_every_unit_keeps_its_line() -> None:
    steps = running("a", "b", *(f"a: {number}" for number in range(9)), "b: x")
    assert [text.partition(":")[0] for _, text in steps.lines(1, 6)] == ["a", "0", "1", "b", "x", "... and 7 more"]
    assert [text.partition(":")[0] for _, text in steps.lines(1, 3)] == ["a", "b", "... and 10 more"]
    assert [text for _, text in steps.lines(1, 1)] == ["... and 12 more"]
    assert steps.lines(1, 0) == []


KEYS = st.sampled_from(["a", "b", "c", "a: 1", "a: 2", "b: 1", "c: 1: 2", "d: 1", ""])


@given(st.lists(st.tuples(st.sampled_from(["start", "finish", "fail"]), KEYS), max_size=40), st.integers(0, 8))
def test_whatever_happens_the_picture_has_room(told: list[tuple[str, str]], height: int) -> None:
    steps = Running()
    for verb, key in told:
        if verb == "start":
            steps.start(key, "x", 0)
        else:
            steps.finish(key, ok=verb == "finish")
    drawn = steps.lines(5, height)
    assert len(drawn) <= height
    everything = len(steps.lines(5, 1000))
    assert len(drawn) == min(height, everything)
    if drawn and drawn[-1][1].startswith("... and"):
        assert int(drawn[-1][1].split()[2]) == everything - (height - 1)


def test_a_unit_on_a_terminal_ends_as_one_line() -> None:
    made = streams(terminal=True)
    told = LiveList(made)
    told.start("aws-network", "applying")
    told.expect("aws-network", 300)
    for name in ("aws_vpc.this", "aws_eip.nat"):
        told.start(f"aws-network: {name}", "creating")
        told.expect(f"aws-network: {name}", 30)
    told.update("aws-network: aws_vpc.this", "still creating")
    told.finish("aws-network: aws_vpc.this", "created")
    told.finish("aws-network: aws_eip.nat", "creating failed", ok=False)
    told.note("a sentence")
    told.finish("aws-network", "1 of 2 changes done", ok=False)
    told.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err_of(made))
    assert "✓" not in text, "a part that went well is only counted"
    assert "✗ aws-network: aws_eip.nat: creating failed" in text
    assert "✗ aws-network: 1 of 2 changes done" in text
    assert "a sentence" in text


def test_many_threads_may_tell_at_once() -> None:
    told = LiveList(streams(terminal=True))

    def work(number: int) -> None:
        for part in range(60):
            told.start(f"u{number}", "applying")
            told.start(f"u{number}: {part}", "creating")
            told.finish(f"u{number}: {part}", "created")
            told.finish(f"u{number}", "done")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    told.close()
    assert not any(thread.is_alive() for thread in threads)


def test_json_lines() -> None:
    made = streams()
    told: Reporter = JsonLines(made, lambda: NOW)
    told.start("aws-network", "planning")
    told.update("aws-network", "still planning")
    told.finish("aws-network", "no plan", ok=False)
    told.note("größer")
    assert isinstance(told, Listening)
    told.event("aws-network", {"type": "apply_start", "hook": {"action": "create"}, "unit": "no", "@level": "info"})
    time = "2026-01-02T03:04:05.000000Z"
    assert [json.loads(line) for line in err_of(made).splitlines()] == [
        {"time": time, "type": "step_start", "step": "aws-network", "text": "planning"},
        {"time": time, "type": "step_update", "step": "aws-network", "text": "still planning"},
        {"time": time, "type": "step_finish", "step": "aws-network", "text": "no plan", "ok": False},
        {"time": time, "type": "note", "text": "größer"},
        {"time": time, "type": "apply_start", "hook": {"action": "create"}, "unit": "aws-network", "@level": "info"},
    ]
    assert "größer" in err_of(made)


@pytest.mark.parametrize(("kind", "expects", "listens"), [(LiveList, True, False), (Lines, False, False)], ids=["tree", "lines"])
def test_who_wants_more_than_steps(kind: type[LiveList] | type[Lines], expects: bool, listens: bool) -> None:
    told = kind(streams(terminal=True))
    assert (isinstance(told, Expecting), isinstance(told, Listening)) == (expects, listens)
