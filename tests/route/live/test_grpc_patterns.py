"""What a route promises over HTTP it promises over gRPC: patterns, keys, rates, hints; on a real Envoy."""

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.schema_routes import Limit, Route, Router, Tls
from mcml.route.front.keys import KeyDesk, Wanted
from mcml.store import route_keys
from mcml.store.db import Store
from tests.route.authority import Authority
from tests.route.grpc_rig import Call, Client, GrpcUpstream, load
from tests.route.rig import Rig, until

TIERS = [["eu-1", "eu-2"], ["us-1"]]
PATTERNS: Mapping[str, dict[str, Any]] = {
    "active-passive": {"pattern": "active-passive", "tiers": TIERS},
    "burst": {"pattern": "burst", "tiers": TIERS, "burst": {"concurrency": 6}},
    "residency": {"pattern": "residency", "regions": {"eu": ["eu-1", "eu-2"], "us": ["us-1"]}, "home": "eu"},
    "split": {"split": {"fraud": 80, "next": 20}},
    "sticky": {"sticky": "x-user-id"},
}


def upstreams(*models: str) -> list[GrpcUpstream]:
    made = [GrpcUpstream(target) for target in ("eu-1", "eu-2", "us-1")]
    return [*made, *(GrpcUpstream(target, model=model) for model in models for target in ("eu-1", "us-1"))]


def ready(rig: Rig, *models: str) -> None:
    """Wait until each model is answered and Envoy obeys the weights."""
    with Client(rig.running.port) as client:
        for model in models or ("fraud",):
            until(lambda model=model: client.infer(model).code == "OK", 20, f"no call to {model} is answered")  # type: ignore[misc]
    until(lambda: sum(rig.weights().values()) >= 99, 10, f"no weights: {rig.weights()}")
    time.sleep(0.5)


def failures(calls: list[Call]) -> list[tuple[str, str]]:
    return [(call.code, call.words) for call in calls if call.code != "OK"]


def served(calls: list[Call]) -> set[str]:
    return {call.metadata["x-mcml-backend"] for call in calls}


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_a_backend_killed_under_load_costs_no_call(tmp_path: Path, name: str) -> None:
    route = Route.model_validate({"protocol": "grpc", "per_try_timeout": 2.0, **PATTERNS[name]})
    made = upstreams("next") if name == "split" else upstreams()
    with Rig(tmp_path / "route", made, routes={"fraud": route}) as rig:
        ready(rig)
        calls = load(rig.running.port, 2000, halfway=lambda: made[0].kill())
        assert failures(calls) == []
        assert len(calls) == 2000
        if name == "split":
            assert {call.told["x-mcml-model"] for call in calls} == {"fraud", "next"}
        if name == "residency":
            assert served(calls) <= {"fraud@eu-1", "fraud@eu-2"}


@pytest.mark.slow
def test_a_burst_is_a_soft_cap_also_where_the_message_names_the_route(tmp_path: Path) -> None:
    """Two routes speak gRPC, so the model's name must be read before it is decided where a call begins."""
    burst = {"pattern": "burst", "tiers": [["eu-1"], ["us-1"]], "burst": {"concurrency": 8}}
    routes = {"fraud": Route.model_validate({"protocol": "grpc", **burst}), "other": Route(model="fraud", protocol="both")}
    with Rig(tmp_path / "route", upstreams(), routes=routes) as rig:
        ready(rig, "fraud", "other")
        for upstream in rig.upstreams.values():
            upstream.mode(delay=0.02)
        few, many = load(rig.running.port, 300, concurrency=4), load(rig.running.port, 800, concurrency=24)
        assert failures(few + many) == []
        assert served(few) == {"fraud@eu-1"}
        assert served(many) == {"fraud@eu-1", "fraud@us-1"}
        calls = load(rig.running.port, 800, halfway=rig.upstreams["eu-1"].kill)
        assert failures(calls) == []


def test_hints_in_metadata_are_those_of_headers(tmp_path: Path) -> None:
    route = Route.model_validate({"protocol": "grpc", **PATTERNS["residency"]})
    with Rig(tmp_path / "route", upstreams(), routes={"fraud": route}) as rig, Client(rig.running.port) as client:
        ready(rig)
        assert {client.infer(metadata=[("x-data-region", "us")]).metadata["x-mcml-backend"] for _ in range(5)} == {"fraud@us-1"}
        assert client.infer(metadata=[("x-mcml-target", "eu-2")]).message.id == "fraud@eu-2"
        outside = client.infer(metadata=[("x-data-region", "mars")])
        assert (outside.code, "keeps no data in the region" in outside.words) == ("PERMISSION_DENIED", True)


