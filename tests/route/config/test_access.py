"""Keys, rates and origins as configuration: whatever routes there are, no key can be used where it is not for."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import McmlError, Usage
from mcml.core.schema_routes import Tracing
from mcml.core.secret import Secret
from mcml.route.config import access
from mcml.route.config.access import guard, resources
from mcml.route.config.clusters import clusters
from mcml.route.config.listener import listener, own_clusters, secrets
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.table import routes
from mcml.route.config.values import Client, Front, Identity, Json, Rate, RoutePlan, Spans
from mcml.route.credentials import system_authorities
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate
from mcml.route.front.keys import parse_rate
from tests.route.authority import Authority
from tests.route.config.test_config import THREE, backend

WEB = Client("web", (Secret("mcml_1"), Secret("mcml_2")), ("fraud",), Rate(5, 1.0))
ALL = Client("all", (Secret("mcml_3"),))
NAMES = st.sampled_from(["fraud", "spam", "churn"])


def plans(*names: str) -> list[RoutePlan]:
    return [RoutePlan(name, "fraud", {"fraud@eu-1": 100}, 30.0, 2.0) for name in names]


def guarded(front: Front, *names: str) -> list[Any]:
    table = guard(routes(plans(*names), software="1.0", ready=True), front)
    return list(table["virtual_hosts"][0]["routes"])


def front(*clients: Client, **more: Any) -> Front:
    return Front("127.0.0.1", 0, "/dev/null", clients=clients, **more)


def whole(tmp_path: Path, made: Front) -> Json:
    table = guard(routes(plans("fraud"), software="1.0", ready=True), made)
    found = [*clusters([backend("eu-1")]), *own_clusters(made, system_authorities())]
    inline = {"extensions": [*resources(made).values()], "secrets": [*secrets(made).values()]}
    return flatten(bootstrap(0, str(tmp_path)), [listener(made, str(tmp_path))], found, table, **inline)


def test_envoy_accepts_every_kind_of_listener(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("router")
    identity = Identity(certificate.read_text(), Secret(key.read_text()), authority.certificate.read_text())
    variants = [
        front(),
        front(WEB, ALL, rates=(("fraud", Rate(3, 60.0)),)),
        Front("127.0.0.1", 0, "/dev/null", rates=(("fraud", Rate(3, 0.05)),)),
        front(WEB, cors=("https://app.example.com",), spans=Spans("https://collector.example.com/v1/traces", 0.5), identity=identity),
    ]
    parts = {"credentials": [1, 3], "token_bucket": [1, 2, 3], "certificate_chain": [3], "sampling_percentage": [3]}
    parts["allowed_clients"] = [0, 1, 3]
    for number, made in enumerate(variants):
        path = tmp_path / f"{number}.json"
        text = json.dumps(whole(tmp_path, made))
        path.write_text(text)
        validate(find_envoy(), path)
        there = {part for part in parts if f'"{part}": ' in text and f'"{part}": []' not in text}
        assert there == {part for part, numbers in parts.items() if number in numbers}
        for part in there:  # it looked there, too: also into what a running Envoy is told in files of their own
            path.write_text(text.replace(f'"{part}": ', f'"{part}z": '))
            with pytest.raises(McmlError, match="Envoy refuses") as refused:
                validate(find_envoy(), path)
            assert f"{part}z" in refused.value.why


@given(st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=2)), max_size=4, unique_by=lambda one: one[0]))
def test_a_route_names_exactly_the_clients_that_may_use_it(made: list[tuple[str, list[str]]]) -> None:
    clients = [Client(f"for-{name}", (Secret(f"mcml_{name}"),), tuple(routes)) for name, routes in made]
    for one in guarded(front(*clients), "fraud", "spam", "churn"):
        name = one.get("stat_prefix")
        if not name:
            continue
        rule = one["typed_per_filter_config"][access.KEYS]
        expected = {client.name for client in clients if not client.routes or name in client.routes}
        assert set(rule["allowed_clients"]) == (expected or {access.NOBODY})
        assert rule["forwarding"] == {"header": "x-mcml-client", "hide_credentials": True}


def test_a_route_that_somebody_forgot_to_name_is_closed_to_keys_of_others() -> None:
    table = {"virtual_hosts": [{"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "fraud@eu-1"}}]}]}
    found = guard(table, front(WEB, ALL))["virtual_hosts"][0]["routes"][-1]
    assert found["typed_per_filter_config"][access.KEYS]["allowed_clients"] == ["all"]


def test_only_health_is_open_to_everybody() -> None:
    opened = [
        one["match"].get("path") or one["match"].get("prefix")
        for one in guarded(front(WEB), "fraud")
        if one.get("typed_per_filter_config", {}).get(access.KEYS, {}).get("disabled")
    ]
    assert set(opened) <= set(access.OPEN_PATHS)
    assert {"/v2/health/live", "/v2/health/ready"} <= set(opened)


def test_clear_text_is_in_the_private_files_and_nowhere_else() -> None:
    made = front(WEB, ALL, identity=Identity("cert", Secret("the private key")))
    public = [listener(made, "x"), guarded(made, "fraud"), clusters(THREE), resources(made)["limits"]]
    for text in ("mcml_1", "mcml_2", "mcml_3", "the private key"):
        assert text not in json.dumps(public)
        assert text not in repr(made)
    assert [one["key"] for one in resources(made)["keys"]["typed_config"]["credentials"]] == ["mcml_1", "mcml_2", "mcml_3"]


def test_without_keys_and_limits_no_filter_is_in_the_way() -> None:
    assert access.filters(Front("127.0.0.1", 0, "x"), "y") == []
    assert resources(Front("127.0.0.1", 0, "x")) == {}


def test_the_body_limits_are_those_of_the_settings() -> None:
    made = Front("127.0.0.1", 0, "x", buffer_limit=3, body_limit=5)
    assert {one["request_body_buffer_limit"] for one in guarded(made, "fraud") if "request_body_buffer_limit" in one} == {3}
    assert '"max_request_bytes": 5' in json.dumps(listener(made, "y"))


RATES = [("10/s", Rate(10, 1.0)), ("600/m", Rate(600, 60.0)), (" 5 / 10s ", Rate(5, 10.0)), ("1/h", Rate(1, 3600.0))]


@pytest.mark.parametrize(("text", "rate"), RATES)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@given(st.text(max_size=12))
def test_any_other_text_is_refused_and_never_a_crash(text: str) -> None:
    try:
        rate = parse_rate(text)
    except Usage:
        return
    assert rate.requests >= 1
    assert 0.05 <= rate.per <= 86400


def test_one_request_in_a_hundred_is_traced_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    said = Tracing(endpoint="http://127.0.0.1:4318/v1/traces")
    assert said.percent == 1
    made = listener(Front("127.0.0.1", 0, "/dev/null", spans=Spans(said.endpoint, float(said.percent))), str(tmp_path))
    assert '"sampling_percentage": {"numerator": 10000, "denominator": "MILLION"}' in json.dumps(made)
    assert "parent_based" in json.dumps(made), "who began a trace decides"
