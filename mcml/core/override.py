"""An override: what a person changed on a route at run time, on top of mcml.toml; kept in the store, so that every router obeys it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Kind = Literal["set", "drain", "pin", "split", "shadow"]


@dataclass(frozen=True)
class Override:
    """One change: at most one of a kind for a route and a target.

    `route` is empty where it holds for all routes; `target` only for `drain` and `pin`. `value` holds JSON values, in the words of
    `core.schema_routes.Route`. It was made by `actor` at `at`, for `reason`, and ends by itself at `until` (None: never).
    """

    kind: Kind
    route: str
    target: str
    actor: str
    at: datetime
    value: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    until: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it replaces when it is put in force."""
        return self.kind, self.route, self.target

    def holds(self, now: datetime) -> bool:
        """Tell whether it is in force."""
        return self.until is None or now < self.until
