"""Answers that are slow, refused by a proxy on the way, or broken off in the middle, through a real Envoy."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.process import free_port
from tests.route.rig import BUSY, Rig, Upstream, ask, until


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("us-1")]) as running:
        until(lambda: running.weights() == {"fraud@eu-1": 50, "fraud@us-1": 50}, 10, "one is missing")
        yield running


def test_a_slow_model_is_answered_from_its_first_request_on(two: Rig) -> None:
    """Nothing was measured yet: a limit that is guessed too low would fail it at every backend, and take them all out."""
    for upstream in two.upstreams.values():
        upstream.mode(delay=2.5)
    answer = two.infer()
    assert (answer.status, answer.headers["x-mcml-attempts"]) == (200, "1")
    assert two.blamed() == []


def test_a_slow_model_that_is_well_again_answers_before_envoy_takes_it_back(tmp_path: Path) -> None:
    """The only backend is ejected after three bad answers, for five seconds at least; asked all the same, it needs its time."""
    with Rig(tmp_path / "route", [Upstream("eu-1")]) as rig:
        until(lambda: rig.weights() == {"fraud@eu-1": 100}, 10, "it is not up")
        rig.upstreams["eu-1"].mode(delay=0.7)
        assert {sample.status for sample in rig.load(8, concurrency=4)} == {200}
        rig.upstreams["eu-1"].mode(delay=0.0, status=503)
        rig.load(20, concurrency=4)
        rig.fact("route.backend_down", "eu-1")
        until(lambda: rig.weights() == {"fraud@eu-1": 0}, 5, "it keeps its weight")
        rig.upstreams["eu-1"].mode(delay=0.7, status=200)
        assert rig.infer().status == 200
        assert not rig.told_of("route.backend_up", "eu-1")


def test_a_429_of_a_backends_own_envoy_is_tried_elsewhere(two: Rig) -> None:
    """By itself Envoy never tries again what another Envoy limited (`x-envoy-ratelimited`)."""
    two.upstreams["eu-1"].mode(status=429, headers={"x-envoy-ratelimited": "true"})
    samples = two.load(100, concurrency=4)
    assert {sample.status for sample in samples} == {200}
    assert {sample.backend for sample in samples} == {"fraud@us-1"}
    until(lambda: two.status("eu-1")["errors"] > 20, 5, "its refusals are not counted")


def test_a_backend_whose_answers_break_off_is_out_and_stays_out(two: Rig) -> None:
    """Nobody can make an answer good that has begun: so none may be lost after the first few, and one more at each trial."""
    two.upstreams["eu-1"].mode(cut=True)
    began = time.monotonic()
    samples = two.load(200, concurrency=1)
    lost = [sample for sample in samples if sample.status != 200]
    assert lost, "the first answers were whole"
    told, down = two.fact("route.backend_down", "eu-1")
    assert told - began < BUSY * 5.0
    until(lambda: two.weights()["fraud@eu-1"] == 0, 2, "it keeps its weight")
    assert two.status("eu-1")["errors"] > 0, down
    two.upstreams["eu-1"].mode(cut=False)
    until(lambda: two.infer().status == 200 and two.told_of("route.backend_up", "eu-1"), 30, "it is not up again")


def test_one_address_that_is_well_is_enough(tmp_path: Path) -> None:
    """The only backend has three addresses (versions of a rollout), and two of them are dead.

    At first they are not known to be: then a second attempt goes to another address. Afterwards nobody asks them: by itself Envoy panics
    where most are out, and asks all.
    """
    with Rig(tmp_path / "route", [Upstream("eu-1")]) as rig:

        def add() -> None:
            rig.backends.append(replace(rig.backends[0], port=free_port()))

        assert {sample.status for sample in rig.load(3000, concurrency=8, halfway=add)} == {200}
        add()
        until(lambda: _failing(rig) == 2, 10, "the dead are not noticed")
        samples = rig.load(200, concurrency=8)
        assert {(sample.status, sample.attempts) for sample in samples} == {(200, 1)}


def _failing(rig: Rig) -> int:
    return ask(rig.running.admin_port, "/clusters").body.count(b"/failed_active_hc")
