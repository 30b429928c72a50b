"""`mcml cost validate`."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost validate export.csv.gz",
    "mcml cost validate part-1.parquet part-2.parquet --focus 1.2 --supports all",
    "mcml cost validate --since 2026-11-01 --all -o json   # the ledger",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "validate", examples=EXAMPLES)(validate)


def validate(
    session: Session,
    files: Annotated[list[Path] | None, typer.Argument(help="The files of one export: CSV, gzip or Parquet (default: the ledger).")] = None,
    focus: Annotated[str, typer.Option("--focus", help="By the rules of which version: 1.2 or 1.4 (default: as the columns tell).")] = "",
    supports: Annotated[
        list[str] | None,
        typer.Option("--supports", help="What the provider supports: auto (as the values show), all, none, or a criterion (repeatable)."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every rule with its verdict.")] = False,
    since: Annotated[str, typer.Option("--since", help="Of the ledger: charges that start then or later (7d, today, 2026-11-01).")] = "",
    until: Annotated[str, typer.Option("--until", help="Of the ledger: charges that start before.")] = "",
) -> Document:
    """Check an export, or the ledger, by the official FOCUS rules; exit 1 when a rule of level MUST fails."""
    from mcml.cost.conformance import run, views

    if files:
        judged = run.of_files(files, focus, supports or ())
    else:
        judged = run.of_ledger(common.ledger(session), common.scope(session, since, until), focus, supports or ())
    if not judged.conforms:
        session.exit_code = exits.FAILED
    return views.conformance(judged, everything=everything)
