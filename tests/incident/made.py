"""Facts, entries and incidents for tests, on a clock that stands still."""

from datetime import UTC, datetime, timedelta

from mcml.core.clock import Clock
from mcml.core.fact import Fact
from mcml.store.incidents import Incident, IncidentState, Severity
from mcml.store.journal import Entry

T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Return the time so many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def clock(seconds: float) -> Clock:
    """Return a clock that stands still there."""
    return lambda: at(seconds)


def fact(kind: str, target: str = "", *, seconds: float = 0, actor: str = "router", **facts: object) -> Fact:
    return Fact(kind, kind.partition(".")[0], target, facts, at=at(seconds), actor=actor)


def down(target: str = "eu-2", *, seconds: float = 0, model: str = "fraud", **facts: object) -> Fact:
    about: dict[str, object] = {"route": model, "model": model, "backend": f"{model}@{target}", "reason": "connection refused"}
    return Fact("route.backend_down", "route", target, about | facts, at=at(seconds), actor="router")


def up(target: str = "eu-2", *, seconds: float = 0, model: str = "fraud") -> Fact:
    return fact("route.backend_up", target, seconds=seconds, route=model, model=model, backend=f"{model}@{target}", down_s=12.0)


def entry(seq: int, told: Fact) -> Entry:
    return Entry(seq, told.at, told.actor, told.room, told.target, told.kind, told.facts, "", "")


def incident(
    *,
    key: str = "backend_down:fraud@eu-2",
    title: str = "fraud@eu-2 is down",
    severity: Severity = "error",
    state: IncidentState = "open",
    identifier: int = 1,
    acked_by: str = "",
    acked: float | None = None,
    recovered: float | None = None,
    resolved: float | None = None,
    resolved_by: str = "",
) -> Incident:
    return Incident(
        key,
        title,
        severity,
        T0,
        target="eu-2",
        model="fraud",
        state=state,
        acked_at=None if acked is None else at(acked),
        acked_by=acked_by,
        recovered_at=None if recovered is None else at(recovered),
        resolved_at=None if resolved is None else at(resolved),
        resolved_by=resolved_by,
        id=identifier,
    )
