"""What a plan says of each resource, with its cloud, its region and what it refers to, for prices and policies (pure).

https://developer.hashicorp.com/terraform/internals/json-format: `resource_changes` hold the values, `configuration` the expressions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

CLOUDS: Mapping[str, str] = {"aws": "aws", "google": "gcp", "google-beta": "gcp", "azurerm": "azure", "azapi": "azure", "azuread": "azure"}
"""Terraform's provider to mcml's."""

INDEX = re.compile(r'\[(?:"(?:[^"\\]|\\.)*"|\d+)\]')
_ZONE = re.compile(r"^([a-z]+-[a-z]+\d+)-[a-z]$|^([a-z]{2}(?:-[a-z]+)+-\d)[a-z]$")


@dataclass(frozen=True)
class Resource:
    """One instance of a resource in a plan. `before` and `after` are None where there is none; in `unknown` is True what an apply decides.

    `within` is the address without the indices of `count` and `for_each`; `refers` are such addresses, by attribute. `default_tags` are
    the tags or labels that its provider adds, None when they cannot be told. A reference through a `local` is not found: no plan has it.
    """

    address: str
    kind: str
    cloud: str
    region: str
    actions: tuple[str, ...]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    unknown: Mapping[str, Any] = field(default_factory=dict)
    within: str = ""
    refers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    default_tags: Mapping[str, str] | None = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that it is written in, empty for the root."""
        return ".".join(self.within.split(".")[:-2])


def resources_of(document: Mapping[str, Any], region: str = "") -> list[Resource]:
    """Return the managed resources of a `terraform show -json PLANFILE` document, sorted by address.

    A resource's region is its own, else its provider's, else that of what it is part of, else `region`, else that of all others of its
    cloud when they share one.
    """
    configured = _Configured(document)
    alone = [_resource(change, configured) for change in document.get("resource_changes") or () if change.get("mode") != "data"]
    regions: dict[str, set[str]] = {}
    for one in alone:
        regions.setdefault(one.within, set()).add(one.region)
    found = [one if one.region else _placed(one, _of_the_whole(one, regions)) for one in alone]
    shared: dict[str, set[str]] = {}
    for one in found:
        shared.setdefault(one.cloud, set()).add(one.region)
    common = {cloud: next(iter(regions - {""})) for cloud, regions in shared.items() if len(regions - {""}) == 1}
    placed = [one if one.region else _placed(one, region or common.get(one.cloud, "")) for one in found]
    return sorted(placed, key=lambda one: one.address)


def region_name(place: object) -> str:
    """Return the region of a zone or a region, as the clouds' interfaces spell it ('West Europe' is westeurope)."""
    text = str(place or "").lower().replace(" ", "")
    zone = _ZONE.match(text)
    return (zone[1] or zone[2]) if zone else text


def _of_the_whole(one: Resource, regions: Mapping[str, set[str]]) -> str:
    """Return the region of the server or cluster that a resource is part of, when that is in one."""
    wholes = [whole for name in ("server_id", "kubernetes_cluster_id", "cluster_id") for whole in one.refers.get(name, ())]
    found = {region for whole in wholes for region in regions.get(whole, ())}
    return found.pop() if len(found) == 1 else ""


def _placed(one: Resource, region: str) -> Resource:
    return replace(one, region=region_name(region))


def _resource(change: Mapping[str, Any], configured: "_Configured") -> Resource:
    address, about = str(change["address"]), change["change"]
    within = INDEX.sub("", address)
    before, after = (value if isinstance(value, Mapping) else None for value in (about.get("before"), about.get("after")))
    own = after if after is not None else before or {}
    place = own.get("location") or own.get("region") or own.get("zone") or own.get("availability_zone")
    unknown = about.get("after_unknown")
    return Resource(
        address,
        str(change["type"]),
        CLOUDS.get(str(change.get("provider_name", "")).rpartition("/")[2], ""),
        region_name(place or configured.region(within)),
        tuple(str(action) for action in about["actions"]),
        before,
        after,
        unknown if isinstance(unknown, Mapping) else {},
        within,
        configured.refers(within),
        configured.default_tags(within),
    )


