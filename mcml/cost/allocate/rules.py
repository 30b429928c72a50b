"""The rules of an allocation: which costs a rule takes, and who bears them. Pure."""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from mcml.core.errors import Usage
from mcml.store.ledger.dimensions import Filter, dimension, parse

if TYPE_CHECKING:
    from mcml.core.schema_cost import Allocation

UNALLOCATED = "unallocated"
Split = Literal["", "even", "proportional", "requests", "weights"]


@dataclass(frozen=True)
class Rule:
    """Costs for which `where` holds go to `to`, to the value of the dimension `by` (through `map`), or are split among several."""

    name: str
    where: tuple[Filter, ...] = ()
    to: str = ""
    by: str = ""
    map: Mapping[str, str] = field(default_factory=dict)
    split: Split = ""
    weights: Mapping[str, Decimal] = field(default_factory=dict)
    among: tuple[str, ...] = ()

    def takes(self, values: Mapping[str, str | None]) -> bool:
        """Tell whether costs with these values of the dimensions are this rule's."""
        held = all(wanted.holds(values[wanted.dimension]) for wanted in self.where)
        return held and (not self.by or bool(self.bearer(values)))

    def bearer(self, values: Mapping[str, str | None]) -> str:
        """Return who bears such costs; empty when they are split, or when the rule does not know."""
        if not self.by:
            return self.to
        said = values[self.by] or ""
        if not self.map:
            return said
        return next((bearer for pattern, bearer in self.map.items() if fnmatch.fnmatchcase(said, pattern)), "") if said else ""


DEFAULT = (Rule("team", by="team"),)


def read(allocation: "Allocation") -> tuple[Rule, ...]:
    """Return the rules of mcml.toml, the default without any. Raises Usage for a condition or dimension that is none."""
    rules = []
    for said in allocation.rules:
        try:
            where = tuple(parse(text) for text in said.where)
            if said.by:
                dimension(said.by)
        except Usage as wrong:
            raise Usage(f"cost.allocation rule {said.name}: {wrong.message}", why=wrong.why, next_step="mcml config show") from wrong
        borne = {said.to, *said.map.values(), *said.weights, *said.among}
        if UNALLOCATED in borne:
            why = f"{UNALLOCATED!r} is the line of what no rule takes"
            raise Usage(f"cost.allocation rule {said.name}: nobody can be called that", why=why, next_step="mcml config show")
        rules.append(Rule(said.name, where, said.to, said.by, said.map, said.split, said.weights, said.among))
    return tuple(rules) or DEFAULT


def dimensions(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the dimensions that the rules look at, each once: what the ledger must be asked for."""
    return tuple(dict.fromkeys(name for rule in rules for name in (*(wanted.dimension for wanted in rule.where), rule.by) if name))


def first(rules: Sequence[Rule], values: Mapping[str, str | None]) -> Rule | None:
    """Return the rule that takes costs with these values, or None."""
    return next((rule for rule in rules if rule.takes(values)), None)
