"""Cloud Billing's export out of BigQuery as a file: JSON lines or Parquet (nested as the table is), or CSV, its records flattened; pure.

`bq extract` writes the first two: https://cloud.google.com/bigquery/docs/exporting-data. A CSV cannot nest: its columns are `service.id` or
`service_id`, and what repeats (labels, credits, tags) is JSON text, as TO_JSON_STRING writes it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.api.spec import ProviderContext
from mcml.providers.focus import NULLS, NotAValue, moment, number, refused
from mcml.providers.gcp.billing_rows import focus_rows, month_of

STRUCTS = ("consumption_model", "invoice", "location", "price", "project", "resource", "service", "sku", "usage")
LISTS = ("labels", "credits", "tags", "system_labels", "ancestors")
TIMES = ("usage_start_time", "usage_end_time", "export_time")
KEYED = ("labels", "tags")
NUMBERS = ("cost", "cost_at_list")
INNER_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "usage": ("amount", "amount_in_pricing_units"),
    "price": ("list_price", "effective_price", "tier_start_amount"),
}
_MONTH = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])")
REQUIRED = ("billing_account_id", "usage_start_time", "usage_end_time", "cost", "currency")


def open_bill_formats(ctx: ProviderContext) -> BillFormats:  # noqa: ARG001 - a file needs no account
    """Return the formats of Google's bills."""
    return (BillingExport(),)


class BillingExport:
    """The standard and the detailed export."""

    name = "Google Cloud billing export"

    def recognises(self, header: Sequence[str]) -> bool:
        """The columns without which no row of it can be read."""
        return {"billing_account_id", "usage_start_time", "cost"} <= set(header)

    def rows(self, records: Iterable[Record]) -> Iterator[FocusRow]:
        """Yield a charge, and each credit that stands by itself, of each row; see billing_rows."""
        for record in records:
            try:
                made = list(focus_rows(_typed(record)))
            except NotAValue as wrong:
                told = {"currency": record.get("currency"), "account": record.get("billing_account_id"), "month": _month(record)}
                yield refused(record, wrong, cost=_whole(record), **told)
                continue
            for row in made:
                yield {**row, "x_Source": "billed", "x_From": "Cloud Billing export"}


def _month(record: Record) -> datetime | None:
    """Return the first moment of the month of a record's invoice, else of its charge; None where neither can be read."""
    try:
        invoice = _unfolded("invoice", record.get("invoice") or "NULL") or {}
        told = str(record.get("invoice.month") or record.get("invoice_month") or invoice.get("month"))
        return month_of(told if _MONTH.fullmatch(told) else f"{_time(record, 'usage_start_time'):%Y%m}")[0]
    except (NotAValue, AttributeError):
        return None


def _time(record: Record, name: str) -> datetime:
    return moment(name, str(record.get(name)).replace(" UTC", "+00:00"))


def _whole(record: Record) -> Decimal | None:
    """Return the cost of a record with its credits; None where one of them is no number."""
    try:
        credits = _unfolded("credits", record.get("credits")) or ()
        parts = [record["cost"], *(credit.get("amount") or "0" for credit in credits)]
        return sum((number("cost", str(part)) for part in parts), Decimal(0))
    except (NotAValue, AttributeError):  # no credits at all
        return None


@cache
def _place(name: str) -> tuple[str, str]:
    """Return the record and the field that a flattened column is of: `project_labels` is labels in project; '' for a plain column."""
    outer, dot, inner = name.partition(".")
    if dot:
        return outer, inner
    if name in (*TIMES, *STRUCTS, *LISTS):
        return "", name
    return next(((struct, name[len(struct) + 1 :]) for struct in STRUCTS if name.startswith(f"{struct}_")), ("", name))


def _typed(record: Record) -> dict[str, Any]:
    """Return a row as BigQuery would give it: nested, with numbers and times. Raises NotAValue for what is none, InvalidRequest."""
    found: dict[str, Any] = {}
    for name, said in record.items():
        value = said if said is None else _unfolded(name, said)
        if value is not None:
            outer, inner = _place(name)
            target = found.setdefault(outer, {}) if outer else found
            target[inner] = value
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        why = "an export's rows have billing_account_id, usage_start_time, usage_end_time, cost and currency"
        raise InvalidRequest(f"the row has no {', '.join(missing)}", why=why, next_step="export the table again with all columns")
    for name in TIMES:
        if name in found:
            found[name] = _time(found, name)
    for name in NUMBERS:
        if name in found:
            found[name] = number(name, str(found[name]))
    for outer, names in INNER_NUMBERS.items():
        inside = found.get(outer, {})
        inside |= {name: number(f"{outer}.{name}", str(inside[name])) for name in names if inside.get(name) is not None}
    found["invoice"] = _invoice(found.get("invoice", {}))
    for place in (found, found.get("project", {})):
        for name in KEYED:
            _check_keys(name, place.get(name) or ())
    found["credits"] = [_credit(credit) for credit in found.get("credits", ())]
    return found


def _invoice(said: Mapping[str, Any]) -> Mapping[str, Any]:
    month = said.get("month")
    if month is not None and not _MONTH.fullmatch(str(month)):
        raise NotAValue(f"the export says invoice.month {str(month)[:60]!r}", why="that is no month as 202605 is one")
    return said


def _check_keys(name: str, said: Any) -> None:
    for one in said:
        if not isinstance(one, Mapping) or "key" not in one:
            raise NotAValue(f"the export says {name} {str(one)[:60]!r}", why="that is no pair of key and value")


def _credit(credit: Any) -> dict[str, Any]:
    if not isinstance(credit, Mapping):
        raise NotAValue(f"the export says credits {str(credit)[:60]!r}", why="that is no credit")
    told = credit.get("amount")
    return {**credit, "amount": None if told is None else number("credits.amount", str(told))}


@cache
def _nested(name: str) -> type | None:
    """Return what the JSON of a column is: dict, list; None for a column whose text is its value."""
    if name in STRUCTS:
        return dict
    return list if _place(name)[1].rpartition(".")[2] in LISTS else None


def _unfolded(name: str, said: object) -> Any:
    """Return what a column says: JSON text of what is nested is read, null is None. Raises NotAValue for JSON that is none."""
    nested, text = _nested(name), said.strip() if isinstance(said, str) else ""
    if isinstance(said, str) and text in NULLS:
        return None
    if nested is None:
        return text or said
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal) if text else said
    except ValueError:
        value = None
    if not isinstance(value, nested):
        raise NotAValue(f"the export says {name} {str(said)[:60]!r}", why="that is no JSON of what is nested there")
    return value
