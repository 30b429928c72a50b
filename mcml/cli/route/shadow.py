"""`mcml route shadow`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_model, complete_route
from mcml.cli.options import command
from mcml.cli.route import changing, common
from mcml.cli.session import Session
from mcml.core.errors import Usage, unknown
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.core.fact import Fact
    from mcml.core.override import Override

EXAMPLES = (
    "mcml route shadow fraud fraud-next --percent 5    # copy 5 % of the requests to fraud-next and compare the answers",
    "mcml route shadow fraud                           # what it has shown so far",
    "mcml route shadow fraud --off",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "shadow", examples=EXAMPLES, changes=True)(shadow)


def shadow(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml; all reports when left out.", autocompletion=complete_route)] = "",
    model: Annotated[str, typer.Argument(help="The model that is tried beside.", autocompletion=complete_model, show_default=False)] = "",
    percent: Annotated[float, typer.Option("--percent", min=0.0001, max=100.0, help="Share of the requests that are copied.")] = 1.0,
    tolerance: Annotated[float, typer.Option("--tolerance", min=0.0, help="Largest difference of a number that is still the same.")] = 1e-3,
    off: Annotated[bool, typer.Option("--off", help="Copy nothing any more.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Show what it has shown (as without MODEL).")] = False,
    during: Annotated[str, typer.Option("--for", help="End by itself after so long: 2h, 7d.", show_default=False)] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for the journal.", show_default=False)] = "",
) -> Document:
    """Try a model beside the one that answers.

    Envoy copies a share of the requests; both models answer a copy once more, and their tensors are compared. No client waits for it, and
    none sees an answer of the shadow. Of a split route each copy is compared with the model that its request was sent to. The switch goes
    through the store: every router of the project follows, also after a restart.
    """
    if route and route not in session.settings.routes:
        raise unknown("route", route, session.settings.routes, next_step="mcml config show")
    if model or off:
        if report or (model and off) or not route:
            raise Usage("say one thing", why="MODEL, --off and --report exclude each other", next_step="mcml route shadow --help")
        value = {"model": model, "percent": f"{percent:g}", "tolerance": tolerance} if model else None
        return _switch(session, route, value, during, reason)
    return _report(session, route)


def _report(session: Session, route: str) -> Document:
    from mcml.route.aside.shadow import read_tallies
    from mcml.route.aside.shadow_views import report

    found = read_tallies(common.folder(session))
    return report([tally.report() for (name, _), tally in sorted(found.items()) if route in ("", name)], session.clock())


def _switch(session: Session, route: str, value: dict[str, object] | None, during: str, reason: str) -> Document:
    from mcml.core.clock import rfc3339
    from mcml.core.fact import current_actor
    from mcml.core.override import Override
    from mcml.core.when import later
    from mcml.route.aside.shadow_views import switched
    from mcml.route.records import read_running

    _check(session, route, value)
    if value is None and during:
        raise Usage("--off ends it at once", why="--for is for a shadow that begins", next_step=f"mcml route shadow {route} --off")
    now = session.clock()
    until = later(now, during) if during else None
    wanted = Override("shadow", route, "", current_actor(), now, {"shadow": value}, changing.one_line(reason), until)
    if not session.dry_run:
        _store(session, wanted)
    running = read_running(common.folder(session)) is not None
    return switched(route, value, running=running, until=rfc3339(until) if until else "", dry_run=session.dry_run)


def _check(session: Session, route: str, value: dict[str, object] | None) -> None:
    settings = session.settings
    own = settings.routes[route]
    if value is None:
        return
    model = str(value["model"])
    if model not in settings.models:
        raise unknown("model", model, settings.models, next_step="mcml config show")
    if model in (tuple(own.split) or (own.model or route,)):
        raise Usage(f"{model} answers this route already", why="a model beside itself shows nothing", next_step="mcml route status")
    if own.protocol == "grpc":
        raise Usage(f"{route} speaks gRPC alone", why="copies are made of requests over HTTP", next_step="mcml config show")


def _store(session: Session, wanted: "Override") -> None:
    """Put the switch in force; off is nothing at all where mcml.toml has no shadow."""
    from mcml.store import overrides as table

    of_settings = session.settings.routes[wanted.route].shadow
    with session.store.writing() as connection:
        if wanted.value["shadow"] is None and of_settings is None:
            before = table.remove(connection, wanted)
        else:
            before = table.put(connection, wanted)
    running = (before.value.get("shadow") if before else None) or of_settings
    if wanted.value["shadow"] is not None or running is not None:
        common.record(session)(_fact(wanted))


def _fact(wanted: "Override") -> "Fact":
    from dataclasses import replace

    from mcml.route.overrides import KINDS, begun

    fact = begun(wanted)
    return fact if wanted.value["shadow"] else replace(fact, kind=KINDS["shadow"][1])
