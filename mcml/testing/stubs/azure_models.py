"""What Azure's SDK knows, as a judge of JSON: the fields of its models, and the paths and api-versions of its operations; no network.

    problems(azure.mgmt.compute.models.VirtualMachine, {"locatoin": "westeurope"}, request=False)
    -> ["VirtualMachine.locatoin: the SDK knows no such field", "VirtualMachine.location: it is required"]
    routes("azure.mgmt.compute")[("GET", "/subscriptions/{}/providers/microsoft.compute/virtualmachines")] -> {"2026-04-01"}

Both generations of the SDK's models are read: classes of `rest_field`s, and the older ones with an `_attribute_map`.
"""

import base64
import datetime
import enum
import functools
import importlib
import pkgutil
import re
import types
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import isodate  # type: ignore[import-untyped]

Model = type[Any]
_OLD_TYPES: dict[str, Any] = {
    "str": str,
    "rfc-1123": str,
    "base64": str,
    "bytearray": bytes,
    "int": int,
    "long": int,
    "unix-time": int,
    "float": float,
    "decimal": float,
    "bool": bool,
    "object": Any,
    "iso-8601": datetime.datetime,
    "duration": datetime.timedelta,
    "date": datetime.date,
    "time": datetime.time,
}
_URL = r'_url = (?:kwargs\.pop\(\s*"template_url",\s*)?(\(?\s*(?:"[^"]*"\s*)+)'
_METHOD = r'method="(\w+)"'
_VERSION = r'_params\.pop\(\s*"api-version",\s*"([^"]+)"'


@dataclass(frozen=True)
class Field:
    """A field of a model: the type of its value, whether it must be there, whether only the service may set it, and its wire format."""

    hint: Any
    required: bool = False
    readonly: bool = False
    format: str = ""


@dataclass(frozen=True)
class Shape:
    """The fields of a model by their JSON name; a nested mapping is an object that has no class of its own. `free`: others may be there."""

    name: str
    fields: "dict[str, Field | Shape]"
    free: Any = None


def problems(hint: Any, value: Any, *, request: bool, where: str = "") -> list[str]:
    """Return what of a JSON value does not fit a model (or a type such as `list[Model]`), each with its place; [] when all fits."""
    return _value(hint, value, request, where or hint.name if isinstance(hint, Shape) else where or str(getattr(hint, "__name__", hint)))


def model(package: str, name: str) -> Any:
    """Return a type of an SDK package by its name: "VirtualMachine", "[VirtualMachine]" (a page of them), "object" (anything), or list."""
    if name == "object":
        return Any
    if name.startswith("[") and name.endswith("]"):
        item = model(package, name[1:-1])
        items = Field(types.GenericAlias(list, (item,)), required=True)
        return Shape(f"page of {name[1:-1]}", {"value": items, "nextLink": Field(str | None)})
    models = _imported(f"{package}.models")
    found = getattr(models, name, None)
    found = found if found is not None else getattr(_private(package), name, None)
    if found is None:
        raise ValueError(f"{package}.models has no {name}")
    return found


@functools.cache
def routes(package: str) -> dict[tuple[str, str], set[str]]:
    """Return the api-versions of each operation of an SDK package, by method and path (`normal`), as its request builders write them."""
    folder = Path(str(_imported(f"{package}.operations").__file__)).parent
    found: dict[tuple[str, str], set[str]] = {}
    for file in folder.glob("*.py"):
        for block in re.split(r"\ndef build_", file.read_text())[1:]:
            code = block.split("\nclass ")[0]
            url, method, version = re.search(_URL, code), re.search(_METHOD, code), re.search(_VERSION, code)
            if url and method and version:
                path = "".join(re.findall(r'"([^"]*)"', url[1]))
                found.setdefault((method[1], normal(path)), set()).add(version[1])
    return found


def normal(path: str) -> str:
    """Return a path template with its parameters' names and its upper case taken away: ARM's paths are the same in any case."""
    return "/" + re.sub(r"\{[^}]*\}", "{}", path).strip("/").lower()


