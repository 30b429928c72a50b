"""Ingest: files, the shipped sample, or a provider's bill into the ledger; one fact a currency into the journal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.cost.intake.bills import Bill
from mcml.cost.intake.quarantine import SAMPLE_NAME
from mcml.providers.api.billing import Billing, Period
from mcml.store import prices
from mcml.store.db import Store
from mcml.store.ledger.bills import Window
from mcml.store.ledger.exact import plain, total
from mcml.store.ledger.intake import Ingested, Intake
from mcml.store.ledger.losses import WouldLose
from mcml.store.ledger.manifest import Delivery

SAMPLE = Path(__file__).parent / "samples" / "focus_1_0_real_anonymised_1000.csv.gz"


def ingest_files(intake: Intake, store: Store, paths: Sequence[Path], reporter: Reporter, *, origin: str = "", given: str = "") -> Ingested:
    """Book FOCUS files as one delivery: the accounts and months in them are replaced by what they say.

    `origin` is its name, `given` the address that a person named; without them they are the names and the paths of the files.
    Raises NotFound, InvalidRequest (which file, what is wrong), Conflict (a file or the ledger is being written).
    """
    name = origin or ", ".join(path.name for path in paths)
    with _step(reporter, name, "reading"):
        done = intake.files(paths, origin=origin, given=(given,) if given else ())
    return _told(intake, store, done, reporter, name)


def ingest_bill(intake: Intake, store: Store, bill: Bill, reporter: Reporter, *, origin: str = "", given: str = "") -> Ingested:
    """Book a provider's bill in its own format as one delivery, like `ingest_files`. Raises what `Bill.rows` and `Intake.rows` raise."""
    name = origin or bill.name
    named = (given,) if given else [str(file.source.path.resolve()) for file in bill.files]
    with _step(reporter, name, bill.format.name):
        done = intake.rows(bill.rows(), origin=name, given=named)
    return _told(intake, store, done, reporter, name)


def ingest_sample(intake: Intake, store: Store, reporter: Reporter) -> Ingested:
    """Book the real, anonymised bill that ships with mcml: 1,000 FOCUS 1.0 rows of three clouds (September 2024; see samples/NOTICE)."""
    return ingest_files(intake, store, [SAMPLE], reporter, origin=SAMPLE_NAME)


def ingest_provider(intake: Intake, store: Store, billing: Billing, provider: str, period: Period, reporter: Reporter) -> Ingested:
    """Book a provider's charges of a period, whatever bill they are on, and write its unit prices into the catalogue.

    What the ledger has of other charges on the same bills stays: a late one of May on June's bill, when June is fetched.
    Raises what the provider raises (NotAuthenticated, Unavailable), and then nothing is booked.
    """
    reporter.start(provider, "asking for the bill")
    if not intake.dry_run:
        unit_prices = billing.unit_prices()
        with store.writing() as connection:
            prices.record(connection, provider, unit_prices)
    done = intake.rows(billing.rows(period), origin=provider, window=Window(period.start, period.end))
    return _told(intake, store, done, reporter, provider)


def whole_months(since: datetime, now: datetime) -> Period:
    """Return the period from the first day of `since`'s month to now: taxes and fees of a month are dated at its beginning."""
    return Period(since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0), now)


@contextmanager
def _step(reporter: Reporter, name: str, text: str) -> Iterator[None]:
    """Begin a step, and end it when the delivery is refused: others may follow."""
    reporter.start(name, text)
    try:
        yield
    except WouldLose:
        reporter.finish(name, "not booked, it would replace another part of a bill", ok=False)
        raise


def _told(intake: Intake, store: Store, done: Ingested, reporter: Reporter, name: str) -> Ingested:
    delivery = done.delivery
    if not done.unchanged and not intake.dry_run:
        store.append(*facts(delivery))
    said = f"{delivery.rows} rows" + (f", {delivery.quarantined} in quarantine" if delivery.quarantined else "")
    reporter.finish(name, f"{said}, nothing new" if done.unchanged else said, ok=bool(delivery.rows or not delivery.quarantined))
    return done


def facts(delivery: Delivery) -> list[Fact]:
    """Return what the journal is told of a delivery: one fact a currency (the currency is empty where no row had a readable one)."""
    found = []
    for currency in dict.fromkeys(line["currency"] for line in (*delivery.booked, *delivery.refused)):
        booked = [line for line in delivery.booked if line["currency"] == currency]
        refused = [line for line in delivery.refused if line["currency"] == currency]
        said = {
            "source": delivery.origin,
            "provider": ", ".join(dict.fromkeys(line["provider"] for line in booked)),
            "rows": sum(line["rows"] for line in booked),
            "quarantined": sum(line["rows"] for line in refused),
            "billed": plain(total(Decimal(line["billed"]) for line in booked)),
            "currency": currency,
            "delivery": delivery.id,
        }
        found.append(Fact("cost.ingested", "cost", facts=said))
    return found
