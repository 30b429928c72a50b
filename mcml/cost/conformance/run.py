"""Judge files or the ledger by the rules of a version of FOCUS."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mcml.core.errors import InvalidRequest, NotFound
from mcml.cost.conformance import judge
from mcml.cost.conformance.rules import RuleSet, load, older, version_of
from mcml.cost.conformance.views import Judged
from mcml.store.ledger import conformance
from mcml.store.ledger.book import Ledger, Scope

RENAMED = {"ProviderName": "ServiceProviderName", "PublisherName": "x_PublisherName"}
"""Columns of FOCUS 1.2 that the ledger, which has those of 1.4, keeps under another name."""
COSTS = frozenset({"BilledCost", "ContractedCost", "EffectiveCost", "ListCost"})
"""A file with none of them is no export of FOCUS, in any version; one with some of them is a broken one."""


def of_files(paths: Sequence[Path], version: str = "", supports: Sequence[str] = ()) -> Judged:
    """Judge the files of one export, by default by the version that its columns tell.

    Raises NotFound, InvalidRequest, Conflict (a file cannot be read), Usage (no such version or criterion).
    """
    with conformance.files(paths) as data:
        if COSTS.isdisjoint(data.columns):
            name = ", ".join(path.name for path in paths)
            why = f"it has none of the columns {', '.join(sorted(COSTS))}"
            step = f"mcml cost ingest {shlex.join(map(str, paths))}   # a cloud's own bill; then, of the ledger: mcml cost validate"
            raise InvalidRequest(f"{name} is no FOCUS export", why=why, next_step=step)
        return replace(_judged(data, load(version or version_of(data.columns)), supports), older=older(data.columns))


def of_ledger(ledger: Ledger, scope: Scope, version: str = "", supports: Sequence[str] = ()) -> Judged:
    """Judge the rows of the ledger, by default as FOCUS 1.4, under the names that the version's columns have there.

    Raises Usage, and NotFound where there is no row: nothing conforms to anything, and a gate must not pass for that.
    """
    rules = load(version or "1.4")
    with conformance.book(ledger, {name: RENAMED.get(name, name) for name in rules.columns}, scope) as data:
        judged = _judged(data, rules, supports)
    if not judged.scanned.rows:
        raise NotFound("there are no costs in this span to be judged", next_step="mcml cost ingest --help")
    return judged


def _judged(data: conformance.Data, rules: RuleSet, supports: Sequence[str]) -> Judged:
    scanned = data.scan(judge.checks(rules))
    criteria = judge.supported(rules, supports, scanned.filled)
    verdicts = judge.judge(rules, scanned, criteria, values_only=data.values_only)
    untold = [name for name in rules.columns if not scanned.filled.get(name)] if data.values_only else []
    return Judged(rules, criteria, scanned, verdicts, untold)
