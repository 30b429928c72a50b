"""What the bills say of single machines: which type each had when, and at what rate it was paid for.

A bill knows a machine by its id or name, in any case, often with a path before it that differs from that of the cloud's own API. So the
last part decides (`.../instances/web-1`), and as much more of it as both write: the whole id where both are paths of Azure's, the zone of
`ZONE/NAME`, the account. A row that may be of two machines that are asked for is of neither: two of one name never share a cost.

What names the type, first found wins: SkuPriceDetails "InstanceType" (FOCUS 1.2 and later:
https://focus.finops.org/focus-specification, SKU price details); Azure's ServiceType there or in x_SkuDetails
(https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-focus); the usage type of AWS
(`EUW1-BoxUsage:m5.large`, https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html); the SKU of our own estimates. Google
bills cores and memory, not types: there only estimates say it, those that a bill has covered since among them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.store.ledger.book import EPOCH, Ledger, timestamp
from mcml.store.ledger.cover import ACCOUNT, ESTIMATE
from mcml.store.ledger.engine import literal, sql
from mcml.store.ledger.estimates import has_estimates

SPOT = " spot"
"""Behind a machine type it is the SKU of its spot price."""
_BOX = "(?:Box|Spot|Dedicated|HostBox|Heavy|Medium|Light)Usage:(.+)"
_TYPE = """
    coalesce(
        nullif(TRY(json_extract_string(SkuPriceDetails, '$$.InstanceType')), ''),
        nullif(TRY(json_extract_string(SkuPriceDetails, '$$.x_ServiceType')), ''),
        nullif(TRY(json_extract_string(json_extract_string(x_Extra, '$$.x_SkuDetails'), '$$.ServiceType')), ''),
        nullif(regexp_extract(coalesce(TRY(json_extract_string(x_Extra, '$$.x_UsageType')), SkuMeter, ''), ${box}, 1), ''),
        CASE WHEN x_Source = ${estimate} THEN regexp_replace(SkuId, ${spot}, '') END
    )
"""
_MINE = """
    FROM (
        SELECT * EXCLUDE (part, meant), meant[1].id AS machine
        FROM (
            SELECT *, list_filter([${wanted}], lambda one: one.part = part
                AND (NOT starts_with(one.id, '/') OR NOT starts_with(coalesce(ResourceId, ''), '/') OR lower(ResourceId) = one.id)
                AND (one.zone = '' OR AvailabilityZone IS NULL OR lower(AvailabilityZone) = one.zone)) AS meant
            FROM (
                SELECT *, CASE WHEN lower(regexp_extract(ResourceId, '[^/]*$$')) IN (${parts})
                               THEN lower(regexp_extract(ResourceId, '[^/]*$$'))
                               ELSE lower(regexp_extract(ResourceName, '[^/]*$$')) END AS part
                FROM ${rows}
                WHERE ChargeCategory = 'Usage' AND ChargeClass IS NULL AND ChargePeriodEnd > ${since}
                      AND (RegionId IS NULL OR lower(RegionId) = ${region} OR ${region} = '')
                      AND (SubAccountId IS NULL OR ${account} = '' OR ${of} = ${account})
            )
            WHERE part IN (${parts})
        )
        WHERE len(meant) = 1
    )
    WHERE true
"""
_ALL = "(SELECT * FROM cost UNION ALL BY NAME SELECT * EXCLUDE (covered) FROM estimate WHERE covered)"
"""An estimate says the type of a machine though a bill covers it."""
_TYPED = """
    SELECT machine, type, epoch_us(min(ChargePeriodStart)), epoch_us(max(ChargePeriodEnd))
    FROM (SELECT machine, ChargePeriodStart, ChargePeriodEnd, ${type} AS type ${mine}) WHERE type IS NOT NULL
    GROUP BY machine, type ORDER BY machine, type
