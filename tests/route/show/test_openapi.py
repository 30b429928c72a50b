"""The OpenAPI document: valid by its own specification, true to the models, and answered by Envoy itself."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from mcml.core.schema_routes import Route
from mcml.core.v2 import zero_request
from mcml.route.show.openapi import document
from mcml.route.show.page import docs
from tests.route.rig import Rig, ask, until

SIGNATURE: dict[str, Any] = {
    "name": "fraud",
    "versions": ["1"],
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "who", "datatype": "BYTES", "shape": ["1"]},  # some servers write sizes as text
        {"name": "any", "datatype": "INT8", "shape": []},
    ],
    "outputs": [{"name": "y", "datatype": "BOOL", "shape": [-1]}],
}
ROUTES = {
    "fraud": Route(),
    "resident": Route(model="fraud", pattern="residency", regions={"eu": ("eu-1",)}, sticky="x-user-id"),
    "unknown": Route(),
    "binary": Route(protocol="grpc"),
}
MODELS = {"fraud": ("fraud",), "resident": ("fraud",), "unknown": ("unknown",), "binary": ("binary",)}


def made(*, keys: bool = False, signatures: dict[str, Any] | None = None) -> dict[str, Any]:
    return document(ROUTES, MODELS, {"fraud": (SIGNATURE,)} if signatures is None else signatures, software="1.2.3", keys=keys)


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("signatures", [None, {}, {"fraud": (SIGNATURE, {**SIGNATURE, "inputs": []})}], ids=["one", "none", "two"])
def test_it_is_valid(keys: bool, signatures: dict[str, Any] | None) -> None:
    said = json.loads(json.dumps(made(keys=keys, signatures=signatures)))
    validate(said, cls=OpenAPIV31SpecValidator)
    assert said["openapi"] == "3.1.0"
    assert ("securitySchemes" in said["components"]) is keys
    assert "post" in said["paths"]["/v2/models/fraud/infer"]
    said["paths"]["/v2/models/fraud/infer"]["post"]["responses"] = []
    with pytest.raises(OpenAPIValidationError):  # it would have seen it
        validate(said, cls=OpenAPIV31SpecValidator)


def request_schema(name: str = "fraud") -> dict[str, Any]:
    found = made()
    return {**found["components"]["schemas"][f"{name}.Request"], "components": found["components"]}


def test_its_example_fits_its_own_schema_and_a_misfit_does_not() -> None:
    validator = jsonschema.Draft202012Validator(request_schema())
    example = made()["paths"]["/v2/models/fraud/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert example == zero_request({"inputs": [{**one, "shape": [int(size) for size in one["shape"]]} for one in SIGNATURE["inputs"]]})
    validator.validate(example)
    for change in ({"datatype": "FP64"}, {"shape": [1, 3]}, {"data": ["a"]}, {"name": "z"}):
        wrong = {"inputs": [{**example["inputs"][0], **change}]}
        assert not validator.is_valid(wrong), change


def test_a_model_that_tells_nothing_takes_any_tensor() -> None:
    validator = jsonschema.Draft202012Validator(request_schema("unknown"))
    assert validator.is_valid({"inputs": [{"name": "z", "datatype": "FP16", "shape": [9], "data": []}]})
    assert not validator.is_valid({"inputs": [{"name": "z", "datatype": "FP16"}]}), "but a tensor it must be"


def test_headers_are_those_of_the_route() -> None:
    def headers(route: str) -> dict[str, bool]:
        found = made()["paths"][f"/v2/models/{route}/infer"]["post"]["parameters"]
        return {one["name"]: bool(one.get("required")) for one in found}

    assert headers("fraud") == {"x-mcml-target": False, "x-request-id": False}
    assert headers("resident") == {"x-mcml-target": False, "x-data-region": True, "x-user-id": False, "x-request-id": False}


def test_keys_are_asked_for_where_the_router_asks() -> None:
    assert "security" not in made()
    found = made(keys=True)
    assert found["security"] == [{"key": []}, {"bearer": []}]
    assert found["paths"]["/v2/health/ready"]["get"]["security"] == []
    assert "401" in found["paths"]["/v2/models/fraud/infer"]["post"]["responses"]


def test_a_route_for_grpc_alone_is_not_in_it() -> None:
    assert not [path for path in made()["paths"] if "binary" in path]


def test_the_page_for_people() -> None:
    page = docs.page(made(keys=True))
    assert "POST /v2/models/fraud/infer" in page
    assert "<td>x</td><td>FP32</td><td>[any, 2]</td>" in page
    assert "API key" in page
    assert "API key" not in docs.page(made())
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    odd = {**SIGNATURE, "inputs": [{"name": "<b>", "datatype": "FP32", "shape": [1]}]}
    assert "<b>" not in docs.page(made(signatures={"fraud": (odd,)}))


def test_envoy_answers_both_and_they_follow_the_models(shared: Rig) -> None:
    def known() -> dict[str, Any] | None:
        found: dict[str, Any] = ask(shared.running.port, "/v2/openapi.json").json
        return found if "example" in json.dumps(found["paths"]["/v2/models/fraud/infer"]) else None

    found = until(known, 20, "the tensors did not come")
    validate(found, cls=OpenAPIV31SpecValidator)
    inputs = found["components"]["schemas"]["public.Request"]["properties"]["inputs"]["items"]["properties"]
    assert (inputs["name"], inputs["datatype"]) == ({"const": "x"}, {"const": "FP32"})
    assert set(found["paths"]) > {"/v2", "/v2/models/fraud/infer", "/v2/models/public/versions/{version}/infer", "/v2/models/empty"}
    page = ask(shared.running.port, "/v2/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"[any, 2]" in page.body


def test_a_large_model_has_no_example() -> None:
    image = {**SIGNATURE, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3, 1024, 1024]}]}
    found = made(signatures={"fraud": (image,)})
    assert "example" not in found["paths"]["/v2/models/fraud/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert len(json.dumps(found)) < 50_000
