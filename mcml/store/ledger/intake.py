"""Ingest: files or rows in, Parquet under the manifest out; whole or not at all, one ingest at a time, twice the same as once."""

import csv
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mcml.core.clock import Clock, parse_rfc3339, rfc3339, utc_now
from mcml.core.errors import Conflict, InvalidRequest, McmlError
from mcml.providers.api.billing import REFUSED
from mcml.store.ledger import losses, staging
from mcml.store.ledger import manifest as manifests
from mcml.store.ledger.bills import Window, Written, carried_over
from mcml.store.ledger.bills import parts as parts_of
from mcml.store.ledger.engine import connected, literal, sql
from mcml.store.ledger.exact import plain
from mcml.store.ledger.losses import WouldLose
from mcml.store.ledger.manifest import Delivery, Held, Manifest, Part
from mcml.store.ledger.schema import INPUT
from mcml.store.ledger.source import SourceFile, inspect

RULES = 2
"""Part of a delivery's digest: raise it when the same file would be read differently, and the next ingest reads it anew."""
LOCK_SECONDS = 600.0
MEMORY = "600MB"
WRITERS = 2
BILLS = 1000
"""Of how many bills the refused rows of a delivery are told apart; of more (an export of garbage) none is."""


@dataclass(frozen=True)
class Ingested:
    """What an ingest did. `unchanged`: the same was booked before and still stands; `replaced`: rows of older versions that it ended."""

    delivery: Delivery
    unchanged: bool = False
    replaced: int = 0


def refuse(lost: WouldLose) -> None:
    """Agree to nothing."""
    raise lost


