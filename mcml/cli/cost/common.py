"""What the verbs of `mcml cost` share: where the ledger lies, and spans of time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

    from mcml.cost.rates.convert import Converted, Exchanged
    from mcml.cost.rates.table import Rates
    from mcml.cost.span import Span
    from mcml.providers.api.bill_formats import BillFormat
    from mcml.store.ledger.book import Ledger, Scope
    from mcml.store.ledger.dimensions import Filter
    from mcml.store.ledger.pushdown import WarehouseLedger
    from mcml.store.ledger.rows import Behind

    Costs = Ledger | WarehouseLedger


def folder(session: Session) -> "Path":
    """Return the folder of the project's ledger."""
    return session.config.state / "cost"


def ledger(session: Session, as_of: str = "") -> "Ledger":
    """Open the project's ledger for reading, as it is or as it was. Raises Usage for what is no time."""
    from mcml.core.when import moment
    from mcml.store.ledger.book import Ledger

    return Ledger(folder(session), moment(as_of, session.clock()) if as_of else None)


def scope(session: Session, since: str, until: str) -> "Scope":
    """Read --since and --until. Raises Usage for what is no time, and for an end that is not after the beginning."""
    from mcml.core.errors import Usage
    from mcml.core.when import moment
    from mcml.store.ledger.book import Scope

    begin, end = (moment(text, session.clock()) if text else None for text in (since, until))
    if begin and end and end <= begin:
        raise Usage("--until is not after --since", why="no charge could start then", next_step="mcml cost report --help")
    return Scope(begin, end)


def costs(session: Session, engine: str, as_of: str = "") -> "Costs":
    """Open what --engine names: the project's ledger, or the table of [cost.warehouse]. Raises Usage, NotFound, ProviderCannot."""
    from mcml.core.errors import Usage, did_you_mean
    from mcml.cost.scan import said
    from mcml.providers.api.capability import WAREHOUSE
    from mcml.store.ledger.pushdown import WarehouseLedger

    if engine not in ENGINES:
        raise Usage(f"no engine {engine!r}", why=did_you_mean(engine, ENGINES), next_step="mcml cost report --help")
    if engine == "ledger":
        return ledger(session, as_of)
    if as_of:
        raise Usage("--as-of asks the ledger", why="a warehouse knows no earlier versions", next_step="leave out --as-of or --engine")
    told = session.settings.cost.warehouse
    if told is None:
        why, step = "[cost.warehouse] is not in mcml.toml", "name its provider, engine and table there: mcml config --help"
        raise Usage("no warehouse is set up", why=why, next_step=step)
    warehouse = session.open_provider(WAREHOUSE, told.provider)
    return WarehouseLedger(warehouse, told.engine, told.table, lambda size: session.note(said(told.table, size, told.price_per_tib)))


def bill_formats(session: Session) -> "list[BillFormat]":
    """Return the formats of bills that the installed providers know; one that is broken, or not set up, hides no other."""
    from mcml.core.errors import McmlError, Usage
    from mcml.providers import discovery
    from mcml.providers.api.capability import BILL_FORMATS

    found: list[BillFormat] = []
    for name, spec in discovery.specs():
        if isinstance(spec, McmlError) or not spec.offer(BILL_FORMATS).support.usable:
            continue
        try:
            context = session.context(name)
        except Usage:
            if name in session.settings.providers:
                raise
            continue  # its settings have no defaults, and it is not used here
        found += discovery.open_capability(spec, BILL_FORMATS, context)
    return found


def complete_dimension(incomplete: str) -> list[str]:
    """Complete what costs can be grouped by."""
    from mcml.store.ledger.dimensions import DIMENSIONS

    return [name for name in DIMENSIONS if name.startswith(incomplete)]


def rates(session: Session) -> "Rates":
    """Read the exchange rates of [cost.rates]. Raises Usage without any, or for a file that cannot be read."""
    from mcml.core.errors import Usage
    from mcml.cost.rates.table import ADVICE, read

    told = session.settings.cost.rates
    if not told.file:
        raise Usage("no exchange rates are set up", why="[cost.rates] is not in mcml.toml", next_step="mcml cost rates")
    path = session.config.project / told.file
    try:
        return read(path.read_text(encoding="utf-8"), told.source or path.name, told.max_age)
    except (OSError, UnicodeDecodeError) as wrong:
        raise Usage(f"cannot read {path}", why=str(wrong), next_step=ADVICE) from wrong
    except Usage as wrong:
        raise Usage(f"{path}: {wrong.message}", why=wrong.why, next_step=wrong.next_step) from wrong


def rates_of_budgets(session: Session) -> "Rates | None":
    """Return the exchange rates when a budget wants them and there are some; what cannot be read is said, and stops no other budget."""
    from mcml.core.errors import Usage, said

    cost = session.settings.cost
    if not cost.rates.file or not any(budget.convert for budget in cost.budgets.values()):
        return None
    try:
        return rates(session)
    except Usage as wrong:
        session.note(said(wrong))
        return None


def converted(session: Session, costs: "Costs", by: Sequence[str], scope: "Scope", currency: str) -> "Converted":
    """Ask for costs by dimensions, all in one currency, each charge by the rate of its day. Raises Usage, NotFound without a rate."""
    from mcml.cost.rates.convert import asked, check_currency, convert

    return convert(costs.totals(asked(by), scope), by, rates(session), check_currency(currency))


