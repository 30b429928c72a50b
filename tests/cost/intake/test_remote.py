"""Exports in a bucket: each version is fetched once, manifests say what is one delivery, and what changes meanwhile is refused."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.core.report import Silent
from mcml.cost.intake.remote import Fetched, Place, fetch
from mcml.providers.api.object_store import ObjectStore
from mcml.store.ledger.book import Ledger
from mcml.testing.cli import run
from tests.cloud_project import CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody
from tests.cost.bill_files import write
from tests.cost.focus import csv_text, text_row
from tests.cost.intake.test_bills import PLAN, azure, google
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


def said(store: Store, tmp_path: Path, prefix: str = "") -> list[tuple[str, list[str]]]:
    """The deliveries: their origins below the bucket, and the contents of their files."""
    found = look(store, tmp_path, prefix)
    return [(each.origin.removeprefix("local://bills/"), sorted(path.read_text() for path in each.paths)) for each in found]


def named(store: Store, key: str, field: str, *files: str) -> None:
    entries = [{"blobName": file} for file in files] if field == "blobs" else list(files)
    put(store, key, json.dumps({field: entries}).encode())


def test_a_legacy_report_keeps_its_versions_and_the_newest_counts(store: Store, tmp_path: Path) -> None:
    for month, versions in (("20260501-20260601", "ab"), ("20260601-20260701", "c")):
        for version in versions:
            key = f"cur/r/{month}/{version}/r-1.csv"
            put(store, key, key.encode())
            named(store, f"cur/r/{month}/{version}/r-Manifest.json", "reportKeys", key)
            named(store, f"cur/r/{month}/r-Manifest.json", "reportKeys", key)
    assert [contents for _, contents in said(store, tmp_path, "cur")] == [
        ["cur/r/20260501-20260601/b/r-1.csv"],
        ["cur/r/20260601-20260701/c/r-1.csv"],
    ]


def test_the_newest_runs_of_the_exports_of_azure_are_one_delivery(store: Store, tmp_path: Path) -> None:
    """Each day a run says the month anew; what is not the newest of its days counts no more. Weeks of a month count each."""
    runs = ["actual/20260501-20260531/1", "actual/20260501-20260531/2", "amortized/20260501-20260531/3"]
    runs += ["weekly/20260601-20260607/4", "weekly/20260608-20260614/5"]
    for run_ in runs:
        put(store, f"{run_}/part_0_0001.csv", run_.encode())
        named(store, f"{run_}/manifest.json", "blobs", f"{run_}/part_0_0001.csv")
    put(store, "other.csv", b"no export of Azure")
    assert said(store, tmp_path) == [("", runs[1:]), ("", ["no export of Azure"])]
    assert said(store, tmp_path, "actual") == [("actual", runs[1:2])]
    named(store, "weekly/20260613-20260619/6/manifest.json", "blobs", "weekly/20260601-20260607/4/part_0_0001.csv")
    with pytest.raises(InvalidRequest, match="the runs under weekly overlap"):
        look(store, tmp_path)


def test_older_exports_of_azure_have_no_manifest_and_the_newest_file_counts(store: Store, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        put(store, f"e/20260501-20260531/e_0000000{number}-aaaa-bbbb-cccc-0123456789ab.csv", b"%d" % number)
    put(store, "e/20260401-20260430/e_00000009-aaaa-bbbb-cccc-0123456789ab.csv", b"april")
    assert said(store, tmp_path) == [("", ["3", "april"])]


def test_versions_of_a_month_without_their_manifests_are_refused(store: Store, tmp_path: Path) -> None:
    for version in ("1", "2"):
        put(store, f"x/data/BILLING_PERIOD=2026-05/{version}/x-1.csv", version.encode())
    with pytest.raises(InvalidRequest, match="x/data/BILLING_PERIOD=2026-05 has several versions") as caught:
        look(store, tmp_path, "x/data/")
    assert caught.value.next_step == "mcml cost ingest local://bills/x/"
    for team in ("risk", "ops"):
        put(store, f"y/data/billing_period=2026-05/team={team}/1.csv", team.encode())
    assert said(store, tmp_path, "y/data/") == [("y/data/", ["ops", "risk"])], "partitions are no versions"
    named(store, "x/metadata/BILLING_PERIOD=2026-05/x-Manifest.json", "dataFiles", "s3://bills/x/data/BILLING_PERIOD=2026-05/2/x-1.csv")
    assert [contents for _, contents in said(store, tmp_path, "x/")] == [["2"]]


def test_a_file_that_cannot_be_read_is_named_by_its_address(store: Store, tmp_path: Path) -> None:
    """Whatever its bytes are: they came as they lie there. When it is whole it is fetched again."""
    whole = gzip.compress(export("1"), mtime=0)
    put(store, "a/may.csv.gz", whole[:-9])
    done = run(["cost", "ingest", "local://bills/a/", "-q"], cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "local://bills/a/may.csv.gz is a damaged gzip file" in done.err
    assert "fetched" not in done.err
    put(store, "a/may.csv.gz", whole)
    assert run(["cost", "ingest", "local://bills/a/", "-q"], cwd=tmp_path).code == 0
    assert Ledger(tmp_path / ".mcml" / "cost").totals(())[0].billed == Decimal(1)


def test_both_costs_of_azure_out_of_a_bucket_are_one_bill(store: Store, tmp_path: Path) -> None:
    """Two runs of each, of which the newer count: the ledger has the newest actual and the newest amortized sum."""
    older, newer = [azure("1")], [azure("2.5"), azure("100", "Purchase", **PLAN)]
    amortized = [azure("2.5"), azure("1.25", **PLAN)]
    for run_, lines in (("a/20260501-20260531/1", older), ("a/20260501-20260531/2", newer), ("m/20260501-20260531/3", amortized)):
        key = f"{run_}/part_0_0001.csv"
        put(store, key, write(tmp_path / "part.csv", lines).read_bytes())
        named(store, f"{run_}/manifest.json", "blobs", key)
    done = run(["cost", "ingest", "local://bills/", "-q", "-o", "json"], cwd=tmp_path)
    assert done.code == 0, done.err
    assert [item["origin"] for item in json.loads(done.out)["items"]] == ["local://bills/"]
    (whole,) = Ledger(tmp_path / ".mcml" / "cost").totals(())
    assert (whole.billed, whole.effective, whole.rows) == (Decimal("102.5"), Decimal("3.75"), 3)


def test_an_actual_export_that_tells_nothing_is_known_by_the_folder_in_its_bucket(store: Store, tmp_path: Path) -> None:
    """A commitment that was bought in an earlier month has no purchase in this one: 2.5 + 0 and 2.5 + 1.25 are one bill."""
    exports = {"cost-actual": [azure("2.5"), azure("0", **PLAN)], "cost-amortized": [azure("2.5"), azure("1.25", **PLAN)]}
    for export_, lines in exports.items():
        key = f"{export_}/20260501-20260531/run/part_0_0001.csv"
        put(store, key, write(tmp_path / "part.csv", lines).read_bytes())
        named(store, f"{export_}/20260501-20260531/run/manifest.json", "blobs", key)
    done = run(["cost", "ingest", "local://bills/", "-q"], cwd=tmp_path)
    assert done.code == 0, done.err
    (whole,) = Ledger(tmp_path / ".mcml" / "cost").totals(())
    assert (whole.billed, whole.effective, whole.rows) == (Decimal("2.5"), Decimal("3.75"), 2)


def test_months_of_before_the_manifests_count_too(store: Store, tmp_path: Path) -> None:
    """An export of Azure that was given manifests later: they tell of their own days only."""
    old = "e/20260801-20260831/e_0a1b2c3d-0000-4000-8000-0123456789ab.csv"
    put(store, old, b"august")
    put(store, "e/20260901-20260930/1/part_0.csv", b"september")
    named(store, "e/20260901-20260930/1/manifest.json", "blobs", "e/20260901-20260930/1/part_0.csv")
    assert said(store, tmp_path, "e") == [("e", ["september"]), ("e", ["august"])]


def test_a_manifest_that_names_what_is_not_there_and_one_that_is_none(store: Store, tmp_path: Path) -> None:
    manifest(store, "2026-10", "data/a.csv")
    with pytest.raises(Conflict, match=r"data/a\.csv, which is not there"):
        look(store, tmp_path)
    put(store, "x/metadata/BILLING_PERIOD=2026-10/x-Manifest.json", b"[]")
    with pytest.raises(InvalidRequest, match="cannot read the manifest"):
        look(store, tmp_path)


def test_lines_of_json_count_where_there_is_nothing_else(store: Store, tmp_path: Path) -> None:
    """As `bq extract` writes Google's nested export; manifests and what lies beside a CSV are no bills."""
    lines = [google(), google(cost=4)]
    for part in ("0.json.gz", "1.json"):
        put(store, f"gcp/bill-{part}", write(tmp_path / part, [lines.pop()]).read_bytes())
    put(store, "gcp/manifest.json", b"{}")
    put(store, "focus/a.csv", export("1.5"))
    put(store, "focus/settings.json", b"{}")
    assert [sorted(contents(each)) for each in look(store, tmp_path, "focus/")] == [["a.csv"]]
    put(store, "x/data/a.csv", export("1"))
    put(store, "x/settings.json", b"{}")
    manifest(store, "2026-10", "data/a.csv")
    assert [sorted(contents(each)) for each in look(store, tmp_path, "x/")] == [["a.csv"]]
    done = run(["cost", "ingest", "local://bills/gcp/", "-q", "-o", "json"], cwd=tmp_path)
    assert done.code == 0, done.err
    (item,) = json.loads(done.out)["items"]
    assert (item["origin"], item["rows"], item["booked"][0]["billed"]) == ("local://bills/gcp/", 2, "5.5")


def test_one_object_that_is_named_is_an_export_whatever_it_is_called(store: Store, tmp_path: Path) -> None:
    put(store, "out/bill-000000000000", export("1"))
    with pytest.raises(NotFound, match="no export at"):
        look(store, tmp_path, "out/")
    (found,) = look(store, tmp_path, "out/bill-000000000000")
    assert contents(found) == {"bill-000000000000": export("1")}


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
