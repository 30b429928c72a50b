"""What the settings ask of a provider that cannot do it, said when they are read."""

from collections.abc import Iterator
from contextlib import suppress

from mcml.core.errors import McmlError, Usage
from mcml.core.settings import Config, place_of


def checked(config: Config) -> Config:
    """Return the configuration. Raises Usage for a route that speaks gRPC over a target whose provider's endpoints speak HTTP only."""
    wrong = list(_deaf(config)) if any(route.protocol != "http" for route in config.settings.routes.values()) else []
    if wrong:
        advice = 'protocol = "http", or leave these targets out of the model'
        raise Usage("the configuration is wrong", why="\n".join(wrong), next_step=advice)
    return config


def _deaf(config: Config) -> Iterator[str]:
    settings = config.settings
    for name, route in settings.routes.items():
        if route.protocol == "http":
            continue
        models = dict.fromkeys(model or name for model in route.models)
        for target in dict.fromkeys(target for model in models for target in settings.models[model].targets):
            provider = settings.targets[target].provider
            if not _speaks_grpc(provider):
                path = f"routes.{name}.protocol"
                place = place_of(path, config.origins)
                said = f"{path} is {route.protocol!r}, but endpoints of the provider {provider} (target {target}) speak HTTP only"
                yield f"{place}: {said}" if place else said


def _speaks_grpc(provider: str) -> bool:
    from mcml.providers import discovery
    from mcml.providers.api.capability import MODEL_ENDPOINT

    with suppress(McmlError):  # an unknown provider is said where it is opened
        return "grpc" in discovery.spec(provider).offer(MODEL_ENDPOINT).protocols
    return True
