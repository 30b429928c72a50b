"""Drills over gRPC: the load on a real server, every way to fail through a real Envoy, and that no call is lost."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import NotFound, Unavailable, Usage
from mcml.core.open_inference import HEALTH_SERVICE, INFER, message
from mcml.core.process import free_port
from mcml.core.report import Silent
from mcml.core.schema_routes import Route, Router, Tls
from mcml.route.drill.calls import Calling, run_calls
from mcml.route.drill.fault import DRILL_FILE, Fault, check, rerouted, through_relay
from mcml.route.drill.modes import Mode
from mcml.route.drill.plan import Drill
from mcml.route.drill.refuser import refuser
from mcml.route.drill.request import SIZES, call_of_zeros
from mcml.route.drill.result import DrillResult
from mcml.route.drill.run import run_drill
from mcml.serving.codec import TensorSpec
from mcml.serving.grpc_codec import decode
from tests.route.authority import Authority
from tests.route.grpc_rig import Client, GrpcUpstream
from tests.route.rig import TARGETS, Rig, until

CALL = message("ModelInferRequest")(model_name="fraud").SerializeToString()


@pytest.fixture
def upstream() -> Iterator[GrpcUpstream]:
    found = GrpcUpstream("eu-1")
    yield found
    found.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A route that speaks gRPC alone, over three backends that a test may break."""
    upstreams = [GrpcUpstream(target) for target in TARGETS]
    with Rig(tmp_path / "route", upstreams, routes={"fraud": Route(protocol="grpc", per_try_timeout=0.5)}) as found:
        answers(found)
        yield found


def answers(rig: Rig) -> None:
    with Client(rig.running.port) as client:
        until(lambda: client.infer().code == "OK", 20, "no call is answered")
    until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
    until(lambda: all(rig.status(target)["state"] == "up" for target in rig.upstreams), 10, "not all are up")


def drilled(rig: Rig, drill: Drill, fault: Fault | None) -> DrillResult:
    return run_drill(drill, rig.running, rig.folder, fault=fault, emit=lambda _: None, reporter=Silent(), clock=utc_now)


def test_the_load_counts_what_comes_back(upstream: GrpcUpstream) -> None:
    calling = Calling("127.0.0.1", upstream.grpc_port, "fraud", {"X-Api-Key": "k"})
    halfway: list[int] = []
    samples = run_calls(calling, CALL, requests=40, concurrency=6, halfway=lambda: halfway.append(1))
    assert (len(samples), {one.status for one in samples}, halfway) == (40, {200}, [1])
    upstream.mode(grpc=8)
    (refused,) = run_calls(calling, CALL, requests=1, concurrency=4)
    assert (refused.status, refused.error) == (429, "RESOURCE_EXHAUSTED: as the mode says")
    upstream.kill()
    (gone,) = run_calls(calling, CALL, requests=1, concurrency=1)
    assert (gone.status, gone.error[:12]) == (503, "UNAVAILABLE:")

    def fails() -> None:
        raise Unavailable("it was gone already")

    with pytest.raises(Unavailable, match="gone already"):
        run_calls(calling, CALL, requests=4, concurrency=2, halfway=fails)


