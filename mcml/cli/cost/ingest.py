"""`mcml cost ingest`."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_provider
from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.fanout import ask_all

if TYPE_CHECKING:
    from mcml.store.ledger.intake import Ingested, Intake

EXAMPLES = (
    "mcml cost ingest focus-2026-10.csv.gz focus-2026-11.parquet",
    "mcml cost ingest export.csv --dry-run",
    "mcml cost ingest --provider local --since 7d",
    "mcml cost ingest --sample",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "ingest", examples=EXAMPLES, changes=True)(ingest)


def ingest(
    session: Session,
    files: Annotated[list[Path] | None, typer.Argument(help="FOCUS exports: CSV, gzip or Parquet.", show_default=False)] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="Ask this provider for its bill (repeatable).", autocompletion=complete_provider),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="How far back to ask a provider; whole months are fetched.")] = "7d",
    sample: Annotated[bool, typer.Option("--sample", help="The real, anonymised bill that ships with mcml (1,000 rows).")] = False,
) -> None:
    """Bring bills into the ledger. What was in it about the same account and month is replaced, so twice is the same as once.

    Give all files of a month in one command. A row that breaks a rule goes into quarantine with the reason; the rest is booked.
    """
    from mcml.cost import views
    from mcml.store.ledger.intake import Intake

    if not (files or provider or sample):
        raise Usage("nothing to ingest", why="give files, --provider or --sample", next_step="mcml cost ingest --help")
    intake = Intake(common.folder(session), session.clock, dry_run=session.dry_run)
    done = _files(session, intake, files or [], sample=sample)
    asked = ask_all({name: partial(_provider, session, intake, name, since) for name in dict.fromkeys(provider or ())})
    again = shlex.join(["mcml", "cost", "ingest", *(word for name in asked.failed for word in ("--provider", name)), "--since", since])
    if done or asked.given:
        session.show(views.ingested([*done, *asked.given.values()], dry_run=session.dry_run))
    asked.raise_failures("the bill of", next_step=again)


def _files(session: Session, intake: "Intake", files: list[Path], *, sample: bool) -> "list[Ingested]":
    from mcml.cost.ingest import ingest_files, ingest_sample

    done = [ingest_files(intake, session.store, files, session.reporter)] if files else []
    return [*done, ingest_sample(intake, session.store, session.reporter)] if sample else done


def _provider(session: Session, intake: "Intake", name: str, since: str) -> "Ingested":
    from mcml.core.when import moment
    from mcml.cost.ingest import ingest_provider, whole_months
    from mcml.providers.api.capability import BILLING

    now = session.clock()
    billing = session.open_provider(BILLING, name)
    return ingest_provider(intake, session.store, billing, name, whole_months(moment(since, now), now), session.reporter)
