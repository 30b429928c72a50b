"""Exchange rates by day: what files of them say, and the one rate of a day. Pure: text in, rates out.

Two kinds of CSV file are read, told apart by their first line:

- `date,from,to,rate`: one unit of `from` is `rate` units of `to` on that day (ISO 8601); the columns in any order, others are left out.
- The euro foreign exchange reference rates of the European Central Bank as it publishes them (eurofxref-hist.csv in eurofxref-hist.zip,
  https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates/html/index.en.html): `Date`, then a column a
  currency with its units for one euro, `N/A` where there is none, and a comma at the end of each line. There is no line for days on which
  the bank is closed.

The rate of a day is the last one on or before it. Rates of a file are taken as they stand. One that is not in it is made of those that
are, rounded once, half to even, to 18 decimals: the inverse, 1 / (to in from), or across the euro, (to for one euro) / (from for one euro).
Amounts are multiplied with that decimal exactly, so converted lines add up to the converted total to the last digit, however they are cut.
"""

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from mcml.core.errors import NotFound, Usage
from mcml.store.ledger.exact import plain, quotient, tidy

PLACES = 18
"""Decimals of a rate that is made of others."""
EURO = "EUR"
COLUMNS = ("date", "from", "to", "rate")
NONE = ("", "N/A")
"""What the ECB writes where there is no rate: the currency is no more, or was not there yet."""
_CODE = re.compile(r"[A-Z]{3}")
ADVICE = "write lines of date,from,to,rate, or download eurofxref-hist.zip of the European Central Bank and unpack it"

Pair = tuple[str, str]
Listed = tuple[date, str, str, Decimal]


@dataclass(frozen=True)
class Rate:
    """What one unit of a currency was in another: `value`, of the days `dates` (one, or two where it is made across the euro)."""

    value: Decimal
    dates: tuple[date, ...]
    how: str = "as listed"


@dataclass(frozen=True)
class Rates:
    """All rates of a source, by pair, oldest first. A rate holds for its day and, where there is none, for `max_age` days after it."""

    source: str
    max_age: int
    pairs: Mapping[Pair, Sequence[tuple[date, Decimal]]]

    def of(self, base: str, quote: str, day: date) -> Rate:
        """Return what one unit of `base` was in `quote` on a day. Raises NotFound, naming the day and the last rate before it."""
        if base == quote:
            return Rate(Decimal(1), (day,), "the same")
        found = self._one(base, quote, day)
        if found is None and EURO not in (base, quote):
            legs = self._one(EURO, base, day), self._one(EURO, quote, day)
            if legs[0] and legs[1]:
                dates = tuple(dict.fromkeys((*legs[0].dates, *legs[1].dates)))
                found = Rate(tidy(quotient(legs[1].value, legs[0].value, places=PLACES)), dates, "across the euro")
        if found is None or not found.value:
            raise self._missing(base, quote, day)
        return found

    def _one(self, base: str, quote: str, day: date) -> Rate | None:
        """Return a rate as it is listed, or the inverse of one."""
        if listed := self._last(base, quote, day):
            return Rate(listed[1], (listed[0],))
        if listed := self._last(quote, base, day):
            return Rate(tidy(quotient(Decimal(1), listed[1], places=PLACES)), (listed[0],), "inverse")
        return None

    def _last(self, base: str, quote: str, day: date) -> tuple[date, Decimal] | None:
        known = self.pairs.get((base, quote), ())
        at = bisect_right(known, day, key=lambda listed: listed[0])
        return known[at - 1] if at and (day - known[at - 1][0]).days <= self.max_age else None

    def _missing(self, base: str, quote: str, day: date) -> NotFound:
        legs = [(base, quote), (quote, base), *((EURO, each) for each in (base, quote) if each != EURO)]
        newest = [f"{pair[0]} to {pair[1]}: {last}" for pair in legs if (last := self._newest(pair, day))]
        aged = f"the last before it are of {', '.join(newest)}; more than {self.max_age} days older is too old"
        why = aged if newest else f"{self.source} has none of these currencies up to that day"
        return NotFound(f"there is no rate from {base} to {quote} for {day}", why=why, next_step="mcml cost rates")

    def _newest(self, pair: Pair, day: date) -> date | None:
        return max((listed for listed, _ in self.pairs.get(pair, ()) if listed <= day), default=None)


