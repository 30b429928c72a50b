"""Local endpoints whose deploy is killed, interrupted, cut short, or done twice at once."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mcml.core.errors import Conflict
from mcml.providers.api.endpoint import ModelEndpoint
from mcml.providers.local.layout import read_resources
from mcml.providers.local.target import destroy_target
from mcml.providers.local.variant import variant_folder
from mcml.testing.contracts.endpoint import MakeRequest
from tests.providers.local.conftest import Processes
from tests.providers.local.endpoint_rig import DEPLOY_INTERRUPTED, DEPLOY_KILLED, DEPLOY_NOW, endpoints, infer, run_of, target

__all__ = ["endpoints", "target"]


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
