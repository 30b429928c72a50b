"""What people changed on routes at run time, put on top of mcml.toml; and what a change would break. Pure values."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict
from mcml.core.fact import Fact
from mcml.core.files import read_json, write_json
from mcml.core.override import Override
from mcml.core.schema_routes import Route
from mcml.core.when import span

ROOM = "route"
CACHE_FILE = "overrides.json"
"""The overrides as a router last read them: it starts with these, and goes on with them while the store is away."""


@dataclass(frozen=True)
class Rules:
    """A route as it is now: its settings with what people changed, and the overrides that are in force for it.

    `unfit`: those that no longer fit, because mcml.toml has changed since.
    """

    route: Route
    overrides: tuple[Override, ...] = ()
    unfit: tuple[Override, ...] = ()

    def drained(self, target: str) -> str:
        """Say who drained a target of the route, and why; empty when nobody did."""
        found = [one for one in self.overrides if one.kind == "drain" and one.target == target]
        return said(found[0]) if found else ""

    @property
    def pinned(self) -> str:
        """The target that gets everything while it is up; empty when none is pinned."""
        return next((one.target for one in self.overrides if one.kind == "pin"), "")


def rules(name: str, route: Route, overrides: Iterable[Override], now: datetime) -> Rules:
    """Put the overrides in force on a route. One that no longer fits is left out."""
    kept: list[Override] = []
    unfit: list[Override] = []
    for one in overrides:
        if not one.holds(now) or one.route not in ("", name):
            continue
        changed = changed_route(route, one.value) if one.kind in ("set", "split", "shadow") else route
        route = changed or route
        (unfit if changed is None else kept).append(one)
    return Rules(route, tuple(kept), tuple(unfit))


def changed_route(route: Route, value: Mapping[str, Any]) -> Route | None:
    """Return a route with some settings changed; None when they do not fit."""
    told = {key: getattr(route, key) for key in route.model_fields_set}
    try:
        return Route.model_validate({**told, **value})
    except ValidationError:
        return None


def said(override: Override) -> str:
    """Say an override in words: `drained by ann: a new disk`."""
    shadow = f"given the shadow {override.value['shadow']['model']}" if override.value.get("shadow") else "left without a shadow"
    words = {"drain": "drained", "pin": f"pinned to {override.target}", "set": "set", "split": "split", "shadow": shadow}
    return f"{words.get(override.kind, override.kind)} by {override.actor}" + (f": {override.reason}" if override.reason else "")


def told(override: Override, now: datetime) -> str:
    """Say an override to a person who looks now: `drained by ann 5m ago: a new disk (25m left)`."""
    what, _, reason = said(override).partition(": ")
    left = ""
    if override.until:
        seconds = (override.until - now).total_seconds()
        left = f" ({span(seconds)} left)" if seconds > 0 else f" (it ended {span(seconds)} ago)"
    return f"{what} {span((now - override.at).total_seconds())} ago" + (f": {reason}" if reason else "") + left


def difference(before: Rules, after: Rules) -> str:
    """Say what changed between two states of a route's rules, in words."""
    old, new = {one.key: one for one in before.overrides}, {one.key: one for one in after.overrides}
    added = [f"{_subject(one)}{said(one)}" for key, one in new.items() if old.get(key) != one]
    gone = [_undone(one) for key, one in old.items() if key not in new]
    return "; ".join([*added, *gone]) or "mcml.toml has changed"


def _subject(override: Override) -> str:
    return f"{override.target} was " if override.kind == "drain" else "the route was "


def _undone(override: Override) -> str:
    words = {
        "drain": f"{override.target} is no longer drained",
        "pin": f"the route is no longer pinned to {override.target}",
        "set": "the settings of mcml.toml hold again",
        "split": "the split of mcml.toml holds again",
        "shadow": "the shadow of mcml.toml holds again",
    }
    return words.get(override.kind, f"{override.kind} has ended")


# --- in the journal

