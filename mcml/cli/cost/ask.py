"""`mcml cost ask`."""

from typing import Annotated

import typer

from mcml.cli import options
from mcml.cli.cost import common
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost ask                                   # the 66 official FOCUS questions",
    "mcml cost ask identify-unused-commitments --since 2026-11-01",
    "mcml cost ask analyze-tag-coverage --param provider=AWS --param tag=team",
    "mcml cost ask costs-service-name --since 2026-11-01 --rows -o csv",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    options.command(app, "ask", examples=EXAMPLES, rows=True)(ask)


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
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --rows: at most so many (0: 100).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows that the question reads, dearest first, and the query.")] = False,
) -> Document:
    """Ask the ledger one of the official FOCUS use cases."""
    from mcml.cost.questions import library, views
    from mcml.cost.views import with_sources
    from mcml.store.ledger import question_rows, questions

    if not question:
        return views.catalogue(library.questions().values())
    chosen, scope = library.find(question), common.scope(session, since, until)
    if show_sql:
        return views.wording(chosen)
    values = chosen.bound(library.read_parameters(param or ()), {"since": scope.since, "until": scope.until})
    ledger = common.ledger(session)
    if rows:
        return common.shown(session, question_rows.behind(ledger, chosen.sql, values, limit or common.ROWS))
    made_of = question_rows.made_of(ledger, chosen.sql, values)
    answers = questions.ask_apart(ledger, chosen.sql, values, {group.currency for group in made_of})
    shown = views.answer(chosen, answers, values, _rows(chosen.name, param, since, until))
    return with_sources(shown, {"all": made_of}, common.usual_error(ledger))


def _rows(name: str, param: list[str] | None, since: str, until: str) -> str:
    """Return the command that shows the rows behind an answer."""
    from mcml.cost.commands import command

    times = [word for option, said in (("--since", since), ("--until", until)) if said for word in (option, said)]
    return command("ask", name, *(word for each in param or () for word in ("--param", each)), *times, "--rows")
