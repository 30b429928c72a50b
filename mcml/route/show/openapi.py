"""The OpenAPI 3.1 document of the routes that are served, with the tensors of their models where these are known. Pure.

The document is for what speaks HTTP; a route that speaks gRPC alone is not in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from mcml.core.schema_routes import Route
from mcml.core.v2 import VARIABLE, zero_request
from mcml.route.aside.validate import Metadata, Signatures
from mcml.route.config.table import ANSWER_HEADERS, REGION_HEADER, TARGET_HEADER

Json = dict[str, Any]
MOST_EXAMPLE = 256
"""Values of an example; a model that takes more has none."""

_TYPES: Mapping[str, Json] = {"BOOL": {"type": "boolean"}, "BYTES": {"type": "string"}}
_ERRORS: Mapping[str, str] = {
    "400": "The request does not fit the model, or is not valid.",
    "404": "No route, model or version of this name.",
    "413": "The body is too large.",
    "429": "Too many requests; the header retry-after says when to come again.",
    "503": "No backend of this model could answer.",
    "504": "No backend answered in time.",
}
_KEY_ERRORS: Mapping[str, str] = {"401": "No API key, or one that is not known.", "403": "This API key is not for this model."}
_OTHER_HEADERS = ("x-request-id",)


def document(
    routes: Mapping[str, Route], models: Mapping[str, Sequence[str]], signatures: Signatures, *, software: str, keys: bool
) -> Json:
    """Return the document; `models` are those behind each route, `keys` whether clients need one."""
    served = {name: route for name, route in sorted(routes.items()) if route.protocol != "grpc"}
    errors = {**_ERRORS, **_KEY_ERRORS} if keys else _ERRORS
    paths: Json = dict(_server_paths())
    schemas: Json = _shared_schemas()
    for name, route in served.items():
        known = _signatures(models.get(name, ()), signatures)
        schemas.update(_route_schemas(name, known))
        paths.update(_route_paths(name, route, known, errors))
    found: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Models of mcml route",
            "version": software,
            "summary": "The Open Inference Protocol v2 for every model, behind one address.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "server"}, *({"name": name} for name in served)],
        "paths": paths,
        "components": {"schemas": schemas, "headers": _headers(), "responses": {f"E{code}": _error(text) for code, text in errors.items()}},
    }
    if keys:
        found["components"]["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        found["security"] = [{"key": []}, {"bearer": []}]
    return found


def _signatures(models: Sequence[str], signatures: Signatures) -> list[Metadata]:
    return [metadata for model in models for metadata in signatures.get(model, ())]


def _server_paths() -> Iterator[tuple[str, Json]]:
    for path, summary, more in (
        ("/v2", "Name and version of the server", {}),
        ("/v2/health/live", "Whether the server lives", {}),
        ("/v2/health/ready", "Whether every route has a backend that is up", {"503": {"$ref": "#/components/responses/E503"}}),
    ):
        named = path.strip("/").replace("/", "_")
        answers = {"200": {"description": "Yes.", "content": _json({"type": "object"})}, **more}
        open_to_all: Json = {"security": []} if "health" in path else {}
        yield path, {"get": {"tags": ["server"], "operationId": named, "summary": summary, "responses": answers, **open_to_all}}


def _route_paths(name: str, route: Route, known: Sequence[Metadata], errors: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    hints = _hints(route)
    for version in ("", "/versions/{version}"):
        base = f"/v2/models/{name}{version}"
        more = [{"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}] if version else []
        about = f"of version {{version}} of {name}" if version else f"of {name}"
        suffix = "_version" if version else ""

        def operation(verb: str, summary: str, answer: Json, more: Sequence[Json] = more, suffix: str = suffix) -> Json:
            return {
                "tags": [name],
                "operationId": f"{name}_{verb}{suffix}",
                "summary": summary,
                "parameters": [*more, *hints],
                "responses": {"200": answer, **_failures(verb, errors)},
            }

        yield base, {"get": operation("metadata", f"Tensors {about}", _answer("The model's metadata.", {"$ref": _ref("Metadata")}))}
        yield f"{base}/ready", {"get": operation("ready", f"Readiness {about}", _answer("It is ready.", {"type": "object"}))}
        infer = operation("infer", f"Inference {about}", _answer("The outputs.", {"$ref": _ref(f"{name}.Answer")}))
        body = _json({"$ref": _ref(f"{name}.Request")})
        if known and _is_small(example := _with_numbers(known[0])):
            body["application/json"]["example"] = zero_request(example)
        yield f"{base}/infer", {"post": {**infer, "requestBody": {"required": True, "content": body}}}


def _failures(verb: str, errors: Iterable[str]) -> Json:
    codes = [code for code in errors if verb == "infer" or code not in ("400", "413")]
    return {code: {"$ref": f"#/components/responses/E{code}"} for code in codes}


def _hints(route: Route) -> list[Json]:
    """Return the headers with which a client may say where its request goes."""
    found = [_parameter(TARGET_HEADER, "A target of the route; nowhere else is tried.", {"type": "string"})]
    if route.regions:
        text = "The data region that the request must stay in."
        found.append({**_parameter(REGION_HEADER, text, {"type": "string", "enum": sorted(route.regions)}), "required": not route.home})
    if route.sticky:
        found.append(_parameter(route.sticky, "The same value, the same model and target.", {"type": "string"}))
    return [*found, _parameter("x-request-id", "Comes back with the answer; made up where it is missing.", {"type": "string"})]


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _answer(description: str, schema: Json) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in (*ANSWER_HEADERS, *_OTHER_HEADERS)}
    return {"description": description, "headers": headers, "content": _json(schema)}


def _error(description: str) -> Json:
    return {"description": description, "content": _json({"$ref": _ref("Error")})}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"


def _headers() -> Json:
    texts = ("The backend that answered, as model@target.", "The version that answered.", "Attempts that it took.", "The request's id.")
    names = (*ANSWER_HEADERS, *_OTHER_HEADERS)
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in zip(names, texts, strict=True)}


def _shared_schemas() -> Json:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
        },
    }
    metadata = {
        "type": "object",
        "required": ["name", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": {"$ref": _ref("Tensor")}},
            "outputs": {"type": "array", "items": {"$ref": _ref("Tensor")}},
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}}}
    return {"Tensor": tensor, "Metadata": metadata, "Error": error}


def _route_schemas(name: str, known: Sequence[Metadata]) -> Json:
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": _tensors(known, "inputs"),
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        },
    }
    answer = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": _tensors(known, "outputs"),
        },
    }
    return {f"{name}.Request": request, f"{name}.Answer": answer}


def _tensors(known: Sequence[Metadata], side: str) -> Json:
    """Describe the tensors of one side: any that a version of the model has; without metadata, any tensor at all."""
    distinct = {repr(sorted(tensor.items(), key=str)): tensor for metadata in known for tensor in metadata[side]}
    schemas = [_tensor(tensor) for tensor in distinct.values()]
    return {"type": "array", "items": {"anyOf": schemas} if len(schemas) > 1 else schemas[0] if schemas else {"$ref": _ref("Tensor")}}


def _tensor(tensor: Mapping[str, Any]) -> Json:
    shape = [int(size) for size in tensor["shape"]]
    sizes = [{"type": "integer"} if size == VARIABLE else {"const": size} for size in shape]
    fixed = {"prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)} if sizes else {"items": {"type": "integer"}}
    items = _TYPES.get(tensor["datatype"], {"type": "integer" if "INT" in tensor["datatype"] else "number"})
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": tensor["name"]},
            "datatype": {"const": tensor["datatype"]},
            "shape": {"type": "array", **fixed},
            "data": {"type": "array", "description": "Flat, or nested as the shape says.", "items": {"anyOf": [items, {"type": "array"}]}},
        },
    }


def _is_small(metadata: Metadata) -> bool:
    values: int = sum(prod(max(1, size) for size in tensor["shape"]) for tensor in metadata["inputs"])
    return values <= MOST_EXAMPLE


def _with_numbers(metadata: Metadata) -> Metadata:
    inputs = [{**tensor, "shape": [int(size) for size in tensor["shape"]]} for tensor in metadata["inputs"]]
    return {**metadata, "inputs": inputs}
