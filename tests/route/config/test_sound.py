"""Every configuration is looked at before it is written: what cannot be right is refused, said once, and what is in force stays."""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.backend import Backend
from mcml.core.secret import Secret
from mcml.route.config.aside import listeners
from mcml.route.config.grpc import speakers
from mcml.route.config.listener import listener
from mcml.route.config.sound import faults
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.upstream import ALONE
from mcml.route.config.values import Aside, Front, RoutePlan, StaticPage
from mcml.route.config.whole import all_clusters, fitted, whole_table
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.check import validate
from tests.route.rig import Rig, until
from tests.route.weights.test_patterns import Case, cases

FRONT = Front("127.0.0.1", 8080, "/dev/null")
Json = dict[str, Any]


def made(weights: dict[str, int] | None = None, **changes: Any) -> tuple[list[Json], Json, list[Json]]:
    """Return a good configuration of a route over two targets."""
    backends = tuple(Backend(target, "fraud", "127.0.0.1", 9000, "local", "here") for target in ("eu-1", "us-1"))
    plan = RoutePlan("fraud", "fraud", weights or {"fraud@eu-1": 60, "fraud@us-1": 40}, 30.0, 2.0, **changes)
    clusters = all_clusters(backends, [plan], FRONT, ALONE)
    table = whole_table(backends, [plan], FRONT, software="1", ready=True, speakers=())
    return copy.deepcopy(clusters), copy.deepcopy(table), [listener(FRONT, "xds"), *listeners(FRONT.aside)]


def entry(table: Json) -> Json:
    return next(one for one in table["virtual_hosts"][0]["routes"] if "route" in one)


def test_a_good_one_has_no_fault() -> None:
    assert faults(*made()) == []
    in_order = ((("fraud@eu-1", 100),), (("fraud@us-1", 100),))
    assert faults(*made(attempts=in_order)) == []


TARGETS = st.sampled_from(["fraud@eu-1", "fraud@us-1"])


@given(st.dictionaries(TARGETS, st.integers(0, 100), min_size=1).filter(lambda one: any(one.values())))
def test_no_weights_that_the_router_can_choose_are_a_fault(weights: dict[str, int]) -> None:
    assert faults(*made(weights)) == []


@settings(max_examples=60)
@given(cases(), st.sampled_from(["http", "grpc", "both"]), st.booleans())
def test_nothing_that_the_control_loop_decides_is_a_fault(case: Case, protocol: str, aside: bool) -> None:
    """Whatever is up, drained or pinned, by whatever pattern: a fault that is none would keep the weights from following."""
    plan = replace(case.plan(), protocol=protocol)
    backends = tuple(
        Backend(place.target, place.model, "127.0.0.1", 9000 + number, "local", place.region, grpc_port=7000 + number)
        for number, place in enumerate(case.places.values())
    )
    front = replace(FRONT, aside=Aside(1, 2, Secret("x"), ("fraud",), {"fraud": 5.0})) if aside else FRONT
    front = fitted(front, [plan], access_log="/dev/null", evidence="/dev/null")
    clusters = all_clusters(backends, [plan], front, ALONE)
    spoken = speakers(one["name"] for one in clusters)
    table = whole_table(backends, [plan], front, software="1", ready=True, speakers=spoken)
    assert faults(clusters, table, [listener(front, "xds"), *listeners(front.aside)]) == []


def shares(table: Json) -> list[Json]:
    found: list[Json] = entry(table)["route"]["weighted_clusters"]["clusters"]
    return found


def said(table: Json) -> Json:
    """Return a header that every answer has."""
    found: Json = table["virtual_hosts"][0]["response_headers_to_add"][0]["header"]
    return found


def own(table: Json) -> Json:
    """Return an answer that Envoy gives itself."""
    found: Json = table["virtual_hosts"][0]["routes"][0]["direct_response"]
    return found


def place(cluster: Json) -> Json:
    found: Json = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    return found


