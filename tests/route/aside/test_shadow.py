"""A shadow beside a route: copies are compared, no client waits for them, and what they have shown is kept."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.clock import utc_now
from mcml.core.errors import Unavailable
from mcml.core.override import Override
from mcml.core.schema_routes import Route, Shadow
from mcml.route.aside.asking import Reply
from mcml.route.aside.helper import Heard
from mcml.route.aside.shadow import MOST_WAITING, SHADOW_FILE, Comparer, allowed, pick, read_tallies, wanted
from mcml.route.aside.shadow_views import report as report_view
from mcml.route.config.values import CLUSTER_HEADER
from tests.route.rig import Rig, Told, Upstream, ask, until
from tests.route.seen import helper_of


class Model(Upstream):
    """A model server whose numbers a test sets."""

    script = "answering.py"


SHADOWED = Route(shadow=Shadow(model="next", percent=Decimal(100)))


def backend(target: str, model: str = "fraud") -> Backend:
    return Backend(target, model, "127.0.0.1", 9000, "local", target.partition("-")[0], "1")


def heard(body: bytes = b"{}", **headers: str) -> Heard:
    return Heard("/v2/models/fraud/infer", {"host": "fraud", "x-request-id": "7", **headers}, body)


def outputs(*data: float) -> Reply:
    tensor = {"name": "y", "datatype": "FP32", "shape": [1, len(data)], "data": list(data)}
    return Reply(200, json.dumps({"outputs": [tensor]}).encode())


class World:
    """A comparer over backends that answer what a test says."""

    def __init__(self, folder: Path) -> None:
        self.replies: dict[str, Callable[[], Reply]] = {"fraud": lambda: outputs(0.1, 0.9), "next": lambda: outputs(0.1, 0.9)}
        self.backends = [backend("eu-1"), backend("us-1"), backend("eu-1", "next"), backend("us-1", "next")]
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.comparer = Comparer(self.ask, lambda: self.backends, frozenset, folder, utc_now, Told())
        self.comparer.want(wanted({"fraud": SHADOWED}))
        self.comparer.start()

    def ask(self, name: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        self.asked.append((name, headers))
        model = name.partition("@")[0]
        assert path == f"/v2/models/{model}/infer"
        return self.replies[model]()

    def count(self, outcome: str) -> int:
        return self.comparer.counts().get(("fraud", "next", outcome), 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A comparer that runs."""
    found = World(tmp_path)
    with closing(found.comparer):
        yield found


def test_copies_are_compared_and_kept(world: World, tmp_path: Path) -> None:
    world.comparer.take(heard(authorization="secret", content_type="x"))
    until(lambda: world.count("same") == 1, 10, "not compared")
    world.replies["next"] = lambda: outputs(0.8, 0.2)
    world.comparer.take(heard())
    until(lambda: world.count("different") == 1, 10, "not compared")
    world.comparer.close()
    report = read_tallies(tmp_path)["fraud", "fraud"].report()
    assert (report["compared"], report["top1_agreement"], report["worst"][0]["request_id"]) == (2, 0.5, "7")
    assert "secret" not in str(world.asked)
    assert "secret" not in (tmp_path / SHADOW_FILE).read_text()


def test_failures_are_told_apart(world: World) -> None:
    def gone() -> Reply:
        raise Unavailable("gone", why="refused")

    for reply in (gone, lambda: Reply(500, b""), lambda: Reply(200, b"{}")):
        before = world.count("error")
        world.replies["next"] = reply
        world.comparer.take(heard())
        until(lambda before=before: world.count("error") > before, 10, "not counted")  # type: ignore[misc]
    world.backends = [backend("eu-1")]
    world.comparer.take(heard())
    until(lambda: world.count("error") == 4, 10, "not counted")
    (tally,) = world.comparer._tallies.values()
    assert dict(tally.errors) == {
        "shadow: refused": 1,
        "shadow: status 500": 1,
        "shadow: no answer of the v2 protocol (ValueError)": 1,
        "shadow: no backend serves next": 1,
    }
    assert (tally.ours_failed, tally.theirs_failed) == (0, 4)


