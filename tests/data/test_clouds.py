"""`mcml data` over s3://, gs://, az://, local:// and paths, as a person types it, against moto, fake-gcs-server and Azurite."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mcml.core import exits
from mcml.data.threads import GRACE_SECONDS
from mcml.store.db import Store as Journal
from mcml.testing.cli import run
from mcml.testing.stubs.faults import Answer, Delay, FaultProxy, Pass, Request
from tests.cli.incidents import typed
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody
from tests.data.test_cli import LIST_FIELDS, OUTCOME_FIELDS, STAT_FIELDS
from tests.data.world import MIB, files

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]
pytestmark = pytest.mark.cloud
CLOUDS = ("s3", "gs", "az")
SMALL = {"a": b"1", "sub/b c": b"two words", "sub/ümlaut.txt": "grün".encode(), "sub/deep/empty": b""}


def tree(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def sums(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files(folder).items()}


def items(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["items"]
    return found


@pytest.mark.slow
def test_a_tree_with_a_large_object_goes_through_all_clouds_and_comes_back_the_same(cloud_project: CloudProject) -> None:
    """In one ring; each step a second time copies nothing, and the large object went in parts."""
    folder = cloud_project.folder
    tree(folder / "tree", SMALL | {"large": os.urandom(20 * MIB)})
    ring = ["tree", *(f"{cloud_project.bucket(scheme)}/t" for scheme in ("s3", "az", "gs")), "back"]
    for source, destination in pairwise(ring):
        copied = run(["data", "cp", "-r", source, destination], cwd=folder)
        assert copied.code == exits.DONE, copied.err
        assert copied.out.endswith("5 items copied (20.0 MiB), 0 kept, 0 failed\n")
        assert "verified by size" not in copied.out
        again = typed(["data", "cp", "-r", source, destination], cwd=folder)
        assert (again.code, again.out) == (exits.DONE, "0 items copied (0 B), 5 kept, 0 failed\n"), (source, again)
    assert sums(folder / "back") == sums(folder / "tree")
    with Journal(f"sqlite:///{folder}/.mcml/mcml.db") as journal:
        facts = [(entry.facts["destination"], entry.facts["copied"], entry.facts["bytes"]) for entry in journal.entries()]
    assert facts == [(f"{end}/", 5, 20 * MIB + 15) for end in ring[1:4]]


def put(cloud_project: CloudProject, scheme: str, content: dict[str, bytes]) -> str:
    """Make a bucket with objects; return its address."""
    address, store = cloud_project.bucket(scheme), cloud_project.store(scheme)
    for key, data in content.items():
        store.write(address.rpartition("/")[2], key, [data])
    return address


def left(cloud_project: CloudProject, address: str) -> list[str]:
    scheme, _, bucket = address.partition("://")
    return [stat.key for stat in cloud_project.store(scheme).list(bucket)]


@pytest.mark.parametrize("scheme", CLOUDS)
def test_looking_at_objects(cloud_project: CloudProject, scheme: str) -> None:
    folder, bucket = cloud_project.folder, put(cloud_project, scheme, SMALL)
    shown = run(["data", "ls", bucket], cwd=folder, terminal=True, env={"NO_COLOR": "1"})
    assert [line.split()[:3] for line in shown.out.splitlines()[1:]] == [["sub/", "14", "B"], ["a", "1", "B"]]
    listed = typed(["data", "ls", "-r", f"{bucket}/sub", "-o", "json"], cwd=folder)
    assert [(item["name"], item["address"], item["size"]) for item in items(listed.out)] == [
        (name.removeprefix("sub/"), f"{bucket}/{name}", len(SMALL[name])) for name in sorted(SMALL) if name != "a"
    ]
    assert all(set(item) == LIST_FIELDS for item in items(listed.out))
    assert typed(["data", "ls", f"{bucket}/sub/", "-o", "name"], cwd=folder).out.splitlines()[1] == f"{bucket}/sub/b c"
    argv = [sys.executable, "-m", "mcml", "data", "cat", f"{bucket}/sub/ümlaut.txt"]
    assert subprocess.run(argv, cwd=folder, capture_output=True, check=True).stdout == "grün".encode()
    (known,) = items(typed(["data", "stat", f"{bucket}/a", "-o", "json"], cwd=folder).out)
    assert set(known) == STAT_FIELDS
    assert (known["name"], known["size"], bool(known["etag"]), known["checksum"].partition(":")[0]) == (
        f"{bucket}/a", 1, True, {"s3": "sha256", "gs": "crc32c", "az": "md5"}[scheme],
    )  # fmt: skip


@pytest.mark.parametrize("scheme", CLOUDS)
def test_a_dry_run_and_a_small_copy_each_way(cloud_project: CloudProject, scheme: str) -> None:
    folder, bucket = tree(cloud_project.folder, {"local/a": b"1"}), cloud_project.bucket(scheme)
    dry = typed(["data", "cp", "local/a", f"{bucket}/in/", "--dry-run", "-o", "json"], cwd=folder)
    assert [(item["name"], item["action"], item["size"]) for item in items(dry.out)] == [(f"{bucket}/in/a", "create", 1)]
    assert left(cloud_project, bucket) == []
    made = typed(["data", "cp", "local/a", f"{bucket}/in/", "-o", "json"], cwd=folder)
    (outcome,) = items(made.out)
    assert set(outcome) == OUTCOME_FIELDS
    assert (made.code, outcome["name"], outcome["state"], outcome["size"]) == (exits.DONE, f"{bucket}/in/a", "done", 1)
    assert outcome["detail"].startswith("verified by ")
    own = cloud_project.bucket("local")
    assert typed(["data", "cp", "-r", f"{bucket}/in", own], cwd=folder).code == exits.DONE
    assert left(cloud_project, own) == ["a"]
    (folder / "local/a").write_bytes(b"changed")
    dry = typed(["data", "cp", "local/a", f"{bucket}/in/", "--dry-run", "-o", "json"], cwd=folder)
    assert [(item["action"], item["reason"]) for item in items(dry.out)] == [("update", "7 bytes, not 1")]
    kept = typed(["data", "cp", "local/a", f"{bucket}/in/a", "--no-clobber"], cwd=folder)
    assert (kept.code, typed(["data", "stat", f"{bucket}/in/a", "-o", "json"], cwd=folder).out.count('"size": 1')) == (exits.DONE, 1)


@pytest.mark.parametrize("scheme", CLOUDS)
def test_deleting_asks_first(cloud_project: CloudProject, scheme: str) -> None:
    folder, bucket = cloud_project.folder, put(cloud_project, scheme, SMALL)
    nobody_to_ask = typed(["data", "rm", "-r", f"{bucket}/sub"], cwd=folder)
    assert (nobody_to_ask.code, "--yes" in nobody_to_ask.err) == (exits.USAGE, True)
    no = run(["data", "rm", "-r", f"{bucket}/sub"], cwd=folder, terminal=True, stdin="n\n")
    assert f"Delete 3 items (14 B) at {bucket}/sub" in " ".join(no.out.split())
    dry = typed(["data", "rm", "-r", bucket, "--dry-run", "-o", "name"], cwd=folder)
    assert (no.code, len(dry.out.splitlines()), len(left(cloud_project, bucket))) == (exits.INTERRUPTED, 4, 4)
    assert typed(["data", "rm", "-r", f"{bucket}/sub", "--yes"], cwd=folder).code == exits.DONE
    assert left(cloud_project, bucket) == ["a"]
    assert typed(["data", "rm", f"{bucket}/a", "-y"], cwd=folder).code == exits.DONE
    gone = typed(["data", "rm", f"{bucket}/a", "-y"], cwd=folder)
    assert (gone.code, gone.err) == (exits.NOT_FOUND, f"error: nothing at {bucket}/a\n  next: mcml data ls {bucket}/\n")


NO_BUCKET = "no-such-bucket-7f3a"
BUCKETS_THERE_ARE = {
    "s3": "aws s3 ls",
    "gs": "gcloud storage buckets list --project=stub-project",
    "az": "az storage container list --auth-mode login --account-name devstoreaccount1",
}


def test_a_tree_is_deleted_with_the_object_whose_key_ends_in_a_slash(cloud_project: CloudProject) -> None:
    """And has bytes: then no listing of obstore can tell it from one without the slash."""
    address = put(cloud_project, "s3", {"t/a/": b"not empty", "t/b": b"1", "other": b"2"})
    removed = run(["data", "rm", "-r", "--yes", f"{address}/t/"], cwd=cloud_project.folder)
    assert removed.code == exits.DONE, removed.err
    assert left(cloud_project, address) == ["other"]
    assert not list(cloud_project.store("s3").list(address.rpartition("/")[2], "t/"))


@pytest.mark.parametrize("scheme", CLOUDS)
@pytest.mark.parametrize("words", ["ls BUCKET", "ls -r BUCKET/a/", "cp here BUCKET/a", "cp -r BUCKET there", "rm -r BUCKET/"])
def test_a_bucket_that_is_not_there(cloud_project: CloudProject, scheme: str, words: str) -> None:
    folder = tree(cloud_project.folder, {"here": b"1"})
    ended = typed(["data", *words.replace("BUCKET", f"{scheme}://{NO_BUCKET}").split()], cwd=folder)
    assert ended.code == exits.NOT_FOUND
    assert NO_BUCKET in ended.err
    assert f"next: {BUCKETS_THERE_ARE[scheme]}\n" in ended.err
    assert not (folder / "there").exists()


LOGINS = {"s3": "aws configure sso", "gs": "gcloud auth application-default login", "az": "az login"}
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "gs": ("STORAGE_EMULATOR_HOST",),
    "az": ("AZURE_STORAGE_KEY",),
}


@pytest.fixture
def logged_out(cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The scheme of a cloud for which the environment has no login any more."""
    scheme: str = request.param
    for name in CREDENTIALS[scheme]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    if scheme == "az":
        cloud_project.connect(azure="https://127.0.0.1:9")
    return scheme


