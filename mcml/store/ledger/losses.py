"""What a delivery would take out of a bill without saying so: it replaces the account's month, and holds only another piece of it."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict
from mcml.store.ledger.engine import path_literal, sql
from mcml.store.ledger.manifest import Delivery, Manifest, Part, typed

BILLED = "billed"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ = "read_parquet([${files}], union_by_name = true, hive_partitioning = false)"
_KEPT = """
    SELECT count(*), count(*) FILTER (WHERE day IN (SELECT DISTINCT epoch_us(ChargePeriodStart) // 86400000000 FROM ${new}))
    FROM (SELECT DISTINCT epoch_us(ChargePeriodStart) // 86400000000 AS day FROM ${old})
"""
_SPAN = "SELECT epoch_us(min(ChargePeriodStart)), epoch_us(max(ChargePeriodStart)) FROM ${rows}"
_COMMITTED = """
    SELECT count(*) FILTER (WHERE ChargeCategory = 'Usage'),
           count(*) FILTER (WHERE ChargeCategory = 'Usage' AND EffectiveCost <> 0),
           count(*) FILTER (WHERE ChargeCategory = 'Purchase' AND BilledCost <> 0)
    FROM ${rows} WHERE CommitmentDiscountId IS NOT NULL OR CommitmentDiscountCategory IS NOT NULL
"""


class WouldLose(Conflict):
    """A delivery is a piece of a bill, and would replace another piece of it."""


def found(connection: Any, folder: Path, scratch: Path, known: Manifest, delivery: Delivery, new: Sequence[Part]) -> WouldLose | None:
    """Return what is lost where a part of a delivery, whose files lie below `scratch`, is no later version of the bill that it replaces.

    Two signs tell: half or more of the old one's days of charges are not in the new one (a file a day, or a week, even with one in common:
    days of a cloud are seldom those of UTC), and money of commitments that the old one has is gone though the new one speaks of
    commitments (Azure's actual export has what was paid for them, the amortized one what was used of them).
    """
    current: dict[tuple[str, str, str], list[Part]] = defaultdict(list)
    for old in known.current:
        current[old.key].append(old)
    for part in new:
        for old in current.get(part.key, ()):
            if part.source == BILLED and part.replaces(old):
                sides = _reader(folder, old), _reader(scratch, part)
                why = _other_days(connection, *sides) or _other_export(connection, *sides)
                if why:
                    return _told(part, why, next(each for each in known.deliveries if each.id == old.delivery), delivery)
    return None


def _reader(root: Path, part: Part) -> str:
    return sql(_READ, files=", ".join(path_literal(root / file) for file in part.files))


def _other_days(connection: Any, old: str, new: str) -> str:
    days, kept = connection.execute(sql(_KEPT, old=old, new=new)).fetchone()
    return "" if 2 * kept > days else f"the ledger has charges of {_span(connection, old)}, and these are of {_span(connection, new)}"


def _span(connection: Any, rows: str) -> str:
    ends = (EPOCH + timedelta(microseconds=end) for end in connection.execute(sql(_SPAN, rows=rows)).fetchone())
    return " to ".join(dict.fromkeys(f"{end:%Y-%m-%d}" for end in ends))


def _other_export(connection: Any, old: str, new: str) -> str:
    _, old_used, old_bought = connection.execute(sql(_COMMITTED, rows=old)).fetchone()
    usage, used, bought = connection.execute(sql(_COMMITTED, rows=new)).fetchone()
    if old_bought and used and not bought:
        return "the ledger has purchases of commitments, and here is only what was used of them, as in an amortized export alone"
    if old_used and (usage or bought) and not used:
        return "the ledger has what was used of commitments, and here is only what was paid for them, as in an actual export alone"
    return ""


def _told(part: Part, why: str, before: Delivery, after: Delivery) -> WouldLose:
    files = _together(before.given, after.given)
    whole = "give all files of the month in one command" + (f": mcml cost ingest {shlex.join(files)}" if files else "")
    return WouldLose(
        f"{after.origin} would replace another part of the bill of {part.month[:7]} of account {part.account}",
        why=f"{why}; what is delivered replaces all that the ledger has of the account's month",
        next_step=f"{whole}; or replace it with --yes",
    )


def _together(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the files of both as one types them, or none where they would be refused again.

    Files that were overwritten hold the old piece no more, and each address of a bucket is a delivery of its own.
    """
    files = list(dict.fromkeys((*before, *after)))
    known = before and after and not set(before) <= set(after)
    return typed(files) if known and not any("://" in file for file in files) else []
