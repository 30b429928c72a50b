"""The local registry: the contract, and what is on disk."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.package import folder_digest
from mcml.providers.api.registry import Registry
from mcml.providers.local.registry import LocalRegistry, open_registry
from mcml.testing.contracts.registry import RegistryContract
from tests.providers.local.conftest import MakeContext


@pytest.fixture
def registry(make_context: MakeContext) -> LocalRegistry:
    return LocalRegistry(make_context())


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[[int], Path]:
    def make(number: int) -> Path:
        folder = tmp_path / f"source-{number}"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(b"\x08" * (100 + number))
        (folder / "data" / "labels.txt").write_text("yes\nno\n")
        return folder

    return make


class TestLocalRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, make_context: MakeContext) -> Registry:
        return open_registry(make_context())

    @pytest.fixture
    def repository(self) -> str:
        return "team/fraud"

    @pytest.fixture
    def make_source(self, make_source: Callable[[int], Path]) -> Callable[[int], Path]:
        return make_source


def test_the_digest_is_the_one_of_the_package(registry: LocalRegistry, make_source: Callable[[int], Path]) -> None:
    source = make_source(1)
    pushed = registry.push("fraud", source, "v1")
    assert pushed.digest == f"sha256:{folder_digest(source)}"
    assert pushed.size_bytes == 101 + len("yes\nno\n")
    held = registry.content("fraud", "v1")
    assert (held / "model.onnx").read_bytes() == b"\x08" * 101
    assert folder_digest(held) == folder_digest(source)
    assert (held / "model.onnx").stat().st_mode & 0o777 == 0o444


def test_dot_files_do_not_count(registry: LocalRegistry, make_source: Callable[[int], Path]) -> None:
    source = make_source(1)
    plain = registry.push("fraud", source, "v1")
    (source / ".git").mkdir()
    (source / ".git" / "config").write_text("x")
    assert registry.push("fraud", source, "v2").digest == plain.digest
    assert not (registry.content("fraud", "v2") / ".git").exists()


def test_links_are_followed_to_files(registry: LocalRegistry, make_source: Callable[[int], Path]) -> None:
    source = make_source(1)
    (source / "link.onnx").symlink_to(source / "model.onnx")
    (source / "outside").symlink_to("/etc")
    registry.push("fraud", source, "v1")
    held = registry.content("fraud", "v1")
    assert not (held / "link.onnx").is_symlink()
    assert not (held / "outside").exists()


def test_a_single_file_can_be_pushed(registry: LocalRegistry, tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"layers")
    pushed = registry.push("images", tmp_path / "image.tar", "v1")
    assert (registry.content("images", pushed.digest) / "image.tar").read_bytes() == b"layers"
    assert registry.push("images", tmp_path / "image.tar", "v1") == pushed


def test_repositories_do_not_mix(registry: LocalRegistry, make_source: Callable[[int], Path]) -> None:
    for repository in ("team", "team/fraud", "team-fraud"):
        registry.push(repository, make_source(1), "v1")
    assert [artifact.repository for artifact in registry.list("team")] == ["team"]
    assert sorted(artifact.repository for artifact in registry.list()) == ["team", "team-fraud", "team/fraud"]


@pytest.mark.parametrize("repository", ["", "..", "../x", "a//b", "/a", "a/", "UP", "a" * 129])
def test_bad_repositories_are_refused(registry: LocalRegistry, make_source: Callable[[int], Path], repository: str) -> None:
    with pytest.raises(InvalidRequest):
        registry.push(repository, make_source(1), "v1")


@pytest.mark.parametrize("tag", ["", "-x", "a/b", "a" * 129, "sha256:00"])
def test_bad_tags_are_refused(registry: LocalRegistry, make_source: Callable[[int], Path], tag: str) -> None:
    digest = registry.push("fraud", make_source(1), "v1").digest
    with pytest.raises(InvalidRequest):
        registry.push("fraud", make_source(2), tag)
    with pytest.raises(InvalidRequest):
        registry.tag("fraud", digest, tag)


def test_an_empty_folder_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    with pytest.raises(InvalidRequest, match="empty"):
        registry.push("fraud", tmp_path / "empty", "v1")


def test_a_near_tag_is_named(registry: LocalRegistry, make_source: Callable[[int], Path]) -> None:
    registry.push("fraud", make_source(1), "production")
    with pytest.raises(NotFound) as caught:
        registry.resolve("fraud", "prodution")
    assert caught.value.why == "did you mean 'production'?"


def test_kill_9_in_the_middle_of_a_push_leaves_the_old(registry: LocalRegistry, make_source: Callable[[int], Path], root: Path) -> None:
    old = registry.push("fraud", make_source(1), "live")
    code = """
import os, shutil, sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.registry import open_registry
from mcml.providers.local.settings import Settings
def die(*_args):
    os.kill(os.getpid(), 9)
shutil.copyfile = die
open_registry(ProviderContext(Settings(), Path(sys.argv[1]))).push("fraud", Path(sys.argv[2]), "live")
"""
    pushed = subprocess.run([sys.executable, "-c", code, str(root), str(make_source(2))], check=False, timeout=60)
    assert pushed.returncode == -signal.SIGKILL
    assert registry.list("fraud") == [old]
    assert registry.push("fraud", make_source(2), "live").tags == ("live",)
    assert list((root / "registry" / "fraud" / "blobs").glob(".*")) == []


def test_two_processes_push_at_once_and_lose_nothing(registry: LocalRegistry, make_source: Callable[[int], Path], root: Path) -> None:
    code = """
import sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.registry import open_registry
from mcml.providers.local.settings import Settings
registry = open_registry(ProviderContext(Settings(), Path(sys.argv[1])))
for number in range(5):
    registry.push("fraud", Path(sys.argv[2]), f"{sys.argv[3]}-{number}")
"""
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(root), str(make_source(number)), f"p{number}"], env={**os.environ})
        for number in range(2)
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    tags = sorted(tag for artifact in registry.list("fraud") for tag in artifact.tags)
    assert tags == [f"p{number}-{push}" for number in range(2) for push in range(5)]
    (index,) = (root / "registry" / "fraud").glob("index.json")
    assert len(json.loads(index.read_text())["artifacts"]) == 2
