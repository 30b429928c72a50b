"""Alarms on this machine: rules as files. A state is worked out from the metrics when it is asked for; nobody watches, nobody is told.

    alarms/<target>/<name>/   resource.json, alarm.json
"""

import builtins
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.files import write_atomic
from mcml.providers.api.alarms import Alarm, Alarms, AlarmStatus
from mcml.providers.api.metrics import Point, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import LocalResource, locked, remove_folder, root_of, safe_name, write_resource
from mcml.providers.local.scope import new_folder, new_resource, resources_in_scope

NO_TARGET = "_"
"""The folder of alarms that belong to no target: no target can have this name."""
_ALARM = TypeAdapter(Alarm)
_BEYOND: Mapping[str, Callable[[float, float], bool]] = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_MISSING: Mapping[str, bool | None] = {"breaching": True, "ok": False, "ignore": None}


def open_alarms(ctx: ProviderContext) -> Alarms:
    """Return the alarms of the context's target."""
    return LocalAlarms(ctx)


class LocalAlarms:
    """Alarms as files."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._root = root_of(ctx)

    def list(self, prefix: str = "") -> builtins.list[AlarmStatus]:
        """Return the alarms whose name starts so, by name, with the state that their metric has now."""
        found = [about for about in resources_in_scope(self._ctx, "alarms") if about.id.startswith(prefix)]
        read = ((about, _read(about.folder)) for about in sorted(found, key=lambda about: (about.id, about.target)))
        return [AlarmStatus(alarm, self._state(about, alarm)) for about, alarm in read if alarm is not None]

    def put(self, alarm: Alarm) -> None:
        """Create it or make it so; its metric need not exist yet.

        Raises InvalidRequest for a name, label, period or threshold that cannot be.
        """
        _check(alarm)
        folder = self._folder(alarm.name)
        self._points(self._ctx.target, alarm)
        about = new_resource(self._ctx, "alarm", alarm.name, alarm.tags)
        with locked(self._root, "alarms"):
            if folder.exists():
                _write(folder, alarm)
                write_resource(folder, about)
                return
            with new_folder(folder) as stage:
                _write(stage, alarm)
                write_resource(stage, about)

    def delete(self, name: str) -> bool:
        """Delete it; False when it was gone."""
        with locked(self._root, "alarms"):
            return remove_folder(self._folder(name))

    def _folder(self, name: str) -> Path:
        return self._root / "alarms" / (self._ctx.target or NO_TARGET) / safe_name(name, "alarm")

    def _state(self, about: LocalResource, alarm: Alarm) -> Literal["ok", "alarm", "no data"]:
        try:
            return decide(alarm, self._points(about.target, alarm))
        except InvalidRequest:  # a label that was good once: one alarm must not hide the others
            return "no data"

    def _points(self, target: str, alarm: Alarm) -> Sequence[Point]:
        from mcml.providers.local.metrics import open_metrics

        now = self._ctx.clock()
        window = Window(now - alarm.periods * alarm.period, now, alarm.period)
        try:
            return open_metrics(replace(self._ctx, target=target)).query(alarm.series, window)
        except NotFound:  # the metric does not exist (yet, or any more): nothing was measured
            return [Point(window.start, None)] * alarm.periods


def decide(alarm: Alarm, points: Sequence[Point]) -> Literal["ok", "alarm", "no data"]:
    """Decide the state from the last `periods` points: alarm when each is beyond the threshold, no data when none was measured.

    A step without a value counts as beyond (`breaching`), as within (`ok`), or as neither (`ignore`).
    """
    beyond = [_beyond(alarm, point) for point in points[-alarm.periods :]]
    if all(answer is None for answer in beyond):
        return "no data"
    return "alarm" if all(beyond) and len(beyond) == alarm.periods else "ok"


def _beyond(alarm: Alarm, point: Point) -> bool | None:
    if point.value is None:
        return _MISSING[alarm.missing]
    return _BEYOND[alarm.comparison](point.value, alarm.threshold)


def _check(alarm: Alarm) -> None:
    if alarm.comparison not in _BEYOND or alarm.missing not in _MISSING:
        raise _refused(alarm, f"{alarm.comparison!r} is no comparison, or {alarm.missing!r} no meaning of missing data")
    if alarm.periods < 1 or alarm.period <= timedelta(0):
        raise _refused(alarm, f"{alarm.periods} periods of {alarm.period} are no time")
    if not math.isfinite(alarm.threshold):
        raise _refused(alarm, f"the threshold {alarm.threshold} is no number")


def _refused(alarm: Alarm, why: str) -> InvalidRequest:
    return InvalidRequest(f"cannot put the alarm {alarm.name!r}", why=why)


def _read(folder: Path) -> Alarm | None:
    try:
        return _ALARM.validate_json((folder / "alarm.json").read_bytes())
    except FileNotFoundError:  # deleted while we looked
        return None


def _write(folder: Path, alarm: Alarm) -> None:
    write_atomic(folder / "alarm.json", _ALARM.dump_json(alarm, indent=2) + b"\n")
