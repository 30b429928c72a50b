"""Endpoints on `local`, with the real model server: the contract, and everything that can go wrong with a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded, Unavailable
from mcml.core.process import ProcessRef, reference
from mcml.providers.api.billing import Period
from mcml.providers.api.endpoint import EndpointRequest, ModelEndpoint
from mcml.providers.local import server
from mcml.providers.local.billing import open_billing
from mcml.providers.local.endpoint import LocalModelEndpoint, open_model_endpoint
from mcml.providers.local.layout import read_resources
from mcml.providers.local.target import LocalTarget, create_target, destroy_target, read_target
from mcml.providers.local.variant import Run, read_run, shares, variant_folder, write_run
from mcml.testing.contracts.endpoint import EndpointContract, MakeRequest
from tests.providers.local.conftest import MakeContext, Processes

DEPLOY = """
import sys
from pathlib import Path
from mcml.core.package import folder_digest
from mcml.providers.api.billing import Period
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.billing import open_billing
from mcml.providers.local.endpoint import LocalModelEndpoint, open_model_endpoint
from mcml.providers.local.settings import Settings
root, source = Path(sys.argv[1]), Path(sys.argv[2])
request = EndpointRequest("fraud", "1", folder_digest(source), str(source))
def deploy():
    print(open_model_endpoint(ProviderContext(Settings(), root, "eu-1", "eu")).create(request).variants[0].address)
"""
DEPLOY_NOW = DEPLOY + "deploy()\n"
DEPLOY_KILLED = (
    DEPLOY
    + """
import os, signal
event, name, nth = sys.argv[3], sys.argv[4], int(sys.argv[5])
seen = 0
def watch(happened, arguments):
    global seen
    if happened == event and any(str(word).endswith(name) for word in arguments):
        seen += 1
        if seen == nth:
            FALL
sys.addaudithook(watch)
deploy()
"""
)
DEPLOY_INTERRUPTED = DEPLOY_KILLED.replace("FALL", "raise KeyboardInterrupt")
DEPLOY_KILLED = DEPLOY_KILLED.replace("FALL", "os.kill(os.getpid(), signal.SIGKILL)")


@pytest.fixture
def target(root: Path) -> LocalTarget:
    return create_target(root, "eu-1", "eu-west-1", 3)


@pytest.fixture
def endpoints(make_context: MakeContext, target: LocalTarget, servers: Processes) -> LocalModelEndpoint:
    return open_model_endpoint(make_context(target.name, region=target.region))


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


def state(endpoints: ModelEndpoint) -> tuple[str, str]:
    (variant,) = endpoints.describe("fraud")[0].variants
    return variant.state, variant.detail


def run_of(root: Path, version: str = "1") -> Run:
    run = read_run(variant_folder(root, "eu-1", "fraud", version))
    assert run is not None
    return run


def infer(endpoints: ModelEndpoint, *data: float) -> list[float]:
    address = endpoints.invoke_target("fraud")
    connection = HTTPConnection(address.url.removeprefix("http://"), timeout=10)
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": data}]}
    connection.request("POST", address.infer_path, json.dumps(body))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    found: list[float] = answer["outputs"][0]["data"]
    return found


def suspend(process: psutil.Process) -> None:
    process.suspend()
    end = time.monotonic() + 10
    while process.status() != psutil.STATUS_STOPPED and time.monotonic() < end:
        time.sleep(0.01)


@contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


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
    psutil.Process(before.process.pid).wait(5)
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
    process.wait(5)
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


@pytest.mark.parametrize(
    ("event", "name", "nth"),
    [
        ("os.rename", "versions/1", 1),  # before the copy of the package has its name
        ("subprocess.Popen", "python", 1),  # before the process starts
        ("os.rename", "run.json", 3),  # (the tags file counts too) it has started, but its pid is not written down
        ("os.rename", "weights.json", 1),  # everything is there but the shares
    ],
)
def test_killed_while_it_deploys_a_second_run_ends_with_one_server(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes, event: str, name: str, nth: int
) -> None:
    request = make_request("fraud", "1")
    name = str(variant_folder(root, "eu-1", "fraud", "1")) if name == "versions/1" else sys.executable if name == "python" else name
    argv = [sys.executable, "-c", DEPLOY_KILLED, str(root), request.source, event, name, str(nth)]
    assert subprocess.run(argv, timeout=60).returncode == -signal.SIGKILL
    orphans = len(servers())
    assert orphans == (1 if name in ("run.json", "weights.json") else 0)
    assert all(variant.state != "ready" or orphans for found in endpoints.describe() for variant in found.variants)

    (variant,) = endpoints.create(request).variants
    assert (variant.state, variant.weight) == ("ready", 100)
    assert len(servers()) == 1
    assert [path.name for path in (root / "endpoints/eu-1/fraud/versions").iterdir()] == ["1"]
    assert endpoints.delete("fraud") is True
    assert servers() == []


def test_interrupted_while_it_deploys_it_leaves_nothing(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    argv = [sys.executable, "-c", DEPLOY_INTERRUPTED, str(root), make_request("fraud", "1").source, "os.rename", "run.json", "3"]
    done = subprocess.run(argv, timeout=60, capture_output=True, text=True)
    assert "KeyboardInterrupt" in done.stderr
    assert servers() == []
    assert endpoints.describe() == []
    assert list(read_resources(root, "endpoint")) == []


def test_a_start_that_was_cut_short_can_be_deleted_or_replaced(
    endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    request = make_request("fraud", "1")
    argv = [sys.executable, "-c", DEPLOY_KILLED, str(root), request.source, "os.rename", "run.json", "3"]
    assert subprocess.run(argv, timeout=60).returncode == -signal.SIGKILL
    assert run_of(root).process is None
    (orphan,) = servers()
    with pytest.raises(Conflict, match="cannot destroy"):
        destroy_target(root, "eu-1")
    assert endpoints.create(make_request("fraud", "1", content=2)).variants[0].state == "ready"
    assert infer(endpoints, 1, 2) == [3, 4]
    (process,) = servers()
    assert process.pid != orphan.pid


def test_two_deploys_at_once_start_one_process(endpoints: ModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes) -> None:
    request = make_request("fraud", "1")
    argv = [sys.executable, "-c", DEPLOY_NOW, str(root), request.source]
    others = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        made = [future.result() for future in [pool.submit(endpoints.create, request) for _ in range(2)]]
    said = [other.communicate(timeout=60)[0].strip() for other in others]
    assert {*said, *(endpoint.variants[0].address for endpoint in made)} == {f"127.0.0.1:{run_of(root).port}"}
    assert len(servers()) == 1


def test_two_models_at_once_take_two_ports(endpoints: ModelEndpoint, make_request: MakeRequest, servers: Processes) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(endpoints.create, [make_request("fraud", "1"), make_request("other", "1")]))
    assert len({endpoint.variants[0].address for endpoint in made}) == 2
    assert len(servers()) == 2


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
        assert time.monotonic() - began < 5


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
