"""`mcml data` as a person types it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcml.core import exits
from mcml.store.db import Store as Journal
from mcml.testing.cli import run
from tests.cli.incidents import typed
from tests.data.world import MIB, content, files, keys, project

LIST_FIELDS = {"name", "kind", "address", "size", "objects", "modified", "checksum", "etag", "version"}
STAT_FIELDS = {"name", "size", "checksum", "etag", "version", "modified"}
OUTCOME_FIELDS = {"name", "source", "state", "action", "size", "detail"}
PLAN_FIELDS = {"name", "source", "action", "reason", "size"}


def items(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(text)["items"]
    return found


def test_a_listing_in_a_pipe_on_a_terminal_and_as_json(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    for key in ("b", "a/1", "a/2/3", "two\nlines", "\x1b[31mred"):
        store.write("first", key, [b"12"])
    rows = [line.split("\t") for line in typed(["data", "ls", "local://first"], cwd=tmp_path).out.splitlines()]
    assert [row[:3] for row in rows] == [
        ["a/", "4", "2"], ["\\x1b[31mred", "2", "1"], ["b", "2", "1"], ["two\\nlines", "2", "1"],
    ]  # fmt: skip
    seen = run(["data", "ls", "local://first"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out
    assert seen.splitlines()[0].split() == ["Name", "Size", "Objects", "Modified"]
    assert "\x1b[31m" not in seen
    value = json.loads(typed(["data", "ls", "-r", "local://first/a", "-o", "json"], cwd=tmp_path).out)
    assert (value["kind"], value["version"]) == ("DataList", 1)
    assert [(item["name"], item["address"], item["size"]) for item in value["items"]] == [
        ("1", "local://first/a/1", 2), ("2/3", "local://first/a/2/3", 2),
    ]  # fmt: skip
    assert all(set(item) == LIST_FIELDS for item in value["items"])
    assert typed(["data", "ls", "local://first/b", "-o", "name"], cwd=tmp_path).out == "local://first/b\n"
    assert typed(["data", "ls", "local://first/none"], cwd=tmp_path).code == exits.NOT_FOUND
    assert typed(["data", "ls", "local://none"], cwd=tmp_path).code == exits.NOT_FOUND


def test_an_empty_bucket_and_a_folder(tmp_path: Path) -> None:
    project(tmp_path, "first")
    assert typed(["data", "ls", "local://first"], cwd=tmp_path) == typed(["data", "ls", "local://first/"], cwd=tmp_path)
    assert typed(["data", "ls", "local://first"], cwd=tmp_path).code == exits.DONE
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/f").write_text("x")
    listed = items(typed(["data", "ls", "d", "-o", "json"], cwd=tmp_path).out)
    assert [(item["name"], item["kind"], item["size"]) for item in listed] == [("e/", "folder", None), ("f", "object", 1)]
    assert typed(["data", "ls", "none"], cwd=tmp_path).code == exits.NOT_FOUND


def test_plain_paths_need_no_project(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    assert typed(["data", "cp", "a", "b"], cwd=tmp_path).code == exits.DONE
    assert typed(["data", "stat", "b"], cwd=tmp_path).code == exits.DONE
    assert (tmp_path / "b").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ls", "loca://x"], exits.USAGE, "did you mean 'local'?"),
        (["ls", "zz://x"], exits.USAGE, "local://"),
        (["ls", "local://"], exits.USAGE, "names no bucket"),
        (["cat", "local://first/"], exits.USAGE, "is a folder"),
        (["cat", "local://first/none"], exits.NOT_FOUND, "nothing at local://first/none"),
        (["stat", "local://first/none"], exits.NOT_FOUND, "nothing at local://first/none"),
        (["rm", "local://first/none", "--yes"], exits.NOT_FOUND, "nothing at local://first/none"),
        (["rm", "local://first/"], exits.USAGE, "--recursive"),
        (["cp", "none", "local://first/a"], exits.NOT_FOUND, "nothing at none"),
    ],
)
def test_what_goes_wrong_is_said(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    project(tmp_path, "first")
    ended = typed(["data", *arguments], cwd=tmp_path)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_provider_that_cannot_yet_is_exit_6(tmp_path: Path) -> None:
    """A provider of a package of its own, on the child's path, whose objects are promised."""
    project(tmp_path)
    info = tmp_path / "site" / "later-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mcml.providers]\nlater = later:spec\n")
    (tmp_path / "site" / "later.py").write_text(
        "from mcml.providers.api.capability import Offer, Support\nfrom mcml.providers.api.spec import ProviderSpec\n"
        "from pydantic import BaseModel\nclass Settings(BaseModel): pass\n"
        "spec = ProviderSpec('later', 'x', '', 'later:Settings', {'ObjectStore': Offer(Support.NOT_YET, note='in May')}, ('later',))\n"
    )
    ended = run(["data", "ls", "later://b"], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert ended.code == exits.PROVIDER_CANNOT
    assert "in May" in ended.err


def test_a_tree_there_and_back(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/a").write_bytes(b"1")
    (tmp_path / "tree/sub/empty").write_bytes(b"")
    dry = typed(["data", "cp", "-r", "tree", "local://first/t", "--dry-run", "-o", "json"], cwd=tmp_path)
    assert [(item["name"], item["action"]) for item in items(dry.out)] == [
        ("local://first/t/a", "create"), ("local://first/t/sub/empty", "create"),
    ]  # fmt: skip
    assert all(set(item) == PLAN_FIELDS for item in items(dry.out))
    assert keys(store, "first") == []
    made = typed(["data", "cp", "-r", "tree", "local://first/t", "-o", "json"], cwd=tmp_path)
    assert (made.code, {str(item["state"]) for item in items(made.out)}) == (exits.DONE, {"done"})
    assert all(set(item) == OUTCOME_FIELDS for item in items(made.out))
    assert "2 copied, 0 failed" in made.err
    again = typed(["data", "cp", "-r", "tree", "local://first/t"], cwd=tmp_path)
    assert again.out == "0 items copied (0 B), 2 kept, 0 failed\n"
    typed(["data", "cp", "-r", "local://first/t", "back"], cwd=tmp_path)
    assert files(tmp_path / "back") == {"a": b"1", "sub/empty": b""}
    with Journal(f"sqlite:///{tmp_path}/.mcml/mcml.db") as journal:
        facts = [(entry.kind, entry.facts["copied"], entry.facts["bytes"]) for entry in journal.entries()]
    assert facts == [("data.copied", 2, 1)]


def test_some_failed_is_exit_7_with_both_said(tmp_path: Path) -> None:
    project(tmp_path, "first")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/good").write_bytes(b"1")
    (tmp_path / "tree/link").symlink_to("/")
    ended = typed(["data", "cp", "-r", "tree", "local://first", "-o", "json"], cwd=tmp_path)
    assert ended.code == exits.PARTLY_DONE
    assert {item["name"]: item["state"] for item in items(ended.out)} == {"local://first/good": "done", "local://first/link": "failed"}
    assert "next: mcml data cp --recursive tree local://first" in ended.err


MCML = [sys.executable, "-m", "mcml", "data"]
BYTES = bytes(range(256)) * 5000 + b"\r\n"


def test_bytes_from_a_pipe_are_unchanged(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    subprocess.run([*MCML, "cp", "-", "local://first/a b"], cwd=tmp_path, input=BYTES, check=True, capture_output=True)
    assert content(store, "first", "a b") == BYTES


def test_bytes_into_a_pipe_are_unchanged(tmp_path: Path) -> None:
    project(tmp_path, "first").write("first", "a b", [BYTES])
    for argv in (["cat", "local://first/a b"], ["cp", "local://first/a b", "-"]):
        assert subprocess.run([*MCML, *argv], cwd=tmp_path, check=True, capture_output=True).stdout == BYTES
    known = items(typed(["data", "stat", "local://first/a b", "-o", "json"], cwd=tmp_path).out)[0]
    assert set(known) == STAT_FIELDS
    assert (known["name"], known["size"]) == ("local://first/a b", len(BYTES))


def test_deleting_asks_with_count_and_size(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    for key in ("a/1", "a/2", "b"):
        store.write("first", key, [b"x" * 1024])
    refused = typed(["data", "rm", "-r", "local://first/a"], cwd=tmp_path)
    assert (refused.code, keys(store, "first")) == (exits.USAGE, ["a/1", "a/2", "b"])
    no = run(["data", "rm", "-r", "local://first/a"], cwd=tmp_path, terminal=True, stdin="n\n")
    assert "Delete 2 items (2.0 KiB) at local://first/a? [y/N]" in no.out
    assert (no.code, keys(store, "first")) == (exits.INTERRUPTED, ["a/1", "a/2", "b"])
    dry = typed(["data", "rm", "-r", "local://first/a", "--dry-run", "-o", "json"], cwd=tmp_path)
    assert [item["action"] for item in items(dry.out)] == ["delete", "delete"]
    assert typed(["data", "rm", "-r", "local://first/a", "--yes"], cwd=tmp_path).code == exits.DONE
    assert keys(store, "first") == ["b"]
    assert typed(["data", "rm", "local://first/b", "-y"], cwd=tmp_path).code == exits.DONE
    assert typed(["data", "rm", "-r", "local://first", "-y"], cwd=tmp_path).code == exits.DONE


def test_no_clobber_and_force(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    first = store.write("first", "a", [b"1"])
    (tmp_path / "a").write_bytes(b"2")
    typed(["data", "cp", "a", "local://first/", "--no-clobber"], cwd=tmp_path)
    assert content(store, "first", "a") == b"1"
    (tmp_path / "a").write_bytes(b"1")
    typed(["data", "cp", "a", "local://first/"], cwd=tmp_path)
    assert store.stat("first", "a").etag == first.etag
    typed(["data", "cp", "a", "local://first/", "--force"], cwd=tmp_path)
    assert store.stat("first", "a").etag != first.etag


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))


def test_a_full_disk_is_said_and_leaves_no_file(tmp_path: Path) -> None:
    store = project(tmp_path, "first")
    store.write("first", "big", [b"x" * 5 * MIB])
    store.write("first", "small", [b"x"])
    argv = [sys.executable, "-m", "mcml", "data", "cp", "-r", "local://first", "out"]
    ended = subprocess.run(argv, cwd=tmp_path, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert ended.returncode == exits.PARTLY_DONE
    assert "cannot write out/big (File too large)" in ended.stderr
    assert files(tmp_path / "out") == {"small": b"x"}


DRIP = """
import time
with open("pipe", "wb", buffering=0) as out:
    while True:
        out.write(bytes(1 << 20))
        time.sleep(0.05)
"""


def test_ctrl_c_says_what_is_half_done_and_how_to_go_on(tmp_path: Path) -> None:
    project(tmp_path, "first")
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen([sys.executable, "-c", DRIP], cwd=tmp_path, stderr=subprocess.DEVNULL)
    argv = [sys.executable, "-m", "mcml", "data", "cp", "-", "local://first/big"]
    with (tmp_path / "pipe").open("rb") as pipe:
        child = subprocess.Popen(argv, cwd=tmp_path, stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        incoming, end = tmp_path / ".mcml/local/buckets/first/incoming", time.monotonic() + 30
        while not any(path.stat().st_size > 0 for path in incoming.iterdir()):
            assert time.monotonic() < end
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
        writer.kill()
        writer.wait()
    assert child.returncode == exits.INTERRUPTED
    assert "interrupted: 0 of 1 item ended" in err
    assert "half-done: local://first/big" in err
    assert "next: mcml data cp - local://first/big" in err
    assert list(incoming.iterdir()) == []


MEASURE = """
import sys
from mcml.cli.main import main
from mcml.testing.memory import peak_bytes
code = main(sys.argv[1:])
print(code, peak_bytes())
"""


@pytest.mark.slow
def test_a_large_object_streams_in_constant_memory(tmp_path: Path) -> None:
    store = project(tmp_path, "first", "second")
    store.write("first", "big", (os.urandom(MIB) for _ in range(256)))
    for source, destination in (("local://first/big", "local://second/big"), ("local://second/big", "big")):
        argv = [sys.executable, "-c", MEASURE, "data", "cp", source, destination, "-o", "name"]
        ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
        code, peak = ended.stdout.splitlines()[-1].split()
        assert code == "0"
        assert int(peak) < 150 * MIB
    assert (tmp_path / "big").stat().st_size == 256 * MIB
    assert store.stat("first", "big").checksum == store.stat("second", "big").checksum
