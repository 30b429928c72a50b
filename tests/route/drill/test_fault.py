"""Every way in which a drill lets a backend fail, through a real Envoy: no client sees an error, and afterwards all is as before."""

import http.client
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from mcml.core.backend import Backend
from mcml.core.clock import utc_now
from mcml.core.errors import ProviderCannot, Unavailable, Usage
from mcml.core.report import Silent
from mcml.core.schema_routes import Router, Tls
from mcml.route.drill.fault import DRILL_FILE, check, rerouted, through_relay
from mcml.route.drill.modes import WORDS, Mode
from mcml.route.drill.plan import Drill
from mcml.route.drill.relay import Relay
from mcml.route.drill.result import DrillResult, Limits, Phase
from mcml.route.drill.run import run_drill
from tests.route import clouds
from tests.route.authority import Authority
from tests.route.clouds import Cloud
from tests.route.rig import Rig, Upstream, ask, until

BACKEND = Backend("eu-1", "fraud", "10.1.2.3", 443, "aws", "eu-west-1", tls=True)


def drilled(rig: Rig, mode: Mode, *, requests: int = 1500, delay: float = 1.0) -> DrillResult:
    until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
    until(lambda: all(rig.status(target)["state"] == "up" for target in rig.upstreams), 10, "not all are up")
    with through_relay(rig.folder, rig.upstreams["eu-2"].backend, mode, delay=delay) as fault:
        return run_drill(
            Drill("fraud", "eu-2", requests, 8, mode),
            rig.running,
            rig.folder,
            fault=fault,
            emit=lambda _: None,
            reporter=Silent(),
            clock=utc_now,
        )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "stop", "503", "garbage", "reset"])
def test_no_request_is_lost_and_the_backend_comes_back(rig: Rig, mode: Mode) -> None:
    result = drilled(rig, mode)
    assert (result.failed, dict(result.errors)) == (0, {})
    assert result.seconds_to_zero is not None
    assert result.seconds_to_zero < 5
    assert result.seconds_to_recover is not None
    assert result.retried > 0
    assert [phase.name for phase in result.phases] == ["before", "during", "after", "recovery"]
    own = f"127.0.0.1:{rig.upstreams['eu-2'].port}"
    until(lambda: rig.status("eu-2")["addresses"] == [own] and rig.status("eu-2")["weight"] > 0, 20, "it did not come back")
    assert not (rig.folder / DRILL_FILE).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "delay"), [("429", 0.0), ("slow", 0.2)])
def test_a_backend_that_limits_or_is_slow_costs_no_request(rig: Rig, mode: Mode, delay: float) -> None:
    result = drilled(rig, mode, delay=delay, requests=600)
    assert (result.failed, dict(result.errors)) == (0, {})
    if mode == "429":
        assert result.retried > 0
    else:
        assert max(phase.p99_ms or 0 for phase in result.phases) >= 200


@pytest.mark.slow
def test_a_drill_through_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("router")
    upstreams = [Upstream(target) for target in ("eu-1", "eu-2")]
    router = Router(port=0, tls=Tls(certificate=str(certificate), key=str(key)))
    with Rig(tmp_path / "route", upstreams, router=router) as rig:
        until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
        drill = Drill("fraud", "eu-2", 400, 4, "reset", authority=str(certificate))
        with through_relay(rig.folder, upstreams[1].backend, "reset", delay=1.0) as fault:
            result = run_drill(
                drill, rig.running, rig.folder, fault=fault, emit=lambda _: None, reporter=Silent(), clock=utc_now
            )
    assert (result.failed, result.requests >= 400) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["tls", "stop"])
