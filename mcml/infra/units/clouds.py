"""The clouds' units: which layers there are, what each needs of the others, and the variables of its root (pure).

The roots lie in `terraform/root/<cloud>-<layer>`; what they take is in their READMEs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.core.errors import Usage
from mcml.core.schema import LAYERS, CloudInfra, Settings

NEEDS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "aws": {"network": (), "cluster": ("network",), "data": ("network", "cluster"), "ml": ("network", "cluster", "data")},
    "gcp": {"network": (), "cluster": ("network",), "data": ("network", "cluster"), "ml": ("network", "cluster", "data")},
    "azure": {"network": (), "cluster": ("network",), "data": ("network", "cluster"), "ml": ("network", "data")},
}
"""Which layers of its cloud a layer takes outputs of. One that is not made is left out where the root can do without it."""

OPTIONAL = ("cluster",)
"""Layers that others take something of, and can do without."""

EVERY_UNIT = frozenset({"local", "vpn", *(f"{cloud}-{layer}" for cloud, needs in NEEDS.items() for layer in needs)})
"""The names that units of one's own cannot have."""

REGION = {"aws": "region", "gcp": "region", "azure": "location"}
"""What the variable of the region is called."""


def layers(settings: Settings, cloud: str) -> tuple[str, ...]:
    """Return the layers that are made of a cloud, in the order in which they are built on one another. Raises Usage for a missing one."""
    wanted = settings.infra.clouds[cloud].layers  # type: ignore[index]
    for layer in wanted:
        for needed in NEEDS[cloud][layer]:
            if needed not in wanted and needed not in OPTIONAL:
                raise Usage(
                    f"infra.clouds.{cloud}.layers has {layer} without {needed}",
                    why=f"{layer} takes outputs of {needed}",
                    next_step=f'add "{needed}" to infra.clouds.{cloud}.layers in mcml.toml, or use the modules in a root of your own',
                )
    return tuple(layer for layer in LAYERS if layer in wanted)


def variables(settings: Settings, cloud: str, layer: str) -> dict[str, Any]:
    """Return what the root of a layer is given, without the outputs of others. Raises Usage for what mcml.toml does not say."""
    about: CloudInfra = settings.infra.clouds[cloud]  # type: ignore[index]
    settings_of_layer = about.settings.get(layer, {})  # type: ignore[call-overload]
    return _common(settings) | _account(settings, cloud) | {"settings": dict(settings_of_layer)}


def vpn_variables(settings: Settings, joined: Sequence[str]) -> dict[str, Any]:
    """Return what the root of the VPN is given: of each cloud that it joins what that cloud's own roots are given. Raises Usage."""
    if missing := [cloud for cloud in NEEDS if cloud not in joined]:
        step = "leave infra.vpn out of mcml.toml, or make their networks"
        raise Usage("infra.vpn joins the networks of three clouds", why=f"no network is made on {', '.join(missing)}", next_step=step)
    accounts = {f"{cloud}_{name}": value for cloud in joined for name, value in _account(settings, cloud).items()}
    return _common(settings) | {name: value for name, value in accounts.items() if name != "azure_location"}


def _common(settings: Settings) -> dict[str, Any]:
    infra = settings.infra
    missing = [name for name in ("team", "cost_centre") if not getattr(infra, name)]
    if missing:
        named = " and ".join(f"infra.{name}" for name in missing)
        why = "every resource on a cloud says who answers and who pays for it"
        raise Usage(f"mcml.toml does not set {named}", why=why, next_step="set it under [infra]")
    return {
        "project": settings.name,
        "environment": infra.environment,
        "team": infra.team,
        "cost_centre": infra.cost_centre,
        "part": infra.part or None,
        "more_tags": dict(infra.tags),
        "profile": infra.profile,
    }


def _region(settings: Settings, cloud: str) -> str:
    about: CloudInfra = settings.infra.clouds[cloud]  # type: ignore[index]
    return about.region or _region_of_targets(settings, cloud)


def _region_of_targets(settings: Settings, cloud: str) -> str:
    regions = sorted({target.region for target in settings.targets.values() if target.provider == cloud and target.region})
    if len(regions) == 1:
        return regions[0]
    where = f"its targets lie in {', '.join(regions)}, and an environment is in one region of a cloud"
    why = where if regions else "none of its targets has one"
    raise Usage(f"no region for the infrastructure of {cloud}", why=why, next_step=f"set region under [infra.clouds.{cloud}] in mcml.toml")


def _account(settings: Settings, cloud: str) -> dict[str, Any]:
    """Return where and as whom Terraform works on a cloud: the account and role that the provider layer uses, never a secret."""
    provider = settings.providers.get(cloud, {})
    region = {REGION[cloud]: _region(settings, cloud)}
    match cloud:
        case "aws":
            said = {"profile": provider.get("profile"), "role_arn": provider.get("role_arn"), "account_id": provider.get("account")}
            return region | {"login": _given(said)}
        case "gcp":
            login = _given({"impersonate_service_account": provider.get("impersonate_service_account")})
            return region | {"project_id": _required(cloud, "project", provider), "login": login}
        case _:
            return region | {"subscription_id": _required(cloud, "subscription", provider), "tenant_id": provider.get("tenant") or None}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _required(cloud: str, name: str, provider: Mapping[str, Any]) -> str:
    if not provider.get(name):
        why = "a plan is made for one account, whoever is logged in"
        raise Usage(f"providers.{cloud}.{name} is not set", why=why, next_step=f"set {name} under [providers.{cloud}] in mcml.toml")
    return str(provider[name])
