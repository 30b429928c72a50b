"""A target with two ports and endpoints on it, and a deploy in a process of its own, for the tests of local endpoints."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from mcml.providers.api.endpoint import ModelEndpoint
from mcml.providers.local.endpoint import LocalModelEndpoint, open_model_endpoint
from mcml.providers.local.target import LocalTarget, create_target
from mcml.providers.local.variant import Run, read_run, variant_folder
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
    end = time.monotonic() + 20
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield
