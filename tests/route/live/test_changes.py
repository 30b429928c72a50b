"""What people change while requests flow: in force within a second or two, no client notices, and it outlives the router."""

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.override import Override
from mcml.core.schema_routes import Route
from mcml.route.drill.load import Sample
from mcml.route.records import read_status
from mcml.store import overrides
from mcml.store.db import Store
from tests.route.rig import BUSY, Rig, Upstream, until

EVERYBODY = {"fraud@eu-1", "fraud@eu-2", "fraud@us-1"}


def override(kind: Any, target: str = "", *, route: str = "fraud", value: dict[str, Any] | None = None, seconds: float = 0) -> Override:
    now = utc_now()
    until = now + timedelta(seconds=seconds) if seconds else None
    return Override(kind, route, target, "ann", now, value or {}, "a test", until)


def change(rig: Rig, *now: Override) -> float:
    rig.overrides[:] = now
    return time.monotonic()


def served(samples: list[Sample]) -> Counter[str]:
    assert [sample.error for sample in samples if sample.status != 200] == []
    return Counter(sample.backend for sample in samples)


def until_weight(rig: Rig, target: str, fits: Any, what: str) -> None:
    try:
        until(lambda: fits(rig.weights().get(f"fraud@{target}", -1)), 10, what)
    except AssertionError as late:
        raise AssertionError(f"{what}: {rig.weights()}") from late
    time.sleep(0.3)
    rig.obeyed()