def test_a_slow_shadow_costs_copies_and_never_a_wait(world: World) -> None:
    hold = threading.Event()
    world.replies["next"] = lambda: outputs(0.1, 0.9) if hold.wait(20) else outputs()
    began = time.monotonic()
    for _ in range(MOST_WAITING + 50):
        world.comparer.take(heard(b"x" * 1000))
    assert time.monotonic() - began < 15  # the shadow holds for 20
    assert 40 <= world.count("dropped") <= 50
    hold.set()
    until(lambda: world.count("same") + world.count("dropped") == MOST_WAITING + 50, 20, "not all were counted")


def test_only_inference_of_a_route_with_a_shadow(world: World) -> None:
    world.comparer.take(replace(heard(), path="/v2/models/fraud"))
    world.comparer.take(Heard("/v2/models/other/infer", {"host": "other"}, b""))
    world.comparer.take(Heard("/v2/models/other/infer", {}, b""))
    world.comparer.take(heard())
    until(lambda: world.count("same") == 1, 10, "not compared")
    assert len(world.asked) == 2


def test_it_goes_on_after_a_restart_and_another_shadow_begins_anew(world: World, tmp_path: Path) -> None:
    world.comparer.take(heard())
    until(lambda: world.count("same") == 1, 10, "not compared")
    world.comparer.close()
    again = Comparer(world.ask, lambda: world.backends, frozenset, tmp_path, utc_now, Told())
    assert again.want(wanted({"fraud": SHADOWED})) == ([], [])
    assert again.counts()["fraud", "next", "same"] == 1
    other = Route(shadow=Shadow(model="third"))
    begun, ended = again.want(wanted({"fraud": other}))
    assert [(one.theirs, bool(one.ended)) for one in (*begun, *ended)] == [("third", False), ("next", True)]
    begun, ended = again.want({})
    assert (begun, [one.theirs for one in ended]) == ([], ["third"])
    assert again.want({}) == ([], [])
    assert read_tallies(tmp_path)["fraud", "fraud"].ended


def test_a_broken_file_is_no_tally(tmp_path: Path) -> None:
    for text in ("", "{", "[]", "{}", '[{"route": "fraud"}]', "[7]", '{"fraud": 7}'):
        (tmp_path / SHADOW_FILE).write_text(text)
        assert read_tallies(tmp_path) == {}


def test_a_copy_stays_in_its_region() -> None:
    route = Route(pattern="residency", regions={"eu": ("eu-1",), "us": ("us-1",)}, home="eu", shadow=Shadow(model="next"))
    assert allowed(route, {"x-data-region": "us"}) == frozenset({"us-1"})
    assert allowed(route, {}) == frozenset({"eu-1"})
    assert allowed(route, {"x-data-region": "mars"}) == frozenset()
    assert allowed(SHADOWED, {}) is None
    known = [backend("eu-1", "next"), backend("us-1", "next"), backend("eu-1")]
    assert {pick(known, "next", frozenset(), frozenset({"eu-1"})) for _ in range(20)} == {"next@eu-1"}
    assert pick(known, "next", frozenset(), frozenset()) is None
    assert {pick(known, "next", frozenset({"next@us-1"}), None) for _ in range(20)} == {"next@us-1"}


# --- on a live Envoy

@pytest.fixture
def shadowed(tmp_path: Path) -> Iterator[tuple[Rig, dict[str, Upstream]]]:
    """A router over `fraud` on eu-1 and `next` on us-1; `fraud` may be given a shadow by an override."""
    models: dict[str, Upstream] = {"fraud": Model("eu-1"), "next": Model("us-1", model="next")}
    with Rig(tmp_path / "route", list(models.values()), routes={"fraud": Route(), "other": Route(model="fraud")}) as rig:
        yield rig, models