@dataclass(frozen=True)
class Intake:
    """The way into the ledger at `folder`. With `dry_run` everything is read and judged, and nothing is booked.

    `agree` is asked before a piece of a bill replaces another piece of it (see `losses`), and returns when it may, else raises.
    The ledger is locked meanwhile: who asks a person lets it raise, and tries again with the answer.
    """

    folder: Path
    clock: Clock = utc_now
    dry_run: bool = False
    lock_seconds: float = LOCK_SECONDS
    agree: Callable[[WouldLose], None] = refuse

    def files(self, paths: Sequence[Path], *, source: str = "billed", origin: str = "", given: Sequence[str] = ()) -> Ingested:
        """Book FOCUS files as one delivery: give all files of a bill together, the bills they speak of are replaced by them.

        `origin` is what people call it, `given` what they named to get it; the names of the files, and the paths, when they are not said.

        Raises NotFound, InvalidRequest (what is wrong with which file), Conflict (a file is being written, another ingest holds the
        lock), WouldLose (they are a piece of a bill). Nothing is booked unless all files could be read; rows that break a rule are
        quarantined with the reason.
        """
        found = {each.sha256: each for each in map(inspect, paths)}
        with self._told():
            origin = origin or ", ".join(sorted(path.name for path in paths))
            return self._book(list(found.values()), source, origin, given=given or [str(path.resolve()) for path in paths])

    def rows(
        self,
        rows: Iterable[Mapping[str, object]],
        *,
        origin: str,
        source: str = "billed",
        window: Window | None = None,
        given: Sequence[str] = (),
    ) -> Ingested:
        """Book the FOCUS rows of a provider as one delivery. Raises InvalidRequest for a float or a naive time: a provider's bug.

        With a `window` they are all its charges of the accounts in them, whatever bill they are on: what the ledger has of these accounts
        in the window is replaced, and what lies outside stays.
        """
        with self._told(), self._scratch() as scratch:
            path = scratch / f"{quote(origin, safe='')[:100]}.csv"
            write_rows(path, rows)
            return self._book([replace(inspect(path), label=f"{origin} as FOCUS")], source, origin, window, given)

    def _book(
        self, sources: Sequence[SourceFile], source: str, origin: str, window: Window | None = None, given: Sequence[str] = ()
    ) -> Ingested:
        begin = rfc3339(window.begin) if window else ""
        told = [RULES, source, *filter(None, [begin]), *sorted(each.sha256 for each in sources)]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        with self._locked():
            known = manifests.load(self.folder)
            same = known.same(digest)
            if same:
                return Ingested(same, unchanged=True)
            self._sweep(known)
            at = max([self.clock(), *(parse_rfc3339(each.at) for each in known.deliveries[-1:])])  # a clock that was set back
            name = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
            delivery = Delivery(id=name, at=rfc3339(at), origin=origin, digest=digest, given=tuple(given), begin=begin)
            with self._scratch() as scratch, connected(f"cannot ingest {origin}", scratch=scratch, memory=MEMORY) as connection:
                delivery, parts = _staged(connection, sources, delivery, source, scratch)
                if window:
                    parts, stays = carried_over(connection, self.folder, window, known.current, parts, delivery)
                    _export_all(connection, scratch, stays)
                elif lost := losses.found(connection, self.folder, scratch, known, delivery, parts):
                    self.agree(lost)
                changed = known.add(delivery, parts)
                if not self.dry_run:
                    _move(scratch, self.folder, changed.referenced - known.referenced)
                    manifests.save(self.folder, changed)
            return Ingested(delivery, replaced=changed.replaced - sum(part.rows for part in parts) + delivery.rows)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "ingest.lock", timeout=self.lock_seconds)
        try:
            lock.acquire()
        except Timeout as waited:
            raise Conflict(
                "another ingest is writing the cost ledger",
                why=f"it held the lock for {self.lock_seconds:g} s",
                next_step="wait for it, then try again",
            ) from waited
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Yield a folder of this process for what is too large for memory; it is gone afterwards."""
        path = self.folder / "scratch" / f"{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as failed:
            raise McmlError("cannot write the cost ledger", why=f"{failed.filename or self.folder}: {failed.strerror}") from failed

    def _sweep(self, known: Manifest) -> None:
        """Remove what an ingest that died has left; the caller holds the lock, so no other one is at work on it."""
        import psutil

        kept = known.referenced
        for parent in ("focus", "quarantine"):
            for path in (self.folder / parent).rglob("*.parquet"):
                if path.relative_to(self.folder).as_posix() not in kept:
                    path.unlink()
        for path in (self.folder / "scratch").glob("*-*"):
            if not psutil.pid_exists(int(path.name.split("-")[0])):
                shutil.rmtree(path, ignore_errors=True)


_COLUMNS = (*INPUT, REFUSED)
_OTHERS = frozenset(_COLUMNS)
_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_moment = lru_cache(maxsize=4096)(rfc3339)  # a bill has few times


@lru_cache(maxsize=4096)
def _extra(told: frozenset[tuple[str, str]]) -> str:
    return _json(dict(told))


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write FOCUS rows as the CSV file that ingest reads; columns that are not ours go into x_Extra, and REFUSED has one of its own."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        extra = _COLUMNS.index("x_Extra")
        for row in rows:
            values = list(map(row.get, _COLUMNS))
            if not values[extra] and (names := row.keys() - _OTHERS):
                more = frozenset((name, _text(name, row[name])) for name in names if row[name] is not None)
                values[extra] = _extra(more) if more else None
            # the writer knows null and text, and most values are one of them
            writer.writerow([said if said is None or type(said) is str else _text(_COLUMNS[at], said) for at, said in enumerate(values)])


def _text(name: str, said: object) -> str:
    match said:
        case None:
            return ""
        case str():
            return said
        case Decimal():
            return format(said, "f")
        case datetime() if said.tzinfo is not None:
            return _moment(said)
        case bool() | int():
            return str(said)
        case Mapping():
            return _json(said)
    raise InvalidRequest(
        f"a row's {name} is a {type(said).__name__}", why="FOCUS rows hold text, Decimal and aware times; a float is never exact"
    )


_GROUPS = """
    SELECT x_Source, BillingAccountId, ${month_of} AS month, ServiceProviderName, InvoiceIssuerName, count(*)
    FROM judged WHERE reasons = '' GROUP BY ALL ORDER BY ALL
"""
_PART = """
    SELECT * EXCLUDE (reasons) FROM judged
    WHERE reasons = '' AND x_Source = ${source} AND BillingAccountId = ${account} AND ServiceProviderName = ${provider}
      AND ${month_of} = ${month}
    ORDER BY ChargePeriodStart, x_Row
"""
_BOOK = """
    INSERT INTO booked SELECT ServiceProviderName, BillingCurrency, x_Source, count(*), sum(BilledCost)
    FROM judged WHERE reasons = '' GROUP BY ALL
