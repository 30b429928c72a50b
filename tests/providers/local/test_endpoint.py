"""Endpoints on `local`, with the real model server: the contract, and everything that can go wrong with a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, McmlError, NotFound, QuotaExceeded, Unavailable
from mcml.core.process import ProcessRef, reference, wait_gone
from mcml.providers.api.billing import Period
from mcml.providers.api.endpoint import EndpointRequest, ModelEndpoint
from mcml.providers.local import server
from mcml.providers.local.billing import open_billing
from mcml.providers.local.endpoint import LocalModelEndpoint, open_model_endpoint
from mcml.providers.local.layout import read_resources
from mcml.providers.local.target import LocalTarget, read_target
from mcml.providers.local.variant import shares, variant_folder, write_run
from mcml.testing.contracts.endpoint import EndpointContract, MakeRequest
from tests.providers.local.conftest import MakeContext, Processes
from tests.providers.local.endpoint_rig import DEPLOY_KILLED, DEPLOY_NOW, endpoints, infer, listener, run_of, state, suspend, target

__all__ = ["endpoints", "target"]


class TestEndpoint(EndpointContract):
    @pytest.fixture
    def endpoints(self, endpoints: ModelEndpoint) -> ModelEndpoint:
        return endpoints

    @pytest.fixture
    def make_request(self, make_request: MakeRequest) -> MakeRequest:
        return make_request

    @pytest.fixture
    def broken_request(self, broken_request: EndpointRequest) -> EndpointRequest:
        return broken_request


def test_it_serves_outlives_who_started_it_and_is_billed_when_it_is_gone(
    endpoints: ModelEndpoint, make_context: MakeContext, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    source = make_request("fraud", "1").source
    said = subprocess.run([sys.executable, "-c", DEPLOY_NOW, str(root), source], capture_output=True, text=True, timeout=60, check=True)
    (found,) = endpoints.describe()
    assert found.variants[0].address == said.stdout.strip() == f"127.0.0.1:{run_of(root).port}"
    assert infer(endpoints, 1, 2) == [2, 3]

    (process,) = servers()
    run = run_of(root)
    assert run.process == ProcessRef(process.pid, process.create_time())
    assert list(run.argv) == process.cmdline()
    assert os.getsid(process.pid) == process.pid
    assert [(r.id, r.region, r.target) for r in read_resources(root, "endpoint")] == [("fraud@eu-1", "eu-west-1", "eu-1")]

    assert endpoints.delete("fraud") is True
    assert servers() == []
    assert not (root / "endpoints/eu-1/fraud").exists()
    (usage,) = (root / "usage/eu-1/fraud/1").glob("*.jsonl")
    last = json.loads(usage.read_text().splitlines()[-1])
    assert (last["requests"], last["final"]) == (1, True)
    today = datetime.now(UTC)
    bill = list(open_billing(make_context()).rows(Period(today - timedelta(days=1), today)))
    assert sum(row["x_Requests"] for row in bill if isinstance(row["x_Requests"], Decimal)) == 1
    assert all(isinstance(row["BilledCost"], Decimal) and row["BilledCost"] > 0 for row in bill)
    assert {(row["SkuId"], row["x_Model"], row["RegionId"]) for row in bill} == {
        ("vcpu-hour", "fraud", "eu-west-1"),
        ("gib-hour", "fraud", "eu-west-1"),
    }


def test_no_credentials_reach_the_server(
    endpoints: ModelEndpoint, make_request: MakeRequest, servers: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc")
    monkeypatch.setenv("MCML_STORE__URL", "postgresql://u:p@h/d")
    endpoints.create(replace(make_request("fraud", "1"), environment={"MODEL_MODE": "fast"}, resources={"cpu": "2.5"}))
    (process,) = servers()
    given_to_it = process.environ()
    assert [name for name in given_to_it if name.startswith(("AWS", "MCML"))] == []
    assert (given_to_it["MODEL_MODE"], given_to_it["OMP_NUM_THREADS"], given_to_it["PATH"]) == ("fast", "2", os.environ["PATH"])
    assert process.cmdline()[process.cmdline().index("--threads") + 1] == "2"


def test_a_target_that_is_not_applied(make_context: MakeContext, target: LocalTarget, make_request: MakeRequest) -> None:
    with pytest.raises(NotFound, match="'us-9' is not applied") as refused:
        open_model_endpoint(make_context("us-9")).create(make_request("fraud", "1"))
    assert (refused.value.why, refused.value.next_step) == ("applied: eu-1", "mcml infra apply")


@pytest.mark.parametrize(
    "wrong", [{"name": "../x"}, {"version": "a/b"}, {"source": "/nowhere"}, {"digest": "0" * 64}, {"resources": {"cpu": "x"}}]
)
def test_a_wrong_request_leaves_nothing(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes, wrong: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        endpoints.create(replace(make_request("fraud", "1"), **wrong))  # type: ignore[arg-type]
    assert endpoints.describe() == []
    assert servers() == []
    assert list(read_resources(root, "endpoint")) == []


def test_a_model_that_does_not_load_is_explained_by_the_servers_log(
    endpoints: ModelEndpoint, root: Path, broken_request: EndpointRequest, servers: Processes
) -> None:
    with pytest.raises(InvalidRequest, match="broken version 1 does not start on eu-1") as refused:
        endpoints.create(broken_request)
    assert "mcml.serving:" in refused.value.why
    assert refused.value.next_step == f"python -m mcml.serving --model {broken_request.source}"
    assert servers() == []
    assert not (root / "endpoints/eu-1/broken").exists()
    assert [path for path in (root / "usage").rglob("*") if path.is_file()] == []


def test_killed_it_is_failed_and_create_starts_it_again_from_the_copy(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    request = make_request("fraud", "1")
    endpoints.create(request)
    before = run_of(root)
    (Path(request.source) / "model.onnx").write_bytes(b"edited after the deploy")
    assert before.process is not None
    os.kill(before.process.pid, signal.SIGKILL)
    assert wait_gone(before.process, 20)
    assert state(endpoints) == ("failed", f"process {before.process.pid} is gone")

    (variant,) = endpoints.create(request).variants
    assert (variant.state, variant.weight, variant.address) == ("ready", 100, f"127.0.0.1:{before.port}")
    assert run_of(root).process not in (None, before.process)
    assert infer(endpoints, 1, 2) == [2, 3]
    assert len(servers()) == 1


def test_asked_to_end_or_suspended_it_is_stopped(endpoints: ModelEndpoint, make_request: MakeRequest, servers: Processes) -> None:
    request = make_request("fraud", "1")
    endpoints.create(request)
    (process,) = servers()
    suspend(process)
    assert state(endpoints) == ("stopped", f"process {process.pid} is suspended (SIGSTOP)")
    assert endpoints.create(request).variants[0].state == "ready"
    assert [found.pid for found in servers()] == [process.pid]

    process.terminate()
    process.wait(10)
    assert state(endpoints) == ("stopped", f"process {process.pid} was asked to end")
    assert endpoints.create(request).variants[0].state == "ready"
    (process,) = servers()
    suspend(process)
    assert endpoints.delete("fraud") is True
    assert servers() == []


def test_tags_are_brought_up_to_date(endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes) -> None:
    request = make_request("fraud", "1")
    endpoints.create(request)
    assert endpoints.create(replace(request, tags={"team": "growth"})).tags == {"team": "growth"}
    (about,) = (root / "usage/eu-1/fraud/1").glob("*.run.json")
    assert json.loads(about.read_text())["tags"] == {"team": "growth"}
    assert len(servers()) == 1


def test_a_stranger_on_a_leased_port_is_stepped_around(endpoints: ModelEndpoint, target: LocalTarget, make_request: MakeRequest) -> None:
    first, second, third = target.ports
    with listener(first), listener(second):
        assert endpoints.create(make_request("fraud", "1")).variants[0].address == f"127.0.0.1:{third}"
        with pytest.raises(QuotaExceeded, match="no port of the local target 'eu-1' is free") as refused:
            endpoints.create(make_request("other", "1"))
    assert refused.value.why == f"it leases 3: {first} (another program), {second} (another program), {third} (fraud 1)"
    assert [found.name for found in endpoints.describe()] == ["fraud"]


def test_a_stranger_that_answers_is_not_our_server() -> None:
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        try:
            process = reference(sleeper.pid)
            assert process is not None
            assert server.status_of(stranger.server_port) == 200
            assert server.wait_ready(process, stranger.server_port, 0.1) == "late"
        finally:
            sleeper.kill()
            sleeper.wait()
            stranger.shutdown()
    assert server.wait_ready(process, 1, 0.1) == "gone"


def test_a_server_that_is_never_ready(
    endpoints: LocalModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    hasty = replace(endpoints, ready_seconds=0.0)
    request = make_request("fraud", "1")
    with pytest.raises(Unavailable, match="fraud version 1 on eu-1 was not ready"):
        hasty.create(request)
    assert servers() == []
    assert endpoints.describe() == []

    argv = [sys.executable, "-c", DEPLOY_KILLED, str(root), request.source, "os.rename", "run.json", "3"]
    assert subprocess.run(argv, timeout=60).returncode == -signal.SIGKILL
    with pytest.raises(Unavailable, match="was not ready"):  # one that starts already is left alone
        hasty.create(request)
    assert len(servers()) == 1


@pytest.mark.parametrize("start_time", ["its own", "ours"])
def test_another_program_with_the_recorded_pid_is_never_touched(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes, start_time: str
) -> None:
    request = make_request("fraud", "1")
    endpoints.create(request)
    run = run_of(root)
    (process,) = servers()
    process.kill()
    process.wait(20)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        found = reference(other.pid)
        assert found is not None
        assert run.process is not None
        write_run(replace(run, process=found if start_time == "its own" else ProcessRef(other.pid, run.process.started)))
        assert state(endpoints) == ("failed", f"process {other.pid} is gone")
        assert endpoints.create(request).variants[0].state == "ready"
        write_run(replace(run_of(root), process=found if start_time == "its own" else ProcessRef(other.pid, run.process.started)))
        assert endpoints.delete("fraud") is True
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_broken_record_is_named(endpoints: ModelEndpoint, root: Path) -> None:
    folder = variant_folder(root, "eu-1", "fraud", "1")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"version": "1"}')
    with pytest.raises(McmlError, match=r"run\.json") as broken:
        endpoints.describe()
    assert str(folder) in broken.value.next_step


def test_delete_works_when_the_target_is_gone(endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes) -> None:
    endpoints.create(make_request("fraud", "1"))
    for file in (root / "targets/eu-1").iterdir():
        file.unlink()
    assert read_target(root, "eu-1") is None
    assert state(endpoints)[0] == "ready"
    assert endpoints.delete("fraud") is True
    assert servers() == []


def test_a_probe_gives_up_quickly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert server.status_of(silent.getsockname()[1]) is None
        assert time.monotonic() - began < 20


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(-5, 150)), st.lists(st.sampled_from("abcdef"), unique=True))
def test_shares_always_add_up(stored: dict[str, int], versions: list[str]) -> None:
    found = shares(stored, versions)
    assert list(found) == versions
    assert sum(found.values()) == (100 if versions else 0)
    assert all(share >= 0 for share in found.values())
    assert shares(found, versions) == found
    for gone in set(versions) - {version for version, weight in stored.items() if weight > 0}:
        assert found[gone] == 0 or gone == versions[-1]


def test_shares_keep_the_proportion() -> None:
    assert shares({"1": 50, "2": 30, "3": 20}, ["2", "3"]) == {"2": 60, "3": 40}
    assert shares({"1": 100}, ["2", "3"]) == {"2": 0, "3": 100}
    assert shares({"a": 1, "b": 1, "c": 1}, ["a", "b", "c"]) == {"a": 34, "b": 33, "c": 33}