def test_who_refuses_is_healthy_all_the_same() -> None:
    with refuser() as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check_type = message("grpc.health.v1.HealthCheckResponse")
        asked = channel.unary_unary(f"/{HEALTH_SERVICE}/Check", None, check_type.FromString)
        assert asked(b"", timeout=5).status == check_type(status="SERVING").status
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(INFER)(CALL, timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_zeros_of_every_datatype_are_a_call_that_our_server_reads() -> None:
    inputs = [{"name": kind, "datatype": kind, "shape": [-1, 3]} for kind in SIZES if kind != "BF16"]
    asked = message("ModelInferRequest").FromString(call_of_zeros("m", {"inputs": inputs}))
    assert [len(raw) for raw in asked.raw_input_contents] == [3 * SIZES[one.datatype] for one in asked.inputs]
    specs = {kind: TensorSpec(kind, kind, (None, 3)) for kind in SIZES if kind != "BF16"}
    read, _ = decode(asked, specs, {})
    assert {name: (array.shape, bool(array.any())) for name, array in read.feeds.items()} == dict.fromkeys(specs, ((1, 3), False))
    with pytest.raises(KeyError):
        call_of_zeros("m", {"inputs": [{"name": "x", "datatype": "FP128", "shape": [1]}]})


def test_a_backend_that_speaks_both_is_relayed_for_both(tmp_path: Path, upstream: GrpcUpstream) -> None:
    one = upstream.backend
    (tmp_path / DRILL_FILE).write_text("{}")
    assert rerouted(tmp_path, [one]) == (one,)
    assert one.grpc_address == ("127.0.0.1", upstream.grpc_port)
    with pytest.raises(Usage, match="gRPC has no 429"):
        check("429", one, "grpc")
    check("429", one)
    check("503", one, "grpc")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "503", "reset"])  # `stop` of a real server: tests/route/words/test_grpc_cli.py
def test_no_call_is_lost_and_the_backend_comes_back(rig: Rig, mode: Mode) -> None:
    victim = rig.upstreams["eu-2"].backend
    with through_relay(rig.folder, victim, mode, delay=0.2, protocol="grpc") as fault:
        through = json.loads((rig.folder / DRILL_FILE).read_text())["through"]["fraud@eu-2"]
        assert len(through) == 2
        assert rerouted(rig.folder, [victim])[0].grpc_address == ("127.0.0.1", through[1])
        result = drilled(rig, Drill("fraud", "eu-2", 1200, 8, mode, protocol="grpc"), fault)
    assert (result.failed, dict(result.errors)) == (0, {})
    assert result.retried > 0
    assert result.seconds_to_zero is not None
    assert result.seconds_to_zero < 5
    assert result.seconds_to_recover is not None
    assert [phase.name for phase in result.phases] == ["before", "during", "after", "recovery"]
    assert sum(result.served.values()) == 1200
    until(lambda: rig.status("eu-2")["weight"] > 0, 20, "it did not come back")


@pytest.mark.slow
def test_a_load_alone_and_names_that_are_not_there(rig: Rig) -> None:
    result = drilled(rig, Drill("fraud", "", 100, 200, protocol="grpc"), None)
    assert (result.requests, result.failed, set(result.served)) == (100, 0, {f"fraud@{target}" for target in TARGETS})
    with pytest.raises(NotFound):
        drilled(rig, Drill("frud", "", 10, 1, protocol="grpc"), None)
    for upstream in rig.upstreams.values():
        upstream.kill()
    for target in TARGETS:
        rig.fact("route.backend_down", target)
    with pytest.raises(Unavailable, match="does not answer") as silent:
        drilled(rig, Drill("fraud", "", 10, 1, protocol="grpc"), None)
    assert silent.value.why.startswith("UNAVAILABLE")


@pytest.mark.slow
def test_a_drill_over_tls(tmp_path: Path) -> None:
    """The certificate is of a name that is not the router's address: whoever drills knows the router by its certificate."""
    certificate, key = Authority(tmp_path).issue("router")
    router = Router(port=free_port(), tls=Tls(certificate=str(certificate), key=str(key)))
    upstreams = [GrpcUpstream(target) for target in ("eu-1", "eu-2")]
    with Rig(tmp_path / "route", upstreams, routes={"fraud": Route(protocol="grpc")}, router=router) as rig:
        until(lambda: (rig.folder / "status.json").exists(), 5, "no status file")
        until(lambda: all(rig.status(target)["state"] == "up" for target in rig.upstreams), 10, "not all are up")
        drill = Drill("fraud", "", 60, 4, authority=str(certificate), protocol="grpc")
        found = Counter(sample for sample in drilled(rig, drill, None).served)
    assert set(found) == {"fraud@eu-1", "fraud@eu-2"}
