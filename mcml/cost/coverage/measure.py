"""Shares of cost that carry a tag, and of usage that commitments cover. Pure: no I/O, no float.

Tags are asked of usage only: taxes, credits and fees cannot carry any. Commitments: utilisation is used / (used + unused), in effective
cost; coverage is covered / (covered + on demand), at the price without commitments, where spot counts for neither, as no commitment
could cover it. The saving is net: what the used part would have cost, less all that the commitment costs. Where a bill charges the fee
apart and names no commitment with it (Google's export, an actual export of Azure), the saving cannot be told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from mcml.store.ledger.book import Group
from mcml.store.ledger.commitments import Commitment, CoveredService
from mcml.store.ledger.exact import percent, tidy, total

KEYS = ("team", "project", "model", "environment")
"""What is measured when nobody says more."""


@dataclass(frozen=True)
class ServiceGap:
    """What of a service's usage carries no value."""

    service: str | None
    uncovered: Decimal
    share: Decimal | None


@dataclass(frozen=True)
class KeyCoverage:
    """How much of the usage in one currency carries a value of `key`, and the services that lack most, worst first."""

    key: str
    currency: str
    covered: Decimal
    uncovered: Decimal
    share: Decimal | None
    worst: tuple[ServiceGap, ...]


def keys(key: str, groups: Iterable[Group]) -> list[KeyCoverage]:
    """Measure a key on groups by service and key: a line a currency."""
    by_currency: dict[str, list[Group]] = {}
    for group in groups:
        by_currency.setdefault(group.currency, []).append(group)
    return [_key(key, currency, mine) for currency, mine in sorted(by_currency.items())]


def _key(key: str, currency: str, groups: list[Group]) -> KeyCoverage:
    carrying = [group.effective for group in groups if group.key[1]]
    lacking = [group.effective for group in groups if not group.key[1]]
    covered, uncovered = tidy(total(carrying)), tidy(total(lacking))
    services = {group.key[0] for group in groups if not group.key[1]}
    gaps = [_gap(service, groups) for service in services]
    worst = sorted((gap for gap in gaps if gap.uncovered > 0), key=lambda gap: (-gap.uncovered, gap.service or ""))
    return KeyCoverage(key, currency, covered, uncovered, percent(covered, total((covered, uncovered))), tuple(worst))


def _gap(service: str | None, groups: Iterable[Group]) -> ServiceGap:
    mine = [group for group in groups if group.key[0] == service]
    lacking = tidy(total(group.effective for group in mine if not group.key[1]))
    return ServiceGap(service, lacking, percent(lacking, total(group.effective for group in mine)))


def utilisation(commitment: Commitment) -> Decimal | None:
    """Return how much of a commitment was used, in percent; None when it cost nothing."""
    return percent(commitment.used, total((commitment.used, commitment.unused)))


def saving(commitment: Commitment) -> Decimal | None:
    """Return what a commitment saved; negative when it cost more than it took off, None when the bill does not tell what it cost."""
    if not commitment.used and not commitment.unused:
        return None
    return tidy(total((commitment.undiscounted, commitment.used.copy_negate(), commitment.unused.copy_negate())))


def covered_share(service: CoveredService) -> Decimal | None:
    """Return how much of the usage that could be covered is, in percent."""
    return percent(service.covered, total((service.covered, service.on_demand)))