def test_a_drained_target_ends_what_it_has_and_gets_no_more(rig: Rig) -> None:
    rig.upstreams["eu-1"].mode(delay=1.5)
    slow: list[int] = []
    threads = [threading.Thread(target=lambda: slow.append(rig.infer(x_mcml_target="eu-1").status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    began = change(rig, override("drain", "eu-1", route=""))
    at, said = rig.fact("route.weights")
    until(lambda: rig.weights()["fraud@eu-1"] == 0, 10, "it is not drained")
    at, said = rig.fact("route.weights")
    assert at - began < BUSY * 2.0
    assert said.facts["reason"] == "eu-1 was drained by ann: a test"
    assert said.facts["overrides"][0]["actor"] == "ann"  # type: ignore[index]
    time.sleep(0.3)
    rig.obeyed()
    assert set(served(rig.load(400))) == EVERYBODY - {"fraud@eu-1"}
    refused = rig.infer(x_mcml_target="eu-1")
    assert (refused.status, refused.json["error"]) == (503, "the target eu-1 is drained by ann: a test")
    for thread in threads:
        thread.join()
    assert slow == [200] * 8, "what was under way has ended well"
    until(lambda: "ago: a test" in rig.status("eu-1")["reason"], 5, "the status does not say who drained it")
    print(f"drained after {at - began:.2f} s")


@pytest.mark.slow
def test_a_drained_target_that_stops_is_no_outage(rig: Rig) -> None:
    change(rig, override("drain", "eu-1", route=""))
    until_weight(rig, "eu-1", lambda weight: weight == 0, "not drained")
    rig.upstreams["eu-1"].kill()
    until(lambda: rig.status("eu-1")["state"] == "out", 10, "its health check does not fail")
    time.sleep(0.5)
    assert rig.told_of("route.backend_down") == []
    change(rig)
    rig.fact("route.backend_down", "eu-1")
    assert {rig.infer().status for _ in range(20)} == {200}
    rig.upstreams["eu-1"].start()
    rig.fact("route.backend_up", "eu-1", within=30)
    until_weight(rig, "eu-1", lambda weight: weight > 5, "it gets nothing again")


@pytest.mark.slow
def test_no_request_is_lost_while_people_change_their_minds(rig: Rig) -> None:
    seen: list[Sample] = []
    done = threading.Event()

    def drive() -> None:
        while not done.is_set():
            seen.extend(rig.load(100, concurrency=8))

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        for _ in range(2):
            change(rig, override("drain", "eu-1"))
            until_weight(rig, "eu-1", lambda weight: weight == 0, "not drained")
            change(rig, override("pin", "us-1"))
            until_weight(rig, "us-1", lambda weight: weight == 100, "not pinned")
            change(rig)
            until_weight(rig, "eu-1", lambda weight: weight > 20, "not as before")
    finally:
        done.set()
        driver.join()
    assert set(served(seen)) == EVERYBODY


def test_a_pinned_route_falls_back_when_its_target_dies(rig: Rig) -> None:
    change(rig, override("pin", "us-1"))
    until_weight(rig, "us-1", lambda weight: weight == 100, "not pinned")
    assert set(served(rig.load(200))) == {"fraud@us-1"}
    assert rig.told_of("route.weights")[-1][1].facts["reason"] == "the route was pinned to us-1 by ann: a test"
    samples = rig.load(1500, halfway=rig.upstreams["us-1"].kill)
    assert set(served(samples)) == EVERYBODY


def test_a_change_ends_by_itself(rig: Rig) -> None:
    change(rig, override("drain", "eu-1", seconds=2.5))
    until_weight(rig, "eu-1", lambda weight: weight == 0, "not drained")
    until_weight(rig, "eu-1", lambda weight: weight > 0, "still drained")
    assert "eu-1 is no longer drained" in [fact.facts["reason"] for _, fact in rig.told_of("route.weights")]


def test_settings_change_while_it_serves(rig: Rig) -> None:
    rig.upstreams["eu-2"].mode(delay=0.3)
    served(rig.load(200))
    change(rig, override("set", value={"score": {"latency": "1", "cost": "0", "reliability": "0"}, "exploration": 0, "timeout": 0.02}))
    until_weight(rig, "eu-2", lambda weight: 0 <= weight <= 10, "latency does not count")
    assert any("the route was set by ann" in str(fact.facts["reason"]) for _, fact in rig.told_of("route.weights"))
    assert rig.infer(x_mcml_target="eu-2").status == 504, "20 ms is all a request may take now"


@pytest.mark.slow
def test_a_split_at_run_time_brings_its_model(tmp_path: Path) -> None:
    upstreams = [Upstream("eu-1"), Upstream("us-1"), Upstream("us-1", model="next")]
    with Rig(tmp_path / "route", upstreams, routes={"fraud": Route(), "churn": Route(model="fraud")}) as rig:
        assert set(served(rig.load(100))) == {"fraud@eu-1", "fraud@us-1"}
        change(rig, override("split", value={"split": {"fraud": 80, "next": 20}}))
        until(lambda: rig.weights().get("next@us-1") == 20, 10, f"no split: {rig.weights()}")
        time.sleep(0.3)
        rig.obeyed()
        found = served(rig.load(1500))
        assert 200 < found["next@us-1"] < 400
        assert next(answer for answer in (rig.infer() for _ in range(100)) if answer.backend == "next@us-1").json["path"] == (
            "/v2/models/next/infer"
        )
        assert {rig.infer("churn").json["path"] for _ in range(10)} == {"/v2/models/fraud/infer"}
        change(rig)
        until(lambda: "next@us-1" not in rig.weights(), 10, "the split is still there")
        time.sleep(0.3)
        rig.obeyed()
        assert set(served(rig.load(200))) == {"fraud@eu-1", "fraud@us-1"}


@pytest.mark.slow
def test_it_is_read_from_the_store_and_outlives_the_router(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/store.db") as store:

        def read() -> list[Override]:
            with store.reading() as connection:
                return overrides.every(connection)

        first = Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("us-1")])
        first.setup = replace(first.setup, overrides=read)
        with first:
            with store.writing() as connection:
                overrides.put(connection, override("drain", "eu-1"))
            began = time.monotonic()
            until(lambda: first.weights() == {"fraud@eu-1": 0, "fraud@us-1": 100}, 10, "the store is not read")
            print(f"in force {time.monotonic() - began:.2f} s after it was written")
    second = Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("us-1")])
    second.setup = replace(second.setup, overrides=store_is_away)
    with second:
        assert {second.infer().backend for _ in range(40)} == {"fraud@us-1"}, "not one request, though the store is away"
        until(lambda: any("cannot read the overrides" in line for line in second.told.lines), 5, "it is not said")
        route = read_status(second.folder)["routes"][0]
        assert route["overrides"][0]["actor"] == "ann"


def store_is_away() -> list[Override]:
    raise OSError("the store is away")