"""
HOURLY = "regexp_matches(lower(PricingUnit), 'hour|hrs')"
"""A machine is priced by the hour (its cores and memory too); its traffic and its disks are not."""
_LISTED = "coalesce(nullif(ListCost, 0), nullif(ContractedCost, 0), EffectiveCost)"
_BILLS = """
    SELECT machine, BillingCurrency,
           sum(CASE WHEN CommitmentDiscountId IS NULL THEN 0 ELSE ${listed} END),
           sum(CASE WHEN CommitmentDiscountId IS NULL THEN ${listed} ELSE 0 END),
           sum(CASE WHEN CommitmentDiscountId IS NULL THEN EffectiveCost ELSE 0 END),
           count(*), epoch_us(max(ChargePeriodEnd))
    ${mine} AND ${hourly} AND x_Source <> ${estimate} AND PricingCategory IS DISTINCT FROM 'Dynamic'
          AND CommitmentDiscountStatus IS DISTINCT FROM 'Unused'
    GROUP BY machine, BillingCurrency ORDER BY machine, BillingCurrency
"""


@dataclass(frozen=True)
class Typed:
    """From when to when a machine (its id, in lower case) was billed, measured or estimated as a type."""

    machine: str
    type: str
    first: datetime
    last: datetime


@dataclass(frozen=True)
class MachineBill:
    """What a machine's hours cost in one currency, spot left out: the list cost of what commitments cover and of the rest, and what the
    rest cost in effect; how many rows, and until when.

    Where a bill has no list cost, the contracted one stands for it, else the effective one.
    """

    machine: str
    currency: str
    covered_list: Decimal
    other_list: Decimal
    other_effective: Decimal
    rows: int
    until: datetime


def key(machine: str) -> str:
    """Return what a machine is looked up by."""
    return machine.lower()


def typed(ledger: Ledger, machines: Collection[str], since: datetime, region: str = "", account: str = "") -> list[Typed]:
    """Return which types these machines (of one account, where that is known) had in charge periods that end after `since`."""
    if not machines or not ledger.manifest.files:
        return []
    known = _ALL if has_estimates(ledger) else "cost"
    type = sql(_TYPE, box=literal(_BOX), estimate=literal(ESTIMATE), spot=literal(f"{SPOT}$"))
    with ledger.opened("cannot read the types of machines") as connection:
        rows = connection.execute(sql(_TYPED, type=type, mine=mine(machines, since, region, account, known))).fetchall()
    return [Typed(machine, said, _moment(first), _moment(last)) for machine, said, first, last in rows]


def bills(ledger: Ledger, machines: Collection[str], since: datetime, region: str = "", account: str = "") -> list[MachineBill]:
    """Return what the hours of these machines cost in charge periods that end after `since`, by machine and currency."""
    if not machines or not ledger.manifest.files:
        return []
    pieces = {"listed": _LISTED, "hourly": HOURLY, "estimate": literal(ESTIMATE), "mine": mine(machines, since, region, account)}
    with ledger.opened("cannot add up the bills of machines") as connection:
        rows = connection.execute(sql(_BILLS, **pieces)).fetchall()
    return [
        MachineBill(name, currency, covered, listed, effective, count, _moment(last))
        for name, currency, covered, listed, effective, count, last in rows
    ]


def mine(machines: Collection[str], since: datetime, region: str, account: str = "", rows: str = "cost") -> str:
    """Return FROM and WHERE of the usage rows of these machines, corrections left out; each has the column `machine`."""
    keys = sorted({key(machine) for machine in machines})
    wanted = ", ".join(f"{{id: {literal(one)}, part: {literal(_name(one))}, zone: {literal(_zone(one))}}}" for one in keys)
    parts = ", ".join(map(literal, sorted({_name(one) for one in keys})))
    who = {"account": literal(account.lower()), "of": ACCOUNT}
    return sql(_MINE, rows=rows, wanted=wanted, parts=parts, since=timestamp(since), region=literal(region.lower()), **who)


def _name(machine: str) -> str:
    return machine.rpartition("/")[2]


def _zone(machine: str) -> str:
    """Return the zone of an id ZONE/NAME; empty for any other."""
    zone, _, _ = machine.rpartition("/")
    return zone if "/" not in zone else ""


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
