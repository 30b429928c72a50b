"""`mcml cost ask`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost ask                                   # the 66 official FOCUS questions",
    "mcml cost ask identify-unused-commitments --since 2026-11-01",
    "mcml cost ask analyze-tag-coverage --param provider=AWS --param tag=team",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "ask", examples=EXAMPLES)(ask)


def complete_question(incomplete: str) -> list[str]:
    """Complete the name of a question."""
    from mcml.cost.questions.library import questions

    return [name for name in questions() if name.startswith(incomplete)]


def ask(
    session: Session,
    question: Annotated[
        str, typer.Argument(help="Its name, or how it begins (default: list them).", autocompletion=complete_question, show_default=False)
    ] = "",
    param: Annotated[list[str] | None, typer.Option("--param", help="What it asks for: NAME=VALUE (repeatable).")] = None,
    since: Annotated[str, typer.Option("--since", help="7d, today, 2026-11-01: charges or billing periods that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; those that end before, as the official queries have it.")] = "",
    show_sql: Annotated[bool, typer.Option("--sql", help="Show the query instead of running it.")] = False,
) -> Document:
    """Ask the ledger one of the official FOCUS use cases."""
    from mcml.cost.questions import library, views
    from mcml.store.ledger import questions

    if not question:
        return views.catalogue(library.questions().values())
    chosen, scope = library.find(question), common.scope(session, since, until)
    if show_sql:
        return views.wording(chosen)
    values = chosen.bound(library.read_parameters(param or ()), {"since": scope.since, "until": scope.until})
    return views.answer(chosen, questions.ask(common.ledger(session), chosen.sql, values))
