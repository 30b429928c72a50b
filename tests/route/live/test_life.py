"""The life of a router: ports, locks, a proxy that dies, files that somebody breaks, models that move, a store that is away."""

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, Usage
from mcml.core.process import free_port, is_alive
from mcml.core.schema_routes import Router
from mcml.route import loop
from mcml.route.config.values import RoutePlan
from mcml.route.drill.load import Request, Sample, run_load
from mcml.route.engine import envoy
from mcml.route.engine.binary import find_envoy
from mcml.route.engine.envoy import EnvoyEngine
from mcml.route.engine.process import SHARED_MEMORY
from mcml.route.engine.seam import Desired
from mcml.route.records import read_decisions, read_engine, read_running
from mcml.route.serve import serve
from tests.route.rig import BUSY, Rig, Upstream, until


def engine_pid(rig: Rig) -> int:
    engine = read_engine(rig.folder)
    assert engine is not None
    return engine.pid


def nothing_left(folder: Path) -> None:
    assert read_running(folder) is None
    assert read_engine(folder) is None
    assert not (folder / "serve.json").exists()
    assert not (folder / "engine.json").exists()


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rig = Rig(tmp_path, [], router=Router(port=port))
        with pytest.raises(Conflict) as refused:
            serve(rig.setup, threading.Event())
    assert refused.value.message == f"the router cannot listen on 127.0.0.1:{port}"
    assert "mcml route serve --port 0" in refused.value.next_step
    nothing_left(tmp_path)