def test_a_backend_elsewhere_that_speaks_tls_fails_and_comes_back(tmp_path: Path, mode: Mode) -> None:
    far = Cloud("far", "far.example.com", authority=clouds.Authority(tmp_path / "ca")).start()
    try:
        with Rig(tmp_path / "route", [Upstream("eu-1"), Upstream("eu-2")]) as rig:
            rig.backends.append(far.backend)
            until(lambda: rig.weights().get("fraud@far"), 20, "it is never given traffic")
            with through_relay(rig.folder, far.backend, mode, delay=1.0) as fault:
                drill = Drill("fraud", "far", 800, 8, mode)
                result = run_drill(
                    drill, rig.running, rig.folder, fault=fault, emit=lambda _: None, reporter=Silent(), clock=utc_now
                )
    finally:
        far.close()
    assert (result.failed, dict(result.errors)) == (0, {})
    assert result.seconds_to_zero is not None
    assert result.seconds_to_recover is not None


def test_a_relay_passes_on_what_it_is_given_and_fails_as_told() -> None:
    upstream = Upstream("eu-1")
    try:
        with Relay("127.0.0.1", upstream.port, delay=0.3) as relay:
            assert ask(relay.port, "/v2/models/fraud/infer", b"{}").json["served_by"] == "eu-1"
            relay.set("503")
            assert ask(relay.port, "/v2/models/fraud/infer", b"x" * 200_000).status == 503
            assert ask(relay.port, "/v2/health/ready").status == 200
            relay.set("429")
            assert ask(relay.port, "/v2/models/fraud/infer", b"{}").status == 429
            for mode in ("reset", "garbage", "tls"):
                relay.set(mode)
                with pytest.raises((OSError, http.client.HTTPException)):
                    ask(relay.port, "/v2/models/fraud/infer", b"{}")
            relay.set("kill")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", relay.port), timeout=2)
            relay.set("ok")
            assert ask(relay.port, "/v2/models/fraud/infer", b"{}").status == 200
    finally:
        upstream.close()


def test_modes_that_do_not_fit_a_backend_are_refused_with_those_that_do() -> None:
    with pytest.raises(Usage, match="speaks no TLS") as refused:
        check("tls", replace(BACKEND, tls=False))
    assert refused.value.next_step == "use --mode reset"
    for mode in ("503", "429"):
        with pytest.raises(ProviderCannot, match=f"cannot answer {mode}"):
            check(mode, BACKEND)
    for fits in ("kill", "stop", "slow", "garbage", "reset", "tls"):
        check(fits, BACKEND)


def test_the_router_goes_back_when_a_drill_dies(tmp_path: Path) -> None:
    (tmp_path / DRILL_FILE).write_text(json.dumps({"pid": 1, "started": 1.0, "through": {"fraud@eu-1": 4711}}))  # not that process
    assert rerouted(tmp_path, [BACKEND]) == (BACKEND,)
    for broken in ("", "{", "[]", '{"pid": 1}', "null"):
        (tmp_path / DRILL_FILE).write_text(broken)
        assert rerouted(tmp_path, [BACKEND]) == (BACKEND,)


def test_a_router_that_does_not_take_the_relay_up_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.route.drill.fault.SWITCH_SECONDS", 0.2)
    (tmp_path / "status.json").write_text(json.dumps({"routes": [{"route": "fraud", "backends": []}]}))
    with pytest.raises(Unavailable, match="does not reach fraud@eu-1"), through_relay(tmp_path, BACKEND, "reset", delay=1.0):
        pytest.fail("the drill began")
    assert not (tmp_path / DRILL_FILE).exists()


def test_limits_are_kept_or_said() -> None:
    phases = (Phase("before", 10, 0, 1.0, 2.0), Phase("during", 10, 1, 3.0, 250.0))
    result = DrillResult("m", "a", "m@a", 20, 1, 3, 1.0, phases, {}, 0.2, 0.9, None, "stop")
    assert Limits(1, 300, 1.0).broken(result) == []
    assert Limits(0, 200, 0.5, 10).broken(result) == [
        "1 requests failed, 0 allowed",
        "p99 was 250 ms while it failed, 200 ms allowed",
        "0.9 s until its weight was 0, 0.5 s allowed",
        "more than the drill to recover, 10 s allowed",
    ]


def test_every_mode_has_words() -> None:
    assert set(WORDS) == set(get_args(Mode)) - {"ok"}
