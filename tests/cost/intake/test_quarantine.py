"""`mcml cost ingest --strict`, and what `mcml cost quarantine` says of the way back."""

import json
import shlex
from pathlib import Path

import pytest

from mcml.cost.intake.quarantine import SAMPLE_NAME, again
from mcml.store.ledger.manifest import Delivery
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    write_csv(tmp_path / "bill.csv", [text_row(), text_row(BilledCost="NaN"), text_row(ChargeCategory="?")])
    return tmp_path


def test_strict_fails_after_the_others_are_booked(project: Path) -> None:
    """Again and again, until the rows are mended: a job that is run twice says the same."""
    dry = run(["cost", "ingest", "bill.csv", "--strict", "--dry-run", "-q"], cwd=project)
    assert (dry.code, "would go into quarantine: 2 of bill.csv" in dry.err) == (1, True), dry.err
    assert json.loads(run(["cost", "report", "-o", "json"], cwd=project).out)["items"] == []
    for unchanged in (False, True):
        done = run(["cost", "ingest", "bill.csv", "--strict", "-q", "-o", "json"], cwd=project)
        (item,) = json.loads(done.out)["items"]
        assert (done.code, item["rows"], item["quarantined"], item["unchanged"]) == (1, 1, 2, unchanged)
        for part in ("rows are in quarantine: 2 of bill.csv", "all others are booked", "mcml cost quarantine"):
            assert part in done.err, part
    (line,) = json.loads(run(["cost", "report", "-o", "json"], cwd=project).out)["items"]
    assert line["billed_cost"] == "1.5"
    write_csv(project / "bill.csv", [text_row()] * 3)
    assert run(["cost", "ingest", "bill.csv", "--strict", "-q"], cwd=project).code == 0
    assert run(["cost", "quarantine", "-q"], cwd=project).out == ""


def test_without_strict_rows_in_quarantine_are_no_failure(project: Path) -> None:
    done = run(["cost", "ingest", "bill.csv"], cwd=project)
    assert (done.code, "2 in quarantine" in done.err) == (0, True)


def test_the_quarantine_names_the_commands_to_look_and_to_come_back(project: Path) -> None:
    run(["cost", "ingest", "bill.csv", "-q"], cwd=project)
    shown = run(["cost", "quarantine"], cwd=project, terminal=True)
    piped = run(["cost", "quarantine", "-q"], cwd=project)
    for part in ("mcml cost quarantine -o json", "mcml cost ingest bill.csv"):
        assert part in shown.out and part in piped.out, part
    assert [line.split("\t")[:2] for line in piped.out.splitlines()[:2]] == [["bill.csv", "2"], ["bill.csv", "3"]]
    data = json.loads(run(["cost", "quarantine", "-o", "json"], cwd=project).out)
    assert data["metadata"] == {"deliveries": [{"origin": "bill.csv", "rows": 2, "again": "mcml cost ingest bill.csv"}]}
    assert [sorted(item) for item in data["items"]] == [["billed", "content", "currency", "file", "name", "reason", "row"]] * 2


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ("may.csv.gz, may 2.csv", "mcml cost ingest may.csv.gz 'may 2.csv'"),
        ("aws", "mcml cost ingest --provider aws --since 2026-09-29"),
        (SAMPLE_NAME, "mcml cost ingest --sample"),
        ("s3://bills/focus/", "mcml cost ingest s3://bills/focus/"),
        ("s3://bills/e/metadata/BILLING_PERIOD=2026-05/e-Manifest.json", "mcml cost ingest s3://bills/e/"),
        ("s3://bills/p/r/20260901-20261001/r-Manifest.json", "mcml cost ingest s3://bills/p/r/"),
        ("estimate:aws", "mcml cost estimate --provider aws"),
    ],
)
def test_each_origin_has_its_command(origin: str, command: str) -> None:
    assert again(Delivery("d", "2026-10-06T12:00:00Z", origin, "digest"), {"aws", "local"}) == command


def test_the_command_asks_from_where_it_was_asked_and_names_what_was_named() -> None:
    asked = Delivery("d", "2026-10-06T12:00:00Z", "aws", "digest", begin="2026-07-01T00:00:00.000000Z")
    assert again(asked, {"aws"}) == "mcml cost ingest --provider aws --since 2026-07-01"
    paths = Delivery("d", "2026-10-06T12:00:00Z", "b, c.csv, a.csv", "digest", given=("in/b, c.csv", "a.csv"))
    assert again(paths, {"aws"}) == "mcml cost ingest 'in/b, c.csv' a.csv"
    address = "s3://b/e/metadata/BILLING_PERIOD=2026-05/e-Manifest.json"
    bucket = Delivery("d", "2026-10-06T12:00:00Z", "part.csv", "digest", given=(address,))
    assert again(bucket, {"aws"}) == "mcml cost ingest s3://b/e/"


def test_a_file_in_a_folder_with_a_comma_in_its_name_comes_back_by_the_command(project: Path) -> None:
    (project / "in").mkdir()
    (project / "bill.csv").rename(project / "in" / "may, june.csv")
    run(["cost", "ingest", "in/may, june.csv", "-q"], cwd=project)
    (told,) = json.loads(run(["cost", "quarantine", "-o", "json"], cwd=project).out)["metadata"]["deliveries"]
    assert told["again"] == "mcml cost ingest 'in/may, june.csv'"
    assert run(shlex.split(told["again"])[1:], cwd=project).code == 0


def test_a_bill_of_the_future_is_not_asked_for(project: Path) -> None:
    done = run(["cost", "ingest", "--provider", "local", "--since", "2999-01-01", "-q"], cwd=project)
    assert (done.code, done.out) == (2, "")
    assert "--since 2999-01-01 is in the future" in done.err


def test_files_of_one_name_in_two_folders_are_two(project: Path) -> None:
    """Typed from within their folders: what one holds does not take the other's rows out, and the way back is told from everywhere."""
    for name, rows in (("a", [text_row(), text_row(BillingAccountId="b", BilledCost="NaN")]), ("b", [text_row(BillingAccountId="c")])):
        (project / name).mkdir()
        write_csv(project / name / "bill.csv", rows)
        assert run(["cost", "ingest", "bill.csv", "-q"], cwd=project / name).code == 0
    for folder, file in (("a", "bill.csv"), ("b", f"{project}/a/bill.csv"), (".", "a/bill.csv")):
        (told,) = json.loads(run(["cost", "quarantine", "-o", "json"], cwd=project / folder).out)["metadata"]["deliveries"]
        assert (told["rows"], told["again"]) == (1, f"mcml cost ingest {file}")
    write_csv(project / "a" / "bill.csv", [text_row()])
    assert run(["cost", "ingest", "../a/bill.csv", "-q"], cwd=project / "b").code == 0
    assert run(["cost", "quarantine", "-q"], cwd=project).out == ""


def test_a_row_whose_account_was_wrong_leaves_with_its_files_and_one_whose_month_was_wrong_stays(project: Path) -> None:
    """As the help says: another name may be another bill, and the same name may be another month."""
    future = {"BillingPeriodStart": "2062-10-01T00:00:00Z", "BillingPeriodEnd": "2062-11-01T00:00:00Z"}
    write_csv(project / "bill.csv", [text_row(), text_row(BillingAccountId="?", BilledCost="NaN"), text_row(**future, BilledCost="NaN")])
    for file, rows in (("bill.csv", 2), ("v2.csv", 2), ("bill.csv", 1)):
        assert run(["cost", "ingest", file, "-q"], cwd=project).code == 0
        (told,) = json.loads(run(["cost", "quarantine", "-o", "json"], cwd=project).out)["metadata"]["deliveries"]
        assert told["rows"] == rows, file
        for name in ("bill.csv", "v2.csv"):
            write_csv(project / name, [text_row(BilledCost="2")] * (3 if name == "v2.csv" else 2))
