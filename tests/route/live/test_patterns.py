"""Each pattern on a real Envoy, under load and while a backend dies: no client sees an error, and every request goes where it should."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.drill.load import Sample
from tests.route.rig import BUSY, Answer, Rig, Upstream, ask, until

TIERS = [["eu-1", "eu-2"], ["us-1"]]
REGIONS = {"eu": ("eu-1", "eu-2"), "us": ("us-1",)}
EU = {"fraud@eu-1", "fraud@eu-2"}


def upstreams(*models: str) -> list[Upstream]:
    made = [Upstream(target, region=target[:2]) for target in ("eu-1", "eu-2", "us-1")]
    return [*made, *(Upstream(target, model=model, region=target[:2]) for model in models for target in ("eu-1", "us-1"))]


def rig(tmp_path: Path, *models: str, **route: Any) -> Rig:
    return Rig(tmp_path / "route", upstreams(*models), routes={"fraud": Route.model_validate(route)})


def failures(samples: list[Sample]) -> list[str]:
    return [sample.error for sample in samples if sample.status != 200]


def served(samples: list[Sample]) -> Counter[str]:
    return Counter(sample.backend for sample in samples)


def settled(rig: Rig) -> None:
    """Wait until Envoy itself obeys the decision in force."""
    until(lambda: sum(rig.weights().values()) >= 99, 10, f"no weights: {rig.weights()}")
    time.sleep(0.5)
    rig.obeyed()


PATTERNS: Mapping[str, dict[str, Any]] = {
    "latency-first": {"pattern": "latency-first"},
    "active-passive": {"pattern": "active-passive", "tiers": TIERS},
    "cost-tiers": {"pattern": "cost-tiers"},
    "burst": {"pattern": "burst", "tiers": TIERS, "burst": {"concurrency": 6}},
    "residency": {"pattern": "residency", "regions": REGIONS, "home": "eu"},
    "split": {"split": {"fraud": 80, "next": 20}},
    "sticky": {"sticky": "x-user-id"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_a_backend_killed_under_load_costs_no_request(tmp_path: Path, name: str) -> None:
    with rig(tmp_path, *(["next"] if name == "split" else []), **PATTERNS[name]) as running:
        settled(running)
        samples = running.load(3000, halfway=running.upstreams["eu-1"].kill, headers={"x-user-id": "anne"} if name == "sticky" else {})
        assert failures(samples) == []
        running.fact("route.backend_down", "eu-1")
        until(lambda: running.weights()["fraud@eu-1"] == 0, 5, f"its weight is not zero: {running.weights()}")
        assert failures(running.load(300)) == []
        if name == "residency":
            assert set(served(samples)) <= EU
        else:
            assert sum(running.weights().values()) == pytest.approx(100, abs=0.05)
        print(name, dict(served(samples)), max(sample.attempts for sample in samples))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["active-passive", "burst", "split"])
def test_all_backends_down_is_a_quick_503_and_heals(tmp_path: Path, name: str) -> None:
    with rig(tmp_path, *(["next"] if name == "split" else []), **PATTERNS[name]) as running:
        settled(running)
        for upstream in running.upstreams.values():
            upstream.kill()
        for target in ("eu-1", "eu-2", "us-1"):
            running.fact("route.backend_down", target)
        time.sleep(0.5)
        began = time.monotonic()
        answer = running.infer()
        assert (answer.status, "error" in answer.json) == (503, True)
        assert time.monotonic() - began < BUSY * 2.0
        running.upstreams["us-1"].start()
        until(lambda: running.infer().status == 200, 20, "no recovery")
        running.fact("route.backend_up", "us-1", within=30)
        until(lambda: running.weights()["fraud@us-1"] == 100, 10, f"it does not have all: {running.weights()}")


@pytest.mark.slow
def test_tiers_take_over_and_give_back(tmp_path: Path) -> None:
    with rig(tmp_path, pattern="active-passive", tiers=[["eu-1"], ["us-1"]]) as running:
        settled(running)
        assert set(served(running.load(300))) == {"fraud@eu-1"}
        samples = running.load(2000, halfway=running.upstreams["eu-1"].kill)
        assert failures(samples) == []
        assert set(served(samples)) == {"fraud@eu-1", "fraud@us-1"}, "eu-2 is in no tier"
        running.fact("route.backend_down", "eu-1")
        running.upstreams["eu-1"].start()
        running.fact("route.backend_up", "eu-1", within=30)
        until(lambda: running.weights() == {"fraud@eu-1": 100, "fraud@eu-2": 0, "fraud@us-1": 0}, 10, "it did not get its traffic back")
        settled(running)
        assert set(served(running.load(200))) == {"fraud@eu-1"}


@pytest.mark.slow
def test_the_cheapest_serves_and_a_new_price_moves_the_traffic(tmp_path: Path) -> None:
    with rig(tmp_path, pattern="cost-tiers") as running:
        for target, value in (("eu-1", "3"), ("eu-2", "1"), ("us-1", "2")):
            running.prices[f"fraud@{target}"] = PriceInfo(Decimal(value), "USD/hour", "USD", "a test", utc_now())
        until(lambda: running.weights().get("fraud@eu-2") == 100, 20, "the cheapest does not serve")
        settled(running)
        assert set(served(running.load(200))) == {"fraud@eu-2"}
        samples = running.load(1500, halfway=running.upstreams["eu-2"].kill)
        assert failures(samples) == []
        assert set(served(samples)) == {"fraud@eu-2", "fraud@us-1"}, "the next dearer one, not the dearest"


@pytest.mark.slow
def test_a_burst_is_a_soft_cap(tmp_path: Path) -> None:
    with rig(tmp_path, pattern="burst", tiers=[["eu-1"], ["us-1"]], burst={"concurrency": 8}) as running:
        settled(running)
        for upstream in running.upstreams.values():
            upstream.mode(delay=0.02)
        seen = {connections: served_without_error(running, connections) for connections in (4, 16, 40)}
        assert set(seen[4]) == {"fraud@eu-1"}, "below the cap nothing is paid for"
        assert seen[16]["fraud@us-1"] > 100
        assert seen[40]["fraud@us-1"] > seen[16]["fraud@us-1"]
        assert seen[40]["fraud@eu-1"] > 100, "above it the first tier goes on"
        samples = running.load(1500, halfway=running.upstreams["eu-1"].kill)
        assert failures(samples) == []
        assert "fraud@eu-2" not in served(samples)
        print({connections: dict(found) for connections, found in seen.items()})


def served_without_error(running: Rig, connections: int) -> Counter[str]:
    samples = running.load(1200, concurrency=connections)
    assert failures(samples) == []
    return served(samples)


@pytest.mark.slow
def test_a_burst_ends_at_its_ceiling_and_that_outlives_the_router(tmp_path: Path) -> None:
    route = {"pattern": "burst", "tiers": [["eu-1"], ["us-1"]], "burst": {"concurrency": 1, "ceiling": "0.5"}}
    running = rig(tmp_path, **route)
    for name in ("fraud@eu-1", "fraud@us-1"):
        running.prices[name] = PriceInfo(Decimal(1), "USD/1000 requests", "USD", "a test", utc_now())
    with running:
        settled(running)
        for upstream in running.upstreams.values():
            upstream.mode(delay=0.01)
        assert served_without_error(running, 16)["fraud@us-1"] > 500
        _, said = running.fact("route.burst_ceiling")
        assert said.facts["reason"] == "nothing bursts until midnight UTC: the ceiling of 0.5 USD a day is reached"
        time.sleep(0.5)
        assert set(served_without_error(running, 16)) == {"fraud@eu-1"}
        running.upstreams["eu-1"].kill()
        running.fact("route.backend_down", "eu-1")
        until(lambda: running.infer().backend == "fraud@us-1", 2, "an outage is no burst")
        time.sleep(1.5)
    spent = json.loads((running.folder / "spend.json").read_text())
    assert Decimal(spent["routes"]["fraud"]) >= Decimal("0.5")
    again = rig(tmp_path, **route)
    again.prices = running.prices
    with again:
        again.fact("route.burst_ceiling")


def test_without_a_price_a_ceiling_cannot_be_kept(tmp_path: Path) -> None:
    with rig(tmp_path, pattern="burst", tiers=[["eu-1"], ["us-1"]], burst={"concurrency": 1, "ceiling": "5"}) as running:
        _, said = running.fact("route.burst_ceiling")
        assert "the price of fraud@us-1 is not known" in str(said.facts["reason"])


@pytest.mark.slow
def test_a_canary_gets_its_share_and_its_own_path(tmp_path: Path) -> None:
    with rig(tmp_path, "next", split={"fraud": 90, "next": 10}) as running:
        settled(running)
        samples = running.load(4000)
        assert failures(samples) == []
        canary = sum(count for backend, count in served(samples).items() if backend.startswith("next@"))
        assert 290 <= canary <= 510, f"{canary} of 4000 is more than five standard deviations from 400"
        answers = [running.infer() for _ in range(60)]
        models = {answer.backend.partition("@")[0] for answer in answers}
        assert models == {"fraud", "next"}
        assert all(answer.json["path"] == f"/v2/models/{answer.backend.partition('@')[0]}/infer" for answer in answers)
        print(f"{canary} of 4000 went to the canary")


@pytest.mark.slow
@pytest.mark.parametrize("split", [{}, {"fraud": 70, "next": 30}])
def test_the_same_user_stays(tmp_path: Path, split: dict[str, int]) -> None:
    with rig(tmp_path, "next", split=split, sticky="x-user-id") as running:
        settled(running)
        users = [f"user-{number}" for number in range(400)]

        def twice() -> list[dict[str, str]]:
            """Where all went, asked two times under the same weights: new ones take some users along."""
            before = len(running.told_of("route.weights"))
            found = [{user: running.infer(x_user_id=user).backend for user in users} for _ in range(2)]
            return found if len(running.told_of("route.weights")) == before else []

        first, again = until(twice, 20, "the weights never kept still")
        assert first == again
        counts = Counter(backend.partition("@")[0] for backend in first.values())
        assert counts["next"] == (0 if not split else pytest.approx(120, abs=46))
        assert len(set(first.values())) == (3 if not split else 5)
        assert len({running.infer().backend for _ in range(60)}) > 1, "without the header anywhere"


@pytest.mark.slow
def test_residency_fails_closed_and_leaves_evidence(tmp_path: Path) -> None:
    with rig(tmp_path, pattern="residency", regions=REGIONS) as running:
        settled(running)
        assert {running.infer(x_data_region="eu").backend for _ in range(40)} == EU
        assert running.infer(x_data_region="us").backend == "fraud@us-1"
        refuse(running.infer(x_data_region="ap", x_request_id="ap-1"), 403, "keeps no data in the region")
        refuse(running.infer(x_data_region="eu,us"), 403, "keeps no data in the region")
        refuse(running.infer(), 400, "needs the header x-data-region: eu, us")
        refuse(running.infer(x_data_region="eu", x_mcml_target="us-1"), 400, "no such target in the region eu")
        for target in ("eu-1", "eu-2"):
            running.upstreams[target].kill()
        for target in ("eu-1", "eu-2"):
            running.fact("route.backend_down", target)
        began = time.monotonic()
        answers = [running.infer(x_data_region="eu", x_request_id=f"down-{number}") for number in range(10)]
        assert time.monotonic() - began < BUSY * 5
        assert {answer.status for answer in answers} == {503}
        assert "error" in answers[0].json
        assert running.infer(x_data_region="us").status == 200
        check_evidence(running)
        running.upstreams["eu-1"].start()
        until(lambda: running.infer(x_data_region="eu").backend == "fraud@eu-1", 20, "no recovery")


def refuse(answer: Answer, status: int, why: str) -> None:
    assert (answer.status, why in answer.json["error"]) == (status, True), answer.body
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def check_evidence(running: Rig) -> None:
    """Every request is there, and none of them was answered, or tried, outside of its region."""

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (running.folder / "evidence.jsonl").read_text().splitlines()]

    until(lambda: len(lines()) >= 56, 20, "the evidence is not complete")
    places = {f"fraud@{target}": region for region, targets in REGIONS.items() for target in targets}
    for line in lines():
        assert line["route"] == "fraud"
        if line["status"] == 200:
            assert places[line["backend"]] == line["region"] == line["asked"] == line["backend_region"]
        else:
            assert line["backend"] is None or places[line["backend"]] == line["asked"]
    refused = [line for line in lines() if line["request_id"] == "ap-1"]
    assert [(line["asked"], line["region"], line["backend"], line["status"]) for line in refused] == [("ap", "refused", None, 403)]


def test_a_request_may_name_its_target(tmp_path: Path) -> None:
    with rig(tmp_path) as running:
        settled(running)
        assert {running.infer(x_mcml_target="eu-2").backend for _ in range(20)} == {"fraud@eu-2"}
        answer = running.infer(x_mcml_target="eu-2")
        assert (answer.headers["x-mcml-version"], answer.headers["x-mcml-attempts"]) == ("1", "1")
        assert "x-envoy-attempt-count" not in answer.headers
        refuse(running.infer(x_mcml_target="mars"), 400, "expected one of: eu-1, eu-2, us-1")
        refuse(running.infer(x_data_region="eu"), 403, "does not keep data in a region")
        running.upstreams["eu-2"].kill()
        assert running.infer(x_mcml_target="eu-2").status == 503, "it asked for that one"
        running.fact("route.backend_down", "eu-2")
        assert running.infer(x_mcml_target="eu-2").status == 503
        assert ask(running.running.port, "/v2/models/fraud", x_mcml_target="us-1").backend == "fraud@us-1"


def test_what_must_not_be_done_twice_is_not_tried_twice(tmp_path: Path) -> None:
    with rig(tmp_path, idempotent=False) as running:
        settled(running)
        for upstream in running.upstreams.values():
            upstream.mode(status=503)
        answer = running.infer()
        assert (answer.status, answer.headers["x-mcml-attempts"]) == (503, "1")
        for upstream in running.upstreams.values():
            upstream.mode(status=200)
        until(lambda: running.infer().status == 200, 20, "no recovery")
        running.upstreams["eu-1"].kill()
        assert {running.infer().status for _ in range(30)} == {200}, "a refused connection had nothing of it"