class _Configured:
    """The expressions of a plan's configuration, by the address of a resource without indices."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        said = document.get("configuration") or {}
        self._root: Mapping[str, Any] = said.get("root_module") or {}
        self._providers: Mapping[str, Any] = said.get("provider_config") or {}
        self._variables: Mapping[str, Any] = document.get("variables") or {}
        self._resources = dict(_all(self._root, ()))

    def region(self, within: str) -> str:
        """Return the region of the resource's provider, when it is a constant or a variable of the root."""
        stated = self._provider(within).get("region") or {}
        for reference in stated.get("references", ()):
            variable = self._variables.get(reference.removeprefix("var.")) or {}
            return str(variable.get("value") or "")
        return str(stated.get("constant_value") or "")

    def default_tags(self, within: str) -> dict[str, str] | None:
        """Return what the resource's provider adds to its tags; None when that is no constant."""
        said = self._provider(within)
        blocks = said.get("default_tags") or [{}]
        stated = said.get("default_labels") or blocks[0].get("tags")
        if stated is None:
            return {}
        constant = stated.get("constant_value")
        return {str(key): str(value) for key, value in constant.items()} if isinstance(constant, Mapping) else None

    def refers(self, within: str) -> dict[str, list[str]]:
        """Return the resources that each attribute refers to, through variables and outputs of modules."""
        path, said = self._resources.get(within, ((), {}))
        expressions = said.get("expressions") or {}
        found = {name: self._resolved(path, list(_references(value)), said) for name, value in expressions.items()}
        return {name: sorted(to) for name, to in found.items() if to}

    def _provider(self, within: str) -> Mapping[str, Any]:
        _, said = self._resources.get(within, ((), {}))
        provider = self._providers.get(str(said.get("provider_config_key", ""))) or {}
        expressions: Mapping[str, Any] = provider.get("expressions") or {}
        return expressions

    def _resolved(self, path: tuple[str, ...], references: Sequence[str], within: Mapping[str, Any], depth: int = 0) -> set[str]:
        found: set[str] = set()
        if depth > 20:  # Terraform allows no circles; a document may hold one
            return found
        for reference in references:
            found |= self._one(path, INDEX.sub("", reference).split("."), within, depth + 1)
        return found

    def _one(self, path: tuple[str, ...], parts: Sequence[str], within: Mapping[str, Any], depth: int) -> set[str]:
        if len(parts) < 2:
            return set()
        if parts[0] == "each":
            return self._resolved(path, list(_references(within.get("for_each_expression"))), {}, depth)
        if parts[0] == "module":
            output = ((self._call(path, parts[1]).get("module") or {}).get("outputs") or {}).get(parts[2] if len(parts) > 2 else "")
            return self._resolved((*path, parts[1]), list(_references((output or {}).get("expression"))), {}, depth)
        if parts[0] == "var":
            call = self._call(path[:-1], path[-1]) if path else {}
            given = (call.get("expressions") or {}).get(parts[1])
            return self._resolved(path[:-1], list(_references(given)), call, depth)
        address = _address(path, f"{parts[0]}.{parts[1]}")
        return {address} if address in self._resources else set()

    def _call(self, path: tuple[str, ...], name: str) -> Mapping[str, Any]:
        module = self._root
        for step in path:
            module = ((module.get("module_calls") or {}).get(step) or {}).get("module") or {}
        call: Mapping[str, Any] = (module.get("module_calls") or {}).get(name) or {}
        return call


def _all(module: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, tuple[tuple[str, ...], Mapping[str, Any]]]]:
    for resource in module.get("resources") or ():
        if resource.get("mode") != "data":
            yield _address(path, str(resource["address"])), (path, resource)
    for name, call in (module.get("module_calls") or {}).items():
        yield from _all(call.get("module") or {}, (*path, name))


def _address(path: Sequence[str], address: str) -> str:
    return ".".join([*(f"module.{name}" for name in path), address])


def _references(expression: Any) -> Iterator[str]:
    """Yield the references of an expression, or of the blocks below it."""
    if isinstance(expression, Mapping):
        own = expression.get("references")
        if isinstance(own, list) and all(isinstance(name, str) for name in own):
            yield from own
        else:
            for value in expression.values():
                yield from _references(value)
    elif isinstance(expression, list):
        for value in expression:
            yield from _references(value)
