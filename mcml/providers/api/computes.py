"""Computes: named pools of machines that jobs run on (`resources={"compute": NAME}` of a `JobRequest`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

ComputeState = Literal["creating", "ready", "changing", "deleting", "failed"]


@dataclass(frozen=True)
class Compute:
    """A pool: its machine type, the limits of its size, how many machines it has now, and on how many of them something runs."""

    name: str
    machine: str
    state: ComputeState
    minimum: int
    maximum: int
    nodes: int
    busy: int
    spot: bool = False
    detail: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputeRequest:
    """What to make. The same `token` asks for the same pool. Its size moves between `minimum` and `maximum` as jobs come and go."""

    name: str
    token: str
    machine: str
    minimum: int = 0
    maximum: int = 1
    spot: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


class Computes(Protocol):
    """Computes of the account (the workspace, the region) that the target is in."""

    def create(self, request: ComputeRequest) -> Compute:
        """Make it and return when it is ready; the same token gives what is there, as it is now.

        Raises InvalidRequest, QuotaExceeded, Conflict (the name stands for what another token made).
        """

    def list(self) -> list[Compute]:
        """Return all of them, by name."""

    def describe(self, name: str) -> Compute:
        """Return it as it is now. Raises NotFound."""

    def scale(self, name: str, minimum: int, maximum: int) -> Compute:
        """Set the limits of its size. What runs goes on. Raises NotFound, InvalidRequest, QuotaExceeded."""

    def delete(self, name: str) -> bool:
        """Delete it with its machines, and return when it is gone; False when it was. Raises Conflict where jobs run on it."""
