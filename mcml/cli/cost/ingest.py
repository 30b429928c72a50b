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
    from collections.abc import Mapping

    from mcml.cli.cost.booking import Booking
    from mcml.data.address import ObjectAddress
    from mcml.store.ledger.intake import Ingested, Intake

EXAMPLES = (
    "mcml cost ingest focus-2026-10.csv.gz focus-2026-11.parquet",
    "mcml cost ingest export.csv --dry-run",
    "mcml cost ingest export.csv --strict   # a job fails when a row is refused",
    "mcml cost ingest s3://billing/exports/",
    "mcml cost ingest --provider local --since 7d",
    "mcml cost ingest --sample",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "ingest", examples=EXAMPLES, changes=True)(ingest)


def ingest(
    session: Session,
    files: Annotated[
        list[str] | None,
        typer.Argument(help="FOCUS exports, bills of AWS, Google, Azure: CSV, Parquet; s3:// gs:// az:// prefixes.", show_default=False),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="Ask this provider for its bill (repeatable).", autocompletion=complete_provider),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="How far back to ask a provider; whole months are fetched.")] = "7d",
    sample: Annotated[bool, typer.Option("--sample", help="The real, anonymised bill that ships with mcml (1,000 rows).")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when a row is in quarantine; all others are booked.")] = False,
) -> None:
    """Bring bills into the ledger. What was in it about the same account and month is replaced, so twice is the same as once.

    Give all files of a month in one command, Azure's actual and amortized exports, too: what would replace another piece of the same bill
    is refused without --yes, and all else is booked. Everything below a prefix is one delivery, unless the manifests of AWS's or Azure's
    exports are there: then the newest version of each month counts.
    A row that breaks a rule goes into quarantine with the reason; the rest is booked.
    """
    from mcml.cli.cost.booking import Booking
    from mcml.cost import views
    from mcml.cost.intake import quarantine
    from mcml.store.ledger.intake import Intake

    if not (files or provider or sample):
        raise Usage("nothing to ingest", why="give files, --provider or --sample", next_step="mcml cost ingest --help")
    booking = Booking(session, Intake(common.folder(session), session.clock, dry_run=session.dry_run))
    _files(booking, files or [], sample=sample)
    asked = ask_all({name: partial(_provider, session, booking.intake, name, since) for name in dict.fromkeys(provider or ())})
    again = shlex.join(["mcml", "cost", "ingest", *(word for name in asked.failed for word in ("--provider", name)), "--since", since])
    booked = [*booking.done, *asked.given.values()]
    if booked:
        session.show(views.ingested(booked, dry_run=session.dry_run))
    booking.raise_refused(asked.failed.values())
    asked.raise_failures("the bill of", next_step=again)
    if strict:
        quarantine.refuse(booked, dry_run=session.dry_run)


def _files(booking: "Booking", files: list[str], *, sample: bool) -> None:
    from mcml.cost.intake.ingest import ingest_sample
    from mcml.data.address import ObjectAddress, parse

    addresses = [parse(text) for text in files]
    _here(booking, [Path(str(each)) for each in addresses if not isinstance(each, ObjectAddress)])
    for address in addresses:
        if isinstance(address, ObjectAddress):
            _there(booking, address)
    if sample:
        booking.add(partial(ingest_sample, store=booking.session.store, reporter=booking.session.reporter))


def _here(booking: "Booking", files: list[Path], origin: str = "", names: "Mapping[Path, str] | None" = None, given: str = "") -> None:
    from mcml.cost.intake.bills import native
    from mcml.cost.intake.ingest import ingest_bill, ingest_files

    session = booking.session
    bills, focus = native(files, lambda: common.bill_formats(session), names)
    whose = origin if len(bills) + bool(focus) == 1 else ""  # two deliveries of one origin could not be told apart
    for bill in bills:
        booking.add(partial(ingest_bill, bill=bill, store=session.store, reporter=session.reporter, origin=whose, given=given))
    if focus:
        booking.add(partial(ingest_files, paths=focus, store=session.store, reporter=session.reporter, origin=origin, given=given))


def _there(booking: "Booking", address: "ObjectAddress") -> None:
    from mcml.cli.data.common import open_store
    from mcml.cost.intake.remote import Place, fetch

    session = booking.session
    place = Place(open_store(session)(address.scheme), str(address), address.bucket, address.key)
    for each in fetch(place, booking.intake.folder / "fetched", session.reporter):
        with each.told():
            _here(booking, list(each.paths), each.origin, each.addresses, given=str(address))


def _provider(session: Session, intake: "Intake", name: str, since: str) -> "Ingested":
    from mcml.core.when import moment
    from mcml.cost.intake.ingest import ingest_provider, whole_months
    from mcml.providers.api.capability import BILLING

    now = session.clock()
    begin = moment(since, now)
    if begin > now:
        raise Usage(f"--since {since} is in the future", why="a bill tells what was", next_step="mcml cost ingest --help")
    billing = session.open_provider(BILLING, name)
    return ingest_provider(intake, session.store, billing, name, whole_months(begin, now), session.reporter)