def _imported(name: str) -> types.ModuleType:
    """Import a module of the SDK; some have escapes in their documentation that Python warns of when it compiles them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


@functools.cache
def _private(package: str) -> types.ModuleType:
    names = [found.name for found in pkgutil.iter_modules(importlib.import_module(f"{package}.models").__path__)]
    return importlib.import_module(f"{package}.models.{'_models' if '_models' in names else '_models_py3'}")


def _value(hint: Any, value: Any, request: bool, where: str) -> list[str]:
    origin = typing.get_origin(hint)
    if hint is Any or hint is object:
        return []
    if isinstance(hint, Shape):
        return _object(hint, value, request, where)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(hint), value, request, where)
    if origin is typing.Literal:
        return [] if value in [getattr(one, "value", one) for one in typing.get_args(hint)] else [f"{where}: {value!r} is not {hint}"]
    if origin in (list, tuple, set):
        item = (*typing.get_args(hint), Any)[0]
        if not isinstance(value, list):
            return [f"{where}: {type(value).__name__} where a list should be"]
        return [found for index, one in enumerate(value) for found in _value(item, one, request, f"{where}[{index}]")]
    if origin is dict or hint is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        item = (*typing.get_args(hint), Any, Any)[1]
        if not isinstance(value, dict):
            return [f"{where}: {type(value).__name__} where an object should be"]
        return [found for name, one in value.items() for found in _value(item, one, request, f"{where}.{name}")]
    if _is_model(hint):
        return _of_model(hint, value, request, where)
    return _scalar(hint, value, where)


def _union(arms: tuple[Any, ...], value: Any, request: bool, where: str) -> list[str]:
    if value is None:
        return [] if type(None) in arms else [f"{where}: it may not be null"]
    kinds = [arm for arm in arms if isinstance(arm, type) and issubclass(arm, enum.Enum)]
    if kinds:  # "str or an enum" in the SDK means: one of the enum
        known = [member.value for kind in kinds for member in kind]
        return [] if value in known else [f"{where}: {value!r} is none of {', '.join(map(str, known))}"]
    tried = [_value(arm, value, request, where) for arm in arms if arm is not type(None)]
    return min(tried, key=len)


def _scalar(hint: Any, value: Any, where: str) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _union((hint,), value, False, where)
    kinds: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}
    kinds |= dict.fromkeys((datetime.datetime, datetime.date, datetime.time, datetime.timedelta, bytes), (str,))
    if hint not in kinds:
        return [f"{where}: nobody can check {hint}"]
    if not isinstance(value, kinds[hint]) or (isinstance(value, bool) and hint is not bool):
        return [f"{where}: {value!r} where {hint.__name__} should be"]
    readers: dict[Any, Any] = {
        datetime.datetime: isodate.parse_datetime,
        datetime.date: isodate.parse_date,
        datetime.time: isodate.parse_time,
        datetime.timedelta: isodate.parse_duration,
        bytes: functools.partial(base64.b64decode, validate=True),
    }
    try:
        readers.get(hint, str)(value)
    except (ValueError, TypeError) as wrong:
        return [f"{where}: {value!r} is no {hint.__name__}: {wrong}"]
    return []


def _object(shape: Shape, value: Any, request: bool, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {type(value).__name__} where an object should be"]
    found: list[str] = []
    for name, one in value.items():
        known = shape.fields.get(name)
        if known is None:
            nothing = [f"{where}.{name}: the SDK knows no such field"]
            found += nothing if shape.free is None else _value(shape.free, one, request, f"{where}.{name}")
        elif isinstance(known, Shape):
            found += [] if one is None else _object(known, one, request, f"{where}.{name}")
        elif request and known.readonly:
            found.append(f"{where}.{name}: only the service may set it")
        elif known.format == "rfc7231":
            found += _http_date(one, f"{where}.{name}")
        elif one is not None or known.required:
            found += _value(known.hint, one, request, f"{where}.{name}")
    for name, known in shape.fields.items():
        if isinstance(known, Field) and known.required and name not in value and not (request and known.readonly):
            found.append(f"{where}.{name}: it is required")
    return found


def _http_date(value: Any, where: str) -> list[str]:
    try:
        parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return [f"{where}: {value!r} is no HTTP date"]
    return []


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and (hasattr(hint, "_attribute_map") or getattr(hint, "_is_model", False) is True)


def _of_model(hint: Model, value: Any, request: bool, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {type(value).__name__} where {hint.__name__} should be"]
    kind = _old_kind(hint, value) if hasattr(hint, "_attribute_map") else _kind(hint, value)
    told: Any = kind
    return _object(_old_shape(told) if hasattr(kind, "_attribute_map") else _shape(told), value, request, where)


def _kind(kind: Model, value: dict[str, Any]) -> Model:
    """Return the subclass that the value's discriminator names (`kind`, `type`...), as the SDK does."""
    _prepared(kind)
    mapping = getattr(kind, "__mapping__", {})
    mark = next((field for field in kind.__dict__.values() if getattr(field, "_is_discriminator", False)), None)
    under = mapping.get(value.get(mark._rest_name)) if mark is not None else None
    return kind if under is None or under is kind else _kind(under, value)


