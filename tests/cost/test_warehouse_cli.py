"""`mcml cost report --engine warehouse`: the same report out of a warehouse (here the local one), as out of the ledger."""

import json
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv

SETTINGS = """
name = "acme"
[cost.warehouse]
provider = "local"
engine = "duckdb"
table = "finops.focus"
price_per_tib = 5
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.slow
def test_the_same_report(project: Path) -> None:
    rows = [
        text_row(BilledCost="0.1", x_Team="risk", Tags='{"cost centre": "42"}'),
        text_row(BilledCost="7", x_Team="ops", BillingCurrency="EUR"),
        text_row(BilledCost="-3.25", ChargePeriodStart="2026-10-07", ChargePeriodEnd="2026-10-08", ChargeCategory="Credit"),
    ]
    assert run(["cost", "ingest", str(write_csv(project / "bill.csv", rows))], cwd=project).code == 0
    files = sorted((project / ".mcml" / "cost" / "focus").rglob("*.parquet"))
    for file in files:
        loaded = run(["data", "load", str(file), "finops.focus"], cwd=project)
        assert loaded.code == 0, loaded.err

    for asked in (["--by", "team,day"], ["--by", "tag:cost centre", "--where", "service~Mach*"], ["--since", "2026-10-06"]):
        local, pushed = (run(["cost", "report", *asked, *more, "-o", "json"], cwd=project) for more in ([], ["--engine", "warehouse"]))
        assert pushed.code == 0, pushed.err
        assert json.loads(pushed.out) == json.loads(local.out)
        assert json.loads(local.out)["items"]
    shown = run(["cost", "report", "--by", "team", "--engine", "warehouse"], cwd=project, terminal=True)
    assert "Costs in EUR" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--engine", "warehose"], 2, "did you mean 'warehouse'?"),
        (["--engine", "warehouse", "--rows"], 2, "--rows shows rows of the ledger"),
        (["--engine", "warehouse"], 5, "no table finops.focus"),
    ],
)
def test_what_cannot_be_asked(
    arguments: list[str], code: int, said: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["cost", "report", *arguments]) == code
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_no_warehouse_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["cost", "report", "--engine", "warehouse"]) == 2
    assert "[cost.warehouse] is not in mcml.toml" in capsys.readouterr().err
