"""Values as Terraform sends them (MessagePack of cty: https://github.com/zclconf/go-cty/blob/main/cty/msgpack), and values made up.

A type is Terraform's JSON: "string", ["list", T], ["set", T], ["map", T], ["tuple", [T]], ["object", {name: T}], "dynamic".
"""

import hashlib
import json
from typing import Any

import msgpack

Type = Any
Value = Any


class Unknown:
    """A value that is not known before it is applied."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()
UNKNOWN_CODE, REFINED_CODE = 0, 12


def decode(data: bytes) -> Value:
    """Return a value; what is not known is UNKNOWN."""
    return msgpack.unpackb(data, ext_hook=lambda *_: UNKNOWN, strict_map_key=False, raw=False)


def encode(value: Value) -> bytes:
    """Return the bytes of a value."""
    packed: bytes = msgpack.packb(value, default=lambda _: msgpack.ExtType(UNKNOWN_CODE, b"\x00"))
    return packed


def stored(value: Value, kind: Type) -> Value:
    """Return an attribute's value from a state, where one of a dynamic type is written with its type."""
    return [json.dumps(value["type"]).encode(), value["value"]] if kind == "dynamic" and value is not None else value


def made_up(kind: Type, where: str) -> Value:
    """Return a known value of a type, the same one whenever it is asked for `where`; a collection has one element."""
    match kind:
        case "string":
            return f"{where.rpartition('.')[2].strip('[]0') or 'value'}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
        case "number":
            return 1
        case "bool":
            return False
        case "dynamic":
            return [json.dumps("string").encode(), made_up("string", where)]
        case ["list" | "set", inner]:
            return [made_up(inner, f"{where}[0]")]
        case ["map", inner]:
            return {"key": made_up(inner, f"{where}.key")}
        case ["tuple", kinds]:
            return [made_up(inner, f"{where}[{number}]") for number, inner in enumerate(kinds)]
        case ["object", kinds]:
            return {name: made_up(inner, f"{where}.{name}") for name, inner in kinds.items()}
    raise ValueError(f"no such type: {kind!r}")


def known(value: Value, kind: Type, where: str) -> Value:
    """Return a value in which every UNKNOWN has been made up."""
    if value is UNKNOWN:
        return made_up(kind, where)
    match kind:
        case ["list" | "set", inner] if isinstance(value, list):
            return [known(item, inner, f"{where}[{number}]") for number, item in enumerate(value)]
        case ["map", inner] if isinstance(value, dict):
            return {key: known(item, inner, f"{where}.{key}") for key, item in value.items()}
        case ["tuple", kinds] if isinstance(value, list):
            return [known(item, inner, f"{where}[{number}]") for number, (item, inner) in enumerate(zip(value, kinds, strict=True))]
        case ["object", kinds] if isinstance(value, dict):
            return {name: known(item, kinds[name], f"{where}.{name}") for name, item in value.items()}
    return value