def _prepared(kind: Any) -> None:
    kind.__new__(kind)  # the SDK fills in a model's fields when the first one is made


@functools.cache
def _shape(kind: Model) -> Shape:
    _prepared(kind)
    package = kind.__module__.split(".models.")[0]
    known = {"_models": importlib.import_module(f"{package}.models")}
    with_types = Path(str(importlib.import_module(package).__file__)).with_name("types.py").exists()
    known |= {"_types": importlib.import_module(f"{package}.types")} if with_types else {}
    hints = typing.get_type_hints(kind, localns=known)
    fields: dict[str, Field | Shape] = {}
    for name, field in kind._attr_to_rest_field.items():
        may_lack = type(None) in typing.get_args(hints[name]) or isinstance(field._default, str | int | float | bool)
        shown = field._visibility or ["read", "create"]
        fields[field._rest_name] = Field(hints[name], not may_lack and "read" in shown, shown == ["read"], field._format or "")
    return Shape(kind.__name__, fields)


def _old_kind(kind: Model, value: dict[str, Any]) -> Model:
    for attribute, names in getattr(kind, "_subtype_map", {}).items():
        mark = kind._attribute_map[attribute]["key"].replace("\\.", ".")
        under = names.get(value.get(mark))
        if under is not None and under != kind.__name__:
            return _old_kind(getattr(_private(kind.__module__.split(".models.")[0]), under), value)
    return kind


@functools.cache
def _old_shape(kind: Model) -> Shape:
    root = Shape(kind.__name__, {}, Any if kind._attribute_map.get("additional_properties", {}).get("key") == "" else None)
    enums = _documented_enums(kind)
    for attribute, told in kind._attribute_map.items():
        if told["key"] == "":
            continue
        rules = kind._validation.get(attribute, {})
        hint = _old_hint(told["type"], kind, enums.get(attribute))
        *outer, last = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", told["key"])]
        place = root
        for part in outer:
            inner = place.fields.setdefault(part, Shape(f"{place.name}.{part}", {}))
            assert isinstance(inner, Shape)
            place = inner
        place.fields[last] = Field(hint, bool(rules.get("required")), bool(rules.get("readonly")), told.get("format", ""))
    return root


def _old_hint(told: str, kind: Model, values: Any) -> Any:
    if told.startswith("["):
        return types.GenericAlias(list, (_old_hint(told[1:-1], kind, values),))
    if told.startswith("{"):
        return types.GenericAlias(dict, (str, _old_hint(told[1:-1], kind, values)))
    if told == "str" and values is not None:
        return typing.Union[str, values]  # noqa: UP007
    return _OLD_TYPES[told] if told in _OLD_TYPES else getattr(_private(kind.__module__.split(".models.")[0]), told)


def _documented_enums(kind: Model) -> dict[str, Any]:
    """Return the enum of each field of an older model: only its documentation names it."""
    models = importlib.import_module(kind.__module__.split(".models.")[0] + ".models")
    told = re.findall(r":vartype (\w+):((?:(?!\n\s*:|\n\s*\n).)*)", str(kind.__doc__), re.DOTALL)
    named = {name: re.search(r"str or\s+~[\w.]+\.(\w+)", text) for name, text in told}
    return {name: getattr(models, found[1]) for name, found in named.items() if found}