WRONG: dict[str, tuple[Callable[[list[Json], Json], Any], str]] = {
    "a weight below 0": (lambda _, table: shares(table)[0].update(weight=-1), "weights are [-1, 40]"),
    "no weight": (lambda _, table: [one.update(weight=0) for one in shares(table)], "add up to 0"),
    "half a weight": (lambda _, table: shares(table)[0].update(weight=1.5), "weights are [1.5, 40]"),
    "too much": (lambda _, table: shares(table)[0].update(weight=2**32), "weights add up to"),
    "a cluster that is not there": (lambda _, table: shares(table)[0].update(name="gone@eu-1"), "no cluster is named gone@eu-1"),
    "two of a name": (lambda clusters, _: clusters.append(clusters[0]), "two clusters are named fraud@eu-1"),
    "no time": (lambda _, table: entry(table)["route"].update(timeout="nans"), "'nans' is no time"),
    "a time below 0": (lambda _, table: entry(table)["route"]["retry_policy"].update(per_try_timeout="-1s"), "'-1s' is no time"),
    "a port": (lambda clusters, _: place(clusters[0]).update(port_value=70000), "70000 is no port"),
    "no number": (lambda clusters, _: clusters[0].update(share=float("nan")), "share is no number"),
    "two lines": (lambda _, table: said(table).update(value="a\r\nset-cookie: b"), "more than one line"),
    "no header": (lambda _, table: said(table).update(key="a b"), "no name of a header"),
    "no path": (lambda _, table: entry(table)["match"].update(path_separated_prefix="/v2/models/a?b"), "is no path"),
    "a long answer": (lambda _, table: own(table)["body"].update(inline_string="x" * 5000), "has 5000 bytes"),
    "no status": (lambda _, table: own(table).update(status=20), "20 is no status"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_right_is_found(name: str) -> None:
    clusters, table, rest = made()
    spoil, says = WRONG[name]
    spoil(clusters, table)
    found = faults(clusters, table, rest)
    assert [fault for fault in found if says in fault], found


def test_hundreds_of_routes_fit_into_the_sentence_that_names_them(tmp_path: Path) -> None:
    """Which Envoy would refuse above 4 KiB, and the whole table with it."""
    names = [f"a-route-with-a-long-name-{number}" for number in range(300)]
    backends = (Backend("eu-1", "fraud", "127.0.0.1", 9000, "local", "here"),)
    plans = [RoutePlan(name, "fraud", {"fraud@eu-1": 100}, 30.0, 2.0) for name in names]
    clusters = all_clusters(backends, plans, FRONT, ALONE)
    table = whole_table(backends, plans, FRONT, software="1", ready=True, speakers=())
    assert table["max_direct_response_body_size_bytes"] > 8000
    front = listener(FRONT, str(tmp_path))
    assert faults(clusters, table, [front]) == []
    path = tmp_path / "whole.json"
    path.write_text(json.dumps(flatten(bootstrap(0, str(tmp_path)), [front], clusters, table)))
    validate(find_envoy(), path)


def test_a_large_one_is_looked_at_in_a_moment() -> None:
    """200 backends of 50 routes; what it takes beside making them."""
    backends = tuple(Backend(f"t{target}", f"m{model}", "127.0.0.1", 9000, "local", "here") for model in range(50) for target in range(4))
    plans = [RoutePlan(f"m{model}", f"m{model}", {f"m{model}@t{target}": 25 for target in range(4)}, 30.0, 2.0) for model in range(50)]
    began = time.process_time()
    clusters = all_clusters(backends, plans, FRONT, ALONE)
    table = whole_table(backends, plans, FRONT, software="1", ready=True, speakers=())
    between = time.process_time()
    assert faults(clusters, table, []) == []
    took, making = time.process_time() - between, between - began
    print(f"made in {making * 1000:.0f} ms, looked at in {took * 1000:.0f} ms")
    assert took < 5 * making + 0.05


@pytest.mark.slow
def test_a_router_writes_nothing_that_is_not_sound_and_serves_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
    until(lambda: all(one["written"] == one["in_force"] for one in config_of(rig).values()), 5, "not all is acknowledged")
    assert set(config_of(rig)) >= {"cds", "rds", "lds"}
    (_, fact) = rig.told_of("route.weights")[-1]
    assert set(fact.facts["config"]) >= {"cds", "rds", "lds"}  # type: ignore[call-overload]
    before = (rig.folder / "xds" / "rds.json").read_bytes()
    broken = whole_table

    def unsound(*arguments: Any, **more: Any) -> Json:
        table = broken(*arguments, **more)
        entry(table)["route"]["timeout"] = "soon"
        return table

    monkeypatch.setattr("mcml.route.engine.envoy.whole_table", unsound)
    rig.upstreams["eu-1"].kill()
    _, refused = rig.fact("route.config_refused")
    assert "'soon' is no time" in str(refused.facts["reason"])
    time.sleep(1.5)
    assert len(rig.told_of("route.config_refused")) == 1, "it is said once"
    assert (rig.folder / "xds" / "rds.json").read_bytes() == before
    assert {rig.infer().status for _ in range(20)} == {200}
    monkeypatch.setattr("mcml.route.engine.envoy.whole_table", broken)
    until(lambda: (rig.folder / "xds" / "rds.json").read_bytes() != before, 5, "a good one is not written")
    until(lambda: all(one["written"] == one["in_force"] for one in config_of(rig).values()), 5, "it is not acknowledged")


def config_of(rig: Rig) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((rig.folder / "status.json").read_text())["config"]
    return found


def test_a_page_has_the_room_that_it_says() -> None:
    page = StaticPage("/v2/docs", "text/html", "x" * 20_000)
    _, table, rest = made()
    answered = {"status": 200, "body": {"inline_string": page.body}}
    table["virtual_hosts"][0]["routes"].insert(0, {"match": {"path": page.path}, "direct_response": answered})
    assert faults([], table, rest)[-1].endswith("has 20000 bytes, and may have 4096")
    assert not [fault for fault in faults([], {**table, "max_direct_response_body_size_bytes": 20_000}, rest) if "bytes" in fault]
