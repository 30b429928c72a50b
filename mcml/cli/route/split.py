"""`mcml route split`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.errors import Usage, unknown
from mcml.core.view import Document

EXAMPLES = ("mcml route split fraud fraud=90 fraud-next=10", "mcml route split fraud --reset")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "split", examples=EXAMPLES, changes=True)(split)


def split(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    shares: Annotated[list[str] | None, typer.Argument(help="Percent of each model.", metavar="[MODEL=PERCENT]...")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Let mcml.toml hold again.")] = False,
    lasts: changing.For = "",
    reason: changing.Reason = "",
    force: changing.Force = False,
) -> Document:
    """Share a route out between models: a canary, or an A/B test.

    The shares add up to 100. A model without a backend that is up leaves its share to the others.
    """
    changing.known_route(session, route)
    if reset == bool(shares):
        raise Usage("say each model's share, or --reset", next_step="mcml route split --help")
    if reset:
        return changing.end(session, "split", route, "", reason)
    value: dict[str, object] = {"split": _shares(session, shares or [])}
    changing.require_fit(changing.known_route(session, route), value, "split")
    return changing.begin(session, changing.made(session, "split", route, value=value, reason=reason, lasts=lasts), force=force)


def _shares(session: Session, texts: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in texts:
        model, _, share = text.partition("=")
        if model not in session.settings.models:
            raise unknown("model", model, session.settings.models, next_step="mcml config show")
        if not share.isdecimal():
            raise Usage(f"{text!r} is no share", why="a share is a whole number of percent", next_step="mcml route split --help")
        found[model] = int(share)
    return found