@pytest.mark.parametrize("logged_out", CLOUDS, indirect=True)
def test_no_login(cloud_project: CloudProject, logged_out: str) -> None:
    """One cloud without a login is said with the command that mends it, also as one end of a copy; the others go on."""
    folder, own = tree(cloud_project.folder, {"here": b"1"}), f"{logged_out}://models"
    other = put(cloud_project, "gs" if logged_out == "s3" else "s3", {"a": b"1"})
    for words in (["ls", own], ["cp", "here", f"{own}/a"], ["cp", "-r", other, own], ["cp", "-r", own, other]):
        ended = typed(["data", *words], cwd=folder)
        assert ended.code == exits.NOT_AUTHENTICATED, ended
        assert f"  next: {LOGINS[logged_out]}\n" in ended.err
        assert "a bug" not in ended.err
    assert typed(["data", "ls", other], cwd=folder).code == exits.DONE


def is_object(request: Request) -> bool:
    return request.method == "PUT"


@pytest.fixture
def way_to_s3(cloud_project: CloudProject) -> Iterator[FaultProxy]:
    """Something between us and S3 that fails as a test wants it."""
    with FaultProxy(cloud_project.clouds.aws) as proxy:
        cloud_project.connect(aws=proxy.url)
        yield proxy


def test_a_cloud_that_is_down(cloud_project: CloudProject, way_to_s3: FaultProxy) -> None:
    """As the source or the destination: nothing is copied, and it is said which one is away; another cloud is not touched by it."""
    folder, down, up = cloud_project.folder, cloud_project.bucket("s3"), put(cloud_project, "gs", {"a": b"1"})
    way_to_s3.refuse()
    for words in (["cp", "-r", up, down], ["cp", "-r", down, up], ["ls", down]):
        ended = typed(["data", *words], cwd=folder)
        assert ended.code == exits.FAILED
        assert f"error: cannot list {down}/\n" in ended.err
        assert "  next: mcml doctor\n" in ended.err
    assert typed(["data", "cp", "-r", up, "here"], cwd=folder).code == exits.DONE
    assert files(folder / "here") == {"a": b"1"}


