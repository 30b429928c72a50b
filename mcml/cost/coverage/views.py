"""What coverage looks like."""

from collections.abc import Sequence

from mcml.core.view import Block, Column, Document, Section, State, Status, Table
from mcml.cost.coverage.measure import KeyCoverage, covered_share, saving, utilisation
from mcml.cost.views import apart
from mcml.store.ledger.commitments import Commitment, CoveredService
from mcml.store.ledger.exact import tidy

WORST = 3
"""Services named on the screen; JSON has all."""


def coverage(keys: Sequence[KeyCoverage], commitments: Sequence[Commitment], services: Sequence[CoveredService]) -> Document:
    """Show what of the usage carries each key, how commitments are used, and what they cover."""
    known, bought, covered = apart(list(map(_key, keys))), list(map(_commitment, commitments)), list(map(_service, services))
    shown = [{**_key(each), "worst": _worst(each)} for each in keys]
    blocks: list[Block] = [Section("Usage that says whose it is", (Table(_KEYS, shown, empty="no usage in this span"),))]
    blocks.append(Section("Commitments", (Table(_COMMITMENTS, bought, empty="no commitment in this span"), *_untold(commitments))))
    if covered:
        blocks.append(Section("Usage that commitments cover, at the price without them", (Table(_SERVICES, covered),)))
    return Document("CostCoverage", [*known, *bought, *covered], blocks)


def _untold(commitments: Sequence[Commitment]) -> list[Block]:
    """Say why some savings are missing."""
    if all(saving(each) is not None for each in commitments):
        return []
    why = "where the bill charges what a commitment costs apart and does not say for which, its use and saving cannot be told"
    return [Status(State("not told", "idle"), why)]


_KEYS = (
    Column("name", "Key"),
    Column("currency", "Currency"),
    Column("covered_percent", "Covered", "share"),
    Column("covered_cost", "With", "money"),
    Column("uncovered_cost", "Without", "money"),
    Column("worst", "Services that lack most"),
)
_COMMITMENTS = (
    Column("title", "Commitment"),
    Column("provider", "Provider"),
    Column("type", "Type"),
    Column("currency", "Currency"),
    Column("utilisation_percent", "Used %", "share"),
    Column("used_cost", "Used", "money"),
    Column("unused_cost", "Unused", "money"),
    Column("saving", "Saved", "money"),
)
_SERVICES = (
    Column("name", "Service"),
    Column("provider", "Provider"),
    Column("currency", "Currency"),
    Column("covered_percent", "Covered", "share"),
    Column("covered_cost", "By commitments", "money"),
    Column("spot_cost", "Spot", "money"),
    Column("on_demand_cost", "On demand", "money"),
)


def _key(found: KeyCoverage) -> dict[str, object]:
    return {
        "about": "key",
        "name": found.key,
        "currency": found.currency,
        "covered_cost": found.covered,
        "uncovered_cost": found.uncovered,
        "covered_percent": found.share,
        "worst": [{"service": gap.service, "uncovered_cost": gap.uncovered, "uncovered_percent": gap.share} for gap in found.worst],
        "where": ["charge=Usage", f"{found.key}="],
    }


def _worst(found: KeyCoverage) -> str:
    return ", ".join(f"{gap.service or '-'} ({gap.share} % of it)" for gap in found.worst[:WORST])


def _commitment(found: Commitment) -> dict[str, object]:
    return {
        "about": "commitment",
        "name": found.id,
        "title": found.name or found.id,
        "provider": found.provider,
        "type": found.type,
        "category": found.category,
        "currency": found.currency,
        "used_cost": tidy(found.used),
        "unused_cost": tidy(found.unused),
        "undiscounted_cost": tidy(found.undiscounted),
        "utilisation_percent": utilisation(found),
        "saving": saving(found),
    }


def _service(found: CoveredService) -> dict[str, object]:
    return {
        "about": "service",
        "name": found.service,
        "provider": found.provider,
        "currency": found.currency,
        "covered_cost": tidy(found.covered),
        "spot_cost": tidy(found.spot),
        "on_demand_cost": tidy(found.on_demand),
        "covered_percent": covered_share(found),
    }