"""
_BOOKED = "SELECT provider, currency, source, sum(rows)::BIGINT, sum(billed) FROM booked GROUP BY ALL ORDER BY ALL"
_REFUSED = "SELECT Reason, coalesce(BillingCurrency, ''), count(*), coalesce(sum(BilledCost), 0) FROM bad GROUP BY ALL ORDER BY ALL"
_HELD = "SELECT count(*), coalesce(Bill, '') FROM bad GROUP BY ALL ORDER BY ALL"
_UNTOLD = "UPDATE bad SET Bill = NULL"


def _staged(connection: Any, sources: Sequence[SourceFile], delivery: Delivery, source: str, scratch: Path) -> tuple[Delivery, list[Part]]:
    """Write the files of a delivery below `scratch`, where they lie as in the ledger; return it counted, and its parts."""
    connection.execute("CREATE TABLE booked (provider VARCHAR, currency VARCHAR, source VARCHAR, rows BIGINT, billed DECIMAL(38,24))")
    sheets = [staging.sheet(connection, each) for each in sources]
    written: list[Written] = []
    for export in staging.judged(connection, sheets, staging.Marks(delivery.id, delivery.at, source), scratch):
        connection.execute(_BOOK)
        written += _write(connection, scratch, f"{delivery.id}-{len(written)}", export)
    delivery = _counted(connection, delivery)
    if delivery.quarantine:
        _export(connection, scratch / delivery.quarantine, "SELECT * FROM bad ORDER BY x_File, x_Row")
    return delivery, parts_of(written, delivery)


def _counted(connection: Any, delivery: Delivery) -> Delivery:
    booked = connection.execute(_BOOKED).fetchall()
    refused = connection.execute(_REFUSED).fetchall()
    return replace(
        delivery,
        rows=sum(row[3] for row in booked),
        quarantined=sum(row[2] for row in refused),
        booked=tuple(dict(zip(("provider", "currency", "source", "rows", "billed"), _plain(row), strict=True)) for row in booked),
        refused=tuple(dict(zip(("reason", "currency", "rows", "billed"), _plain(row), strict=True)) for row in refused),
        quarantine=f"quarantine/{delivery.id}.parquet" if refused else "",
        held=_held(connection),
    )


def _held(connection: Any) -> tuple[Held, ...]:
    found = connection.execute(_HELD).fetchall()
    if len(found) > BILLS:
        connection.execute(_UNTOLD)
        found = connection.execute(_HELD).fetchall()
    return tuple(_of_bill(rows, bill) if bill else Held(rows) for rows, bill in found)


def _of_bill(rows: int, bill: str) -> Held:
    source, account, month, *names = json.loads(bill)
    return Held(rows, bill, source, account, month, tuple(sorted({*names} - {""})))


def _write(connection: Any, scratch: Path, name: str, export: str) -> list[Written]:
    """Write the good rows of the table `judged`, a file for each source, account, month and provider."""
    groups: dict[tuple[str, str, str, str], tuple[set[str], int]] = {}
    for *key, issuer, count in connection.execute(sql(_GROUPS, month_of=staging.MONTH)).fetchall():
        issuers, rows = groups.get((*key,), (set(), 0))
        groups[(*key,)] = issuers | ({issuer} if issuer else set()), rows + count
    written, queries = [], {}
    for number, ((source, account, month, provider), (issuers, rows)) in enumerate(groups.items()):
        path = f"focus/ServiceProviderName={quote(provider, safe='')[:100]}/BillingPeriodStart={month}/{name}-{number}.parquet"
        which = {"source": source, "account": account, "month": month, "provider": provider}
        queries[path] = sql(_PART, month_of=staging.MONTH, **{name: literal(text) for name, text in which.items()})
        written.append(Written((source, account, month), export, provider, frozenset(issuers), path, rows))
    _export_all(connection, scratch, queries)
    return written


def _export_all(connection: Any, scratch: Path, queries: Mapping[str, str]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:  # a file of a few rows is written by one thread
        list(pool.map(lambda path: _export(connection.cursor(), scratch / path, queries[path]), queries))


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [plain(value) if isinstance(value, Decimal) else value for value in row]


def _export(connection: Any, path: Path, query: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # money is 16 bytes a value, and hardly repeats: reading it is mostly unpacking, which lz4 does in two thirds of zstd's time
    connection.execute(f"COPY ({query}) TO {literal(str(path))} (FORMAT parquet, COMPRESSION lz4_raw)")
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)  # before the manifest names it
    finally:
        os.close(handle)


def _move(scratch: Path, folder: Path, files: Iterable[str]) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (scratch / file).replace(folder / file)