def test_keys_and_rates_hold_for_calls(tmp_path: Path) -> None:
    """The route is known by the message's model, and then its key and its rate are looked at."""
    routes = {
        "fraud": Route(protocol="both"),
        "public": Route(model="fraud", protocol="grpc"),
        "slow": Route(model="fraud", protocol="grpc", limit=Limit(requests=3, per=600.0)),
    }
    with Store(f"sqlite:///{tmp_path / 'store.db'}") as store:

        def read() -> list[Any]:
            with store.reading() as connection:
                return list(route_keys.every(connection))

        rig = Rig(tmp_path / "route", upstreams(), routes=routes, router=Router(port=0, keys=True))
        rig.setup = replace(rig.setup, keys=read)
        with rig, Client(rig.running.port) as client:
            until(lambda: client.infer().code == "UNAUTHENTICATED", 20, "nobody asks for a key")
            refused = client.infer()
            assert "x-api-key or authorization: Bearer" in refused.words
            desk = KeyDesk(store, rig.folder, routes, actor="tester", now=utc_now())
            key = desk.add(Wanted("ann", ("public", "slow"))).text.reveal()
            mine = [("x-api-key", key)]
            until(lambda: client.infer("public", metadata=mine).code == "OK", 20, "the key is not in force")
            bearer = client.infer("public", metadata=[("authorization", f"Bearer {key}")])
            assert bearer.code == "OK"
            assert not {"x-api-key", "authorization"} & set(bearer.told)
            assert key not in str(bearer.message)
            for metadata in (mine, [*mine, ("x-mcml-route", "fraud")]):
                assert client.infer("fraud", metadata=metadata).code == "PERMISSION_DENIED"
            codes = [client.infer("slow", metadata=mine).code for _ in range(5)]
            assert codes[-1] == "RESOURCE_EXHAUSTED"
            assert codes.count("OK") <= 3
            check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=20) == b"\x08\x01"


def test_calls_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.issue("router")
    router = Router(port=0, tls=Tls(certificate=str(certificate), key=str(key)))
    with Rig(tmp_path / "route", upstreams(), routes={"fraud": Route(protocol="both")}, router=router) as rig:
        with Client(rig.running.port, authority.certificate.read_bytes()) as client:
            until(lambda: client.infer().code == "OK", 20, "no call is answered")
        with Client(rig.running.port) as plain:
            assert plain.infer().code == "UNAVAILABLE"


def test_a_deadline_of_the_client_counts_and_so_does_the_routes_own(tmp_path: Path) -> None:
    routes = {"fraud": Route(protocol="grpc", timeout=1.5, per_try_timeout=5.0)}
    with Rig(tmp_path / "route", upstreams(), routes=routes) as rig, Client(rig.running.port) as client:
        ready(rig)
        for upstream in rig.upstreams.values():
            upstream.mode(delay=20.0)
        answer = client.infer()
        assert answer.code == "DEADLINE_EXCEEDED"
        assert answer.seconds < 15  # it would take 20


@pytest.mark.slow
def test_settings_that_change_while_calls_run_lose_none(tmp_path: Path) -> None:
    """A second route that speaks gRPC comes and goes: then names are read in messages, and then not any more."""
    one = {"fraud": Route(protocol="grpc")}
    two = {**one, "public": Route(model="fraud", protocol="both")}
    rig = Rig(tmp_path / "route", upstreams(), routes=one)
    from mcml.route.parts import Wanted as Settings

    wanted = [one]
    rig.setup = replace(rig.setup, wanted=lambda: Settings(wanted[0], Router(port=0)))
    with rig, Client(rig.running.port) as client:
        ready(rig)
        calls: list[Call] = []
        stop = threading.Event()

        def drive() -> None:
            while not stop.is_set():
                calls.extend(load(rig.running.port, 50, concurrency=4))

        driver = threading.Thread(target=drive)
        driver.start()
        try:
            for routes, code in ((two, "OK"), (one, "NOT_FOUND"), (two, "OK")):
                wanted[0] = routes
                # while one route speaks gRPC, all calls are its own: the name in the message is the backend's business
                expected = {"public"} if code == "OK" else {"fraud"}
                until(lambda expected=expected: client.infer("public").told["x-mcml-route"] in expected, 20, "not in force")  # type: ignore[misc]
                time.sleep(0.3)
        finally:
            stop.set()
            driver.join()
        assert failures(calls) == []
        assert len(calls) > 50
