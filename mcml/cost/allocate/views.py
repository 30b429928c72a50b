"""What an allocation looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mcml.core.view import Block, Column, Document, Section, Series, State, Status, Table
from mcml.cost.allocate.lines import Departure, Line
from mcml.cost.allocate.rules import UNALLOCATED
from mcml.cost.allocate.share import Allocated, Portion, Taken
from mcml.cost.allocate.trends import MonthShare, every_month
from mcml.cost.views import conditions, within
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import tidy, total

NO_RULE = "(no rule)"
EMPTY = "no costs in this span; bring some in with: mcml cost ingest"
COLUMNS = (
    Column("name", "Bearer"),
    Column("direct_cost", "Direct", "money"),
    Column("shared_cost", "Shared", "money"),
    Column("rounded_effective_cost", "Effective", "money"),
    Column("share_percent", "Share", "share"),
)
TAKEN = (
    Column("name", "Rule"),
    Column("rows", "Rows", "number"),
    Column("billed_cost", "Billed", "money"),
    Column("effective_cost", "Effective", "money"),
    Column("bearers", "Borne by"),
)


TREND = (
    Column("month", "Month"),
    Column("effective_cost", "Effective", "money"),
    Column("unallocated_cost", "Unallocated", "money"),
    Column("share_percent", "Share", "share"),
)
TAKEN_SHOWN = 20
"""Kinds of cost a currency on the screen; JSON has all."""


DRIVERS: Mapping[str, str] = {
    "even": "how many bear it",
    "proportional": "the direct cost of each bearer: the rows of its portions that are not shared",
    "requests": "the requests counted in the direct cost of each bearer: the rows of its portions that are not shared",
    "weights": "the weights of the rule in mcml.toml",
}
"""What a split is in proportion to, and which rows are behind that."""


def allocation(names: Sequence[str], lines: Sequence[Line], allocated: Allocated) -> Document:
    """Show who bears what, a table a currency. In JSON each portion of direct cost says what chooses its rows, by the dimensions `names`
    that the rules look at; a portion of shared cost names the pool in `metadata` that it is a part of, whose rows are there."""
    choose = Choice(names, mixed=len({taken.currency for taken in allocated.taken}) > 1)
    pools = [_pool(choose, taken, mine) for taken in allocated.taken if (mine := _shared(allocated, taken))]
    blocks = _borne(lines) or [Table([], [], empty=EMPTY)]
    return Document("CostAllocation", [_item(line, choose) for line in lines], blocks, metadata={"pools": pools} if pools else {})


@dataclass(frozen=True)
class Choice:
    """What chooses the rows of a group: the dimensions that the rules look at, and its currency where there are several."""

    names: Sequence[str]
    mixed: bool

    def costs(self, currency: str, groups: Sequence[Group]) -> list[dict[str, object]]:
        """Return for each group what chooses its rows, how many they are, and what they cost."""
        wheres = [conditions(self.names, group.key) for group in groups]
        return [
            {
                "where": within(where, currency) if self.mixed else where,
                "rows": group.rows,
                "effective_cost": tidy(group.effective),
            }
            for where, group in zip(wheres, groups, strict=True)
        ]


def _shared(allocated: Allocated, taken: Taken) -> list[Portion]:
    return [portion for portion in _portions(allocated, taken) if portion.shared]


def _pool(choose: Choice, taken: Taken, portions: Sequence[Portion]) -> dict[str, object]:
    driver = portions[0].method
    return {
        "name": _pool_name(taken.rule, taken.currency),
        "rule": taken.rule,
        "currency": taken.currency,
        "driver": driver or None,
        "driver_is": DRIVERS.get(driver),
        "driver_unit": portions[0].unit or None,
        "rows": taken.rows,
        "billed_cost": taken.billed,
        "effective_cost": taken.effective,
        "costs": choose.costs(taken.currency, taken.groups),
    }


def _pool_name(rule: str, currency: str) -> str:
    return f"{rule}/{currency}"


def explained(names: Sequence[str], lines: Sequence[Line], allocated: Allocated) -> Document:
    """Show who bears what, which rule took which costs, by the dimensions `names` that the rules look at, and to whom they went."""
    choose = Choice(names, mixed=len({taken.currency for taken in allocated.taken}) > 1)
    items = [_taken(choose, allocated, taken) for taken in allocated.taken]
    blocks = _borne(lines)
    for currency in dict.fromkeys(line.currency for line in lines):
        rules = [{**item, "bearers": ", ".join(_bearers(allocated, taken))} for item, taken in zip(items, allocated.taken, strict=True)]
        mine = [rule for rule in rules if rule["currency"] == currency]
        blocks.append(Section(f"What each rule took in {currency}", (Table(TAKEN, mine),)))
        kinds = [_kind(names, taken, group) for taken in allocated.taken if taken.currency == currency for group in taken.groups]
        dearest = sorted(kinds, key=lambda kind: -abs(kind["effective_cost"]))[:TAKEN_SHOWN]
        columns = TAKEN[0], *(Column(name, name.capitalize()) for name in names), *TAKEN[1:4]
        blocks.append(Section(f"Which costs, the dearest in {currency}", (Table(columns, dearest),)))
    return Document("CostAllocationRules", items, blocks or [Table([], [], empty=EMPTY)])


def _borne(lines: Sequence[Line]) -> list[Block]:
    blocks: list[Block] = []
    for currency, mine in groupby(lines, key=lambda line: line.currency):
        found = list(mine)
        rows = [_amounts(line) for line in found]
        if len(rows) > 1:
            rows.append({"name": "all", **_sums(found)})
        blocks.append(Section(f"Who bears the cost in {currency}", (Table(COLUMNS, rows),)))
        nobody = [line.share for line in found if line.bearer == UNALLOCATED and line.share and line.share > 0]
        blocks += [Status(State("unallocated", "warn"), f"{share} % of {currency} is borne by nobody") for share in nobody]
    return blocks


def _sums(lines: Sequence[Line]) -> dict[str, object]:
    amounts = {"direct_cost": "direct", "shared_cost": "shared", "rounded_effective_cost": "rounded"}
    return {key: total(getattr(line, name) for line in lines) for key, name in amounts.items()}


def _item(line: Line, choose: Choice) -> dict[str, object]:
    return {**_amounts(line), "portions": [_portion(portion, choose) for portion in line.portions]}


def _amounts(line: Line) -> dict[str, object]:
    return {
        "name": line.bearer,
        "currency": line.currency,
        "direct_cost": line.direct,
        "shared_cost": line.shared,
        "billed_cost": line.billed,
        "effective_cost": line.effective,
        "rounded_effective_cost": line.rounded,
        "share_percent": line.share,
    }


def _portion(portion: Portion, choose: Choice) -> dict[str, object]:
    return {
        "rule": portion.rule or None,
        "shared": portion.shared,
        "billed_cost": portion.billed,
        "effective_cost": portion.effective,
        "rows": portion.rows,
        "allocated_method_id": portion.method_id,
        "allocated_method_details": portion.method_details,
        "costs": choose.costs(portion.currency, portion.groups),
        "pool": _pool_name(portion.rule, portion.currency) if portion.shared else None,
    }


def _taken(choose: Choice, allocated: Allocated, taken: Taken) -> dict[str, object]:
    return {
        "name": taken.rule or NO_RULE,
        "currency": taken.currency,
        "rows": taken.rows,
        "billed_cost": taken.billed,
        "effective_cost": taken.effective,
        "bearers": [portion.bearer for portion in _portions(allocated, taken)],
        "costs": choose.costs(taken.currency, taken.groups),
    }


def _kind(names: Sequence[str], taken: Taken, group: Group) -> dict[str, Any]:
    amounts = {"rows": group.rows, "billed_cost": tidy(group.billed), "effective_cost": tidy(group.effective)}
    return {"name": taken.rule or NO_RULE, **dict(zip(names, group.key, strict=True)), **amounts}


def _portions(allocated: Allocated, taken: Taken) -> list[Portion]:
    return [portion for portion in allocated.portions if (portion.currency, portion.rule) == (taken.currency, taken.rule)]


def _bearers(allocated: Allocated, taken: Taken) -> list[str]:
    found = _portions(allocated, taken)
    return [portion.bearer if portion.ratio is None else f"{portion.bearer} {portion.ratio:.1%}" for portion in found]


def departure(found: Sequence[Departure]) -> Document:
    """Show what would be saved if somebody left, and who would bear the rest."""
    items: list[Mapping[str, object]] = [
        {
            "name": each.bearer,
            "currency": each.currency,
            "direct_cost_saved": each.saved,
            "shared_cost_not_saved": each.stays,
            "others_bear_more": dict(each.others),
        }
        for each in found
    ]
    columns = (
        Column("name", "Without"),
        Column("currency", "Currency"),
        Column("direct_cost_saved", "Saved: direct cost", "money"),
        Column("shared_cost_not_saved", "Not saved: shared cost", "money"),
    )
    blocks: list[Block] = [Table(columns, items)]
    for each in found:
        rows = [{"bearer": bearer, "more": more} for bearer, more in each.others]
        if rows:
            title = f"Who would bear it instead, in {each.currency}"
            blocks.append(Section(title, (Table((Column("bearer", "Bearer"), Column("more", "More", "money")), rows),)))
    return Document("CostDeparture", items, blocks)


def trend(months: Sequence[MonthShare]) -> Document:
    """Show what nobody bears, month by month, a table and a line a currency."""
    items = [
        {
            "name": f"{each.month}/{each.currency}",
            "month": each.month,
            "currency": each.currency,
            "effective_cost": each.effective,
            "unallocated_cost": each.nobody,
            "share_percent": each.share,
        }
        for each in months
    ]
    blocks: list[Block] = []
    for currency, mine in groupby(months, key=lambda each: each.currency):
        shares = {each.month: each.share for each in mine}
        months_drawn = every_month(min(shares), max(shares))
        points = [None if (share := shares.get(month)) is None else float(share) for month in months_drawn]
        table = Table(TREND, [item for item in items if item["currency"] == currency])
        line = Series(f"unallocated, {months_drawn[0]} to {months_drawn[-1]}", points, "%")
        blocks.append(Section(f"What nobody bears in {currency}", (table, *((line,) if len(points) > 1 else ()))))
    return Document("CostAllocationTrend", items, blocks or [Table([], [], empty=EMPTY)])
