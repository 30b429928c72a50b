"""The Cost and Usage Report as a file: legacy (`lineItem/LineItemType`), as Athena has it (`line_item_line_item_type`), and CUR 2.0; pure.

https://docs.aws.amazon.com/cur/latest/userguide/data-dictionary.html (legacy) and table-dictionary-cur2.html. Legacy names become those of
2.0 by the rule that AWS itself has for Athena: a `_` before each capital, then small letters (cur-ate-run.html, "column names").
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.billing_cur import NET, CurReader

KIND, COST = "line_item_line_item_type", "line_item_unblended_cost"
ALWAYS = (
    KIND, "line_item_usage_start_date", "line_item_usage_end_date", "line_item_currency_code", "bill_payer_account_id",
    "bill_billing_period_start_date",
)  # fmt: skip
OF_KIND: Mapping[str, tuple[str, ...]] = {
    "SavingsPlanCoveredUsage": ("savings_plan_savings_plan_effective_cost",),
    "SavingsPlanRecurringFee": ("savings_plan_total_commitment_to_date", "savings_plan_used_commitment"),
    "DiscountedUsage": ("reservation_effective_cost",),
    "RIFee": ("reservation_unused_amortized_upfront_fee_for_billing_period", "reservation_unused_recurring_fee"),
}
"""Columns that hold a line's effective cost: an export that leaves them out would make it look free."""
TAG_COLUMN = "resource_tags_"
_ONLY_TEXT = {str}
_CAPITAL = re.compile(r"(?<=[a-z0-9A-Z])(?=[A-Z])")


def open_bill_formats(ctx: ProviderContext) -> BillFormats:  # noqa: ARG001 - a file needs no account
    """Return the formats of AWS's bills."""
    return (CostAndUsageReport(),)


class CostAndUsageReport:
    """All three spellings of the report."""

    name = "AWS Cost and Usage Report"

    def recognises(self, header: Sequence[str]) -> bool:
        """A line item's type is what only this report has."""
        return KIND in map(column, header)

    def rows(self, records: Iterable[Record]) -> Iterator[FocusRow]:
        """Yield the rows of each line item; see billing_cur for what becomes of savings plans and reservations."""
        reader = CurReader()
        for record in records:
            for row in reader.rows(_of_today(record)):
                yield {**row, "x_From": "AWS CUR"}
        for row in reader.rest():
            yield {**row, "x_From": "AWS CUR"}


@cache
def column(name: str) -> str:
    """Return a column's name in CUR 2.0: `lineItem/UsageStartDate` is `line_item_usage_start_date`. A tag's key keeps its letters.

    Some warehouses write all names in capitals.
    """
    group, slash, rest = name.partition("/")
    if not slash:
        return TAG_COLUMN + name[len(TAG_COLUMN) :] if name.lower().startswith(TAG_COLUMN) else name.lower()
    return TAG_COLUMN + rest if group == "resourceTags" else f"{_snake(group)}_{_snake(rest)}"


def _snake(text: str) -> str:
    return _CAPITAL.sub("_", text).lower()


@dataclass(frozen=True)
class _Header:
    """The columns of a report: their names in CUR 2.0, and the tags that have a column each."""

    names: tuple[str, ...]
    tags: Mapping[str, str]


@lru_cache(maxsize=64)
def _header(names: tuple[str, ...]) -> _Header:
    today = tuple(map(column, names))
    return _Header(today, {name.removeprefix(TAG_COLUMN): name for name in today if name.startswith(TAG_COLUMN)})


def _line(record: Record) -> dict[str, str]:
    """Return a record under the names of CUR 2.0, its values as texts, maps as JSON."""
    header = _header(tuple(record))
    told = list(record.values())
    texts = told if set(map(type, told)) == _ONLY_TEXT else map(_text, told)
    line: dict[str, str] = dict(zip(header.names, texts, strict=True))  # type: ignore[arg-type]
    if "product" not in line and line.get("product_product_name"):
        line["product"] = json.dumps({"product_name": line["product_product_name"]})
    if "product_region_code" not in line:
        line["product_region_code"] = line.get("product_region", "")
    if "resource_tags" not in line:
        tags = {key: said for key, name in header.tags.items() if (said := line[name])}
        line["resource_tags"] = json.dumps(tags) if tags else ""
    return line


def _of_today(record: Record) -> Mapping[str, str]:
    """Return a record with the names of CUR 2.0. Raises InvalidRequest for a column that its money needs."""
    line = _line(record)
    kind = line.get(KIND, "")
    for name in (*ALWAYS, *OF_KIND.get(kind, ())):
        if name not in line:
            raise _incomplete(name, f"a line of the type {kind} cannot be read without")
    if COST not in line and NET not in line:
        raise _incomplete(COST, "it says what a line costs")
    return line


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _incomplete(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"the report has no column {name}", why=why, next_step="export the report again with all columns")
