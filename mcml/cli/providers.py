"""From the configuration to a provider's context; the only place that validates `[providers.NAME]`."""

from typing import TYPE_CHECKING

from mcml.core.clock import Clock
from mcml.core.errors import Usage, did_you_mean
from mcml.core.settings import Config
from mcml.providers import discovery
from mcml.providers.api.spec import ProviderContext
from mcml.providers.resilience import Budget

if TYPE_CHECKING:
    from pydantic import ValidationError


def context(config: Config, provider: str, target: str, clock: Clock, budget: Budget) -> ProviderContext:
    """Return the context that a provider's factories are given. Raises NotFound for the provider, Usage for wrong settings."""
    from pydantic import BaseModel, ValidationError

    model = discovery.settings_model(discovery.spec(provider))
    if not issubclass(model, BaseModel):
        raise Usage(f"the provider {provider!r} is broken", why="its settings are no pydantic model")
    try:
        settings = model.model_validate(config.settings.providers.get(provider, {}))
    except ValidationError as wrong:
        why = "\n".join(_explain(wrong, provider, list(model.model_fields)))
        raise Usage(f"the settings of provider {provider!r} are wrong", why=why, next_step="mcml config show --origin") from None
    region = config.settings.targets[target].region if target in config.settings.targets else ""
    return ProviderContext(settings=settings, state=config.state / provider, target=target, region=region, clock=clock, budget=budget)


def _explain(wrong: "ValidationError", provider: str, known: list[str]) -> list[str]:
    said = []
    for error in wrong.errors():
        path = ".".join(["providers", provider, *(str(part) for part in error["loc"])])
        hint = f"unknown key ({did_you_mean(str(error['loc'][-1]), known)})" if error["type"] == "extra_forbidden" else error["msg"]
        said.append(f"{path}: {hint}")
    return said
