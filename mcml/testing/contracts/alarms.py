"""What every Alarms promises."""

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.alarms import Alarm, Alarms, AlarmStatus
from mcml.providers.api.metrics import SeriesQuery


@dataclass(frozen=True)
class Steady:
    """A series that has this value in each of the last two steps of this length, and a series that has no value there."""

    series: SeriesQuery
    value: float
    period: timedelta
    silent: SeriesQuery


class AlarmsContract:
    """Give `alarms` and `steady`. `patience` is how many seconds an alarm may take to come to its state.

    `meanings` are those of missing data that the provider's rules know, `periods` how many steps a rule can look at (at least); another
    meaning, or more steps than one where `periods` is 1, must be refused.
    """

    patience = 30.0
    meanings: tuple[Literal["breaching", "ok", "ignore"], ...] = ("breaching", "ok", "ignore")
    periods = 2

    @pytest.fixture
    def alarms(self) -> Alarms:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def steady(self) -> Steady:
        """Return series to watch."""
        raise NotImplementedError

    @pytest.fixture
    def alarm(self, steady: Steady) -> Alarm:
        """Return a rule whose threshold the value is beyond."""
        return Alarm("mcml-contract", steady.series, ">", steady.value - 1, steady.period, self.periods, tags={"team": "risk"})

    def state(self, alarms: Alarms, name: str, wanted: Literal["ok", "alarm", "no data"]) -> AlarmStatus:
        """Wait until an alarm is in a state."""
        end = time.monotonic() + self.patience
        while (found := next(one for one in alarms.list(name) if one.alarm.name == name)).state != wanted and time.monotonic() < end:
            time.sleep(0.02)
        assert found.state == wanted
        return found

    def test_kept_as_it_was_put(self, alarms: Alarms, alarm: Alarm) -> None:
        """Every field; putting it again changes nothing, putting another of its name changes it."""
        for asked in (alarm, alarm, replace(alarm, threshold=alarm.threshold + 5, comparison="<=", missing=self.meanings[0], tags={})):
            alarms.put(asked)
            (found,) = alarms.list("mcml-contract")
            assert found.alarm == asked

    def test_listed_by_the_start_of_the_name(self, alarms: Alarms, alarm: Alarm) -> None:
        """All of them without one."""
        for name in ("mcml-contract-a", "mcml-contract-b", "mcml-other"):
            alarms.put(replace(alarm, name=name))
        assert sorted(found.alarm.name for found in alarms.list("mcml-contract")) == ["mcml-contract-a", "mcml-contract-b"]
        assert {"mcml-contract-a", "mcml-other"} <= {found.alarm.name for found in alarms.list()}
        assert alarms.list("mcml-never-existed") == []

    def test_beyond_the_threshold_is_an_alarm(self, alarms: Alarms, alarm: Alarm, steady: Steady) -> None:
        """By each comparison, and ok on the other side; the threshold itself is beyond only where the comparison says so."""
        cases: tuple[tuple[Literal[">", ">=", "<", "<="], float, Literal["ok", "alarm"]], ...] = (
            (">", -1, "alarm"), (">", 0, "ok"), (">=", 0, "alarm"), (">=", 1, "ok"),
            ("<", 1, "alarm"), ("<", 0, "ok"), ("<=", 0, "alarm"), ("<=", -1, "ok"),
        )  # fmt: skip
        for comparison, beside, wanted in cases:
            alarms.put(replace(alarm, comparison=comparison, threshold=steady.value + beside))
            self.state(alarms, alarm.name, wanted)

    def test_no_data_means_what_the_rule_says(self, alarms: Alarms, alarm: Alarm, steady: Steady) -> None:
        """Alarm, ok, or that there is none."""
        cases: tuple[tuple[Literal["breaching", "ok", "ignore"], Literal["ok", "alarm", "no data"]], ...] = (
            ("breaching", "alarm"), ("ok", "ok"), ("ignore", "no data"),
        )  # fmt: skip
        for missing, wanted in cases:
            silent = replace(alarm, series=steady.silent, missing=missing)
            if missing in self.meanings:
                alarms.put(silent)
                self.state(alarms, alarm.name, wanted)
            else:
                with pytest.raises(InvalidRequest):
                    alarms.put(silent)

    def test_deleted_once(self, alarms: Alarms, alarm: Alarm) -> None:
        """The second time there is none."""
        alarms.put(alarm)
        assert alarms.delete(alarm.name) is True
        assert alarms.list("mcml-contract") == []
        assert alarms.delete(alarm.name) is False

    def test_rules_that_cannot_be_are_refused(self, alarms: Alarms, alarm: Alarm) -> None:
        """No name, no periods, no time; and nothing is kept of them."""
        wrongs = [replace(alarm, name=""), replace(alarm, periods=0), replace(alarm, period=timedelta(0))]
        for wrong in wrongs if self.periods > 1 else [*wrongs, replace(alarm, periods=2)]:
            with pytest.raises(InvalidRequest):
                alarms.put(wrong)
        assert alarms.list("mcml-contract") == []
