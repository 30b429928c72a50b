"""A plan is a value until someone applies it: pure code makes it, `--dry-run` shows it, one place carries it out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcml.core.canonical import canonical_json

Action = Literal["create", "update", "replace", "delete", "keep"]


@dataclass(frozen=True)
class Step:
    """One change: what is done (`action`) to what (`kind`, `name`) where (`target`), why, and the values it needs."""

    action: Action
    kind: str
    name: str
    target: str = ""
    reason: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """An ordered list of steps for one room; `keep` steps say what was looked at and is right already."""

    room: str
    steps: tuple[Step, ...] = ()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action != "keep")

    @property
    def digest(self) -> str:
        """SHA-256 of the steps as canonical JSON: the same plan has the same digest, in the journal and in a dry run.

        Raises ValueError for a value that is no JSON.
        """
        return hashlib.sha256(canonical_json([vars(step) for step in self.steps]).encode()).hexdigest()
