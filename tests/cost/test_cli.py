"""`mcml cost` as a person and a script run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv

SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    return tmp_path


def use(project: Path) -> None:
    """Two lines of a usage log, as a local server writes it."""
    log = project / ".mcml/local/usage/eu-1/fraud/1/run.jsonl"
    log.parent.mkdir(parents=True)
    common = {"pid": 1, "started": 1_791_194_400.0, "model": "fraud", "version": "1", "digest": "d", "errors": 0, "client_errors": 0}
    lines = [
        {"at": "2026-10-05T10:00:00Z", **common, "cpu_seconds": 0.0, "rss_bytes": 0, "requests": 0},
        {"at": "2026-10-05T10:30:00Z", **common, "cpu_seconds": 36.0, "rss_bytes": 2**30, "requests": 500, "final": True},
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    log.with_suffix(".run.json").write_text(json.dumps({"region": "eu-west-1", "tags": {"team": "risk"}}))


@pytest.mark.slow
def test_the_measured_use_of_this_machine_stands_beside_a_real_bill(project: Path) -> None:
    use(project)
    done = run(["cost", "ingest", "--provider", "local", "--since", "2026-10-01", "--sample", "-o", "json"], cwd=project)
    assert done.code == 0, done.err
    assert [(item["origin"], item["rows"]) for item in json.loads(done.out)["items"]] == [("FOCUS sample", 1000), ("local", 2)]

    shown = run(["cost", "report", "-o", "json"], cwd=project)
    items = {item["name"]: item for item in json.loads(shown.out)["items"]}
    assert list(items) == ["AWS/-/-", "Microsoft/-/-", "mcml local/eu-1/fraud", "Oracle/-/-"]
    local = items["mcml local/eu-1/fraud"]
    # 36 CPU seconds at 0.05 an hour, and 1 GiB for half an hour at 0.005 an hour
    assert (local["billed_cost"], local["requests"], local["cost_per_thousand_requests"]) == ("0.003", 500, "0.006")
    assert local["effective_cost_by_source"] == {"measured": "0.003"}
    assert (items["AWS/-/-"]["billed_cost"], items["Oracle/-/-"]["billed_cost"]) == ("18.0066386184", "0.53707392473")

    by_team = run(["cost", "report", "--by", "team,source", "--since", "2026-10-01", "-o", "name"], cwd=project)
    assert by_team.out == "risk/measured\n"
    priced = run(["cost", "prices", "-o", "json"], cwd=project)
    assert {item["sku"]: item["price"] for item in json.loads(priced.out)["items"]} == {"vcpu-hour": "0.05", "gib-hour": "0.005"}


@pytest.mark.slow
def test_a_cloud_that_cannot_be_asked_hides_no_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could be had is booked and shown; exit 7 says that the rest is missing, why, and which command asks for it again."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    files = {name: str(project / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", **files}
    use(project)
    asked = ["cost", "ingest", "--provider", "aws", "--provider", "local", "--since", "2026-10-01"]
    partly = run([*asked, "-o", "json"], cwd=project, env=nothing)
    assert partly.code == 7, partly.err
    assert [(item["origin"], item["rows"]) for item in json.loads(partly.out)["items"]] == [("local", 2)]
    assert "the bill of aws failed; done: local" in partly.err
    assert "mcml cost ingest --provider aws --since 2026-10-01" in partly.err


def test_a_report_on_a_terminal_and_in_a_pipe(project: Path) -> None:
    path = write_csv(
        project / "bill.csv",
        [
            text_row(BilledCost="1234.567", EffectiveCost="1000", x_Target="eu-1"),
            text_row(ChargePeriodStart="2026-10-07", ChargePeriodEnd="2026-10-08", EffectiveCost="3", x_Target="eu-1"),
            text_row(BillingCurrency="EUR", x_Target="eu-1"),
            text_row(BilledCost="NaN", x_Target="eu-1"),
        ],
    )
    booked = run(["cost", "ingest", str(path)], cwd=project, terminal=True)
    assert booked.code == 0
    assert "BilledCost is not a number" in booked.out

    shown = run(["cost", "report", "--by", "target"], cwd=project, terminal=True)
    assert shown.code == 0
    for part in ("Costs in EUR", "Costs in USD", "1,236.07", "1,003.00", "█", "100%", "1 row is not in these sums"):
        assert part in shown.out, part

    piped = run(["cost", "report", "--by", "target", "-q"], cwd=project)
    assert "\x1b" not in piped.out
    lines = piped.out.splitlines()
    assert lines[:2] == ["# Costs in EUR", "eu-1\t1.5\t1.25\t100.0"]
    assert "eu-1\t1236.067\t1003\t100.0" in lines

    refused = run(["cost", "quarantine", "-o", "json"], cwd=project)
    (item,) = json.loads(refused.out)["items"]
    assert (item["name"], item["billed"], json.loads(item["content"])["BilledCost"]) == ("bill.csv:4", None, "NaN")


def test_a_dry_run_changes_nothing(project: Path) -> None:
    path = write_csv(project / "bill.csv", [text_row()])
    dry = run(["cost", "ingest", str(path), "--dry-run", "-o", "json"], cwd=project)
    assert [(item["rows"], item["dry_run"]) for item in json.loads(dry.out)["items"]] == [(1, True)]
    assert json.loads(run(["cost", "report", "-o", "json"], cwd=project).out)["items"] == []
    assert run(["journal", "list", "-o", "json"], cwd=project).out.count("cost.ingested") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["cost", "ingest"], 2, "nothing to ingest"),
        (["cost", "ingest", "no.csv"], 5, "no file no.csv"),
        (["cost", "ingest", "mcml.toml"], 1, "mcml.toml is no FOCUS export"),
        (["cost", "ingest", "--provider", "locall"], 5, "did you mean 'local'?"),
        (["cost", "ingest", "--provider", "local", "--since", "soon"], 2, "'soon' is no time"),
        (["cost", "report", "--by", "tem"], 2, "did you mean 'team'?"),
        (["cost", "report", "--since", "soon"], 2, "'soon' is no time"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], code: int, said: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(arguments) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize("arguments", [["cost", "report", "--help"], ["cost", "prices"]])
def test_duckdb_is_imported_only_when_it_is_asked(arguments: list[str], project: Path) -> None:
    probe = "import json, sys; from mcml.cli.main import main; main(json.loads(sys.argv[1])); assert 'duckdb' not in sys.modules"
    subprocess.run([sys.executable, "-c", probe, json.dumps(arguments)], cwd=project, check=True, capture_output=True, timeout=60)


def test_a_report_needs_no_sqlalchemy(project: Path) -> None:
    probe = "import sys; from mcml.cli.main import main; main(['cost', 'report', '-q']); assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", probe], cwd=project, check=True, capture_output=True, timeout=60)


def test_amounts_in_json_are_text(project: Path) -> None:
    tiny, huge = "0.000000000000000000000001", "12345678901234.000000000000000000000001"
    run(["cost", "ingest", str(write_csv(project / "bill.csv", [text_row(BilledCost=tiny, EffectiveCost=huge)]))], cwd=project)
    (item,) = json.loads(run(["cost", "report", "-o", "json"], cwd=project).out)["items"]
    assert (item["billed_cost"], item["effective_cost"]) == (tiny, huge)


def test_a_report_as_a_page_and_nothing_on_stderr(project: Path) -> None:
    done = run(["cost", "ingest", "--sample", "-q"], cwd=project)
    page = run(["cost", "report", "-o", "html"], cwd=project)
    text = run(["cost", "report", "-o", "markdown"], cwd=project)
    assert (done.code, page.code, text.code) == (0, 0, 0)
    assert (done.err, page.err, text.err) == ("", "", ""), "a library that counts its objects at the end of the process is no news"
    assert page.out.startswith("<!doctype html>") and "18.0066386184" in page.out
    assert "<code>mcml cost report -o html</code>" in page.out, "whose span and conditions these are"
    assert "| Provider |" in text.out and "## Costs in USD" in text.out
