"""Rows of FOCUS 1.4 out of the texts of an export: any version from 1.0 on, gzip or plain, read as it streams in; pure but for the stream.

https://focus.finops.org/focus-specification. Older columns are renamed: ProviderName and PublisherName (removed in 1.4) become
ServiceProviderName and x_PublisherName. Columns that FOCUS does not know keep their value under an `x_` name.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from mcml.core.errors import InvalidRequest, Unavailable
from mcml.providers.api.billing import REFUSED, Period

Row = dict[str, object]
PIECE_BYTES = 1 << 20
KEPT = 8192
"""Of texts that stand in many rows (times, tags), how many are read once only."""
SCALE = 24
"""Decimals of money in the ledger: real bills carry as many."""
EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
NUMBERS = frozenset(
    (*COSTS, "ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "ConsumedQuantity", "CommitmentDiscountQuantity",
    "PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost")
)  # fmt: skip
TIMES = frozenset(("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"))
_TEXTS = """
    BillingCurrency BillingAccountId BillingAccountName BillingAccountType SubAccountId SubAccountName SubAccountType InvoiceIssuerName
    ServiceProviderName HostProviderName InvoiceId InvoiceDetailId ChargeCategory ChargeClass ChargeDescription ChargeFrequency
    PricingCategory PricingUnit PricingCurrency ConsumedUnit ServiceCategory ServiceSubcategory ServiceName SkuId SkuMeter SkuPriceId
    SkuPriceDetails RegionId RegionName AvailabilityZone ResourceId ResourceName ResourceType Tags CommitmentDiscountId
    CommitmentDiscountName CommitmentDiscountType CommitmentDiscountCategory CommitmentDiscountStatus CommitmentDiscountUnit
    CommitmentProgramEligibilityDetails ContractApplied CapacityReservationId CapacityReservationStatus AllocatedMethodId
    AllocatedMethodDetails AllocatedResourceId AllocatedResourceName AllocatedTags