def read(text: str, source: str, max_age: int) -> Rates:
    """Read the text of a CSV file. Raises Usage, naming the line, for what is no rate."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        head = [name.strip() for name in next(rows, [])]
        lower = [name.lower() for name in head]
        if set(COLUMNS) <= set(lower):
            listed = _lines(rows, lower)
        elif lower[:1] == ["date"] and any(_CODE.fullmatch(name) for name in head[1:]):
            listed = _euro(rows, head)
        else:
            raise Usage("there are no exchange rates in it", why=f"its first line is {','.join(head)[:80]!r}", next_step=ADVICE)
        return Rates(source, max_age, _pairs(listed))
    except csv.Error as broken:
        raise Usage("the exchange rates cannot be read", why=f"line {rows.line_num}: {broken}", next_step=ADVICE) from broken


def _lines(rows: Iterator[list[str]], names: Sequence[str]) -> Iterator[tuple[int, Listed]]:
    for number, row in _numbered(rows):
        values = dict(zip(names, (value.strip() for value in row), strict=False))
        base, quote = (_code(values.get(side, ""), number) for side in ("from", "to"))
        if base == quote:
            raise _wrong(number, f"{base} to itself is no rate")
        yield number, (_day(values.get("date", ""), number), base, quote, _rate(values.get("rate", ""), number))


def _euro(rows: Iterator[list[str]], head: Sequence[str]) -> Iterator[tuple[int, Listed]]:
    currencies = [(place, _code(name, 1)) for place, name in enumerate(head) if place and name]
    for number, row in _numbered(rows):
        day = _day(row[0].strip(), number)
        if len(row) <= currencies[-1][0]:
            raise _wrong(number, f"{len(row)} columns, expected {len(head)}")
        for place, currency in currencies:
            said = row[place].strip()
            if said not in NONE:
                yield number, (day, EURO, currency, _rate(said, number))


def _numbered(rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that are not empty, with their numbers."""
    return ((number, row) for number, row in enumerate(rows, 2) if any(value.strip() for value in row))


def _pairs(listed: Iterable[tuple[int, Listed]]) -> Mapping[Pair, Sequence[tuple[date, Decimal]]]:
    found: dict[Pair, dict[date, Decimal]] = {}
    for number, (day, base, quote, rate) in listed:
        days = found.setdefault((base, quote), {})
        if days.setdefault(day, rate) != rate:
            raise _wrong(number, f"{base} to {quote} is {plain(rate)} on {day}, and {plain(days[day])} on a line before")
    if not found:
        raise Usage("there are no exchange rates in it", why="no line has one", next_step=ADVICE)
    return {pair: sorted(days.items()) for pair, days in sorted(found.items())}


def _code(text: str, number: int) -> str:
    if not _CODE.fullmatch(text):
        raise _wrong(number, f"{text!r} is no currency of ISO 4217, such as USD")
    return text


def _day(text: str, number: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _wrong(number, f"{text!r} is no date, such as 2026-10-01") from None


def _rate(text: str, number: int) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise _wrong(number, f"{text!r} is no rate") from None
    if not rate.is_finite() or rate <= 0 or len(rate.as_tuple().digits) > 30 or abs(rate.adjusted()) > 15:
        raise _wrong(number, f"{text[:40]!r} is no rate: expected more than 0 and at most 30 digits")
    return rate


def _wrong(number: int, why: str) -> Usage:
    return Usage("the exchange rates cannot be read", why=f"line {number}: {why}", next_step=ADVICE)


