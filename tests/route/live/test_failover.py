"""A backend dies, hangs or answers badly while clients wait, through a real Envoy: they see no error."""

import re
import signal
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route, Score
from mcml.route.config.values import BUFFER_LIMIT
from mcml.route.drill.load import Sample
from mcml.route.weights.score import MIN_CHANGE
from tests.route.rig import BUSY, Rig, Upstream, ask, until


def failures(samples: list[Sample]) -> list[str]:
    return [sample.error for sample in samples if sample.status != 200]


def hurt(rig: Rig, target: str, how: str) -> float:
    """Hurt a backend and return when (monotonic)."""
    upstream = rig.upstreams[target]
    at = time.monotonic()
    if how == "kill":
        upstream.kill()
    elif how == "hang":
        upstream.kill(signal.SIGSTOP)
    else:
        upstream.mode(status=int(how))
    return at


def test_kill_under_load_costs_no_request(rig: Rig) -> None:
    """16 connections; one of three backends is killed with SIGKILL in the middle."""
    when: list[float] = []
    samples = rig.load(6000, halfway=lambda: when.append(hurt(rig, "eu-1", "kill")))
    killed = when[0]
    assert failures(samples) == []
    assert len(samples) == 6000
    told, down = rig.fact("route.backend_down", "eu-1")
    assert told - killed < BUSY * 2.0
    assert down.facts["backend"] == "fraud@eu-1"
    assert down.facts["serving"] == 2
    until(lambda: rig.weights().get("fraud@eu-1") == 0, 2, "the weight is not zero")
    zero = next(at for at, fact in rig.told_of("route.weights") if dict(fact.facts["weights"])["fraud@eu-1"] == 0)  # type: ignore[call-overload]
    assert zero - killed < BUSY * 1.0
    assert sum(rig.weights().values()) == 100
    until(lambda: time.monotonic() > zero + 0.5, 2, "time stands still")  # on a quick machine the load has ended before
    late = rig.load(300)
    assert {sample.backend for sample in late} == {"fraud@eu-2", "fraud@us-1"}
    assert {sample.attempts for sample in late} == {1}
    print(f"down told after {told - killed:.3f} s, weight 0 after {zero - killed:.3f} s, {len(samples)} requests, 0 failed")


def test_a_backend_that_is_told_to_end_under_load_costs_no_request(rig: Rig) -> None:
    """SIGTERM, to a server that ends at once: what it had begun is tried elsewhere."""
    samples = rig.load(3000, halfway=lambda: rig.upstreams["us-1"].kill(signal.SIGTERM))
    assert failures(samples) == []
    rig.fact("route.backend_down", "us-1")
    until(lambda: rig.weights()["fraud@us-1"] == 0, 2, "the weight is not zero")


def test_kill_without_traffic_is_noticed_and_recovery_too(rig: Rig) -> None:
    killed = hurt(rig, "eu-2", "kill")
    told, down = rig.fact("route.backend_down", "eu-2")
    assert told - killed < BUSY * 2.0
    assert str(down.facts["reason"]).startswith("its health check fails")
    assert rig.weights()["fraud@eu-2"] == 0
    assert {rig.infer().backend for _ in range(20)} == {"fraud@eu-1", "fraud@us-1"}
    rig.upstreams["eu-2"].start()
    _, up = rig.fact("route.backend_up", "eu-2")
    assert 2.0 < float(str(up.facts["down_s"])) < BUSY * 10.0
    until(lambda: rig.weights()["fraud@eu-2"] >= 20, 3, "it gets no traffic again")
    assert [fact.kind for _, fact in rig.facts if fact.target == "eu-2"] == ["route.backend_down", "route.backend_up"]


def test_503_is_tried_elsewhere_and_takes_the_backend_out(rig: Rig) -> None:
    """Its health check stays fine: only the answers to requests tell."""
    began = hurt(rig, "us-1", "503")
    samples = rig.load(1500)
    assert failures(samples) == []
    assert max(sample.attempts for sample in samples) == 2
    told, down = rig.fact("route.backend_down", "us-1")
    assert told - began < BUSY * 2.0
    assert "failed answers" in str(down.facts["reason"])
    assert rig.weights()["fraud@us-1"] in (0, 5)


