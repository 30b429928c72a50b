"""A model package: what is read, what identifies it, and what is wrong with a folder that is none."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.package import folder_digest, read_package


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_model_alone_is_enough(tmp_path: Path) -> None:
    folder = make(tmp_path / "fraud", {"model.onnx": b"x"})
    found = read_package(folder)
    assert (found.name, found.version, found.folder, found.about) == ("fraud", "1", folder, {})
    assert found.digest == folder_digest(folder)


def test_model_json_says_what_it_is(tmp_path: Path) -> None:
    about = b'{"name": "fraud", "version": "2026.1", "metrics": {"accuracy": 0.9}}'
    folder = make(tmp_path / "elsewhere", {"model.onnx": b"x", "model.json": about})
    found = read_package(folder)
    assert (found.name, found.version, found.about["metrics"]) == ("fraud", "2026.1", {"accuracy": 0.9})
    assert read_package(folder, name="given").name == "given"


def test_the_name_of_the_folder_is_found_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path / "fraud", {"model.onnx": b"x"}))
    assert read_package(Path()).name == "fraud"


@pytest.mark.parametrize("about", [b"", b"{", b"[]", b"0", b'""', b"\xff"])
def test_a_broken_model_json_is_refused(tmp_path: Path, about: bytes) -> None:
    folder = make(tmp_path, {"model.onnx": b"x", "model.json": about})
    with pytest.raises(InvalidRequest, match=f"cannot read {folder}/model.json") as broken:
        read_package(folder)
    assert broken.value.why
    assert broken.value.next_step == "mend it or delete it: model.onnx is enough"


def test_a_model_json_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    make(tmp_path, {"model.onnx": b"x"})
    (tmp_path / "model.json").mkdir()
    with pytest.raises(InvalidRequest, match=r"cannot read .*model\.json"):
        read_package(tmp_path)


def test_a_folder_without_a_model_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "folder" / "model.onnx").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "none", tmp_path / "folder"):
        with pytest.raises(NotFound, match=f"{folder} is not a model package") as none:
            read_package(folder)
        assert none.value.why == "it holds no model.onnx"
        assert "mcml pipeline train" in none.value.next_step


def test_the_digest_is_pinned(tmp_path: Path) -> None:
    make(tmp_path, {"model.onnx": b"x", "a/labels.txt": b"yes\nno\n"})
    lines = [f"a/labels.txt\0{hashlib.sha256(b'yes' + bytes([10]) + b'no' + bytes([10])).hexdigest()}\n"]
    lines.append(f"model.onnx\0{hashlib.sha256(b'x').hexdigest()}\n")
    assert folder_digest(tmp_path) == hashlib.sha256("".join(lines).encode()).hexdigest()


FILES = st.dictionaries(st.sampled_from(["model.onnx", "a/b", "a/c", "ab", "b/a/d"]), st.binary(max_size=4), min_size=1)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=FILES, other=FILES)
def test_the_same_names_and_bytes_are_the_same_digest(tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes]) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    first = folder_digest(make(folder / "one", one))
    second = folder_digest(make(folder / "other", dict(reversed(other.items()))))
    assert (first == second) == (one == other)


def test_dot_files_times_and_empty_folders_do_not_count(tmp_path: Path) -> None:
    before = folder_digest(make(tmp_path, {"model.onnx": b"x"}))
    make(tmp_path, {".cache/x": b"1", ".DS_Store": b"2", "a/.hidden": b"3"})
    (tmp_path / "empty").mkdir()
    os.utime(tmp_path / "model.onnx", (0, 0))
    assert folder_digest(tmp_path) == before


def test_a_link_counts_as_what_it_leads_to_and_a_dead_one_not_at_all(tmp_path: Path) -> None:
    real = make(tmp_path / "real", {"model.onnx": b"x", "data": b"y"})
    linked = make(tmp_path / "linked", {"data": b"y"})
    (linked / "model.onnx").symlink_to(real / "model.onnx")
    (linked / "dead").symlink_to(tmp_path / "none")
    assert folder_digest(linked) == folder_digest(real)


def test_a_name_that_is_no_utf8_has_a_digest(tmp_path: Path) -> None:
    make(tmp_path, {"model.onnx": b"x"})
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_bytes(b"x")
    assert len(folder_digest(tmp_path)) == 64
