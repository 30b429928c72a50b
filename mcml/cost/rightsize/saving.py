"""What a change saves: by the price list, and at the rate that the bill shows the machine is really paid at. Exact.

    list saving       (price of the present type - price of the proposed) x 730 hours
    effective saving  list saving x (1 - covered) x paid

`covered` is the share of the machine's list cost that a commitment covers: it is paid for whatever runs, so it saves nothing until
something else uses what becomes free. `paid` is the effective cost of the rest over its list cost: negotiated prices and discounts. What
grows is not covered by a commitment of today: it costs list x paid. A machine without a bill is taken at the list price, and that is said.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from mcml.core.price import STALE_AFTER
from mcml.cost.rightsize.values import Reason
from mcml.providers.api.instances import MachinePrice
from mcml.store.ledger.exact import product, quotient, rounded, tidy, total
from mcml.store.ledger.machines import MachineBill

HOURS = 730
"""A month: 8,760 / 12."""
BILLED = timedelta(days=30)
"""How far back the bill is read for what is paid."""


@dataclass(frozen=True)
class Rate:
    """At what a machine is paid for: `covered` and `paid` as above, 0 to 1 and about 1, from the bill up to `until` (None: no bill).

    `why` says why it is the list price.
    """

    covered: Decimal = Decimal(0)
    paid: Decimal = Decimal(1)
    until: datetime | None = None
    why: str = ""


LIST = Rate(why="no bill of this machine was found")


@dataclass(frozen=True)
class Saving:
    """What a change saves in a month: at the effective rate and by the price list (None: not known), and what there is to say about it."""

    effective: Decimal | None
    listed: Decimal | None
    reasons: tuple[Reason, ...] = ()


def rate_of(bills: "list[MachineBill]") -> Rate:
    """Return at what rate a machine is paid for by its bills of late, one a currency."""
    if not bills:
        return LIST
    if len(bills) > 1:
        return Rate(why=f"it is billed in {' and '.join(sorted(bill.currency for bill in bills))}")
    bill = bills[0]
    listed = total((bill.covered_list, bill.other_list))
    if listed <= 0 or bill.covered_list < 0 or bill.other_list < 0 or bill.other_effective < 0:
        return Rate(why="its bill names no list cost")
    covered = quotient(bill.covered_list, listed)
    paid = quotient(bill.other_effective, bill.other_list) if bill.other_list else Decimal(1)
    return Rate(tidy(covered), tidy(paid), bill.until)


def monthly(present: MachinePrice, proposed: MachinePrice, rate: Rate, at: datetime) -> Saving:
    """Return what it saves in a month (negative: costs more) to have another type, both priced in one currency, as of a time."""
    if present.on_demand is None or proposed.on_demand is None:
        return Saving(None, None, (Reason("PriceUnknown", "no price on demand of both types is known"),))
    oldest = min(present.as_of, proposed.as_of)
    if at - oldest > STALE_AFTER:
        said = f"the prices are of {oldest:%Y-%m-%d}, too old to say what is saved: see mcml cost prices"
        return Saving(None, None, (Reason("PricesStale", said),))
    listed = tidy(product(total((present.on_demand, proposed.on_demand.copy_negate())), HOURS))
    free = 1 - Fraction(rate.covered) if listed > 0 else Fraction(1)
    return Saving(rounded(Fraction(listed) * free * Fraction(rate.paid)), listed, _said(rate, listed))


def _said(rate: Rate, listed: Decimal) -> tuple[Reason, ...]:
    if rate.until is None:
        return (Reason("ListPrice", f"the saving is by the price list: {rate.why}"),)
    if listed > 0 and rate.covered > 0:
        share = quotient(product(rate.covered, 100), 1, places=0)
        said = f"commitments cover {share} % of it: that part saves nothing until something else uses what becomes free"
        return (Reason("CommitmentCovered", said),)
    return ()