@pytest.mark.slow
def test_a_cloud_that_goes_down_in_the_middle(cloud_project: CloudProject, way_to_s3: FaultProxy) -> None:
    """What was copied stays copied and is said (exit 7); the command that is named copies the rest."""
    folder = tree(cloud_project.folder, {f"tree/{number}": b"%d" % number for number in range(4)})
    bucket = cloud_project.bucket("s3")
    way_to_s3.script(*[Pass()] * 2, *[Answer(503)] * 200, only=is_object)
    ended = run(["data", "cp", "-r", "--jobs", "1", "tree", bucket, "-o", "json"], cwd=folder)
    assert ended.code == exits.PARTLY_DONE
    assert sorted(item["state"] for item in items(ended.out)) == ["done"] * 2 + ["failed"] * 2
    assert f"next: mcml data cp --recursive tree {bucket}\n" in ended.err
    assert len(left(cloud_project, bucket)) == 2
    way_to_s3.script()
    again = run(["data", "cp", "--recursive", "tree", bucket], cwd=folder)
    assert (again.code, again.out.splitlines()[-1]) == (exits.DONE, "2 items copied (2 B), 2 kept, 0 failed")
    with Journal(f"sqlite:///{folder}/.mcml/mcml.db") as journal:
        assert [(entry.kind, entry.facts["copied"], entry.facts["failed"]) for entry in journal.entries()] == [
            ("data.copied", 2, 2), ("data.copied", 2, 0),
        ]  # fmt: skip


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_with_what_is_missing(cloud_project: CloudProject, way_to_s3: FaultProxy) -> None:
    folder = tree(cloud_project.folder, {f"tree/{number}": os.urandom(100 + number) for number in range(8)})
    bucket = cloud_project.bucket("s3")
    way_to_s3.script(*[Pass()] * 3, *[Delay(60, reaches_server=False)] * 8, only=is_object)
    argv = [sys.executable, "-m", "mcml", "data", "cp", "-r", "--jobs", "2", "tree", bucket]
    child = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while sum(is_object(request) for request in way_to_s3.requests) < 4:
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait(30)
    way_to_s3.script()
    assert len(left(cloud_project, bucket)) == 3
    way_to_s3.script()
    again = run(["data", "cp", "-r", "--jobs", "2", "tree", bucket], cwd=folder)
    assert (again.code, again.out.splitlines()[-1].split(" (")[0]) == (exits.DONE, "5 items copied")
    assert sum(is_object(request) for request in way_to_s3.requests) == 5
    assert typed(["data", "cp", "-r", bucket, "back"], cwd=folder).code == exits.DONE
    assert sums(folder / "back") == sums(folder / "tree")


