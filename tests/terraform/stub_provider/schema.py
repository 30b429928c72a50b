"""A provider's schema in the form of `terraform providers schema -json`: as messages of the protocol, and as the type of its values."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.terraform.stub_provider.values import UNKNOWN, Type, Value
from tests.terraform.stub_provider.wire import message

Json = Mapping[str, Any]
NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
FLAGS = ("required", "optional", "computed", "sensitive", "deprecated", "write_only")


def to_message(schema: Json) -> Any:
    """Return a schema as the protocol's Schema."""
    return message("Schema")(version=schema.get("version", 0), block=_block(schema["block"]))


def _block(block: Json) -> Any:
    import json

    attributes = [
        message("Attribute")(name=name, type=json.dumps(found["type"]).encode(), **{flag: True for flag in FLAGS if found.get(flag)})
        for name, found in block.get("attributes", {}).items()
    ]
    nested = [
        message("NestedBlock")(
            type_name=name,
            block=_block(found["block"]),
            nesting=NESTING[found["nesting_mode"]],
            min_items=found.get("min_items", 0),
            max_items=found.get("max_items", 0),
        )
        for name, found in block.get("block_types", {}).items()
    ]
    return message("Block")(attributes=attributes, block_types=nested)


def type_of(block: Json) -> Type:
    """Return the type of a block's values."""
    kinds = {name: found["type"] for name, found in block.get("attributes", {}).items()}
    for name, found in block.get("block_types", {}).items():
        inner, mode = type_of(found["block"]), found["nesting_mode"]
        kinds[name] = inner if mode in ("single", "group") else [mode, inner]
    return ["object", kinds]


def empty(block: Json) -> dict[str, Value]:
    """Return a block's value with nothing set."""
    value: dict[str, Value] = dict.fromkeys(block.get("attributes", {}))
    for name, found in block.get("block_types", {}).items():
        value[name] = {"list": [], "set": [], "map": {}}.get(found["nesting_mode"])
    return value


def each_attribute(block: Json, value: Value, config: Value, change: Callable[[Json, Value, Value], Value]) -> Value:
    """Return a block's value with every attribute replaced by what `change` makes of its schema, its value and its configuration."""
    if not isinstance(value, dict):
        return value
    told = config if isinstance(config, dict) else {}
    made = {name: change(found, value.get(name), told.get(name)) for name, found in block.get("attributes", {}).items()}
    for name, found in block.get("block_types", {}).items():
        inner, there, asked = found["block"], value.get(name), told.get(name)
        made[name] = _nested(inner, there, asked, change)
    return made


def _nested(inner: Json, there: Value, asked: Value, change: Callable[[Json, Value, Value], Value]) -> Value:
    if isinstance(there, list):
        told = asked if isinstance(asked, list) and len(asked) == len(there) else [None] * len(there)
        return [each_attribute(inner, one, config, change) for one, config in zip(there, told, strict=True)]
    if isinstance(there, dict) and set(there) == set(inner.get("attributes", {})) | set(inner.get("block_types", {})):
        return each_attribute(inner, there, asked, change)
    if isinstance(there, dict):
        by_key = asked if isinstance(asked, dict) else {}
        return {key: each_attribute(inner, one, by_key.get(key), change) for key, one in there.items()}
    return there


def planned(attribute: Json, value: Value, config: Value) -> Value:
    """Return an attribute's planned value: what the provider decides is not known yet; what is write-only is in no plan and no state."""
    if attribute.get("write_only"):
        return None
    if attribute.get("computed") and value is None and config is None:
        return UNKNOWN
    return value


def walk(block: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield every attribute of a block with its path."""
    for name, found in block.get("attributes", {}).items():
        yield f"{path}{name}", found
    for name, found in block.get("block_types", {}).items():
        yield from walk(found["block"], f"{path}{name}.")
