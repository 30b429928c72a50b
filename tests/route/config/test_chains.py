"""The chain of filters into each backend, and the route table around managed ones: each takes off before it puts on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.backend import Backend
from mcml.core.credential import Credential, SigningKeys
from mcml.core.errors import McmlError
from mcml.core.secret import Secret
from mcml.route.config.clusters import clusters
from mcml.route.config.listener import listener
from mcml.route.config.managed import hold_whole, split_paths
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.table import plan_routes, routes
from mcml.route.config.upstream import STRIPPED, STRIPPED_PREFIXES, Upstream, _quoted
from mcml.route.config.values import BUFFER_LIMIT, Choice, Front, RoutePlan
from mcml.route.credentials import _file, _write, system_authorities
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate

PLAIN = Backend("k8s", "fraud", "127.0.0.1", 9000, "local", "nowhere", version="1")
SECURE = replace(PLAIN, target="secure", host="models.example.com", port=443, tls=True, path="/base")
AWS = replace(
    PLAIN, target="aws", host="runtime.example.com", port=443, tls=True, infer_path="/endpoints/f/invocations", health_path="",
    auth="sigv4", service="sagemaker", signing_region="eu-west-1", headers=(("X-Amzn-SageMaker-Target-Variant", "v"),),
)  # fmt: skip
GCP = replace(SECURE, target="gcp", host="eu.example.com", path="", infer_path="/v1/e/7:rawPredict", health_path="", auth="bearer")
AZURE = replace(GCP, target="azure", infer_path="", headers=(("azureml-model-deployment", 'o"n\\e'),))
ALL = (PLAIN, SECURE, AWS, GCP, AZURE)
KEYS = SigningKeys(Secret("A"), Secret("B"), Secret("C"))


def filters(cluster: Any) -> list[Any]:
    (options,) = cluster["typed_extension_protocol_options"].values()
    return list(options["http_filters"])


def made(backends: tuple[Backend, ...], folder: str = "/x") -> dict[str, Any]:
    return {one["name"]: one for one in clusters(backends, Upstream(folder, system_authorities()))}


@pytest.mark.parametrize("backends", [(one,) for one in ALL] + [ALL, (PLAIN, AWS), (PLAIN, replace(PLAIN, port=9001), GCP)])
def test_envoy_accepts_it(tmp_path: Path, backends: tuple[Backend, ...]) -> None:
    for one in backends:
        if one.auth != "none":
            _write(*_file(tmp_path / "c" / one.name, one, Credential(KEYS if one.auth == "sigv4" else Secret("t"))))
    weights = dict.fromkeys(sorted({one.name for one in backends}), 1)
    managed = {one.name for one in backends if one.infer_path}
    table = routes([RoutePlan("fraud", "fraud", weights, 30.0, 2.0)], software="1", ready=True, keep_path=True, managed=managed)
    table = hold_whole(table, {"fraud@aws"}, 1 << 25)
    public = listener(Front("127.0.0.1", 8080, "/dev/null"), "/somewhere/xds")
    found = list(made(backends, str(tmp_path / "c")).values())
    path = tmp_path / "flat.json"
    text = json.dumps(flatten(bootstrap(9901, "/somewhere/xds"), [public], found, table))
    path.write_text(text)
    validate(find_envoy(), path)
    kinds = {"sigv4": "service_name", "bearer": "injected_credentials.generic.v3.Generic"}
    parts = {"request_mutations", *(kinds[one.auth] for one in backends if one.auth != "none")}
    for part in parts:  # it looked into every chain
        assert part in text
        path.write_text(text.replace(part, f"{part}z"))
        with pytest.raises(McmlError, match="Envoy refuses") as refused:
            validate(find_envoy(), path)
        assert f"{part}z" in refused.value.why


@given(st.lists(st.sampled_from(ALL), min_size=1, unique=True))
def test_every_chain_takes_off_before_it_puts_on(backends: list[Backend]) -> None:
    """Whatever else there is: also where nobody needs a credential, since another backend may come at any time."""
    for name, cluster in made(tuple(backends)).items():
        chain = filters(cluster)
        names = [one["name"].rsplit(".", 1)[1] for one in chain]
        assert names[0] == "header_mutation"
        assert names[-1] == "upstream_codec"
        mutations = chain[0]["typed_config"]["mutations"]["request_mutations"]
        removed = [one["remove"] for one in mutations if "remove" in one]
        assert set(STRIPPED) <= set(removed)
        assert [one["remove_on_match"]["key_matcher"]["prefix"] for one in mutations if "remove_on_match" in one] == list(STRIPPED_PREFIXES)
        assert {header.lower() for one in backends for header, _ in one.headers} <= set(removed)
        own = [one["append"]["header"]["key"] for one in mutations if "append" in one]
        backend = next(one for one in backends if one.name == name)
        assert own == [key.lower() for key, _ in backend.headers]
        kinds = {"sigv4": "aws_request_signing", "bearer": "credential_injector"}
        assert [one for one in names if one in kinds.values()] == ([kinds[backend.auth]] if backend.auth in kinds else [])


def test_a_script_runs_only_where_somebody_needs_it() -> None:
    assert [one["name"] for one in filters(made((PLAIN,))["fraud@k8s"])][1:] == ["envoy.filters.http.upstream_codec"]
    assert "lua" in filters(made((PLAIN, GCP))["fraud@k8s"])[1]["name"]


def test_a_certificate_is_of_the_host_and_from_a_known_authority() -> None:
    context = made((GCP,))["fraud@gcp"]["transport_socket"]["typed_config"]
    validation = context["common_tls_context"]["validation_context"]
    assert (context["sni"], validation["trusted_ca"]["filename"]) == ("eu.example.com", system_authorities())
    assert validation["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "eu.example.com"}}]
    literal = made((replace(GCP, host="10.0.0.7", authorities="/own.pem"),))["fraud@gcp"]["transport_socket"]["typed_config"]
    assert "sni" not in literal
    assert literal["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"][0]["san_type"] == "IP_ADDRESS"
    assert literal["common_tls_context"]["validation_context"]["trusted_ca"]["filename"] == "/own.pem"


def test_health_is_asked_for_only_where_that_needs_no_credential() -> None:
    assert {name: "health_checks" in one for name, one in made(ALL).items()} == {
        "fraud@k8s": True, "fraud@secure": True, "fraud@aws": False, "fraud@gcp": False, "fraud@azure": False,
    }  # fmt: skip
    assert made(ALL)["fraud@secure"]["health_checks"][0]["http_health_check"]["path"] == "/base/v2/health/ready"


@settings(max_examples=50)
@given(st.text(max_size=30))
def test_no_text_leaves_its_quotes(text: str) -> None:
    if not text.isprintable():
        with pytest.raises(ValueError, match="no part of a path"):
            _quoted(text)
        return
    inside = _quoted(text)[1:-1]
    assert inside.replace("\\\\", "").replace('\\"', "").count('"') == 0
    assert inside.replace("\\\\", "").replace('\\"', "").count("\\") == 0


# --- the table


def entries(plan: RoutePlan, *managed: str) -> list[Any]:
    return split_paths(plan, managed, plan_routes)


def test_without_managed_backends_the_table_is_as_it_was() -> None:
    plan = RoutePlan("fraud", "fraud", {"fraud@k8s": 100}, 30.0, 2.0, targets={"k8s": Choice({"fraud@k8s": 1})})
    assert entries(plan) == plan_routes(plan)


def test_managed_backends_get_inference_only() -> None:
    plan = RoutePlan("fraud", "fraud", {"fraud@k8s": 0, "fraud@aws": 100}, 30.0, 2.0)
    infer, rest = entries(plan, "fraud@aws")
    assert infer["match"] == {"path": "/v2/models/fraud/infer"}
    assert {one["name"] for one in infer["route"]["weighted_clusters"]["clusters"]} == {"fraud@k8s", "fraud@aws"}
    assert rest["match"] == {"path_separated_prefix": "/v2/models/fraud"}
    assert rest["route"]["weighted_clusters"]["clusters"] == [{"name": "fraud@k8s", "weight": 1}]


def test_the_router_itself_says_whether_managed_backends_are_ready() -> None:
    plan = RoutePlan("fraud", "fraud", {"fraud@aws": 100}, 30.0, 2.0)
    _, ready, rest = entries(plan, "fraud@aws")
    assert (ready["match"], ready["direct_response"]["status"]) == ({"path": "/v2/models/fraud/ready"}, 200)
    assert rest["direct_response"]["status"] == 404
    out = replace(plan, weights={"fraud@aws": 1}, last_resort=True)
    assert entries(out, "fraud@aws")[1]["direct_response"]["status"] == 503


def test_a_route_to_a_signed_backend_keeps_whole_bodies() -> None:
    plans = [RoutePlan("a", "a", {"a@aws": 100}, 30.0, 2.0), RoutePlan("b", "b", {"b@k8s": 100}, 30.0, 2.0)]
    table = hold_whole(routes(plans, software="1", ready=True), {"a@aws"}, 77)
    limits = {one["stat_prefix"]: one["request_body_buffer_limit"] for one in table["virtual_hosts"][0]["routes"] if "route" in one}
    assert limits == {"a": 77, "b": BUFFER_LIMIT}
