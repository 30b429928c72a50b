"""The view `cost` over the parts of a ledger, in which no hour counts twice: an estimate is hidden where a bill or a meter covers it.

An estimate part keeps every estimate that was ever made of its account and month; which of them still count is decided when the ledger is
read, so they are replaced in the moment a bill is booked. An estimate is covered when it starts before

- the end of the newest usage that the account (`ACCOUNT`) was billed for: a bill speaks of all that an account has used up to there.
  Charges that have not ended, or that are longer than a day (fees by the month), say nothing about an hour;
- the end of the newest usage that was billed or measured for its resource: a meter speaks of what it measures only.
"""

from collections.abc import Sequence
from pathlib import Path

from mcml.store.ledger.engine import path_literal, sql
from mcml.store.ledger.manifest import Part

ESTIMATE = "estimate"
ACCOUNT = "lower(regexp_extract(coalesce(SubAccountId, BillingAccountId), '[^/]*$'))"
"""The account of a row: the last part of its id, for a bill may write the path to it (`/subscriptions/...`)."""
_READ = "SELECT * FROM read_parquet([${files}], union_by_name = true, hive_partitioning = false)"
_VIEW = "CREATE VIEW ${name} AS ${query}"
_COST = "CREATE VIEW cost AS ${rest} SELECT * EXCLUDE (covered) FROM estimate WHERE NOT covered"
_USAGE = """
    ChargeCategory = 'Usage' AND ChargePeriodEnd <= ChargePeriodStart + INTERVAL 25 HOUR AND ChargePeriodStart >= getvariable('first')
"""  # a day of 25 hours ends the summer time
_COVERED = (
    "SET VARIABLE first = (SELECT min(ChargePeriodStart) - INTERVAL 25 HOUR FROM estimated)",  # a constant: older rows are not even read
    """
    CREATE TABLE covered_account AS
    SELECT ${account} AS account, max(ChargePeriodEnd) AS until FROM known
    WHERE x_Source = 'billed' AND ChargePeriodEnd <= x_IngestedAt AND ${usage} GROUP BY account
    """,
    """
    CREATE TABLE covered_resource AS
    SELECT ResourceId AS resource, max(ChargePeriodEnd) AS until FROM known
    WHERE ResourceId IN (SELECT ResourceId FROM estimated) AND ${usage} GROUP BY resource
    """,
    """
    CREATE VIEW estimate AS
    SELECT estimated.*, coalesce(ChargePeriodStart < greatest(covered_account.until, covered_resource.until), false) AS covered
    FROM estimated LEFT JOIN covered_account ON account = ${account}
         LEFT JOIN covered_resource ON resource = ResourceId
    """,
)


def view(folder: Path, parts: Sequence[Part]) -> list[str]:
    """Return the statements that make the view `cost` of one part or more of the ledger at `folder`.

    Where there are estimates they also make the view `estimate`: all of them, with a column `covered`.
    """
    estimates = [part for part in parts if part.source == ESTIMATE]
    if not estimates:
        return [sql(_VIEW, name="cost", query=_read(folder, parts))]
    others = [part for part in parts if part.source != ESTIMATE]
    first = min(part.month for part in estimates)  # an older bill ends before them
    known = [part for part in others if part.month >= first]
    views = {"estimated": _read(folder, estimates), "known": _read(folder, known) if known else "SELECT * FROM estimated WHERE false"}
    rest = f"{_read(folder, others)} UNION ALL BY NAME" if others else ""
    return [
        *(sql(_VIEW, name=name, query=query) for name, query in views.items()),
        *(sql(statement, usage=_USAGE, account=ACCOUNT) for statement in _COVERED),
        sql(_COST, rest=rest),
    ]


def _read(folder: Path, parts: Sequence[Part]) -> str:
    files = sorted(file for part in parts for file in part.files)
    return sql(_READ, files=", ".join(path_literal(folder / file) for file in files))
