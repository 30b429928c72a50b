"""Google's discovery documents as data: which method a request is for, and what is wrong with a query or a body.

The documents come with google-api-python-client (a development dependency, imported on use); what their keys mean:
https://developers.google.com/discovery/v1/reference/apis. Their schemas become JSON Schema, stricter than Google is: an object has the
properties that are declared and no others, 64-bit integers are strings of digits, an enum is one of its names or a number (the clients
ask for numbers: `$alt=json;enum-encoding=int`).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]
MOST_TOLD = 5
ANY_BODY = "GoogleApiHttpBody"
"""The schema of bodies that are bytes and no JSON."""

_DIGITS = {"type": "string", "pattern": r"^-?\d+$"}
_FORMATS: dict[str, Json] = {
    "int64": _DIGITS,
    "uint64": _DIGITS,
    "byte": {"type": "string", "pattern": r"^[A-Za-z0-9+/_-]*=*$"},
    "google-datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"},
    "google-duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
    "double": {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
    "float": {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
}


@dataclass(frozen=True, eq=False)
class Method:
    """One method of an API: its id ("container.projects.locations.clusters.get"), where it is, what it takes and what it answers."""

    id: str
    verb: str
    path: str
    parameters: Mapping[str, Json] = field(repr=False)
    request: str
    response: str
    document: "Document" = field(repr=False)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces = re.split(r"(\{[^}]+\})", self.path)
        return re.compile("".join(_piece(piece) for piece in pieces))

    @property
    def literal(self) -> int:
        """How much of the path is fixed; of two methods that fit, the one with more is meant."""
        return len(re.sub(r"\{[^}]+\}", "", self.path))

    def match(self, verb: str, path: str) -> dict[str, str] | None:
        """Return the parameters in a path (as sent, percent-encoded), or None when the request is for another method."""
        found = self._pattern.fullmatch(path) if verb == self.verb else None
        if not found:
            return None
        names = re.findall(r"\{[^}]+\}", self.path)
        values = {name.strip("{+}"): _decoded(name, value) for name, value in zip(names, found.groups(), strict=True)}
        fit = (re.search(self.parameters[name].get("pattern", ""), value) for name, value in values.items())
        return values if all(fit) else None

    def wrong_query(self, query: Mapping[str, Sequence[str]]) -> list[str]:
        """Return what is wrong with a query: names that are unknown, missing or given twice, values that do not fit."""
        known = {name: one for name, one in self.parameters.items() if one.get("location") == "query"} | self.document.parameters
        wrong = [f"query {name!r} is missing" for name, one in known.items() if one.get("required") and name not in query]
        for name, values in query.items():
            if name.startswith("$"):
                continue
            if name not in known:
                wrong.append(f"query {name!r} is unknown")
            elif len(values) > 1 and not known[name].get("repeated"):
                wrong.append(f"query {name!r} is given {len(values)} times")
            else:
                wrong += [f"query {name}={value!r} is no {fault}" for value in values if (fault := _unfit(known[name], value))]
        return wrong


@dataclass(frozen=True, eq=False)
class Document:
    """A discovery document."""

    name: str
    content: Json = field(repr=False)

    @property
    def parameters(self) -> dict[str, Json]:
        """The query parameters of every method ("alt", "fields", ...)."""
        return dict(self.content.get("parameters", {}))

    @cached_property
    def methods(self) -> dict[str, Method]:
        """All methods, by id."""
        return {method.id: method for method in self._below(self.content)}

    def wrong_body(self, schema: str, body: object) -> list[str]:
        """Return what is wrong with a JSON value that should be of a schema; the first few faults, each with its place."""
        errors = sorted(self._validator(schema).iter_errors(body), key=lambda error: error.json_path)
        return [f"{error.json_path}: {error.message[:200]} ({schema})" for error in errors[:MOST_TOLD]]

    def _below(self, resource: Json) -> Iterator[Method]:
        base = "/" + self.content.get("servicePath", "")
        for one in resource.get("methods", {}).values():
            request, response = (one.get(part, {}).get("$ref", "") for part in ("request", "response"))
            yield Method(one["id"], one["httpMethod"], base + one["path"], one.get("parameters", {}), request, response, self)
        for inner in resource.get("resources", {}).values():
            yield from self._below(inner)

    @cache  # noqa: B019 - documents live as long as the process
    def _validator(self, schema: str) -> Any:
        from jsonschema import Draft202012Validator  # a development dependency

        needed, queue = {}, [schema]
        while queue:
            name = queue.pop()
            if name not in needed:
                needed[name] = _json_schema(self.content["schemas"][name])
                queue += re.findall(r'"#/\$defs/([^"]+)"', json.dumps(needed[name]))
        return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": needed})


@cache
def load(name: str) -> Document:
    """Load a document by the name of its API and version ("container.v1"). Raises LookupError when there is none, or no package."""
    package = find_spec("googleapiclient")
    if package is None or not package.submodule_search_locations:
        raise LookupError("Google's discovery documents come with google-api-python-client, which is not installed")
    path = Path(package.submodule_search_locations[0]) / "discovery_cache/documents" / f"{name}.json"
    if not path.is_file():
        raise LookupError(f"google-api-python-client has no discovery document {name!r}")
    return Document(name, json.loads(path.read_bytes()))


def _decoded(name: str, value: str) -> str:
    """Decode a parameter of a path; in one of several segments (`{+name}`) an encoded slash is part of a segment, and stays encoded."""
    return unquote(re.sub("(?i)%2f", "%252F", value) if name.startswith("{+") else value)


def _piece(piece: str) -> str:
    if piece.startswith("{+"):
        return "(.+)"
    return "([^/]+)" if piece.startswith("{") else re.escape(piece)


def _unfit(parameter: Json, value: str) -> str:
    """Return what a value of a query should have been, or ""."""
    kind = parameter.get("type", "string")
    if "enum" in parameter:
        return "" if value in parameter["enum"] or value.isdigit() else f"one of {', '.join(parameter['enum'])}"
    if kind == "boolean":
        return "" if value.lower() in ("true", "false") else "boolean"
    if kind == "integer" or parameter.get("format") in ("int64", "uint64"):
        return "" if re.fullmatch(r"-?\d+", value) else "integer"
    return "" if re.search(parameter.get("pattern", ""), value) else f"match of {parameter['pattern']}"


def _json_schema(schema: Json) -> Json:
    """Return the JSON Schema of a discovery schema; `$ref` points into `$defs`."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema.get("type", "any")
    if kind == "any":
        return {}
    if "enum" in schema:
        return {"if": {"type": "string"}, "then": {"enum": schema["enum"]}, "else": {"type": "integer"}}
    if kind == "array":
        return {"type": "array", "items": _json_schema(schema["items"])}
    if kind == "object":
        rest = schema.get("additionalProperties")
        properties = {name: _json_schema(inner) for name, inner in schema.get("properties", {}).items()}
        return {"type": "object", "properties": properties, "additionalProperties": _json_schema(rest) if rest else False}
    return _FORMATS.get(schema.get("format", ""), {"type": kind})
