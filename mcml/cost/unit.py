"""What a request costs, on two bases, and it all adds up to the bill. Pure: no I/O, no clock, no float.

Usage: the rows that were metered together with the requests: what one request more adds. Fully loaded: everything that carries the
model (`direct`), and its part of what carries no model (`shared`). The fully loaded costs of all lines are the bill of the span, to the
last digit: parts are rounded to the ledger's decimals by largest remainder (`exact.apportion`), and what is handed on stands as a
negative amount in the line that it comes from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from typing import Literal, get_args

from mcml.core.errors import unknown
from mcml.cost.report import UNIT_PLACES, per_thousand
from mcml.store.ledger.exact import apportion, percent, product, quotient, tidy, total
from mcml.store.ledger.units import ModelCost

MODEL = "model"
Driver = Literal["cost", "requests", "none"]
"""What decides a model's part of what carries no model: its direct cost, its requests, or nothing: then none of it is handed on."""
DRIVERS: tuple[Driver, ...] = get_args(Driver)


@dataclass(frozen=True)
class UnitLine:
    """A model (of a target, of a version). `key` begins with the model, None for what carries none.

    `usage` and `direct` are effective cost; `idle` is the part of `direct` that was spent while nobody asked; counts and `idle` are
    None where nobody counted requests. `tokens` are those that a bill or a meter counts, None without any; `input_tokens` and
    `output_tokens` are the meter's part of them. `on_tokens` is what the rows cost that count them.
    """

    key: tuple[str | None, ...]
    requests: int | None
    failed: int | None
    usage: Decimal
    direct: Decimal
    shared: Decimal
    idle: Decimal | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: Decimal | None = None
    on_tokens: Decimal = Decimal(0)

    @property
    def loaded(self) -> Decimal:
        """Everything that it costs."""
        return tidy(total((self.direct, self.shared)))

    @property
    def idle_percent(self) -> Decimal | None:
        """How much of its direct cost was spent while nobody asked."""
        return None if self.idle is None else percent(self.idle, self.direct)

    def per_request(self, cost: Decimal) -> Decimal | None:
        """Return a cost a request, with all decimals of the ledger; None without requests."""
        return tidy(quotient(cost, self.requests)) if self.requests else None

    def per_thousand(self, cost: Decimal) -> Decimal | None:
        """Return a cost per 1,000 requests; None without requests."""
        return per_thousand(cost, self.requests) if self.requests else None

    def per_million_tokens(self, cost: Decimal) -> Decimal | None:
        """Return a cost per 1,000,000 tokens, as they are sold; None without tokens."""
        return tidy(quotient(product(cost, 1_000_000), self.tokens, places=UNIT_PLACES)) if self.tokens and self.tokens > 0 else None


@dataclass(frozen=True)
class UnitTable:
    """All lines of one currency, dearest first, what carries no model last; `whole` is all of them: the bill of the span."""

    currency: str
    lines: tuple[UnitLine, ...]
    whole: UnitLine


def build(costs: Iterable[ModelCost], driver: Driver = "cost") -> list[UnitTable]:
    """Fold costs, whose keys begin with the model, into one table a currency."""
    tables = []
    for currency, found in groupby(sorted(costs, key=lambda cost: cost.currency), key=lambda cost: cost.currency):
        several = list(found)
        lines = [_line(cost.key, [cost]) for cost in several if cost.key[0] is not None]
        without = [cost for cost in several if cost.key[0] is None]
        width = len(several[0].key)
        if without:
            lines = _handed_on(lines, _line((None,) * width, without), driver)
        ordered = sorted(lines, key=lambda line: (line.key[0] is None, -line.loaded, tuple(part or "" for part in line.key)))
        tables.append(UnitTable(currency, tuple(ordered), _whole(ordered, width)))
    return tables


def of_model(tables: Sequence[UnitTable], model: str) -> list[UnitTable]:
    """Return the lines of one model. Raises NotFound when nothing in the tables carries it."""
    known = {line.key[0] for table in tables for line in table.lines if line.key[0]}
    if model not in known:
        raise unknown("model with costs", model, sorted(map(str, known)), next_step="mcml cost model")
    mine = (replace(table, lines=tuple(line for line in table.lines if line.key[0] == model)) for table in tables)
    return [replace(table, whole=_whole(table.lines, len(table.whole.key))) for table in mine if table.lines]


def _line(key: tuple[str | None, ...], costs: Sequence[ModelCost]) -> UnitLine:
    return UnitLine(
        key=key,
        requests=_sum(cost.requests for cost in costs),
        failed=_sum(cost.failed for cost in costs),
        usage=tidy(total(cost.metered for cost in costs)),
        direct=tidy(total(cost.cost for cost in costs)),
        shared=Decimal(0),
        idle=_amount(cost.idle for cost in costs),
        input_tokens=_sum(cost.input_tokens for cost in costs),
        output_tokens=_sum(cost.output_tokens for cost in costs),
        tokens=_amount(cost.tokens for cost in costs),
        on_tokens=tidy(total(cost.on_tokens for cost in costs)),
    )


def _handed_on(lines: Sequence[UnitLine], rest: UnitLine, driver: Driver) -> list[UnitLine]:
    """Give every line its part of `rest`; where there is nothing to decide by, `rest` keeps it."""
    weights = [_weight(line, driver) for line in lines]
    if not sum(weights):
        return [*lines, rest]
    parts = apportion([Fraction(rest.direct) * weight / sum(weights) for weight in weights])
    given = [replace(line, shared=tidy(part)) for line, part in zip(lines, parts, strict=True)]
    return [*given, replace(rest, shared=tidy(rest.direct.copy_negate()))]


def _weight(line: UnitLine, driver: Driver) -> Fraction:
    if driver == "requests":
        return Fraction(line.requests or 0)
    return max(Fraction(line.direct), Fraction(0)) if driver == "cost" else Fraction(0)


def _whole(lines: Sequence[UnitLine], width: int) -> UnitLine:
    return UnitLine(
        key=(None,) * width,
        requests=_sum(line.requests for line in lines),
        failed=_sum(line.failed for line in lines),
        usage=tidy(total(line.usage for line in lines)),
        direct=tidy(total(line.direct for line in lines)),
        shared=tidy(total(line.shared for line in lines)),
        idle=_amount(line.idle for line in lines),
        input_tokens=_sum(line.input_tokens for line in lines),
        output_tokens=_sum(line.output_tokens for line in lines),
        tokens=_amount(line.tokens for line in lines),
        on_tokens=tidy(total(line.on_tokens for line in lines)),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _amount(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return tidy(total(known)) if known else None