KINDS: Mapping[str, tuple[str, str]] = {
    "drain": ("route.drained", "route.undrained"),
    "pin": ("route.pinned", "route.unpinned"),
    "set": ("route.settings_changed", "route.settings_reset"),
    "split": ("route.split_changed", "route.split_reset"),
    "shadow": ("route.shadow_started", "route.shadow_ended"),
}
"""The fact that an override begins, and the one that it ends."""


def begun(override: Override, model: str = "") -> Fact:
    """Return the fact that an override is in force. `model` is the one behind its route."""
    until = rfc3339(override.until) if override.until else ""
    facts = {"route": override.route, "model": model, "value": dict(override.value), "reason": override.reason, "until": until}
    return Fact(KINDS[override.kind][0], ROOM, override.target, facts, override.at, override.actor)


def ended(override: Override, at: datetime, actor: str, reason: str = "", model: str = "") -> Fact:
    """Return the fact that it no longer is."""
    held = round((at - override.at).total_seconds())
    facts = {"route": override.route, "model": model, "value": dict(override.value), "reason": reason, "by": override.actor, "held_s": held}
    return Fact(KINDS[override.kind][1], ROOM, override.target, facts, at, actor)


# --- what a change would break


def require_backends(
    routes: Mapping[str, Route],
    targets: Mapping[str, frozenset[str]],
    before: Sequence[Override],
    after: Sequence[Override],
    now: datetime,
) -> None:
    """Check that a change leaves every route (and data region) a target that is not drained. Raises Conflict with the way out.

    `targets` holds for each route the targets that serve it now. What had none before is not the fault of the change.
    """
    for name, route in sorted(routes.items()):
        had, left = (_places(rules(name, route, overrides, now), targets.get(name, frozenset())) for overrides in (before, after))
        for where, remaining in left.items():
            if not remaining and had.get(where):
                gone = ", ".join(sorted(had[where]))
                raise Conflict(
                    f"this would leave {where or f'the route {name}'} without a backend",
                    why=f"{gone} is all that serves it now",
                    next_step=f"mcml route undrain TARGET first, or the same command with --force: {name} then answers 503",
                )


def _places(found: Rules, targets: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the targets that may serve: of the route, or of each data region, which is named `the region eu of ...`."""
    able = frozenset(target for target in targets if not found.drained(target))
    if found.route.pattern == "residency":
        return {f"the region {region}": able & frozenset(inside) for region, inside in found.route.regions.items()}
    if found.route.pattern in ("active-passive", "burst", "cost-tiers") and found.route.tiers:
        able &= frozenset(target for tier in found.route.tiers for target in tier)
    return {"": able}


# --- kept beside the router


def to_json(override: Override) -> dict[str, Any]:
    """Turn an override into JSON values."""
    until = rfc3339(override.until) if override.until else None
    return {
        "kind": override.kind,
        "route": override.route,
        "target": override.target,
        "value": dict(override.value),
        "actor": override.actor,
        "reason": override.reason,
        "at": rfc3339(override.at),
        "until": until,
    }


def from_json(about: Mapping[str, Any]) -> Override:
    """Read an override. Raises KeyError, TypeError or ValueError for anything else."""
    until = parse_rfc3339(about["until"]) if about["until"] else None
    return Override(
        about["kind"],
        str(about["route"]),
        str(about["target"]),
        str(about["actor"]),
        parse_rfc3339(about["at"]),
        dict(about["value"]),
        str(about["reason"]),
        until,
    )


def write_cache(folder: Path, overrides: Sequence[Override]) -> None:
    """Keep the overrides beside the router."""
    write_json(folder / CACHE_FILE, [to_json(one) for one in overrides], durable=False)


def is_cached(folder: Path) -> bool:
    """Tell whether a router has read the overrides before."""
    return (folder / CACHE_FILE).exists()


def read_cache(folder: Path) -> tuple[Override, ...]:
    """Return the overrides that were kept; none when the file is not there, or is no longer readable."""
    try:
        return tuple(from_json(one) for one in read_json(folder / CACHE_FILE))
    except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError):
        return ()