def switch(percent: float = 100) -> Override:
    value: dict[str, Any] = {"shadow": {"model": "next", "percent": f"{percent:g}", "tolerance": 0.001}}
    return Override("shadow", "fraud", "", "ann", utc_now(), value)


def report(rig: Rig) -> dict[str, Any]:
    tally = read_tallies(rig.folder).get(("fraud", "fraud"))
    return tally.report() if tally else {}


def test_switched_while_serving(shadowed: tuple[Rig, dict[str, Upstream]]) -> None:
    rig, models = shadowed
    for _ in range(5):
        assert rig.infer().json["model_name"] == "eu-1"
    assert report(rig) == {}
    rig.overrides = [switch()]
    until(lambda: (rig.infer(), report(rig).get("same", 0) >= 5)[1], 30, "no copy was compared")
    models["next"].mode(data=[0.7, 0.3])
    until(lambda: (rig.infer(), report(rig).get("different", 0) >= 3)[1], 30, "no difference was found")
    found = report(rig)
    assert found["max_abs"]["max"] == pytest.approx(0.6)
    assert 0 < found["top1_agreement"] < 1
    assert found["worst"][0]["difference"] == "largest distance 0.6; another choice in 1 of 1 rows"
    assert {rig.infer().json["model_name"] for _ in range(10)} == {"eu-1"}, "no client sees the shadow"
    assert not [one for one in rig.decided("fraud") if one.startswith("next")], "nor is it weighed"
    rig.overrides = []
    until(lambda: report(rig)["ended"], 20, "it did not end")
    _, fact = rig.fact("route.shadow_compared")
    assert (fact.facts["shadow"], fact.facts["same"], fact.facts["different"]) == ("next", report(rig)["same"], report(rig)["different"])


def test_a_copy_holds_nothing_private_and_is_of_one_route(shadowed: tuple[Rig, dict[str, Upstream]]) -> None:
    rig, _ = shadowed
    copies: list[Heard] = []
    helper_of(rig)._copy = copies.append
    rig.overrides = [switch()]
    private = {"authorization": "Bearer secret-1", "x_api_key": "secret-2", "cookie": "a=secret-3"}
    until(lambda: (rig.infer(body=b'{"inputs": []}', x_user_id="ann", **private), copies)[1], 30, "no copy came")
    assert (copies[0].host, copies[0].body, copies[0].headers["x-user-id"]) == ("fraud", b'{"inputs": []}', "ann")
    assert copies[0].headers["x-request-id"]
    assert "secret" not in str(copies)


def test_a_dead_or_hanging_shadow_is_no_clients_business(shadowed: tuple[Rig, dict[str, Upstream]]) -> None:
    rig, models = shadowed
    rig.overrides = [switch()]
    until(lambda: (rig.infer(), report(rig).get("same", 0) >= 1)[1], 30, "no copy was compared")
    models["next"].mode(delay=60)
    slow = rig.load(300, 8)
    assert not [one for one in slow if one.status != 200]
    models["next"].kill()
    dead = rig.load(300, 8)
    assert not [one for one in dead if one.status != 200]
    assert not rig.told_of("route.backend_down"), "a shadow that fails opens no incident"


def test_a_share_of_the_requests(shadowed: tuple[Rig, dict[str, Upstream]]) -> None:
    rig, _ = shadowed
    rig.overrides = [switch(20)]
    until(lambda: (rig.infer(), report(rig).get("same", 0) >= 1)[1], 60, "no copy was compared")
    before = _all(rig)
    for _ in range(400):
        rig.infer()
    until(lambda: _all(rig) - before >= 40, 20, f"{_all(rig) - before} copies of 400")
    time.sleep(3)
    assert 40 <= _all(rig) - before <= 130
    others = _all(rig)
    for _ in range(20):
        ask(rig.running.port, "/v2/models/other/infer", b"{}")
    time.sleep(3)
    assert _all(rig) == others, "another route of the same model has no shadow"


