"""What the verbs share that change a route at run time: which routes and targets there are, and the way into the store and the journal."""

import unicodedata
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import NotFound, Usage, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mcml.core.override import Kind, Override
    from mcml.core.schema_routes import Route
    from mcml.core.view import Document

Reason = Annotated[str, typer.Option("--reason", help="Why: shown in status and explain, and kept in the journal.", show_default=False)]
For = Annotated[str, typer.Option("--for", help="Ends by itself after this span: 30m, 2h.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Also when it leaves a route without a backend.")]


def one_line(reason: str) -> str:
    """Return a reason that others can read where they look. Raises Usage for line ends and what steers a terminal."""
    if any(unicodedata.category(each) == "Cc" for each in reason):
        raise Usage("a reason is one line of text", why="this one has a line end, or steers a terminal", next_step="write it as one line")
    return reason


def known_route(session: Session, name: str) -> "Route":
    """Return a route of mcml.toml. Raises NotFound with the nearest name."""
    if name not in session.settings.routes:
        raise unknown("route", name, session.settings.routes, next_step="mcml config show")
    return session.settings.routes[name]


def place(session: Session, text: str) -> tuple[str, str]:
    """Read `TARGET` or `ROUTE@TARGET` into route (empty: all) and target. Raises NotFound for names that mcml.toml does not have."""
    route, _, target = text.rpartition("@")
    if route:
        known_route(session, route)
    if target not in session.settings.targets:
        raise unknown("target", target, session.settings.targets, next_step="mcml config show")
    return route, target


def made(
    session: Session, kind: "Kind", route: str, target: str = "", *, value: dict[str, object] | None = None, reason: str, lasts: str
) -> "Override":
    """Return the override that a command asks for, made by whoever asks."""
    from mcml.core.fact import current_actor
    from mcml.core.override import Override
    from mcml.core.when import later

    now = session.clock()
    return Override(kind, route, target, current_actor(), now, value or {}, one_line(reason), later(now, lasts) if lasts else None)


def in_force(session: Session) -> "list[Override]":
    """Return the overrides in force, the oldest first."""
    from mcml.store import overrides as table

    with session.store.reading() as connection:
        return [one for one in table.every(connection) if one.holds(session.clock())]


def begin(session: Session, override: "Override", *, force: bool = False) -> "Document":
    """Put an override in force and journal it. Raises Conflict when it leaves a route without a backend, unless `force`.

    It replaces the one for the same; a route has one pin, so that of another target ends.
    """
    from mcml.route import override_views
    from mcml.route.overrides import begun, require_backends
    from mcml.store import overrides as table

    now = in_force(session)
    same = slice(2) if override.kind == "pin" else slice(3)
    replaced = [one for one in now if one.key[same] == override.key[same]]
    after = [one for one in now if one not in replaced] + [override]
    if not force:
        require_backends(session.settings.routes, serving(session), now, after, override.at)
    before = next(iter(replaced), None)
    if session.dry_run:
        return override_views.changed(override, before, dry_run=True)
    with session.store.writing() as connection:
        for one in replaced:
            table.remove(connection, one)
        table.put(connection, override)
    common.record(session)(begun(override, model_of(session, override.route)))
    note_if_alone(session)
    return override_views.changed(override, before)


def require_fit(route: "Route", value: dict[str, object], verb: str = "set") -> None:
    """Check that settings fit a route. Raises Usage with what is wrong; `verb` is the one that says how they are written."""
    from pydantic import ValidationError

    from mcml.core.schema_routes import Route

    try:
        Route.model_validate({**{key: getattr(route, key) for key in route.model_fields_set}, **value})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = str(first["msg"]).removeprefix("Value error, ")
        raise Usage("these settings do not fit", why=f"{where}: {why}" if where else why, next_step=f"mcml route {verb} --help") from None


def end(session: Session, kind: "Kind", route: str, target: str, reason: str) -> "Document":
    """Take an override out of force and journal it. Raises NotFound when there is none."""
    from mcml.core.fact import current_actor
    from mcml.route import override_views
    from mcml.route.overrides import ended
    from mcml.store import overrides as table

    reason = one_line(reason)
    found = next((one for one in in_force(session) if one.key == (kind, route, target)), None)
    if found is None:
        raise none_in_force(session, kind, route, target)
    if session.dry_run:
        return override_views.undone(found, session.clock(), dry_run=True)
    with session.store.writing() as connection:
        table.remove(connection, found)
    now = session.clock()
    common.record(session)(ended(found, now, current_actor(), reason, model_of(session, route)))
    note_if_alone(session)
    return override_views.undone(found, now)


def none_in_force(session: Session, kind: "Kind", route: str, target: str) -> NotFound:
    """Build the error for something to undo that nobody did."""
    words = {"drain": f"{target} is not drained", "pin": f"{route} is not pinned", "set": f"nobody changed the settings of {route}"}
    what = words.get(kind, f"nobody changed the {kind} of {route}") + (f" on {route}" if kind == "drain" and route else "")
    other = [f"{one.route}@{one.target}" if one.route else one.target for one in in_force(session) if one.kind == kind]
    return NotFound(what, why=f"in force: {', '.join(other)}" if kind == "drain" and other else "", next_step="mcml route status")


def serving(session: Session) -> "dict[str, frozenset[str]]":
    """Return the targets of each route that are up, as the router sees them; without a router, those that mcml.toml names."""
    running = _seen_up(session)
    settings = session.settings
    return {
        name: running.get(name) or frozenset(target for model in _models(name, route) for target in settings.models[model].targets)
        for name, route in settings.routes.items()
    }


def _seen_up(session: Session) -> "dict[str, frozenset[str]]":
    from mcml.route import records

    folder = common.folder(session)
    if records.read_running(folder) is None:
        return {}
    rows: Sequence[dict[str, object]] = records.read_status(folder)["routes"]
    return {
        str(row["route"]): frozenset(one["target"] for one in row["backends"] if one["state"] in ("up", "trial"))  # type: ignore[attr-defined]
        for row in rows
    }


def _models(name: str, route: "Route") -> tuple[str, ...]:
    return tuple(route.split) or (route.model or name,)


def targets_of(session: Session, name: str) -> list[str]:
    """Return the targets on which a route's models may run."""
    found = [target for model in _models(name, known_route(session, name)) for target in session.settings.models[model].targets]
    return list(dict.fromkeys(found))


def model_of(session: Session, route: str) -> str:
    """Return the model behind a route; empty for all routes."""
    return (session.settings.routes[route].model or route) if route in session.settings.routes else ""


def note_if_alone(session: Session) -> None:
    """Say when no router runs here that would obey."""
    from mcml.route.records import read_running

    if read_running(common.folder(session)) is None:
        session.note("no router of this project runs on this machine; the change holds as soon as one does")


def rules_now(session: Session, name: str, now: "datetime") -> "Route":
    """Return a route with what people changed."""
    from mcml.route.overrides import rules

    return rules(name, known_route(session, name), in_force(session), now).route
