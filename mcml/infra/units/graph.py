"""The graph of units: what comes before what, and which of them somebody means (pure).

Filters are words on the command line, together the union of what each means: `aws` (a cloud), `cluster` (a layer), `aws-cluster` (a unit),
`aws-*` (a pattern); `cluster...` means with all that depends on it, `...cluster` with all that it depends on, and `^` leaves out itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from mcml.core.errors import Usage, unknown
from mcml.infra.units.units import Unit

AROUND = "..."


@dataclass(frozen=True)
class Graph:
    """Units, each after those that it needs. Raises Usage for a circle."""

    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        """Put them into order."""
        by_name = {unit.name: unit for unit in self.units}
        try:
            order = list(TopologicalSorter({unit.name: unit.needs for unit in self.units}).static_order())
        except CycleError as circle:
            path = " -> ".join(circle.args[1])
            step = "mend `after` and `inputs` under [infra.units] of mcml.toml"
            raise Usage("the units need each other in a circle", why=path, next_step=step) from circle
        object.__setattr__(self, "units", tuple(by_name[name] for name in order if name in by_name))

    def __getitem__(self, name: str) -> Unit:
        """Return a unit by its name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, Unit]:
        return {unit.name: unit for unit in self.units}

    def needed_by(self, name: str) -> frozenset[str]:
        """Return the names of all units that a unit needs, and what they need, without itself."""
        found: set[str] = set()
        left = [name]
        while left:
            for needed in self._by_name[left.pop()].needs:
                if needed in self._by_name and needed not in found:
                    found.add(needed)
                    left.append(needed)
        return frozenset(found)

    def needing(self, name: str) -> frozenset[str]:
        """Return the names of all units that need a unit, by way of others too, without itself."""
        return frozenset(unit.name for unit in self.units if name in self.needed_by(unit.name))

    def select(self, filters: Sequence[str]) -> "Graph":
        """Return the graph of those units that any filter means; all without a filter. Raises NotFound for one that means none."""
        if not filters:
            return self
        wanted = {name for written in filters for name in self._meant(written)}
        return Graph(tuple(unit for unit in self.units if unit.name in wanted))

    def _meant(self, written: str) -> Iterable[str]:
        before, after = written.startswith(AROUND), written.endswith(AROUND)
        word = written.removeprefix(AROUND).removesuffix(AROUND)
        without = word.startswith("^")
        named = [unit.name for unit in self.units if _is(unit, word.removeprefix("^"))]
        if not named:
            words = {word for unit in self.units for word in (unit.name, unit.cloud, unit.layer) if word}
            raise unknown("unit, cloud or layer", word.removeprefix("^"), words, next_step="mcml infra graph")
        found = set(named)
        for name in named:
            found |= self.needed_by(name) if before else set()
            found |= self.needing(name) if after else set()
        return found - set(named) if without else found


def _is(unit: Unit, word: str) -> bool:
    return word in (unit.name, unit.cloud, unit.layer) or (("*" in word or "?" in word) and fnmatchcase(unit.name, word))