@pytest.mark.parametrize("scheme", CLOUDS)
@pytest.mark.parametrize("upload", [False, True], ids=["down", "up"])
def test_a_stalled_cloud_does_not_hold_a_person_who_stops(
    cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch, scheme: str, upload: bool
) -> None:
    """Ctrl-C while a transfer waits for an answer that does not come: it ends in about a second, and leaves nothing half-written."""
    address, where = put(cloud_project, scheme, {} if upload else {"k": b"content"}), cloud_project.clouds
    tree(cloud_project.folder / "here", {"k": b"content"})
    stalls = {("gs", True): "/upload/", ("gs", False): "alt=media"}.get((scheme, upload), "/k")
    method = {("gs", True): "POST"}.get((scheme, upload), "PUT" if upload else "GET")
    with FaultProxy({"s3": where.aws, "gs": where.gcp, "az": where.azure}[scheme]) as proxy:
        if scheme == "gs":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        else:
            cloud_project.connect(**{"aws" if scheme == "s3" else "azure": proxy.url})
        proxy.script(*[Delay(60.0, reaches_server=False)] * 9, only=lambda request: request.method == method and stalls in request.path)
        ends = ["here/k", f"{address}/k"] if upload else [f"{address}/k", "there/k"]
        words = [sys.executable, "-m", "mcml", "data", "cp", *ends]
        with subprocess.Popen(words, cwd=cloud_project.folder, stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 60
            while len(proxy.unused) == 9 and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.2)  # it waits now
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            took = time.monotonic() - began
    assert process.returncode == exits.INTERRUPTED, said
    assert f"half-done: {ends[1]}" in said
    assert took < GRACE_SECONDS + 20  # the cloud holds for 60
    assert files(cloud_project.folder / "there") == {}
    if upload:
        cloud_project.connect()
        if scheme == "gs":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", where.gcp)
        assert left(cloud_project, address) == []
