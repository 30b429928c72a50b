"""Documents about what people changed on routes at run time."""

from datetime import datetime
from typing import Any

from mcml.core.override import Override
from mcml.core.view import Document, State, Status, Text
from mcml.route.overrides import told


def subject(override: Override) -> str:
    """Name what an override is about: a target, `route@target`, or a route."""
    return "@".join(filter(None, (override.route, override.target)))


def _item(override: Override) -> dict[str, Any]:
    return {
        "name": subject(override),
        "kind": override.kind,
        "route": override.route,
        "target": override.target,
        "value": dict(override.value),
        "reason": override.reason,
        "actor": override.actor,
        "at": override.at,
        "until": override.until,
    }


def changed(override: Override, before: Override | None, *, dry_run: bool = False) -> Document:
    """Show that an override is in force, or would be, and the one that it replaces."""
    words = {"drain": "drained", "pin": "pinned", "set": "set", "split": "split", "shadow": "shadowed"}
    word = f"would be {words[override.kind]}" if dry_run else words[override.kind]
    text = f"{subject(override)}{_value(override)}" + _until(override)
    blocks: list[Any] = [Status(State(word, "idle" if dry_run else "ok"), text)]
    if override.kind == "drain":
        blocks.append(Text("new requests go elsewhere, those under way end"))
    if before:
        blocks.append(Text(f"instead of: {told(before, override.at)}{_value(before)}"))
    return Document("RouteOverride", [{**_item(override), "in_force": not dry_run}], tuple(blocks))


def _until(override: Override) -> str:
    """Say when it ends, with the day where that is another one."""
    if override.until is None:
        return ""
    day = "" if override.until.date() == override.at.date() else f"{override.until:%Y-%m-%d} "
    return f" until {day}{override.until:%H:%M:%S} UTC"


def undone(override: Override, now: datetime, *, dry_run: bool = False) -> Document:
    """Show that an override is no longer in force, or would not be."""
    words = {"drain": "undrained", "pin": "unpinned", "set": "reset", "split": "reset", "shadow": "ended"}
    word = f"would be {words[override.kind]}" if dry_run else words[override.kind]
    blocks = (Status(State(word, "idle" if dry_run else "ok"), subject(override)), Text(f"it was {told(override, now)}"))
    return Document("RouteOverride", [{**_item(override), "in_force": dry_run}], blocks)


def _value(override: Override) -> str:
    parts = []
    for key, value in override.value.items():
        inner = value.items() if isinstance(value, dict) else [(key, value)]
        parts += [f"{name}={one}" for name, one in inner]
    return f": {' '.join(parts)}" if parts else ""