def test_500_and_429_are_tried_elsewhere_and_are_no_outage(rig: Rig) -> None:
    """A poisonous request answers 500 everywhere: it must not take all backends out. The score takes note."""
    hurt(rig, "us-1", "500")
    hurt(rig, "eu-1", "429")
    samples = rig.load(1500)
    assert failures(samples) == []
    assert max(sample.attempts for sample in samples) == 3
    assert rig.blamed() == []
    assert until(lambda: rig.status("us-1")["errors"], 3, "the errors that a retry hid are not counted") > 100


def test_a_backend_that_says_only_429_loses_its_weight_and_is_no_outage(tmp_path: Path) -> None:
    """Not by reliability, and not by latency either, where it refuses a hundred times quicker than the other one answers."""
    reliable = Route(score=Score(latency=Decimal(0), cost=Decimal(0), reliability=Decimal(1)))
    routes = {"fraud": reliable, "quick": Route(model="fraud", pattern="latency-first")}
    with Rig(tmp_path / "route", [Upstream(target) for target in ("eu-1", "us-1")], routes=routes) as rig:
        until(lambda: rig.weights() == rig.weights("quick") == {"fraud@eu-1": 50, "fraud@us-1": 50}, 10, "one is missing")
        rig.upstreams["us-1"].mode(delay=0.2)
        hurt(rig, "eu-1", "429")
        samples: list[Sample] = []

        def load() -> bool:
            samples.extend(rig.load(100))
            keeps = rig.weights()["fraud@eu-1"]  # 5 for exploration; what is less than MIN_CHANGE above that stays as it is
            return keeps < 5 + MIN_CHANGE and rig.weights("quick")["fraud@eu-1"] < 50

        until(load, 20, "it keeps its weight")
        assert failures(samples) == []
        rig.upstreams["us-1"].mode(delay=0.0, status=429)  # now nobody can make it good
        assert {sample.status for sample in rig.load(100, concurrency=4)} == {429}
        until(lambda: rig.status("us-1")["errors"] > 50, 5, "what reached the client is not counted")
        assert rig.blamed() == []


def limits(rig: Rig) -> set[float]:
    """Seconds that an attempt may take, in the files that Envoy reads."""
    texts = [path.read_text() for path in (rig.folder / "xds").glob("*.json")]
    return {float(found) for text in texts for found in re.findall(r'"per_try_timeout": ?"([\d.]+)s"', text)}


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.4, None], ids=["given", "measured"])
def test_a_hanging_backend_costs_time_but_no_request(tmp_path: Path, limit: float | None) -> None:
    routes = {"fraud": Route(per_try_timeout=limit)}
    with Rig(tmp_path / "route", [Upstream(target) for target in ("eu-1", "eu-2", "us-1")], routes=routes) as rig:
        if limit is None:
            assert max(limits(rig)) == 15.0, "half of the timeout, until it is measured"
            until(lambda: failures(rig.load(100)) == [] and max(limits(rig)) < 2, 20, "the limit was not measured")
            rig.obeyed()
        stopped: list[float] = []
        samples = rig.load(2000, halfway=lambda: stopped.append(hurt(rig, "eu-1", "hang")))
        assert failures(samples) == []
        assert max(sample.seconds for sample in samples) < BUSY * 2.0
        told, _ = rig.fact("route.backend_down", "eu-1")
        assert told - stopped[0] < BUSY * 2.0
        rig.upstreams["eu-1"].kill(signal.SIGCONT)
        until(lambda: rig.infer().status == 200 and rig.told_of("route.backend_up", "eu-1"), 20, "it is not up again")


def test_a_hang_without_traffic_is_noticed_by_the_health_check(rig: Rig) -> None:
    stopped = hurt(rig, "eu-1", "hang")
    told, _ = rig.fact("route.backend_down", "eu-1")
    assert told - stopped < 5.0


def test_one_bad_answer_is_no_outage(rig: Rig) -> None:
    for _ in range(3):
        rig.upstreams["eu-1"].mode(status=500)
        until(lambda: rig.infer().headers["x-mcml-attempts"] == "2", 10, "eu-1 was never asked")
        rig.upstreams["eu-1"].mode(status=200)
        assert {rig.infer().status for _ in range(10)} == {200}
    time.sleep(1.0)
    assert rig.blamed() == []