"""
TEXTS = frozenset(_TEXTS.split())
COLUMNS = NUMBERS | TIMES | TEXTS
_LOWER = {name.lower(): name for name in COLUMNS} | {"providername": "ProviderName", "publishername": "PublisherName"}
NULLS = frozenset(("", "NULL", "null"))
NULLABLE = ("BillingAccountName", "HostProviderName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit")
_SLASHED = ("%m/%d/%Y", "%m/%d/%Y %H:%M:%S")
_FORMS: Sequence[Callable[[str], datetime]] = (
    datetime.fromisoformat,
    *(lambda text, form=form: datetime.strptime(text, form).replace(tzinfo=UTC) for form in _SLASHED),
)


def focus_row(record: Mapping[str, str]) -> Row:
    """Return a record of an export as a row of FOCUS 1.4; what is mandatory there and may be null is there.

    A service category, an issuer or a list price's cost that the export leaves out is filled with what FOCUS says for the unknown
    ("Other"; the provider; the cost that was billed), and x_Filled names it. Raises InvalidRequest for a number or a time that is none.
    """
    row: Row = {}
    for name, text in record.items():
        column = _LOWER.get(name.lower(), name if name.startswith("x_") else f"x_{name}")
        value = _value(column, text)
        if value is not None or column in NULLABLE:
            row[column] = value
    publisher, provider = row.pop("PublisherName", None), row.pop("ProviderName", None)
    if publisher is not None:
        row.setdefault("x_PublisherName", publisher)
    row.setdefault("ServiceProviderName", provider or publisher)
    return _filled(dict.fromkeys(NULLABLE) | row)


def _filled(row: Row) -> Row:
    billed = row.get("BilledCost")
    usual: Row = {
        "EffectiveCost": billed,
        "ContractedCost": billed,
        "ListCost": row.get("ContractedCost", billed),
        "InvoiceIssuerName": row.get("ServiceProviderName"),
        "ServiceCategory": "Other",
        "ServiceName": row.get("x_PublisherName") or "Other",
    }
    filled = [name for name in usual if row.get(name) is None]
    row.update({name: usual[name] for name in filled})
    if filled:
        row["x_Filled"] = ", ".join(filled)
    return row


def _value(column: str, text: str) -> object:
    text = text.strip()
    if text in NULLS:
        return None
    if column in NUMBERS:
        return number(column, text)
    return moment(column, text) if column in TIMES else text


class NotAValue(InvalidRequest):
    """A text of a bill that is no number or no time: its record cannot be booked, the others can."""


def refused(
    record: Mapping[str, object], why: NotAValue, *, cost: object, currency: object, account: object = None, month: object = None
) -> Row:
    """Return the row that stands for a record that cannot be read: why, and the record itself; its cost is told where that is a number.

    `account` and `month` (the billing period's start) say which bill it is on, so that it waits until that comes again.
    """
    bill = {"BillingAccountId": account, "BillingPeriodStart": month}
    return {REFUSED: f"{why.message}: {why.why}", "BilledCost": cost, "BillingCurrency": currency, **bill, "x_Extra": dict(record)}


def number(column: str, text: str) -> Decimal:
    """Return a number with all its digits; one with an exponent (`1.2e-07`) is a printed float, and keeps `SCALE` decimals of them.

    Raises NotAValue.
    """
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or not text.isascii() or "_" in text:  # Decimal also reads 1_000 and digits of other scripts
        raise NotAValue(f"the bill says {column} {text[:60]!r}", why="that is no number")
    printed = ("e" in text or "E" in text) and int(found.as_tuple().exponent) < -SCALE
    return found.quantize(Decimal(1).scaleb(-SCALE), context=EXACT) if printed else found


def moment(column: str, text: str) -> datetime:
    """Return a time; one without a zone is UTC, as FOCUS says. Raises NotAValue."""
    found = _moment(text)
    if found is None:
        raise NotAValue(f"the bill says {column} {text[:60]!r}", why="that is no time")
    return found


@lru_cache(maxsize=KEPT)
def _moment(text: str) -> datetime | None:
    for read in _FORMS:
        try:
            found = read(text)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
    return None


@lru_cache(maxsize=KEPT)
def month_of(moment: datetime) -> datetime:
    """Return the first moment of a month (UTC)."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@lru_cache(maxsize=KEPT)
def month_after(moment: datetime) -> datetime:
    """Return the first moment of the month after."""
    return month_of(month_of(moment) + timedelta(days=32))


def months_of(period: Period) -> Iterator[datetime]:
    """Yield the first moments of the months that a period touches."""
    month = month_of(period.start)
    while month < period.end:
        yield month
        month = month_after(month)


def first_day(moment: datetime) -> datetime:
    """Return the first midnight (UTC) that is not before a moment: the first day that starts in a period beginning there."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if midnight == moment else midnight + timedelta(days=1)


def starts_in(row: Mapping[str, object], period: Period) -> bool:
    """Tell whether a row's charge starts in a period."""
    start = row["ChargePeriodStart"]
    return isinstance(start, datetime) and period.start <= start < period.end


@lru_cache(maxsize=KEPT)
def tags_of(text: str, *prefixes: str) -> str | None:
    """Return tags (a JSON object as text) with the prefixes of their keys taken away and empty values dropped; None for none at all.

    What is no JSON object comes back as it is: the ledger refuses it.
    """
    try:
        found = json.loads(text) if text.strip() not in NULLS else {}
    except ValueError:
        return text
    if not isinstance(found, dict):
        return text
    cleaned = {_bare(str(key), prefixes): str(value) for key, value in found.items() if value not in (None, "")}
    return json.dumps(cleaned, sort_keys=True) if cleaned else None


def _bare(key: str, prefixes: tuple[str, ...]) -> str:
    return next((key[len(prefix) :] for prefix in prefixes if key.startswith(prefix)), key)


def records(chunks: Iterable[bytes], name: str, *, gzipped: bool) -> Iterator[dict[str, str]]:
    """Yield the records of a CSV file from its bytes, as they come; at most some pieces are in memory.

    Raises InvalidRequest for what is no CSV, Unavailable for gzip that breaks off or is damaged, and what `chunks` raises.
    """
    raw: Any = io.BufferedReader(_Stream(iter(chunks)), PIECE_BYTES)
    try:
        with gzip.GzipFile(fileobj=raw) if gzipped else raw as data, io.TextIOWrapper(data, "utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = next((fields for fields in reader if fields), [])
            for fields in reader:
                if len(fields) == len(header):
                    yield dict(zip(header, fields, strict=True))
                elif fields:
                    raise _torn(name, reader.line_num, len(fields), len(header))
    except (EOFError, gzip.BadGzipFile, zlib.error) as broken:
        why = "its gzip is damaged or breaks off: it is being written, or was not written whole"
        raise Unavailable(f"cannot read {name}", why=why, next_step="try again after the next delivery") from broken
    except (csv.Error, UnicodeDecodeError) as broken:
        raise InvalidRequest(f"{name} is no CSV file in UTF-8", why=str(broken)[:200], next_step="export it again, in UTF-8") from broken


def _torn(name: str, line: int, fields: int, columns: int) -> InvalidRequest:
    return InvalidRequest(
        f"{name}, line {line} has not as many fields as the first line",
        why=f"it has {fields}, not {columns}: it is no CSV row",
        next_step="export it again; nothing of it was booked",
    )


class _Stream(io.RawIOBase):
    """A file to read out of pieces."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as one piece goes; 0 at the end."""
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._rest = memoryview(bytes(piece))
        room = memoryview(buffer)  # type: ignore[arg-type]
        size = min(len(room), len(self._rest))
        room[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def latest(found: Iterable[Mapping[str, object]], key: Callable[[Mapping[str, object]], object]) -> list[Mapping[str, object]]:
    """Return of the rows with the same key the one whose charge starts last."""
    newest: dict[object, Mapping[str, object]] = {}
    for row in found:
        known = newest.get(key(row))
        if known is None or str(known["ChargePeriodStart"]) <= str(row["ChargePeriodStart"]):
            newest[key(row)] = row
    return list(newest.values())