def _all(rig: Rig) -> int:
    found = report(rig)
    return sum(found.get(name, 0) for name in ("same", "different", "error", "dropped"))


SPLIT = Route(split={"fraud": 50, "other": 50}, shadow=Shadow(model="next", percent=Decimal(100), tolerance=0.001))


def test_of_a_split_route_each_model_has_a_tally(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.replies |= {"other": lambda: outputs(0.8, 0.2)}
    world.backends += [backend("eu-1", "other")]
    with closing(world.comparer) as comparer:
        begun, ended = comparer.want(wanted({"fraud": SPLIT}))
        assert ([one.ours for one in begun], ended) == (["other"], []), "what `fraud` has shown goes on"
        for model in ("fraud", "other", "other", "elsewhere"):  # one of no part of the split: the first
            one = heard()
            comparer.take(replace(one, headers={**one.headers, CLUSTER_HEADER: f"{model}@eu-1"}))
        until(lambda: world.count("same") == world.count("different") == 2, 10, "not compared")
        assert CLUSTER_HEADER not in str(world.asked)
    reports = {model: tally.report() for (_, model), tally in read_tallies(tmp_path).items()}
    assert {model: (one["same"], one["different"], one["top1_agreement"]) for model, one in reports.items()} == {
        "fraud": (2, 0, 1.0),
        "other": (0, 2, 0.0),
    }
    shown = report_view(list(reports.values()), utc_now())
    assert [item["name"] for item in shown.items] == ["fraud/fraud", "fraud/other"]
    again = Comparer(world.ask, lambda: world.backends, frozenset, tmp_path, utc_now, Told())
    assert again.want(wanted({"fraud": SPLIT})) == ([], [])
    begun, ended = again.want(wanted({"fraud": SPLIT.model_copy(update={"shadow": Shadow(model="third")})}))
    assert [(one.ours, one.theirs) for one in begun] == [("fraud", "third"), ("other", "third")]
    assert [(one.ours, one.theirs) for one in ended] == [("fraud", "next"), ("other", "next")]


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["active-active", "active-passive"])
def test_a_copy_is_compared_with_the_model_that_answered(tmp_path: Path, pattern: Any) -> None:
    """Half the requests go to a model like the shadow, half to one unlike it: the report tells them apart, to the last copy."""
    models = [Model(target, model=model) for model in ("fraud", "other") for target in ("eu-1", "us-1")] + [Model("eu-1", model="next")]
    for one in models:
        one.mode(data=[0.9, 0.1] if one.model == "fraud" else [0.1, 0.9])
    more = {"pattern": pattern, "tiers": (("eu-1",), ("us-1",))} if pattern == "active-passive" else {}
    with Rig(tmp_path / "route", models, routes={"fraud": SPLIT.model_copy(update=more)}) as rig:
        until(lambda: {rig.infer().backend.partition("@")[0] for _ in range(10)} == {"fraud", "other"}, 20, "not both serve")

        def reports() -> dict[str, dict[str, Any]]:
            return {model: tally.report() for (_, model), tally in read_tallies(rig.folder).items()}

        until(lambda: (rig.infer(), {one["compared"] > 0 for one in reports().values()} == {True})[1], 30, "not both are compared")
        answered = Counter(rig.infer(x_mcml_cluster="fraud@eu-1").backend.partition("@")[0] for _ in range(60))
        assert min(answered.values()) > 10
        until(lambda: all(one["compared"] >= answered[model] for model, one in reports().items()), 20, "copies are missing")
        found = reports()
    assert (found["other"]["different"], found["other"]["top1_agreement"]) == (0, 1.0)
    assert (found["fraud"]["same"], found["fraud"]["top1_agreement"]) == (0, 0.0)
    assert [one["error"] for one in found.values()] == [0, 0]
    assert len(rig.told_of("route.shadow_started")) == 1
    assert {fact.facts["model"] for _, fact in rig.told_of("route.shadow_compared")} <= {"fraud", "other"}
