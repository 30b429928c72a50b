"""A root of its own for every test, tiny models, and no process left behind."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mcml.core.clock import Clock, utc_now
from mcml.core.package import folder_digest
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.settings import Settings

MakeContext = Callable[..., ProviderContext]
WritePackage = Callable[..., Path]
Processes = Callable[[], list[psutil.Process]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".mcml" / "local"


@pytest.fixture
def make_context(root: Path) -> MakeContext:
    """Makes a context of this root; keywords are settings of the provider."""

    def make(target: str = "", *, region: str = "", clock: Clock = utc_now, **settings: Any) -> ProviderContext:
        return ProviderContext(Settings(**settings), root, target, region, clock)

    return make


@pytest.fixture
def write_package(tmp_path: Path) -> WritePackage:
    """Writes a package whose model adds `content` to its input: another content, another digest."""

    def write(name: str = "fraud", content: int = 1) -> Path:
        from onnx import TensorProto, helper, save

        shape = [None, 2]
        value = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape) for tensor in ("x", "y")]
        constant = helper.make_tensor("c", TensorProto.FLOAT, [1], [float(content)])
        graph = helper.make_graph([helper.make_node("Add", ["x", "c"], ["y"])], "g", value[:1], value[1:], [constant])
        folder = tmp_path / "models" / f"{name}-{content}"
        folder.mkdir(parents=True, exist_ok=True)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
        return folder

    return write


@pytest.fixture
def make_request(write_package: WritePackage) -> Callable[..., EndpointRequest]:
    """Makes a request for such a model."""

    def make(name: str, version: str, *, content: int = 1) -> EndpointRequest:
        folder = write_package(name, content)
        return EndpointRequest(name, version, folder_digest(folder), str(folder), tags={"team": "risk", "project": "p1"})

    return make


@pytest.fixture
def broken_request(make_request: Callable[..., EndpointRequest], tmp_path: Path) -> EndpointRequest:
    folder = tmp_path / "models" / "broken"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(hashlib.sha256(b"this is no model").digest())
    return replace(make_request("broken", "1"), digest=folder_digest(folder), source=str(folder))


@pytest.fixture
def servers(root: Path) -> Iterator[Processes]:
    """Finds the living model servers of this root, and kills what a test leaves."""

    def find() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                if "mcml.serving" in line and any(str(root) in word for word in line) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    yield find
    while left := find():
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def runs(root: Path) -> Iterator[Processes]:
    """Finds the living processes of jobs and instances of this root, and kills what a test leaves."""

    def find() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("MCML_RUN", "").startswith(str(root)) or any(str(root) in word for word in process.cmdline())
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    yield find
    while left := find():  # a zombie does not count: init reaps it when it likes
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
