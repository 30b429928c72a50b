"""The bill out of the files of a FocusCost export in Blob Storage: versions 1.0 to 1.2-preview, CSV, plain or in gzip, read as a stream.

https://learn.microsoft.com/azure/cost-management-billing/costs/tutorial-improved-exports
Under `az://CONTAINER/DIRECTORY/EXPORT` lie folders YYYYMMDD-YYYYMMDD, in them a run's (RUN/)GUID with `manifest.json`, written last, and
the parts it names. Of runs of the same days the newest counts; a part that is not as long as the manifest says is not taken for whole.
Parquet is not read here: `mcml data cp` brings the files, `mcml cost ingest` books them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.api.billing import FocusRow, Freshness, Period, UnitPrice
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.providers.focus import first_day, focus_row, latest, records, starts_in

LATENESS = timedelta(hours=24)
DAY = timedelta(days=1)
SOURCE = "Azure FocusCost export, list price on the bill"
_MANIFEST = re.compile(r"(?:^|/)(?P<first>\d{8})-(?P<last>\d{8})/(?:[^/]+/)*manifest\.json$", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """The newest run of some days: the manifest, and the days from the first to, and with, the last."""

    first: datetime
    last: datetime
    stat: ObjectStat


@dataclass(frozen=True)
class ExportBilling:
    """The bill as an export has delivered it."""

    session: Session

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the rows whose charge starts in a period, out of the runs whose days it touches, part by part.

        Raises NotFound where no export lies, InvalidRequest for one that is no FocusCost in CSV or whose manifest cannot be read,
        Unavailable for a part that is not whole.
        """
        for run in self._runs():
            if run.first < period.end and period.start < run.last + DAY:
                for row in self._run(run):
                    if starts_in(row, period):
                        yield row

    def freshness(self) -> Freshness:
        """Return when the newest manifest was written; the bill is complete up to a day before (usage arrives within one, mostly)."""
        changed = max(run.stat.modified for run in self._runs())
        return Freshness(complete_until=first_day(changed - LATENESS - DAY), changed_at=changed)

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the list prices on the bill of the newest run: of each SKU and region, the one of the last charge, and as of then."""
        rows = self._run(self._runs()[-1])  # never held whole: a month may have millions
        priced = (row for row in rows if row.get("SkuId") and row.get("ListUnitPrice") is not None and region in ("", row.get("RegionId")))
        return [_price(row) for row in latest(priced, lambda row: (row["SkuId"], row.get("RegionId")))]

    @cached_property
    def _store(self) -> AzureObjectStore:
        return AzureObjectStore(self.session)

    @property
    def _place(self) -> tuple[str, str]:
        container, _, prefix = self.session.settings.billing_export.removeprefix("az://").partition("/")
        return container, prefix.strip("/")

    def _runs(self) -> list[Run]:
        container, prefix = self._place
        newest: dict[tuple[str, str], Run] = {}
        for stat in self._store.list(container, f"{prefix}/"):
            found = _MANIFEST.search(stat.key)
            if found:
                days = (found["first"], found["last"])
                if days not in newest or newest[days].stat.modified <= stat.modified:
                    newest[days] = Run(_date(days[0]), _date(days[1]), stat)
        if not newest:
            raise NotFound(
                f"no export under az://{container}/{prefix}",
                why="no manifest lies there: it is another folder, or the export has not run yet",
                next_step="az costmanagement export list --scope SCOPE",
            )
        runs = [newest[days] for days in sorted(newest)]
        for before, after in pairwise(runs):
            if after.first <= before.last:
                raise InvalidRequest(
                    f"the runs under az://{container}/{prefix} overlap",
                    why=f"{before.stat.key} and {after.stat.key} both have {after.first:%Y-%m-%d}: what is in both would count twice",
                    next_step="name the folder of one export (of whole months) in billing_export",
                )
        return runs

    def _run(self, run: Run) -> Iterator[FocusRow]:
        container, _ = self._place
        manifest = self._manifest(f"az://{container}/{run.stat.key}", b"".join(self._store.read(container, run.stat.key)))
        kind = (manifest.get("exportConfig") or {}).get("type", "FocusCost")
        if kind != "FocusCost":
            why, step = f"it is of the type {kind}", "make an export of the type FocusCost, and name its folder in billing_export"
            raise InvalidRequest(f"the export az://{container}/{run.stat.key} is no FOCUS bill", why=why, next_step=step)
        for blob in manifest.get("blobs") or ():
            yield from self._part(container, blob)

    def _manifest(self, name: str, text: bytes) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            why = "it is no JSON object: it is being written, or is another file"
            step = f"mcml data cp {name} .   # look at it; the next run of the export writes a new one"
            raise InvalidRequest(f"cannot read {name}", why=why, next_step=step)
        return found

    def _part(self, container: str, blob: Mapping[str, Any]) -> Iterator[FocusRow]:
        key = str(blob["blobName"])  # in the container, whose name the export's folder may bear, too
        name, count = f"az://{container}/{key}", 0
        if not key.endswith((".csv.gz", ".csv")):
            raise InvalidRequest(
                f"cannot read {name}",
                why="it is not CSV: Parquet is read by the ledger, not by the provider",
                next_step=f"mcml data cp {name} . && mcml cost ingest {name.rpartition('/')[2]}",
            )
        for record in records(self._store.read(container, key), name, gzipped=key.endswith(".gz")):
            count += 1
            yield focus_row(record) | {"x_Source": "billed", "x_From": "FocusCost export"}
        if blob.get("dataRowCount") is not None and count != int(blob["dataRowCount"]):
            why = f"it has {count} rows, its manifest says {blob['dataRowCount']}"
            raise Unavailable(f"{name} is not whole", why=why, next_step="try again after the next run of the export")


def _date(digits: str) -> datetime:
    return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC)


def _price(row: FocusRow) -> UnitPrice:
    said: Any = row
    region, unit, as_of = said.get("RegionId") or "", said.get("PricingUnit") or "unit", said["ChargePeriodStart"]
    return UnitPrice(said["SkuId"], region, unit, said["ListUnitPrice"], said["BillingCurrency"], SOURCE, as_of)
