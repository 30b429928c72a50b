"""`mcml cost budgets` as people and scripts see it: the list, one budget, what a check told, and what goes wrong."""

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.cli.main import main
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.budget.rig import ONE_DAY
from tests.cost.focus import text_row, write_csv


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose team spent 30 USD and 5 EUR today."""
    (tmp_path / "mcml.toml").write_text(
        'name = "acme"\n[cost.budgets.risk]\namount = 20\ncurrency = "USD"\nwhere = ["team=risk"]\nincident = true\n'
    )
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = {
        "BillingPeriodStart": now.replace(day=1).isoformat(),
        "BillingPeriodEnd": (now.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat(),
        "ChargePeriodStart": now.isoformat(),
        "ChargePeriodEnd": (now + ONE_DAY).isoformat(),
        "x_Team": "risk",
    }
    rows = [text_row(**times, EffectiveCost="30.000000000000000000000001"), text_row(**times, EffectiveCost="5", BillingCurrency="EUR")]
    Intake(tmp_path / ".mcml" / "cost").files([write_csv(tmp_path / "bill.csv", rows)])
    return tmp_path


def test_what_scripts_see(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    assert main(["cost", "budgets", "-o", "json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert set(item) == {
        "name", "period", "period_end", "amount", "spent", "spent_percent", "estimated", "forecast", "burn_fast", "burn_slow", "currency",
        "other_currencies", "unconverted", "state", "alerts", "actions", "sources", "converted_from", "where", "rows",
        "machines_off",
    }  # fmt: skip
    made_of = {"source": "billed", "effective_cost": item["spent"], "share_percent": "100.0", "usual_error_percent": None}
    assert (item["sources"], item["converted_from"]) == ([made_of], {})
    assert item["where"] == ["team=risk", "billing_currency=USD"]
    assert (item["name"], item["spent"], item["state"]) == ("risk", "30.000000000000000000000001", "over")
    assert item["other_currencies"] == {"EUR": "5"}
    assert [alert["name"] for alert in item["alerts"]] == ["actual-50", "actual-80", "actual-100"]

    assert main(["cost", "budgets", "check", "--dry-run"]) == 0
    assert "would tell" in capsys.readouterr().out
    assert main(["cost", "budgets", "check", "-o", "json"]) == 0
    (checked,) = json.loads(capsys.readouterr().out)["items"]
    assert [change["name"] for change in checked["changes"]] == ["actual-50", "actual-80", "actual-100"]
    assert main(["cost", "budgets", "check"]) == 0
    assert "no alert came on or went off" in capsys.readouterr().out
    assert main(["incident", "list", "-o", "name"]) == 0
    assert capsys.readouterr().out == "INC-1\n"
    assert main(["cost", "budgets", "show", "risk"]) == 0
    assert "actual-100" in capsys.readouterr().out


def test_costs_that_cannot_be_converted_are_told_by_the_exit_code(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    (project / "mcml.toml").write_text((project / "mcml.toml").read_text() + 'convert = true\n[cost.rates]\nfile = "rates.csv"\n')
    (project / "rates.csv").write_text("date,from,to,rate\n2020-01-01,EUR,USD,1.25\n")
    assert main(["cost", "budgets", "check"]) == 7
    assert "because there is no rate from EUR to USD for" in capsys.readouterr().out
    (project / "rates.csv").write_text(f"date,from,to,rate\n{datetime.now(UTC):%Y-%m-%d},EUR,USD,1.25\n")
    assert main(["cost", "budgets", "check", "-o", "json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert (item["spent"], item["other_currencies"]) == ("36.250000000000000000000001", {})
    assert main([*shlex.split(item["rows"])[1:], "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["items"]
    assert {row["BillingCurrency"]: row["EffectiveCost"] for row in rows} == item["converted_from"]
    assert main(["cost", "budgets", "show", "risk"]) == 0
    assert "from 5 EUR and 30.000000000000000000000001 USD, as the rows have it" in capsys.readouterr().out


def test_the_list_on_a_terminal_and_in_a_pipe(project: Path) -> None:
    shown = run(["cost", "budgets"], cwd=project, terminal=True)
    for part in ("risk", "30.00", "over", "5 EUR, because the budget is in USD"):
        assert part in shown.out, part
    piped = run(["cost", "budgets", "-q"], cwd=project)
    assert "\x1b" not in piped.out
    assert piped.out.startswith("risk\t")


@pytest.mark.parametrize(
    ("toml", "arguments", "code", "said"),
    [
        ("", ["show", "rsk"], 5, "rsk"),
        ('[cost.budgets.a]\namount = 1\ncurrency = "USD"\n', ["show", "b"], 5, "known: a"),
        ('[cost.budgets.a]\namount = 0\ncurrency = "USD"\n', ["list"], 2, "amount"),
        ('[cost.budgets.a]\namount = 1\ncurrency = "usd"\n', ["list"], 2, "currency"),
        ('[cost.budgets.a]\namount = 1\ncurrency = "USD"\nwhere = ["teem=x"]\n', ["list"], 2, "the budget a: costs cannot be grouped"),
    ],
    ids=["no budgets", "another name", "no amount", "no currency", "no condition"],
)
def test_what_goes_wrong_is_said(
    toml: str,
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n' + toml)
    monkeypatch.chdir(tmp_path)
    assert main(["cost", "budgets", *arguments]) == code
    assert said in capsys.readouterr().err
