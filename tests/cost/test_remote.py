"""Exports in a bucket: each version is fetched once, manifests say what is one delivery, and what changes meanwhile is refused."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.core.report import Silent
from mcml.cost.remote import Fetched, Place, fetch
from mcml.providers.api.object_store import ObjectStore
from mcml.store.ledger.book import Ledger
from mcml.testing.cli import run
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody
from tests.cost.focus import csv_text, text_row
from tests.data.world import Store, project

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]


def export(amount: str, **changes: str) -> bytes:
    return csv_text([text_row(BilledCost=amount, **changes)]).encode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(project(tmp_path, "bills"))


def put(store: ObjectStore, key: str, content: bytes) -> None:
    store.write("bills", key, [content])


def look(store: Store, tmp_path: Path, prefix: str = "") -> list[Fetched]:
    return fetch(Place(store, f"local://bills/{prefix}", "bills", prefix), tmp_path / "fetched", Silent())


def contents(fetched: Fetched) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in fetched.paths}


def test_each_version_of_a_file_is_fetched_once(store: Store, tmp_path: Path) -> None:
    put(store, "a/one.csv", b"1")
    put(store, "a/two.csv.gz", b"2")
    put(store, "a/notes.txt", b"no export")
    put(store, "ab/other.csv", b"elsewhere")
    (first,) = look(store, tmp_path, "a")
    assert (contents(first), first.kept, len(store.reads)) == ({"one.csv": b"1", "two.csv.gz": b"2"}, 0, 2)
    (again,) = look(store, tmp_path, "a")
    assert (again.kept, again.paths, len(store.reads)) == (2, first.paths, 2)
    put(store, "a/one.csv", b"1, restated")
    (changed,) = look(store, tmp_path, "a")
    assert (contents(changed), changed.kept, len(store.reads)) == ({"one.csv": b"1, restated", "two.csv.gz": b"2"}, 1, 3)
    assert sorted(path.name for path in (tmp_path / "fetched").rglob("*") if path.is_file()) == ["one.csv", "two.csv.gz"]


def manifest(store: Store, month: str, *files: str, run: str = "") -> None:
    text = json.dumps({"dataFiles": [f"s3://bills/x/{file}" for file in files]}).encode()
    put(store, f"x/metadata/BILLING_PERIOD={month}/{run}x-Manifest.json", text)


def test_the_newest_manifest_of_a_month_says_what_its_bill_is(store: Store, tmp_path: Path) -> None:
    for name in ("data/9/a.csv", "data/10/run-1/a.csv", "data/10/run-2/a.csv", "data/10/run-2/b.csv"):
        put(store, f"x/{name}", name.encode())
    put(store, "y.csv", b"no manifest speaks of it")
    manifest(store, "2026-09", "data/9/a.csv")
    manifest(store, "2026-10", "data/10/run-1/a.csv", run="run-1/")
    manifest(store, "2026-10", "data/10/run-2/a.csv", "data/10/run-2/b.csv", run="run-2/")
    found = look(store, tmp_path)
    assert [(each.origin, sorted(content.decode() for content in contents(each).values())) for each in found] == [
        ("local://bills/x/metadata/BILLING_PERIOD=2026-09/x-Manifest.json", ["data/9/a.csv"]),
        ("local://bills/x/metadata/BILLING_PERIOD=2026-10/run-2/x-Manifest.json", ["data/10/run-2/a.csv", "data/10/run-2/b.csv"]),
        ("local://bills/", ["no manifest speaks of it"]),
    ]


def test_a_manifest_that_names_what_is_not_there_and_one_that_is_none(store: Store, tmp_path: Path) -> None:
    manifest(store, "2026-10", "data/a.csv")
    with pytest.raises(Conflict, match=r"data/a\.csv, which is not there"):
        look(store, tmp_path)
    put(store, "x/metadata/BILLING_PERIOD=2026-10/x-Manifest.json", b"[]")
    with pytest.raises(InvalidRequest, match="cannot read the manifest"):
        look(store, tmp_path)


def test_nothing_to_fetch_is_told(store: Store, tmp_path: Path) -> None:
    put(store, "notes.txt", b"no export")
    with pytest.raises(NotFound, match="no export at local://bills/"):
        look(store, tmp_path)


def test_an_export_that_changes_while_it_is_read_is_refused_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    put(store, "a.csv", b"1" * 100)

    def changing(key: str, start: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield from chunks
        put(store.real, key, b"2" * 100)

    store.on_read = changing
    with pytest.raises(Conflict, match="changed while it was read"):
        look(store, tmp_path)
    assert [path for path in (tmp_path / "fetched").rglob("*") if path.is_file()] == []


def test_bytes_that_are_wrong_are_refused(store: Store, tmp_path: Path) -> None:
    put(store, "a.csv", b"1" * 100)
    store.on_read = lambda key, start, chunks: (chunk.replace(b"1", b"3") for chunk in chunks)
    with pytest.raises(Conflict):
        look(store, tmp_path)
    store.on_read = lambda key, start, chunks: (chunk[:-1] for chunk in chunks)
    with pytest.raises(Conflict):
        look(store, tmp_path)


def test_a_prefix_is_booked_as_one_delivery(store: Store, tmp_path: Path) -> None:
    put(store, "2026/a.csv", export("1"))
    put(store, "2026/b.csv", export("2"))
    argv = ["cost", "ingest", "local://bills/2026/", "-o", "json"]
    done = run(argv, cwd=tmp_path)
    assert done.code == 0, done.err
    (item,) = json.loads(done.out)["items"]
    assert (item["origin"], item["rows"], item["unchanged"]) == ("local://bills/2026/", 2, False)
    assert json.loads(run(argv, cwd=tmp_path).out)["items"][0]["unchanged"]
    put(store, "2026/b.csv", export("5"))
    assert run(argv, cwd=tmp_path).code == 0
    assert Ledger(tmp_path / ".mcml" / "cost").totals(())[0].billed == Decimal(6)
    assert run(["cost", "ingest", "local://bills/none/"], cwd=tmp_path).code == 5


@pytest.mark.cloud
@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_every_cloud_is_read_once(cloud_project: CloudProject, scheme: str) -> None:
    address, held = cloud_project.bucket(scheme), cloud_project.store(scheme)
    bucket = address.partition("://")[2]
    held.write(bucket, "e/a.csv", [export("1.5", ServiceProviderName=scheme)])
    counted = Store(held)
    place = Place(counted, f"{address}/e/", bucket, "e/")
    for reads in (1, 1):
        (found,) = fetch(place, cloud_project.folder / "fetched", Silent())
        assert (len(counted.reads), len(found.paths)) == (reads, 1)
    done = run(["cost", "ingest", f"{address}/e/", "-o", "json"], cwd=cloud_project.folder, timeout=120)
    assert done.code == 0, done.err
    assert json.loads(done.out)["items"][0]["rows"] == 1
