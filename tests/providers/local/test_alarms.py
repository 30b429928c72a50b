"""Local alarms: the contract over real usage logs, and how a state is decided."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from mcml.core.clock import rfc3339
from mcml.core.errors import InvalidRequest
from mcml.providers.api.alarms import Alarm, Alarms
from mcml.providers.api.metrics import Point, SeriesQuery
from mcml.providers.local.alarms import decide, open_alarms
from mcml.testing.contracts.alarms import AlarmsContract, Steady
from tests.providers.local.conftest import MakeContext

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = Alarm("busy", SeriesQuery("cpu_utilization"), ">", 0.8, MINUTE, 3)
STATE = Literal["ok", "alarm", "no data"]


def write_usage(root: Path, target: str = "eu-1") -> None:
    """Write the log of a server that held 1,000 bytes for ten minutes up to noon."""
    log = root / "usage" / target / "fraud" / "1" / "run.jsonl"
    log.parent.mkdir(parents=True)
    started = (NOON - 10 * MINUTE).timestamp()
    with log.open("w") as out:
        for seconds in range(-600, 0, 10):
            values = {"at": rfc3339(NOON + timedelta(seconds=seconds)), "pid": 7, "started": started, "cpu_seconds": seconds + 600}
            out.write(json.dumps({**values, "rss_bytes": 1000, "requests": 0, "errors": 0, "client_errors": 0}) + "\n")


@pytest.fixture
def alarms(make_context: MakeContext) -> Alarms:
    return open_alarms(make_context("eu-1", clock=lambda: NOON))


class TestLocalAlarms(AlarmsContract):
    @pytest.fixture
    def alarms(self, alarms: Alarms) -> Alarms:
        return alarms

    @pytest.fixture
    def steady(self, root: Path) -> Steady:
        write_usage(root)
        silent = SeriesQuery("memory_bytes", {"model": "other"})
        return Steady(SeriesQuery("memory_bytes", {"model": "fraud"}), 1000.0, MINUTE, silent)


@pytest.mark.parametrize(
    ("values", "missing", "state"),
    [
        ([0.9, 0.9, 0.9], "ignore", "alarm"),
        ([0.1, 0.9, 0.9], "ignore", "ok"),
        ([0.9, 0.9, 0.8], "ignore", "ok"),
        ([0.1, 0.9, 0.9, 0.9], "ignore", "alarm"),
        ([0.9, 0.9, 0.9, 0.1], "ignore", "ok"),
        ([None, None, None], "ignore", "no data"),
        ([None, None, None], "ok", "ok"),
        ([None, None, None], "breaching", "alarm"),
        ([None, 0.9, 0.9], "ignore", "ok"),
        ([None, 0.9, 0.9], "breaching", "alarm"),
        ([None, 0.9, 0.9], "ok", "ok"),
        ([0.9, 0.9], "ignore", "ok"),
        ([], "ignore", "no data"),
    ],
)
def test_decide(values: list[float | None], missing: Literal["breaching", "ok", "ignore"], state: STATE) -> None:
    points = [Point(NOON + number * MINUTE, value) for number, value in enumerate(values)]
    assert decide(replace(RULE, missing=missing), points) == state


def test_a_rule_looks_back_over_all_its_periods(alarms: Alarms, root: Path) -> None:
    write_usage(root)
    rule = Alarm("old", SeriesQuery("memory_bytes"), ">", 0, MINUTE, 10, missing="ok")
    alarms.put(rule)
    assert alarms.list()[0].state == "alarm"
    alarms.put(replace(rule, periods=11))
    assert alarms.list()[0].state == "ok"


def test_of_the_target_only(alarms: Alarms, make_context: MakeContext, root: Path) -> None:
    """The other target's server does not set off our alarm, and its alarms are its own."""
    write_usage(root, "us-1")
    alarms.put(Alarm("large", SeriesQuery("memory_bytes"), ">", 0, MINUTE))
    us = open_alarms(make_context("us-1", clock=lambda: NOON))
    us.put(Alarm("large", SeriesQuery("memory_bytes"), ">", 0, MINUTE))
    assert [status.state for status in alarms.list()] == ["no data"]
    assert [status.state for status in us.list()] == ["alarm"]
    every = open_alarms(make_context(clock=lambda: NOON))
    assert [status.state for status in every.list("large")] == ["no data", "alarm"]
    assert us.delete("large") is True
    assert [status.state for status in every.list("large")] == ["no data"]


def test_a_metric_that_does_not_exist_has_no_data(alarms: Alarms) -> None:
    alarms.put(replace(RULE, series=SeriesQuery("queue_length")))
    assert [status.state for status in alarms.list()] == ["no data"]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RULE, name="../x"),
        replace(RULE, name="two words"),
        replace(RULE, threshold=float("nan")),
        replace(RULE, threshold=float("inf")),
        replace(RULE, period=-MINUTE),
        replace(RULE, comparison="!="),  # type: ignore[arg-type]
        replace(RULE, missing="maybe"),  # type: ignore[arg-type]
        replace(RULE, series=SeriesQuery("cpu_utilization", {"colour": "red"})),
    ],
)
def test_rules_that_cannot_be_are_refused(alarms: Alarms, wrong: Alarm) -> None:
    with pytest.raises(InvalidRequest):
        alarms.put(wrong)
    assert alarms.list() == []


def test_every_field_is_kept(alarms: Alarms) -> None:
    rule = Alarm(
        "all", SeriesQuery("requests", {"model": "fraud"}, "sum"), "<=", 1.5, timedelta(seconds=90), 7, "breaching", "mailto:x", {"a": "b"}
    )
    alarms.put(rule)
    assert alarms.list()[0].alarm == rule
