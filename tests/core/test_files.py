"""Files of ours: whole or not at all, whatever happens in the middle."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcml.core import files
from mcml.core.files import read_json, staged_folder, write_atomic, write_json
from mcml.core.secret import Secret


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_written_with_its_parents_and_mode(tmp_path: Path, durable: bool) -> None:
    file = tmp_path / "a" / "b" / "secret"
    write_atomic(file, b"one", mode=0o600, durable=durable)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"one", 0o600)
    write_atomic(file, b"two", durable=durable)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"two", 0o644)
    assert names(file.parent) == ["secret"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "file", b"", mode=0o664)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o664


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_atomic(file, b"old")
    with file.open("rb") as reader:
        write_atomic(file, b"new")
        assert reader.read() == b"old"
    assert file.read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "folder", b"x")
    with pytest.raises(TypeError):
        write_atomic(tmp_path / "file", "text")  # type: ignore[arg-type]
    assert names(tmp_path) == ["folder"]


@contextmanager
def writer(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes long files of one letter, over and over; it says when it has begun."""
    code = (
        "import itertools, sys; from pathlib import Path; from mcml.core.files import write_atomic\n"
        "for letter in itertools.cycle(b'ab'):\n"
        "    write_atomic(Path(sys.argv[1]), bytes([letter]) * 2_000_000, durable=False); print(flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_kill_9_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    chance = random.Random(1)
    for attempt in range(4):
        file = tmp_path / str(attempt) / "file"
        with writer(file) as process:
            assert process.stdout
            process.stdout.readline()
            end = time.monotonic() + chance.uniform(0, 0.05)
            while time.monotonic() < end:
                assert set(file.read_bytes()) in ({97}, {98})
            process.kill()
            process.wait()
            content = file.read_bytes()
        assert (len(content), len(set(content))) == (2_000_000, 1)


def test_json_comes_back_and_shows_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_json(file, {"b": [1, None], "a": "é", "at": Path("x"), "token": Secret("sesame")}, mode=0o600)
    assert read_json(file) == {"a": "é", "at": "x", "b": [1, None], "token": "[hidden]"}
    assert (file.read_text()[-2:], list(json.loads(file.read_text()))) == ("}\n", ["a", "at", "b", "token"])
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "f", 1)
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        write_json(tmp_path / "f", circle)
    assert (read_json(tmp_path / "f"), names(tmp_path)) == (1, ["f"])


def test_no_file_is_none_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none") is None
    for number, broken in enumerate((b"", b'{"a": ', b"\xff")):
        file = tmp_path / str(number)
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=f"^{file}: "):
            read_json(file)


# Folders


def test_a_folder_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "a" / "folder"
    with staged_folder(final) as stage:
        assert (stage.parent, names(stage), final.exists()) == (final.parent, [], False)
        (stage / "file").write_text("x")
    assert (names(final), final.stat().st_mode & 0o777, names(final.parent)) == (["file"], 0o755, ["folder"])


@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_block_leaves_nothing_new(tmp_path: Path, replace: bool) -> None:
    final = tmp_path / "folder"
    if replace:
        final.mkdir()
        (final / "old").write_text("x")
    with pytest.raises(RuntimeError, match="half"), staged_folder(final, replace=replace) as stage:
        (stage / "new").write_text("x")
        raise RuntimeError("half")
    assert names(tmp_path) == (["folder"] if replace else [])
    assert not replace or names(final) == ["old"]


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError), staged_folder(tmp_path / "folder"):
        pytest.fail("the block must not run")
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_somebody_made_meanwhile_is_not_touched(tmp_path: Path) -> None:
    final = tmp_path / "folder"
    with pytest.raises(FileExistsError), staged_folder(final) as stage:
        (stage / "ours").write_text("x")
        final.mkdir()
        (final / "theirs").write_text("x")
    assert (names(tmp_path), names(final)) == (["folder"], ["theirs"])


def test_an_existing_folder_gives_way(tmp_path: Path) -> None:
    final = tmp_path / "folder"
    final.mkdir()
    (final / "old").write_text("x")
    with staged_folder(final, replace=True) as stage:
        (stage / "new").write_text("x")
        assert names(final) == ["old"]
    assert (names(final), names(tmp_path)) == (["new"], ["folder"])


def test_it_gives_way_also_where_the_file_system_cannot_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RENAME_EXCHANGE", 1 << 30)  # to the kernel a flag that it does not know, as to an older file system
    final = tmp_path / "folder"
    final.mkdir()
    (final / "old").write_text("x")
    with staged_folder(final, replace=True) as stage:
        (stage / "new").write_text("x")
        assert names(final) == ["old"]
    assert (names(final), names(tmp_path)) == (["new"], ["folder"])


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "disk" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    link.symlink_to(real)
    with staged_folder(link, replace=True) as stage:
        (stage / "new").write_text("x")
    assert (link.readlink(), names(real), names(tmp_path)) == (real, ["new"], ["disk", "link"])


def test_a_file_does_not_give_way_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("x")
    with pytest.raises(FileExistsError), staged_folder(tmp_path / "name", replace=True):
        pytest.fail("the block must not run")


def test_a_folder_is_there_at_every_moment_while_it_is_replaced(tmp_path: Path) -> None:
    final = tmp_path / "folder"
    code = (
        "import itertools, sys; from pathlib import Path; from mcml.core.files import staged_folder\n"
        "for n in itertools.count():\n"
        "    with staged_folder(Path(sys.argv[1]), replace=True) as stage: (stage / 'file').write_text('whole')\n"
        "    print(flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, final], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            end = time.monotonic() + 0.3
            looks = 0
            while time.monotonic() < end:
                folder = os.open(final, os.O_DIRECTORY)  # there is a folder of this name now, and it is whole or already taken away
                with os.scandir(folder) as entries:
                    assert [entry.name for entry in entries] in (["file"], [])
                os.close(folder)
                looks += 1
        finally:
            process.kill()
    assert looks > 100
    assert names(final) == ["file"]