def exchanged(session: Session, costs: "Costs", currency: str) -> "Exchanged":
    """Return what is asked for costs in one currency. Raises Usage for what is none, or without rates."""
    from mcml.cost.rates.convert import Exchanged, check_currency

    return Exchanged(costs, rates(session), check_currency(currency))


Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="Only these costs: DIMENSION=VALUE,VALUE, or != ~ !~ (~ takes a pattern: service~Amazon*; tag:KEY is a tag). Repeatable.",
        show_default=False,
    ),
]
AsOf = Annotated[
    str, typer.Option("--as-of", help="As it was known then: 2026-11-01 (its midnight UTC), yesterday, 7d.", show_default=False)
]
Currency = Annotated[
    str,
    typer.Option("--currency", help="All in this currency, such as EUR, by the dated rates of [cost.rates].", show_default=False),
]
Month = Annotated[str, typer.Option("--month", help="Only this month: 2026-10.", show_default=False)]
Last = Annotated[str, typer.Option("--last", help="Only the last whole day, week, month, quarter or year.", show_default=False)]


def names(by: Sequence[str] | None, default: Sequence[str]) -> tuple[str, ...]:
    """Read --by: names with commas between, in one option or several, each once."""
    return tuple(dict.fromkeys(name.strip() for text in by or () for name in text.split(",") if name.strip())) or tuple(default)


def filters(where: Sequence[str] | None) -> "tuple[Filter, ...]":
    """Read --where. Raises Usage for what is no condition."""
    from mcml.store.ledger.dimensions import parse

    return tuple(parse(text) for text in where or ())


def period(session: Session, since: str = "", until: str = "", month: str = "", last: str = "") -> "Span | None":
    """Read --month, --last, or --since and --until; None without any of them or without a beginning. Raises Usage."""
    from mcml.core.errors import Usage
    from mcml.core.when import moment
    from mcml.cost import span

    now = session.clock()
    if sum(map(bool, (since or until, month, last))) > 1:
        raise Usage("--month, --last and --since exclude each other", next_step="give one of them")
    if last:
        if last not in span.UNITS:
            raise Usage(f"there is no last {last!r}", why=f"choose one of {', '.join(span.UNITS)}", next_step="--last month, or --since 7d")
        return span.read(f"last-{last}", now)
    if month:
        return span.month(month, now)
    if not since:
        return None
    start, end = moment(since, now), moment(until, now) if until else now
    if end <= start:
        raise Usage("--until is not after --since", next_step="mcml cost report --help")
    return span.Span(start, end)


def chosen(session: Session, where: Sequence[str] | None, since: str, until: str, month: str = "", last: str = "") -> "Scope":
    """Read which costs are meant: --where, and one of --month, --last, --since and --until. Raises Usage."""
    from dataclasses import replace

    found = period(session, since, until, month, last) if month or last else None
    plain = replace(scope(session, since, until), filters=filters(where))
    return replace(plain, since=found.start, until=found.end) if found else plain


def rows(session: Session, scope: "Scope", limit: int, engine: str = "ledger", as_of: str = "") -> Document:
    """Show the rows that a scope chooses; the query goes to stderr. Raises Usage for any engine but the ledger."""
    from mcml.core.errors import Usage
    from mcml.store.ledger.rows import behind

    if engine != "ledger":
        raise Usage("--rows shows rows of the ledger", why="a warehouse is asked for totals only", next_step="leave out --rows or --engine")
    return shown(session, behind(ledger(session, as_of), scope, limit or ROWS))


def shown(session: Session, found: "Behind") -> Document:
    """Show the rows behind a number; the query goes to stderr."""
    from mcml.cost import views

    session.note(found.query)
    return views.behind(found)


def either(earlier: "Span", later: "Span", filters: "Sequence[Filter]") -> "Scope":
    """Return the scope of the rows of two spans. Raises Usage when they are apart and one of them is a part of a day."""
    from datetime import timedelta

    from mcml.core.errors import Usage
    from mcml.store.ledger.book import Scope
    from mcml.store.ledger.dimensions import Filter

    whole = Scope(min(earlier.start, later.start), max(earlier.end, later.end), filters=tuple(filters))
    if earlier.end == later.start:
        return whole
    day = timedelta(days=1)
    if any((span.end - span.start) % day for span in (earlier, later)):
        why = "a day that has only begun is compared up to now"
        raise Usage("--rows shows rows of whole days", why=why, next_step="mcml cost report --since today --rows")
    count = {span: (span.end - span.start) // day for span in (earlier, later)}
    days = {f"{span.start + number * day:%Y-%m-%d}" for span in count for number in range(count[span])}
    return Scope(whole.since, whole.until, filters=(*filters, Filter("day", "=", tuple(sorted(days)))))


def sourced(costs: "Costs | Exchanged", document: Document, known: "Ledger | None" = None, **spans: "Scope") -> Document:
    """Add to a document which share of each of its spans is billed, measured or estimated, and how far off estimates usually are.

    `known`: the project's ledger, where the costs are those of a warehouse.
    """
    from mcml.cost.report import SOURCE
    from mcml.cost.views import with_sources

    found = {name: costs.totals((SOURCE,), scope) for name, scope in spans.items()}
    return with_sources(document, found, usual_error(costs, known))


def usual_error(costs: "Costs | Exchanged", known: "Ledger | None" = None) -> "Mapping[str, Decimal]":
    """Return how far off the estimates of each currency usually are, in percent.

    Only a ledger knows what became of estimates; those in a warehouse were made by mcml, so the project's own ledger (`known`) answers.
    """
    from mcml.cost.meter import truth
    from mcml.cost.rates.convert import Exchanged
    from mcml.store.ledger.book import Ledger

    asked = costs.costs if isinstance(costs, Exchanged) else costs
    ledger = asked if isinstance(asked, Ledger) else known
    if ledger is None:
        return {}
    if isinstance(costs, Exchanged):
        return truth.usual_error_in(ledger, costs.rates, costs.currency)
    return truth.usual_error(ledger)


ENGINES = ("ledger", "warehouse")
ROWS = 100
"""How many rows are shown when nobody says how many."""
