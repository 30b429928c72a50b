"""The bill out of the files of a Data Export in S3: tables FOCUS 1.0, FOCUS 1.2 and CUR 2.0, as CSV in gzip, read as they stream in.

https://docs.aws.amazon.com/cur/latest/userguide/dataexports-export-delivery.html
Under `s3://BUCKET/PREFIX/EXPORT` lie `metadata/BILLING_PERIOD=YYYY-MM/EXPORT-Manifest.json`, written after the data, and the data files
that it names; a delivery that keeps the older ones has a folder of its own, and the newest manifest counts. Files that no manifest
names (yet) are not read. Parquet is not read here: `mcml data cp` brings the files, `mcml cost ingest` books them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.billing_cur import CurReader, is_cur
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.session import Session
from mcml.providers.focus import first_day, focus_row, latest, months_of, records, starts_in, tags_of

LATENESS = timedelta(hours=24)
DAY = timedelta(days=1)
SOURCE = "AWS Data Exports, list price on the bill"
_MANIFEST = re.compile(r"metadata/billing_period=(?P<month>\d{4}-\d{2})/(?:.*/)?[^/]*manifest\.json$", re.IGNORECASE)


@dataclass(frozen=True)
class Delivery:
    """A month's newest manifest: where it lies, and since when."""

    month: str
    stat: ObjectStat


@dataclass(frozen=True)
class ExportBilling:
    """The bill as an export has delivered it."""

    session: Session

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows whose charge starts in a period, out of the billing months that it touches, file by file.

        Raises NotFound where no export lies, InvalidRequest for files that are not CSV in gzip, Unavailable for one that is damaged.
        """
        months = {f"{month:%Y-%m}" for month in months_of(period)}
        for delivery in self._deliveries():
            if delivery.month in months:
                for row in self._month(delivery):
                    if starts_in(row, period):
                        yield row

    def freshness(self) -> Freshness:
        """Return when the newest manifest was written; the bill is complete up to a day before (AWS bills what it measured within one)."""
        changed = max(delivery.stat.modified for delivery in self._deliveries())
        return Freshness(complete_until=first_day(changed - LATENESS - DAY), changed_at=changed)

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the list prices on the bill of the newest month: of each SKU and region, the one of the last charge, and as of then."""
        rows = self._month(self._deliveries()[-1])
        priced = (row for row in rows if row.get("SkuId") and row.get("ListUnitPrice") is not None and region in ("", row.get("RegionId")))
        return [_price(row) for row in latest(priced, lambda row: (row["SkuId"], row.get("RegionId")))]

    @cached_property
    def _store(self) -> S3ObjectStore:
        return S3ObjectStore(self.session)

    @property
    def _place(self) -> tuple[str, str]:
        bucket, _, prefix = self.session.settings.billing_export.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")

    def _deliveries(self) -> list[Delivery]:
        bucket, prefix = self._place
        newest: dict[str, Delivery] = {}
        for stat in self._store.list(bucket, f"{prefix}/metadata/"):
            found = _MANIFEST.search(stat.key)
            if found and (found["month"] not in newest or newest[found["month"]].stat.modified <= stat.modified):
                newest[found["month"]] = Delivery(found["month"], stat)
        if not newest:
            raise NotFound(
                f"no export under s3://{bucket}/{prefix}",
                why="no manifest lies in metadata/: it is another folder, or AWS has not delivered yet (up to 24 hours)",
                next_step="aws bcm-data-exports list-exports --region us-east-1",
            )
        return [newest[month] for month in sorted(newest)]

    def _month(self, delivery: Delivery) -> Iterator[FocusRow]:
        bucket, _ = self._place
        cur = CurReader()
        for file in _data_files(f"s3://{bucket}/{delivery.stat.key}", b"".join(self._store.read(bucket, delivery.stat.key))):
            key = file.removeprefix(f"s3://{bucket}/")
            name = f"s3://{bucket}/{key}"
            if not key.endswith((".csv.gz", ".csv")):
                raise _not_csv(name)
            for record in records(self._store.read(bucket, key), name, gzipped=key.endswith(".gz")):
                yield from cur.rows(record) if is_cur(record) else (_focus(record),)
        yield from cur.rest()


def _focus(record: Mapping[str, str]) -> FocusRow:
    named = partial(tags_of, record.get("Tags", ""))
    return focus_row(record) | {"Tags": named("user:", "user_"), "x_Source": "billed", "x_From": "AWS Data Exports"}


def _data_files(name: str, text: bytes) -> list[str]:
    """Return the files that a manifest names. Raises InvalidRequest for what is no manifest."""
    try:
        manifest = json.loads(text)
        found = manifest.get("dataFiles") or manifest.get("reportKeys") or []
    except (ValueError, AttributeError) as broken:
        raise _no_manifest(name, "it is no JSON object") from broken
    if not isinstance(found, list) or not all(isinstance(file, str) for file in found):
        raise _no_manifest(name, "dataFiles is no list of texts")
    return found


def _no_manifest(name: str, why: str) -> InvalidRequest:
    step = f"mcml data cp {name} .   # look at it; wait for the next delivery, or name another export in billing_export"
    return InvalidRequest(f"cannot read the manifest {name}", why=why, next_step=step)


def _not_csv(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"cannot read {name}",
        why="it is not CSV: Parquet is read by the ledger, not by the provider",
        next_step=f"mcml data cp {name} . && mcml cost ingest {name.rpartition('/')[2]}",
    )


def _price(row: FocusRow) -> UnitPrice:
    said: Any = row
    region, unit, as_of = said.get("RegionId") or "", said.get("PricingUnit") or "unit", said["ChargePeriodStart"]
    return UnitPrice(said["SkuId"], region, unit, said["ListUnitPrice"], said["BillingCurrency"], SOURCE, as_of)


