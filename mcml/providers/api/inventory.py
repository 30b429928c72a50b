"""Inventory: everything that carries our tags, whoever made it, and what stands in the way of a destroy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Resource:
    """Something that exists: its kind, its id, where it is, and its tags."""

    kind: str
    id: str
    region: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocker:
    """What must go before a resource can be destroyed, and the command or step that removes it."""

    resource: Resource
    reason: str
    fix: str


class Inventory(Protocol):
    """What is really there."""

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """Return what carries all these tags; with no tags, all that mcml made."""

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """Return what stands in the way of destroying these."""

    def delete(self, resource: Resource) -> bool:
        """Delete one resource; False when it was gone. Raises Conflict when something blocks it."""
