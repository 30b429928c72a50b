"""`mcml route set`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.core.schema_routes import Route

EXAMPLES = (
    "mcml route set fraud latency=0.5 cost=0.2 reliability=0.3",
    "mcml route set fraud timeout=10 exploration=0 --for 2h --reason 'a load test'",
    "mcml route set fraud --reset                                # what mcml.toml says holds again",
)
SCORE = ("latency", "cost", "reliability")
OTHERS = ("timeout", "per_try_timeout", "exploration")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "set", examples=EXAMPLES, changes=True)(set_)


def set_(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    settings: Annotated[list[str] | None, typer.Argument(help=f"{', '.join((*SCORE, *OTHERS))}.", metavar="[NAME=VALUE]...")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Let mcml.toml hold again.")] = False,
    lasts: changing.For = "",
    reason: changing.Reason = "",
) -> Document:
    """Change the settings of a route while it serves.

    The shares of the score must add up to 1; what is not named stays as it is. It outlives a restart; --reset takes all of it back.
    """
    changing.known_route(session, route)
    if reset == bool(settings):
        raise Usage("say what to set, or --reset", next_step="mcml route set --help")
    if reset:
        return changing.end(session, "set", route, "", reason)
    before = next((dict(one.value) for one in changing.in_force(session) if one.kind == "set" and one.route == route), {})
    value = merged(changing.rules_now(session, route, session.clock()), before, settings or [])
    return changing.begin(session, changing.made(session, "set", route, value=value, reason=reason, lasts=lasts))


def merged(route: "Route", before: dict[str, object], settings: list[str]) -> dict[str, object]:
    """Return the settings of an override with some more. Raises Usage for one that is not known or does not fit."""
    value = dict(before)
    score = {name: str(getattr(route.score, name)) for name in SCORE}
    for each in settings:
        name, _, text = each.partition("=")
        if name in SCORE:
            score[name] = text
            value["score"] = score
        elif name in OTHERS:
            value[name] = _number(name, text)
        else:
            raise Usage(f"cannot set {name!r}", why=f"what can be set: {', '.join((*SCORE, *OTHERS))}", next_step="mcml route set --help")
    changing.require_fit(route, value)
    return value


def _number(name: str, text: str) -> int | float:
    try:
        return int(text) if name == "exploration" else float(text)
    except ValueError:
        raise Usage(f"{name}={text} is no number", next_step=f"mcml route set ROUTE {name}=10") from None
