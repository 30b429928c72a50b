"""Find providers through the entry-point group `mcml.providers` and open their capabilities; built-in clouds have no other door."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from mcml.core.errors import McmlError, ProviderCannot, did_you_mean
from mcml.core.errors import NotFound as NotFoundError
from mcml.providers.api.capability import Capability, Offer, Support
from mcml.providers.api.spec import ProviderContext, ProviderSpec

GROUP = "mcml.providers"
T = TypeVar("T")


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """Return the names of all installed providers, sorted; nothing is imported."""
    return sorted(_installed())


def spec(name: str) -> ProviderSpec:
    """Load a provider's spec. Raises NotFound with the nearest name; McmlError when the package is installed but broken."""
    point = _installed().get(name)
    if point is None:
        raise NotFoundError(f"no provider named {name!r}", why=did_you_mean(name, _installed()), next_step="mcml plugins list")
    try:
        loaded = point.load()
    except Exception as broken:  # a plugin may fail in any way, and its name must be in the message
        raise McmlError(
            f"the provider {name!r} is installed but does not load",
            why=f"{point.value}: {type(broken).__name__}: {broken}",
            next_step=f"pip install --force-reinstall {point.dist.name if point.dist else name}",
        ) from broken
    if not isinstance(loaded, ProviderSpec):
        raise McmlError(f"the provider {name!r} is installed but broken", why=f"{point.value} is not a ProviderSpec")
    return loaded


def specs() -> Iterator[tuple[str, ProviderSpec | McmlError]]:
    """Yield every installed provider with its spec, or with the error that keeps it from loading: one broken plugin hides no other."""
    for name in names():
        try:
            yield name, spec(name)
        except McmlError as broken:
            yield name, broken


def settings_model(provider: ProviderSpec) -> type:
    """Import and return the pydantic model of `[providers.NAME]`."""
    model: type = _load(provider.settings)
    return model


def open_capability(provider: ProviderSpec, capability: Capability[T], context: ProviderContext) -> T:
    """Return the object that answers a capability. Raises ProviderCannot with the reason, or naming the missing extra."""
    offer = provider.offer(capability)
    if not offer.support.usable:
        raise _cannot(provider, capability, offer)
    try:
        factory = _load(offer.where)
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("mcml."):
            raise
        raise ProviderCannot(
            f"provider {provider.name} cannot open {capability.name}",
            why=f"the Python package {missing.name!r} is not installed",
            next_step=f"pip install 'mcml[{provider.extra}]'" if provider.extra else f"pip install {missing.name}",
        ) from missing
    opened: T = factory(context)
    return opened


def _cannot(provider: ProviderSpec, capability: Capability[object], offer: Offer) -> ProviderCannot:
    word = "not yet" if offer.support is Support.NOT_YET else "impossible"
    return ProviderCannot(
        f"provider {provider.name} cannot do {capability.name} ({word})", why=offer.note, next_step="mcml plugins list"
    )


def _load(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)
