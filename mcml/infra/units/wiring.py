"""What flows from one unit to the next: outputs as they are, as a plan promises them, or not known before an apply (pure).

An output that Terraform cannot tell before it has made something is carried as `UNKNOWN` at exactly the place where it is, so that a unit
behind it can be planned before anything exists: a list whose length is known stays a list of that length. Terraform takes no unknown
variable, but a local may be anything: a unit that is to be planned so reads the variable `network` through a local of the same name, which
an override file replaces for that plan.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcml.core.canonical import canonical_json
from mcml.core.errors import McmlError, NotFound
from mcml.infra.units.units import Input

STAND_IN = "mcml_unknown"
"""Name of the resource whose id stands for all that is not known; a plan with it is never applied."""

STAND_IN_ADDRESS = f"terraform_data.{STAND_IN}"
STAND_IN_FILES = ("mcml_unknown.tf.json", "mcml_preview_override.tf.json")


class Unknown:
    """A value that only an apply can tell."""

    def __repr__(self) -> str:
        """Say so as Terraform does."""
        return "(known after apply)"


UNKNOWN: Final = Unknown()

Value = Any
"""JSON, with UNKNOWN anywhere in it."""


def promised(document: Mapping[str, Any]) -> dict[str, Value]:
    """Return a unit's outputs as they will be after a plan was applied (`document` is `terraform show -json` of it).

    Sensitive outputs are left out: they are never handed on. `after_unknown` mirrors `after` with true where a value is not known
    (https://developer.hashicorp.com/terraform/internals/json-format).
    """
    changes = (document.get("output_changes") or {}).items()
    return {
        name: _merged(change.get("after"), change.get("after_unknown"))
        for name, change in changes
        if not change.get("after_sensitive") and change["actions"] != ["delete"]
    }


def _merged(after: Any, unknown: Any) -> Value:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict) and (isinstance(after, dict) or after is None):
        known = after or {}
        return {key: _merged(known.get(key), unknown.get(key)) for key in sorted({*known, *unknown})}
    if isinstance(unknown, list) and (isinstance(after, list) or after is None):
        known_items = after or []
        length = max(len(known_items), len(unknown))
        return [_merged(_at(known_items, index), _at(unknown, index)) for index in range(length)]
    return after


def _at(items: Sequence[Any], index: int) -> Any:
    return items[index] if index < len(items) else None


def is_known(value: Value) -> bool:
    """Tell whether nothing in it is unknown."""
    if isinstance(value, Mapping):
        return all(is_known(below) for below in value.values())
    if isinstance(value, list):
        return all(is_known(below) for below in value)
    return value is not UNKNOWN


def take(unit: str, given: Input, outputs: Value) -> Value:
    """Return what an input of a unit is, of the outputs of the unit it comes from. Raises NotFound when these have no such thing."""
    found: Value = outputs
    for depth, key in enumerate(given.path):
        if found is UNKNOWN:
            return UNKNOWN
        if not isinstance(found, Mapping) or key not in found:
            above = ".".join((given.unit, *given.path[:depth]))
            has = f"it has {', '.join(sorted(found))}" if isinstance(found, Mapping) and found else "it has none, or a sensitive one"
            raise NotFound(f"{unit} needs {given.name}, and {above} has no {key}", why=has, next_step=f"mcml infra output {given.unit}")
        found = found[key]
    return found


def stand_ins(inputs: Mapping[str, Value]) -> dict[str, Mapping[str, Any]]:
    """Return the files, by name, that make locals of inputs that are not known; Terraform's JSON syntax."""
    resource: dict[str, Any] = {"resource": {"terraform_data": {STAND_IN: {}}}}
    override = {"locals": {name: _expression(value) for name, value in inputs.items()}}
    return dict(zip(STAND_IN_FILES, (resource, override), strict=True))


def _expression(value: Value) -> Any:
    if value is UNKNOWN:
        return f"${{jsondecode({STAND_IN_ADDRESS}.id)}}"  # of any type: what takes it decides
    if isinstance(value, Mapping):
        return {str(key).replace("${", "$${").replace("%{", "%%{"): _expression(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_expression(below) for below in value]
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    return value


def without_stand_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan without the resource that stood for what is not known."""
    changes = [change for change in document.get("resource_changes") or () if change["address"] != STAND_IN_ADDRESS]
    return {**document, "resource_changes": changes}


def refuse_stand_in(document: Mapping[str, Any]) -> None:
    """Raise McmlError when a plan that is to be applied was made with stand-ins."""
    if any(change["address"] == STAND_IN_ADDRESS for change in document.get("resource_changes") or ()):
        raise McmlError("the plan was made with values that are not known, so it is not applied", next_step="make a new plan")


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Tell whether two sets of inputs are known and equal."""
    return is_known(one) and is_known(other) and canonical_json(one) == canonical_json(other)
