"""gRPC of a local endpoint: a port of its own beside the leased one, kept over restarts, and told to whoever sends requests."""

import json
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import psutil
import pytest

from mcml.core.errors import McmlError
from mcml.core.open_inference import SERVICE, message
from mcml.deploy.verify_grpc import verify_grpc
from mcml.providers.api.endpoint import InvokeTarget
from mcml.providers.local.endpoint import LocalModelEndpoint, open_model_endpoint
from mcml.providers.local.target import LocalTarget, create_target
from mcml.providers.local.variant import RUN_FILE, read_run, variant_folder
from mcml.testing.contracts.endpoint import MakeRequest
from tests.providers.local.conftest import MakeContext, Processes


@pytest.fixture
def target(root: Path) -> LocalTarget:
    return create_target(root, "eu-1", "eu-west-1", 3)


@pytest.fixture
def endpoints(make_context: MakeContext, target: LocalTarget, servers: Processes) -> LocalModelEndpoint:
    return open_model_endpoint(make_context(target.name, region=target.region))


def ready(where: InvokeTarget, version: str) -> bool:
    with grpc.insecure_channel(f"{urlsplit(where.url).hostname}:{where.grpc_port}") as channel:
        asked = message("ModelReadyRequest")(name="fraud", version=version).SerializeToString()
        answer = channel.unary_unary(f"/{SERVICE}/ModelReady")(asked, timeout=20, wait_for_ready=True)
    return bool(message("ModelReadyResponse").FromString(answer).ready)


def test_each_version_speaks_it_on_a_port_that_no_target_leases(
    endpoints: LocalModelEndpoint, target: LocalTarget, make_request: MakeRequest
) -> None:
    for version in ("1", "2"):
        endpoints.create(make_request("fraud", version, content=int(version)))
    first, second = endpoints.invoke_target("fraud", "1"), endpoints.invoke_target("fraud", "2")
    assert first.grpc_port != second.grpc_port
    assert not {first.grpc_port, second.grpc_port} & {0, *target.ports}
    assert [one.grpc_port for one in endpoints.describe("fraud")[0].variants] == [first.grpc_port, second.grpc_port]
    assert ready(first, "1")
    assert ready(second, "2")


def test_the_port_is_kept_and_given_up_when_somebody_has_it(
    endpoints: LocalModelEndpoint, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    endpoints.create(make_request("fraud", "1"))
    before = endpoints.invoke_target("fraud").grpc_port
    kill(root)
    endpoints.create(make_request("fraud", "1"))
    assert endpoints.invoke_target("fraud").grpc_port == before
    kill(root)
    with socket.create_server(("127.0.0.1", before)):
        endpoints.create(make_request("fraud", "1"))
    again = endpoints.invoke_target("fraud")
    assert again.grpc_port not in (0, before)
    assert ready(again, "1")


def test_a_run_of_an_older_mcml_speaks_http_only(endpoints: LocalModelEndpoint, root: Path, make_request: MakeRequest) -> None:
    endpoints.create(make_request("fraud", "1"))
    path = variant_folder(root, "eu-1", "fraud", "1") / RUN_FILE
    said = json.loads(path.read_text())
    del said["grpc_port"]
    path.write_text(json.dumps(said))
    assert endpoints.invoke_target("fraud").grpc_port == 0


def test_a_deploy_looks_at_it_too(endpoints: LocalModelEndpoint, make_request: MakeRequest) -> None:
    endpoints.create(make_request("fraud", "1"))
    where = endpoints.invoke_target("fraud")
    verify_grpc("fraud", where, version="1")
    with pytest.raises(McmlError) as refused:
        verify_grpc("fraud", where, version="2")
    assert refused.value.why == f"127.0.0.1:{where.grpc_port} answers NOT_FOUND: version: expected '1' of model 'fraud', got '2'"
    with pytest.raises(McmlError) as mute:
        verify_grpc("fraud", InvokeTarget(where.url, where.infer_path, where.health_path), version="1")
    assert mute.value.why == "it speaks HTTP only"


def kill(root: Path) -> None:
    run = read_run(variant_folder(root, "eu-1", "fraud", "1"))
    assert run is not None
    assert run.process is not None
    process = psutil.Process(run.process.pid)
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=20)
