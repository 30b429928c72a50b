"""`mcml cost validate` as a person and a script run it."""

import json
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost import seeded
from tests.cost.bill_files import AWS_REAL, AZURE_REAL


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    return tmp_path


@pytest.fixture
def broken(project: Path) -> Path:
    listed = seeded.rows()[:40]
    listed[4]["BilledCost"] = "NaN"
    listed[5]["PricingUnit"] = "per hour"
    return seeded.write_csv(project / "bill.csv", map(seeded.as_12, listed))


def test_what_fails_on_a_terminal_and_in_a_pipe(broken: Path, project: Path) -> None:
    shown = run(["cost", "validate", str(broken)], cwd=project, terminal=True)
    assert shown.code == 1
    for part in ("40 rows under 621 rules of FOCUS 1.2", "does not conform", "2 MUST and 1 SHOULD fail", "BilledCost-C-004-M"):
        assert part in " ".join(shown.out.split()), part

    piped = run(["cost", "validate", str(broken)], cwd=project)
    lines = piped.out.splitlines()
    assert lines[1:] == [
        "# Rules of level MUST that fail",
        "BilledCost-C-002-M\t1\tBilledCost MUST conform to NumericFormat requirements.\tbill.csv:5 BilledCost=NaN",
        "BilledCost-C-004-M\t1\tBilledCost MUST be a valid decimal value.\tbill.csv:5 BilledCost=NaN",
        "# Rules of level SHOULD that fail",
        "PricingUnit-C-003-O\t1\tPricingUnit SHOULD conform to UnitFormat requirements.\tbill.csv:6 PricingUnit=per hour",
    ]
    names = run(["cost", "validate", str(broken), "-o", "name"], cwd=project).out.split()
    assert names == ["BilledCost-C-002-M", "BilledCost-C-004-M", "PricingUnit-C-003-O"]


def test_the_fields_of_a_verdict_are_pinned(broken: Path, project: Path) -> None:
    done = run(["cost", "validate", str(broken), "-o", "json"], cwd=project)
    answer = json.loads(done.out)
    assert (answer["kind"], answer["version"], len(answer["items"])) == ("ConformanceVerdictList", 1, 3)
    assert answer["items"][1] == {
        "name": "BilledCost-C-004-M",
        "verdict": "fail",
        "level": "MUST",
        "function": "Validation",
        "column": "BilledCost",
        "rows": 1,
        "examples": [{"file": "bill.csv", "row": 5, "values": {"BilledCost": "NaN"}}],
        "reason": "",
        "criteria": [],
        "text": "BilledCost MUST be a valid decimal value.",
    }
    everything = json.loads(run(["cost", "validate", str(broken), "--all", "--supports", "none", "-o", "json"], cwd=project).out)["items"]
    assert len(everything) == 621
    skipped = {item["name"]: item["reason"] for item in everything if item["verdict"] == "skipped"}
    assert skipped["CostAndUsage-D-013-C"] == "COMMITMENT_DISCOUNT_SUPPORTED is not so"
    assert skipped["CommitmentDiscountId-C-001-M"] == "COMMITMENT_DISCOUNT_SUPPORTED is not so (CommitmentDiscountId-C-000-C)"


def test_a_should_alone_does_not_fail_the_command(project: Path) -> None:
    listed = seeded.rows()[:40]
    listed[5]["PricingUnit"] = "per hour"
    path = seeded.write_csv(project / "bill.csv", listed)
    done = run(["cost", "validate", str(path), "--supports", "auto"], cwd=project)
    assert (done.code, done.out.splitlines()[0].split("\t")[0]) == (0, "conforms")
    assert "0 MUST and 1 SHOULD fail" in done.out


def test_the_ledger_is_judged_by_both_versions_and_says_what_it_cannot_tell(project: Path) -> None:
    listed = seeded.rows()
    for row in listed:
        row["AvailabilityZone"] = None
    Intake(project / ".mcml/cost").files([seeded.write_csv(project / "bill.csv", listed)])
    for version, rules in (("1.4", 214), ("1.2", 621)):
        done = run(["cost", "validate", "--focus", version, "--all", "-o", "json"], cwd=project)
        items = {item["name"]: item for item in json.loads(done.out)["items"]}
        assert (done.code, len(items)) == (0, rules), [name for name, item in items.items() if item["verdict"] == "fail"]
    assert items["CostAndUsage-D-003-C"]["verdict"] == "skipped"
    assert items["CostAndUsage-D-021-M"]["reason"].startswith("the ledger has no value in it")
    assert items["BilledCost-C-002-M"]["reason"] == "the ledger keeps values, not the form that an export gave them"
    assert items["ListCost-C-009-C"]["verdict"] == "pass"

    shown = run(["cost", "validate", "--focus", "1.2", "--since", "2026-09-01"], cwd=project)
    assert shown.out.startswith("conforms\t206 rows under 621 rules of FOCUS 1.2")
    assert "no value in them: AvailabilityZone, PublisherName" in shown.out


def test_lines_that_are_no_rows_are_told(broken: Path, project: Path) -> None:
    with broken.open("a") as file:
        file.write("a,b,c\n")
    done = run(["cost", "validate", str(broken)], cwd=project)
    assert done.code == 1
    assert "1 line is no CSV row and was not judged" in done.out
    assert "40 rows" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["no.csv"], 5, "no file no.csv"),
        (["mcml.toml"], 1, "mcml.toml is no FOCUS export"),
        ([str(AZURE_REAL)], 1, f"{AZURE_REAL.name} is no FOCUS export"),
        ([str(AWS_REAL)], 1, f"mcml cost ingest {AWS_REAL}"),
        (["bill.csv", "--supports", "moon"], 2, "known: auto, all, none, AVAILABILITY_ZONE_SUPPORTED"),
        (["bill.csv", "--focus", "1.0"], 2, "known versions: 1.2, 1.4"),
        (["bill.csv", "--supports", "TAGING_SUPPORTED"], 2, "did you mean 'TAGGING_SUPPORTED'?"),
        (["bill.csv", "bill.parquet"], 1, "cannot check CSV and Parquet as one export"),
        (["--since", "soon"], 2, "'soon' is no time"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], code: int, said: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeded.write_csv(project / "bill.csv", seeded.rows()[:2])
    (project / "bill.parquet").write_bytes(b"PAR1")
    monkeypatch.chdir(project)
    assert main(["cost", "validate", *arguments]) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_nothing_does_not_conform(project: Path) -> None:
    empty = run(["cost", "validate"], cwd=project)
    assert (empty.code, "no costs in this span" in empty.err, "mcml cost ingest" in empty.err) == (5, True, True)
