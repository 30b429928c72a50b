"""What exchange rates look like, and costs that were converted by them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Section, State, Status, Table, Text, listing
from mcml.cost.rates.convert import Converted, Used
from mcml.cost.rates.table import Rates
from mcml.store.ledger.exact import plain, tidy, total

LISTED = (
    Column("from", "From"),
    Column("to", "To"),
    Column("rate", "Rate"),
    Column("date", "Of"),
    Column("days", "Days", "number"),
    Column("since", "Since"),
    Column("state", "State", "state"),
)
USED = (
    Column("from", "From"),
    Column("to", "To"),
    Column("first_day", "Costs from"),
    Column("last_day", "Until"),
    Column("days", "Days", "number"),
    Column("rate", "Rate"),
    Column("published", "Rates of"),
    Column("how", "How"),
)
EMPTY = "no exchange rates are set up, so costs stay in their own currencies"
SET_UP = """\
[cost.rates]
file = "rates/eurofxref-hist.csv"
source = "European Central Bank\""""
FETCH = """\
curl -O https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip
unzip eurofxref-hist.zip -d rates
mcml cost rates"""
OWN = "The file may be your own, too: a first line date,from,to,rate, and below it lines such as 2026-11-20,USD,EUR,0.92."


def listed(rates: Rates | None, day: date) -> Document:
    """List the rate of each pair that a file has, as it is for a day; without rates, how to set them up."""
    if rates is None:
        return Document("CostRates", [], _how_to_set_up())
    rows = [_listed(rates, pair, day) for pair in rates.pairs]
    return listing("CostRates", LISTED, [row for row in rows if row], empty=f"no rate up to {day}")


def _how_to_set_up() -> tuple[Block, ...]:
    toml = Section("In mcml.toml", (Text(SET_UP, verbatim=True),))
    return Status(State("none", "idle"), EMPTY), toml, Section("Then", (Text(FETCH, verbatim=True), Text(OWN)))


def _listed(rates: Rates, pair: tuple[str, str], day: date) -> dict[str, object]:
    known = [one for one in rates.pairs[pair] if one[0] <= day]
    if not known:
        return {}
    newest, rate = known[-1]
    old = (day - newest).days
    return {
        "name": "/".join(pair),
        "from": pair[0],
        "to": pair[1],
        "rate": plain(rate),
        "date": newest.isoformat(),
        "days": len(known),
        "since": known[0][0].isoformat(),
        "state": State("holds") if old <= rates.max_age else State(f"{old} days old: not used", "warn"),
        "source": rates.source,
    }


def with_rates(document: Document, *sides: Converted, by: Sequence[str] | None = None) -> Document:
    """Add to a document by which rates its costs were converted; with `by`, an item says what it was before (`converted_from`)."""
    rates = _summaries(sides)
    items: list[dict[str, object]] = [{**item, "rates": rates} for item in document.items]
    if by is not None:
        before = _before(sides[0], len(by))
        items = [{**item, "converted_from": None if item.get("others") else before[tuple(item[name] for name in by)]} for item in items]
    source, currency = sides[0].source, sides[0].currency
    by_day = f"rates of {source}: each charge by the rate of its day; the rows behind them (--rows) are in their own currencies"
    said = by_day if rates else f"all of it was in {currency} already"
    blocks: list[Block] = [Status(State("converted", "warn"), f"costs in {currency}; {said}")]
    if rates:
        rows = [{**row, "rate": _short(row["lowest"], row["highest"])} for row in rates]
        blocks.append(Section(f"Exchange rates to {currency}", (Table(USED, rows),)))
    told = {"converted_to": currency, "rows_are": "in their own currencies" if rates else f"in {currency}"}
    return replace(document, items=items, blocks=(*document.blocks, *blocks), metadata={**document.metadata, **told})


def _short(*rates: object) -> str:
    """Write rates for a person, with six digits that count; JSON has all."""
    return " to ".join(dict.fromkeys(f"{Decimal(str(rate)):.6g}" for rate in rates))


def _before(side: Converted, length: int) -> dict[tuple[object, ...], dict[str, Decimal]]:
    """Return the effective cost of each line by currency: that of all keys that begin with its own."""
    found: dict[tuple[object, ...], dict[str, Decimal]] = {}
    for key, sums in side.before.items():
        line = found.setdefault(key[:length], {})
        for currency, amount in sums.items():
            line[currency] = tidy(total((line.get(currency, Decimal(0)), amount)))
    return found


def _summaries(sides: Sequence[Converted]) -> list[dict[str, object]]:
    used: dict[str, dict[date, Used]] = {}
    for side in sides:
        for one in side.used:
            used.setdefault(one.base, {})[one.day] = one
    return [_summary(base, sides[0], list(days.values())) for base, days in sorted(used.items())]


def _summary(base: str, side: Converted, used: Sequence[Used]) -> dict[str, object]:
    values = [one.rate.value for one in used]
    published = sorted(day for one in used for day in one.rate.dates)
    return {
        "from": base,
        "to": side.currency,
        "first_day": min(one.day for one in used).isoformat(),
        "last_day": max(one.day for one in used).isoformat(),
        "days": len(used),
        "lowest": plain(tidy(min(values))),
        "highest": plain(tidy(max(values))),
        "published": " to ".join(day.isoformat() for day in dict.fromkeys((published[0], published[-1]))),
        "how": ", ".join(sorted({one.rate.how for one in used})),
        "source": side.source,
    }
