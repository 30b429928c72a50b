"""`ProviderSpec`: what a provider says about itself without importing its SDK, and the context its factories are given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcml.core.clock import Clock, utc_now
from mcml.providers.api.capability import Capability, Offer, Support
from mcml.providers.resilience import Budget


@dataclass(frozen=True)
class ProviderContext:
    """What a capability's factory is given.

    `settings` is an instance of the provider's own settings model (`[providers.NAME]` of mcml.toml); `region` and `target` are those
    of the target it acts for (empty for the whole account); `state` is a folder of its own inside the project's state folder;
    `budget` is what all the retries of the command may take together.
    """

    settings: Any
    state: Path
    target: str = ""
    region: str = ""
    clock: Clock = utc_now
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class ProviderSpec:
    """A provider, cheaply: importing the module that holds it must not import an SDK.

    `extra` is the pip extra (or package) that brings the SDK; `settings` is `module:Class` of a pydantic model for
    `[providers.NAME]`; a capability that is not in `capabilities` is not offered. `schemes` are the URL schemes of its objects
    (`s3` for `s3://bucket/key`), `bills_as` what bills may call it (FOCUS: ServiceProviderName).
    """

    name: str
    summary: str
    extra: str
    settings: str
    capabilities: Mapping[str, Offer] = field(default_factory=dict)
    schemes: tuple[str, ...] = ()
    bills_as: tuple[str, ...] = ()

    def offer(self, capability: Capability[object]) -> Offer:
        """Return what is offered for a capability; an absent one is IMPOSSIBLE, and the note says that it was not declared."""
        return self.capabilities.get(capability.name, Offer(Support.IMPOSSIBLE, note="not declared by this provider"))
