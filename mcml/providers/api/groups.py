"""Groups: equal machines under one size (auto-scaling groups, scale sets, instance groups)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Group:
    """A group: its machine type, wanted and actual size, and the limits."""

    name: str
    machine: str
    desired: int
    running: int
    minimum: int
    maximum: int
    tags: Mapping[str, str] = field(default_factory=dict)


class Groups(Protocol):
    """Groups of the target."""

    def list(self, tags: Mapping[str, str] | None = None) -> list[Group]:
        """Return the groups that carry all these tags."""

    def size(self, group: str) -> Group:
        """Return one group as it is now. Raises NotFound."""

    def resize(self, group: str, desired: int) -> Group:
        """Set the wanted size. Raises NotFound, InvalidRequest outside the limits, QuotaExceeded."""