def test_all_backends_down_is_a_quick_503_and_heals_without_a_restart(rig: Rig) -> None:
    for target in rig.upstreams:
        hurt(rig, target, "kill")
    for target in rig.upstreams:
        rig.fact("route.backend_down", target)
    assert set(rig.weights().values()) == {0}
    began = time.monotonic()
    answer = rig.infer()
    assert time.monotonic() - began < BUSY * 1.0
    assert answer.status == 503
    assert answer.json["error"] == "no backend of this model could answer; all that were tried refused, failed or broke off"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert ask(rig.running.port, "/v2/health/ready").status == 503
    rig.upstreams["us-1"].start()
    began = time.monotonic()
    until(lambda: rig.infer().status == 200, 10, "no recovery")
    assert time.monotonic() - began < BUSY * 3.0
    rig.fact("route.backend_up", "us-1")
    until(lambda: ask(rig.running.port, "/v2/health/ready").status == 200, 3, "the router is not ready again")
    assert rig.weights() == {"fraud@eu-1": 0, "fraud@eu-2": 0, "fraud@us-1": 100}


@pytest.mark.slow
def test_all_backends_hanging_is_answered_too(tmp_path: Path) -> None:
    """Once it is known that all hang, an answer does not take a time-out per backend."""
    with Rig(tmp_path / "route", [Upstream(target) for target in ("eu-1", "eu-2")]) as rig:
        for target in rig.upstreams:
            hurt(rig, target, "hang")
        for target in rig.upstreams:
            rig.fact("route.backend_down", target)
        time.sleep(0.3)
        began = time.monotonic()
        answer = rig.infer()
        assert answer.status in (503, 504)
        assert "error" in answer.json
        assert time.monotonic() - began < BUSY * 2.5


def test_a_single_backend_that_dies_and_comes_back(tmp_path: Path) -> None:
    with Rig(tmp_path / "route", [Upstream("eu-1")]) as rig:
        assert rig.weights() == {"fraud@eu-1": 100}
        hurt(rig, "eu-1", "kill")
        assert rig.infer().status == 503
        rig.fact("route.backend_down", "eu-1")
        rig.upstreams["eu-1"].start()
        until(lambda: rig.infer().status == 200, 10, "no recovery")


def test_a_large_body_is_kept_for_the_second_backend(rig: Rig) -> None:
    """Envoy's own default keeps 1 MiB and answers 5xx beyond it when the first backend fails."""
    hurt(rig, "eu-1", "503")
    body = b"0" * BUFFER_LIMIT
    attempts: list[str] = []
    while "2" not in attempts and len(attempts) < 60:  # it is the first choice of one in three
        answer = rig.infer(body=body)
        assert (answer.status, answer.json["bytes"]) == (200, BUFFER_LIMIT)
        attempts.append(answer.headers["x-mcml-attempts"])
    assert "2" in attempts


@pytest.mark.slow
def test_weights_follow_price_and_latency_and_nothing_is_lost_meanwhile(rig: Rig) -> None:
    """us-1 becomes twice as dear, eu-2 slow: both lose traffic, eu-1 wins, under load."""
    now = utc_now()
    for target, value in (("eu-1", "1"), ("eu-2", "1"), ("us-1", "2")):
        rig.prices[f"fraud@{target}"] = PriceInfo(Decimal(value), "USD/hour", "USD", "a test", now)
    rig.upstreams["eu-2"].mode(delay=0.05)
    seen: list[Sample] = []
    done = threading.Event()

    def drive() -> None:
        while not done.is_set():
            seen.extend(rig.load(100, concurrency=8))

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        until(lambda: rig.weights()["fraud@eu-1"] >= 42 and rig.weights()["fraud@eu-2"] <= 27, 25, "the weights do not follow")
    finally:
        done.set()
        driver.join()
    assert failures(seen) == []
    assert rig.weights()["fraud@eu-1"] > rig.weights()["fraud@us-1"]
    assert len(rig.told_of("route.weights")) <= 6
