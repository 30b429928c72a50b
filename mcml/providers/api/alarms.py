"""Alarms: the provider's own rules over its own metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from mcml.providers.api.metrics import SeriesQuery


@dataclass(frozen=True)
class Alarm:
    """A rule: `series` beyond `threshold` for `periods` steps of length `period`; `missing` says what no data means.

    `notify` is who is told, by the provider's own name; several are separated by commas.
    """

    name: str
    series: SeriesQuery
    comparison: Literal[">", ">=", "<", "<="]
    threshold: float
    period: timedelta
    periods: int = 1
    missing: Literal["breaching", "ok", "ignore"] = "ignore"
    notify: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> tuple[str, ...]:
        """Each of those who are told."""
        return tuple(name for name in map(str.strip, self.notify.split(",")) if name)


@dataclass(frozen=True)
class AlarmStatus:
    """A rule and what it says now."""

    alarm: Alarm
    state: Literal["ok", "alarm", "no data"]


class Alarms(Protocol):
    """Alarms of the target."""

    def list(self, prefix: str = "") -> list[AlarmStatus]:
        """Return the alarms whose name starts so, with their state."""

    def put(self, alarm: Alarm) -> None:
        """Create it or make it so. Raises InvalidRequest."""

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone."""