@pytest.mark.slow
def test_a_port_that_was_taken_while_envoy_started_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy calls itself ready without a listener; the router does not."""
    monkeypatch.setattr(envoy, "require_free", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        rig = Rig(tmp_path, [], router=Router(port=taken.getsockname()[1]))
        with pytest.raises(Conflict, match="cannot listen") as refused:
            serve(rig.setup, threading.Event())
    assert "Address already in use" in refused.value.why
    nothing_left(tmp_path)


@pytest.mark.parametrize(("host", "why"), [("192.0.2.1", "Cannot assign requested address"), ("2001:db8::1", "requested address")])
def test_an_address_of_another_machine_is_a_clear_error(tmp_path: Path, host: str, why: str) -> None:
    with pytest.raises(Conflict) as refused:
        serve(Rig(tmp_path, [], router=Router(host=host)).setup, threading.Event())
    assert why in refused.value.why


def test_no_route_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="no route to serve"):
        serve(Rig(tmp_path, [], routes={}).setup, threading.Event())
    with pytest.raises(Usage, match="no engine named 'nginx'"):
        serve(Rig(tmp_path, []).setup, threading.Event(), engine="nginx")


def test_a_second_router_of_the_project_is_refused_and_named(shared: Rig) -> None:
    with pytest.raises(Conflict) as refused:
        serve(shared.setup, threading.Event())
    assert refused.value.why == f"pid {os.getpid()} serves empty, fraud, public on {shared.running.url}"
    assert shared.infer().status == 200


def test_start_and_stop_are_facts_and_leave_nothing(tmp_path: Path) -> None:
    with Rig(tmp_path, [Upstream("eu-1")]) as rig:
        _, started = rig.fact("route.started")
        assert started.facts == {"routes": ["fraud"], "listen": rig.running.url, "backends": ["fraud@eu-1"], "took_over": False}
        engine = read_engine(tmp_path)
        assert engine is not None
    assert [fact.kind for _, fact in rig.facts] == ["route.weights", "route.started", "route.stopped"]
    assert not is_alive(engine)
    nothing_left(tmp_path)


def test_a_killed_envoy_is_started_again_within_a_second_or_so(rig: Rig) -> None:
    rig.upstreams["us-1"].kill()
    rig.fact("route.backend_down", "us-1")
    weights, before = rig.weights(), engine_pid(rig)
    killed = time.monotonic()
    os.kill(before, signal.SIGKILL)
    told, fact = rig.fact("route.engine_restarted")
    assert told - killed < BUSY * 3.0  # usually well under one
    assert rig.infer().status == 200
    assert engine_pid(rig) != before
    assert rig.weights() == weights
    assert float(str(fact.facts["down_s"])) < BUSY * 3.0
    print(f"Envoy serves again {told - killed:.2f} s after kill -9")


@pytest.mark.slow
def test_an_envoy_that_hangs_is_started_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "HUNG_SECONDS", 1.0)
    os.kill(engine_pid(rig), signal.SIGSTOP)
    rig.fact("route.engine_restarted", within=20.0)
    assert rig.infer().status == 200


def test_an_envoy_of_another_port_hands_over(tmp_path: Path) -> None:
    """What a killed router left on another port is replaced, and in the end nothing of it stays."""
    first = EnvoyEngine(tmp_path, binary=find_envoy(), host="127.0.0.1", port=0, admin_port=0, software="1")
    desired = Desired((), (), ready=False)
    first.start(desired)
    assert first.process is not None
    same = EnvoyEngine(tmp_path, binary=find_envoy(), host="127.0.0.1", port=0, admin_port=0, software="1")
    same.start(desired)
    assert (same.adopted, same.port, same.process) == (True, first.port, first.process)
    other = EnvoyEngine(tmp_path, binary=find_envoy(), host="127.0.0.1", port=free_port(), admin_port=0, software="1")
    other.start(desired)
    assert other.adopted
    assert other.process is not None
    assert other.process.elders == (first.process.ref,)
    for engine in (first, same, other):
        engine.stop(drain=0.0)
    nothing_left(tmp_path)


@pytest.mark.slow
def test_a_new_static_part_takes_over_without_losing_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade of mcml: the bootstrap is another, the sockets stay open, and what had begun is ended."""
    upstreams = [Upstream(target) for target in ("eu-1", "eu-2")]
    plan = RoutePlan("fraud", "fraud", {one.backend.name: 50 for one in upstreams}, 30.0, 2.0)
    desired = Desired(tuple(one.backend for one in upstreams), (plan,), ready=True)
    engines = [EnvoyEngine(tmp_path, binary=find_envoy(), host="127.0.0.1", port=0, admin_port=0, software=str(n)) for n in range(3)]
    samples: list[Sample] = []
    done = threading.Event()

    def load() -> None:
        request = Request("127.0.0.1", engines[0].port, "/v2/models/fraud/infer", b"{}")
        while not done.is_set():
            samples.extend(run_load(request, requests=200, concurrency=8))

    thread = threading.Thread(target=load)
    try:
        engines[0].start(desired)
        thread.start()
        for number, engine in enumerate(engines[1:], 1):
            until(lambda number=number: len(samples) >= 400 * number, 20, "no requests")  # type: ignore[misc]
            monkeypatch.setattr("mcml.route.config.start.MAX_CONNECTIONS", 5000 + number)
            engine.start(desired)
            assert engine.process is not None
            assert (engine.adopted, engine.port, engine.process.epoch) == (True, engines[0].port, number)
        seen = len(samples)
        until(lambda: len(samples) >= seen + 400, 20, "no requests any more")
        base = engines[2].process.base_id if engines[2].process else ""
        assert engines[2].observe().backends.keys() == plan.weights.keys()
    finally:
        done.set()
        thread.join()
        for engine in engines:
            engine.stop(drain=0.0)
        for upstream in upstreams:
            upstream.close()
    assert [one for one in samples if one.status != 200] == []
    assert engines[2].process is None
    assert not (SHARED_MEMORY / f"envoy_shared_memory_{int(base) * 10}").exists()
    nothing_left(tmp_path)


def _matches(path: Path) -> list[object]:
    """Return what the routes of a route file match, in order; none of a broken one."""
    with suppress(ValueError, KeyError):
        return [one["match"] for host in json.loads(path.read_text())["resources"][0]["virtual_hosts"] for one in host["routes"]]
    return []


@pytest.mark.parametrize("broken", ["{", '{"version_info": "x", "resources": [{"@type": "type.googleapis.com/nonsense"}]}', ""])
def test_a_broken_route_file_changes_nothing_and_is_mended(rig: Rig, broken: str) -> None:
    path = rig.folder / "xds" / "rds.json"
    good = _matches(path)
    scratch = rig.folder / "xds" / "scratch"
    scratch.write_text(broken)
    scratch.replace(path)
    until(lambda: any("did not take a configuration" in line for line in rig.told.lines), 5, f"nothing was said: {rig.told.lines}")
    assert rig.infer().status == 200
    until(lambda: _matches(path) == good, 5, "the file was not written again")
    rig.upstreams["eu-1"].kill()
    rig.fact("route.backend_down", "eu-1")
    until(lambda: rig.infer().backend != "fraud@eu-1", 3, "weights do not change any more")
    assert rig.told_of("route.config_refused")


def test_a_foreign_route_file_that_is_valid_is_replaced(rig: Rig) -> None:
    path = rig.folder / "xds" / "rds.json"
    ours = _matches(path)
    foreign = json.loads(path.read_text())
    foreign["version_info"] = "foreign"
    foreign["resources"][0]["virtual_hosts"][0]["routes"] = []
    scratch = rig.folder / "xds" / "scratch"
    scratch.write_text(json.dumps(foreign))
    scratch.replace(path)
    until(lambda: rig.infer().status == 404, 3, "Envoy did not take the file")
    until(lambda: rig.infer().status == 200, 8, "the routes were not written again")
    assert ours == _matches(path) != []
    assert json.loads(path.read_text())["version_info"] != "foreign"
    assert rig.told_of("route.config_refused") == []  # Envoy took it: nothing was refused
    assert {rig.infer().backend for _ in range(60)} == {"fraud@eu-1", "fraud@eu-2", "fraud@us-1"}


def test_facts_wait_for_a_store_that_is_away(rig: Rig) -> None:
    rig.store_is_down = True
    rig.upstreams["eu-1"].kill()
    until(lambda: any("cannot write to the journal" in line for line in rig.told.lines), 5, "it was not said")
    until(lambda: rig.infer().backend == "fraud@us-1", 5, "requests stopped")
    assert rig.told_of("route.backend_down") == []
    rig.store_is_down = False
    rig.fact("route.backend_down", "eu-1")
    until(lambda: any("the journal can be written again" in line for line in rig.told.lines), 8, "it was not said")
    assert sum("cannot write to the journal" in line for line in rig.told.lines) == 1
    assert [fact.kind for _, fact in rig.facts][:4] == ["route.weights", "route.started", "route.backend_down", "route.weights"]


@pytest.mark.slow
def test_models_come_move_and_go_under_load_without_a_lost_request(rig: Rig) -> None:
    """A new backend, one that moves to another port (a new version), one that is deleted: each while 8 clients send."""
    done = threading.Event()
    failures: list[str] = []

    def drive() -> None:
        while not done.is_set():
            failures.extend(sample.error for sample in rig.load(200, concurrency=8) if sample.status != 200)

    driver = threading.Thread(target=drive)
    driver.start()
    try:
        added = Upstream("us-2")
        rig.upstreams["us-2"] = added
        rig.backends = [*rig.backends, added.backend]
        until(lambda: rig.weights().get("fraud@us-2"), 8, "the new backend gets no traffic")
        moved = Upstream("eu-1")
        old, rig.upstreams["eu-1"] = rig.upstreams["eu-1"], moved
        rig.backends = [moved.backend if one.target == "eu-1" else one for one in rig.backends]
        time.sleep(2.0)  # what a deploy waits before it stops the old version
        old.close()
        rig.backends = [one for one in rig.backends if one.target != "us-1"]
        until(lambda: "fraud@us-1" not in rig.weights(), 8, "the deleted backend keeps traffic")
        time.sleep(0.5)
        rig.upstreams["us-1"].kill()
        time.sleep(0.5)
    finally:
        done.set()
        driver.join()
    assert failures == []
    assert rig.told_of("route.backend_down") == []
    assert set(rig.weights()) == {"fraud@eu-1", "fraud@eu-2", "fraud@us-2"}
    assert {rig.infer().backend for _ in range(60)} == {"fraud@eu-1", "fraud@eu-2", "fraud@us-2"}
    reasons = [decision["reason"] for decision in read_decisions(rig.folder)]
    assert any("fraud@us-2 is up" in reason for reason in reasons)
    assert any("fraud@us-1 was removed" in reason for reason in reasons)


def test_a_router_without_a_backend_waits_for_the_first(tmp_path: Path) -> None:
    with Rig(tmp_path, []) as rig:
        assert rig.infer().status == 503
        first = Upstream("eu-1")
        rig.upstreams["eu-1"] = first
        rig.backends = [first.backend]
        until(lambda: rig.infer().status == 200, 8, "the first backend gets no traffic")


def test_running_requests_end_before_the_router_does(rig: Rig) -> None:
    for upstream in rig.upstreams.values():
        upstream.mode(delay=1.0)
    answers: list[int] = []
    clients = [threading.Thread(target=lambda: answers.append(rig.infer().status)) for _ in range(5)]
    for client in clients:
        client.start()
    time.sleep(0.3)
    rig.stop.set()
    for client in clients:
        client.join()
    assert answers == [200] * 5
    rig.thread.join(10)
    nothing_left(rig.folder)
