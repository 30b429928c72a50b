"""What people ask on the command line: `cost report` with conditions, spans, comparison and rows, and `cost why`."""

import json
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.main import main
from mcml.core.clock import parse_rfc3339
from mcml.core.fact import Fact
from mcml.store.db import Store
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv

USAGE = {"SkuId": "big", "SkuPriceId": "big.1", "PricingUnit": "Hours", "ChargeDescription": "a big machine", "PricingCategory": "Standard"}

SETTINGS = """
name = "acme"
[[cost.allocation.rules]]
name = "edge"
where = ["service=Lambda\\\\, Edge"]
split = "weights"
weights = { risk = 3, ads = 1 }
[[cost.allocation.rules]]
name = "teams"
by = "team"
"""


def charge(day: str, cost: str, quantity: str = "", team: str = "risk", **changes: str) -> dict[str, str]:
    tags = json.dumps({"team": team, "cost-centre": "4711"}) if team else ""
    times = {
        "ChargePeriodStart": f"{day}T00:00:00Z",
        "ChargePeriodEnd": f"{day}T01:00:00Z",
        "BillingPeriodStart": f"{day[:7]}-01T00:00:00Z",
    }
    found = text_row(BilledCost=cost, EffectiveCost=cost, Tags=tags, PricingQuantity=quantity, **USAGE)
    return {**found, **times, **changes}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """September and October: one machine more of the same price, a new service, a credit."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "mcml.toml").write_text(SETTINGS)
    rows = [
        charge("2026-09-10", "10", "5"),
        charge("2026-09-11", "1", "1", team=""),
        charge("2026-10-10", "30", "10"),
        charge("2026-10-11", "7", "2", team="ads", ServiceName="Lambda, Edge", SkuId="edge"),
        charge("2026-10-12", "-2", team="", ChargeCategory="Credit"),
    ]
    done = run(["cost", "ingest", str(write_csv(folder / "bill.csv", rows)), "-o", "json"], cwd=folder)
    assert json.loads(done.out)["items"][0]["rows"] == 5, done.err
    with Store(f"sqlite:///{folder}/.mcml/mcml.db") as store:
        facts = {"model": "fraud", "version": "3", "digest": "d", "plan": "p", "previous": ["2"], "duration_s": 4.0}
        store.append(Fact("deploy.finished", "deploy", "eu-1", facts, parse_rfc3339("2026-10-10T09:00:00Z"), "ann"))
        store.append(Fact("deploy.finished", "deploy", "eu-1", facts, parse_rfc3339("2026-11-10T09:00:00Z"), "ann"))
    return folder


Asked = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def items(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Run a verb within this process, which is much faster than a child, and return the items of its JSON."""

    def ask(*arguments: str, folder: Path = project) -> list[dict[str, Any]]:
        monkeypatch.chdir(folder)
        code = main(["cost", *arguments, "-q", "-o", "json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        found: list[dict[str, Any]] = json.loads(told.out)["items"]
        return found

    return ask


def test_conditions_tags_and_spans_choose_what_is_reported(items: Asked, project: Path) -> None:
    by_tag = items("report", "--by", "tag:cost-centre", "--month", "2026-10")
    assert [(item["name"], item["effective_cost"], item["where"]) for item in by_tag] == [
        ("4711", "37", ["tag:cost-centre=4711"]),
        ("-", "-2", ["tag:cost-centre="]),
    ]
    found = items("report", "--by", "month", "--where", "team=risk,ads", "--where", "service!~Lambda*")
    assert [(item["name"], item["effective_cost"]) for item in found] == [("2026-09", "10"), ("2026-10", "30")]


def test_the_rows_of_a_line_add_up_to_it(items: Asked, project: Path) -> None:
    """`where` of a line, as --where, gives the rows behind its number, also with a comma in a value."""
    for line in items("report", "--by", "service,team", "--month", "2026-10"):
        conditions = [word for text in line["where"] for word in ("--where", text)]
        rows = items("report", "--month", "2026-10", "--rows", *conditions)
        assert [row["EffectiveCost"] for row in rows] == [line["effective_cost"]]
    shown = run(["cost", "report", "--rows", "--where", "team=ads"], cwd=project, terminal=True)
    assert "a big machine" in shown.out
    assert "SELECT * FROM cost WHERE (x_Team = 'ads')" in shown.out
    csv = run(["cost", "report", "--rows", "--limit", "1", "-o", "csv", "-q"], cwd=project).out.splitlines()
    assert len(csv) == 2
    assert "PricingQuantity" in csv[0].split(",")


def test_a_month_beside_the_one_before(items: Asked, project: Path) -> None:
    compared = items("report", "--by", "team", "--month", "2026-10", "--compare", "previous")
    assert [(item["name"], item["before"], item["after"], item["delta_percent"], item["fate"]) for item in compared] == [
        ("risk", "10", "30", "200.0", "up"),
        ("ads", "0", "7", None, "new"),
        ("-", "1", "-2", "-300.0", "down"),
    ]
    asked = ["cost", "report", "--by", "team", "--month", "2026-10", "--compare", "2026-09"]
    shown = run([*asked, "--limit", "1"], cwd=project, terminal=True)
    for part in ("2026-10-01 to 2026-10-31 against 2026-09-01 to 2026-09-30", "2 others", "200%", "all", "35.00"):
        assert part in shown.out, part
    piped = run([*asked, "-q"], cwd=project)
    assert piped.out.splitlines()[1] == "risk\t10\t30\t20\t200.0\tup"


def test_the_rows_behind_a_comparison_are_those_of_both_spans(items: Asked, project: Path) -> None:
    rows = items("report", "--month", "2026-10", "--compare", "2026-09", "--rows", "--where", "team=risk,ads")
    assert sorted(row["EffectiveCost"] for row in rows) == ["10", "30", "7"]


def test_a_dimension_that_is_named_twice_is_one(items: Asked, project: Path) -> None:
    (first, rest) = items("report", "--by", "team,team", "--by", "team", "--limit", "1")
    assert (first["name"], rest["name"], rest["team"]) == ("risk", "2 others", "2 others")


def test_skus_say_which_line_they_are_in(project: Path) -> None:
    """Two teams use the same SKU: without their names the lines would look alike."""
    shown = run(["cost", "why", "2026-09", "2026-10", "--by", "team", "-q"], cwd=project).out
    skus = shown.partition("SKUs that moved most, in USD\n")[2].splitlines()
    assert skus[0].split("\t")[:3] == ["risk", "Machines", "a big machine"]


def test_why_splits_a_change_and_names_what_was_deployed(items: Asked, project: Path) -> None:
    found = {item["name"]: item for item in items("why", "2026-09", "2026-10", "--by", "service,team")}
    risk = found["Machines/risk"]
    assert risk["skus"] == [
        {
            "provider": "Acme Cloud",
            "service": "Machines",
            "sku": "big",
            "description": "a big machine",
            "unit": "Hours",
            "before": "10",
            "after": "30",
            "delta": "20",
            "quantity_before": "5",
            "quantity_after": "10",
            "price_before": "2",
            "price_after": "3",
            "parts": {"volume": "10", "rate": "10"},
        }
    ]
    assert {key: value for key, value in risk.items() if key != "skus"} == {
        "name": "Machines/risk",
        "currency": "USD",
        "service": "Machines",
        "team": "risk",
        "before": "10",
        "after": "30",
        "delta": "20",
        "parts": {"volume": "10", "rate": "10"},
        "others": 0,
        "where": ["service=Machines", "team=risk"],
    }
    assert found["Lambda, Edge/ads"]["parts"] == {"new": "7"}
    assert found["Machines/-"]["parts"] == {"gone": "-1", "credit": "-2"}

    told = json.loads(run(["cost", "why", "2026-09", "2026-10", "-o", "json"], cwd=project).out)["metadata"]["sources"]
    assert [(source["span"], source["source"], source["share_percent"], source["usual_error_percent"]) for source in told] == [
        ("before", "billed", "100.0", None),
        ("after", "billed", "100.0", None),
    ]
    shown = run(["cost", "why", "2026-09", "2026-10"], cwd=project, terminal=True)
    for part in ("Volume", "Rate", "New", "Credit", "a big machine", "Deploys and infrastructure", "What these costs are made of"):
        assert part in shown.out, part
    assert shown.out.count("deploy.finished") == 1
    folded = items("why", "2026-09", "2026-10", "--by", "service,team", "--limit", "1")
    assert [(item["name"], item["delta"], item["others"], item["where"] is None) for item in folded] == [
        ("Machines/risk", "20", 0, False),
        ("2 others/-", "4", 2, True),
    ]
    piped = run(["cost", "why", "2026-09", "2026-10", "--where", "team=risk", "-q"], cwd=project)
    assert piped.out.splitlines()[1] == "Machines\t10\t30\t20\t10\t10"
    assert items("why", "2026-09", "2026-09")[0]["parts"] == {}


def test_costs_are_allocated_by_the_rules_of_the_project(items: Asked, project: Path) -> None:
    found = items("allocate", "--month", "2026-10")
    assert [(item["name"], item["direct_cost"], item["shared_cost"], item["rounded_effective_cost"]) for item in found] == [
        ("risk", "30", "5.25", "35.25"),
        ("ads", "0", "1.75", "1.75"),
        ("unallocated", "-2", "0", "-2.00"),
    ]
    shown = run(["cost", "allocate", "--month", "2026-10", "--explain"], cwd=project, terminal=True)
    for part in ("Who bears the cost in USD", "What each rule took in USD", "risk 75.0%, ads", "(no rule)", "Which costs", "35.00"):
        assert part in shown.out, part
    piped = run(["cost", "allocate", "--month", "2026-10", "-q"], cwd=project)
    assert piped.out.splitlines()[1] == "risk\t30\t5.25\t35.25\t100.7"
    (gone,) = items("allocate", "--month", "2026-10", "--without", "risk")
    assert (gone["direct_cost_saved"], gone["shared_cost_not_saved"], gone["others_bear_more"]) == ("30", "5.25", {"ads": "5.25"})


def test_coverage_names_the_services_that_lack_most(items: Asked, project: Path) -> None:
    (team, tag) = items("coverage", "--key", "team,tag:nobody", "--month", "2026-09")
    assert (team["covered_percent"], team["uncovered_cost"], tag["covered_percent"]) == ("90.9", "1", "0.0")
    assert items("report", *(word for text in team["where"] for word in ("--where", text)))[0]["effective_cost"] == "1"
    shown = run(["cost", "coverage", "--month", "2026-09"], cwd=project, terminal=True)
    assert "Machines (9.1 % of it)" in shown.out
    assert "no commitment in this span" in shown.out
    assert run(["cost", "coverage", "--month", "2026-09", "-q"], cwd=project).out.splitlines()[1].startswith("team\tUSD\t90.9\t10\t1\t")


def test_a_forecast_needs_history(items: Asked, project: Path, tmp_path: Path) -> None:
    refused = run(["cost", "forecast"], cwd=project)
    assert refused.code == 1
    assert "no recent costs to forecast from" in refused.err
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    today = datetime.now(UTC).date()
    days = [(today - timedelta(days=back)).isoformat() for back in range(130)]  # also on the first days of a month there is a past one
    run(["cost", "ingest", str(write_csv(tmp_path / "bill.csv", [charge(day, "2", "1") for day in days]))], cwd=tmp_path)
    (item,) = items("forecast", "--by", "team", folder=tmp_path)
    length = monthrange(today.year, today.month)[1]
    assert (item["name"], item["forecast_cost"], item["usual_error_percent"]) == ("risk/USD", str(2 * length), "0.0")
    shown = run(["cost", "forecast"], cwd=tmp_path, terminal=True)
    assert "on the same day of past months" in shown.out
    assert run(["cost", "forecast", "-q"], cwd=tmp_path).out.splitlines()[0].startswith("USD\t")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--where", "team"], "cannot read the condition 'team'"),
        (["report", "--month", "2026-10", "--last", "week"], "exclude each other"),
        (["report", "--month", "2026"], "'2026' is no month"),
        (["report", "--last", "fortnight"], "there is no last 'fortnight'"),
        (["report", "--month", "2026-13"], "'2026-13' is no month"),
        (["report", "--since", "2026-10-10", "--until", "2026-10-01"], "--until is not after --since"),
        (["allocate", "--since", "2026-10-10", "--until", "2026-10-10"], "--until is not after --since"),
        (["report", "--compare", "previous"], "--compare needs a span"),
        (["report", "--compare", "previous", "--since", "2026-10-02", "--until", "2026-10-01"], "--until is not after --since"),
        (["report", "--compare", "soon", "--month", "2026-10"], "'soon' is no span"),
        (["report", "--by", "day", "--compare", "previous", "--month", "2026-10"], "costs by day cannot be compared"),
        (["allocate", "--last", "fortnight"], "there is no last 'fortnight'"),
        (["allocate", "--trend", "--without", "risk"], "--explain, --trend and --without exclude each other"),
        (["why", "2026-09", "2026-10", "--by", "service,day"], "costs by day cannot be compared"),
        (["coverage", "--key", "tem"], "did you mean 'team'?"),
        (["forecast", "--by", "tem"], "did you mean 'team'?"),
        (["why", "2026-09", "then"], "'then' is no span of time"),
        (["why", "2026-09", "2026-10", "--by", "tem"], "did you mean 'team'?"),
    ],
)
def test_what_goes_wrong_is_said(
    arguments: list[str], said: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["cost", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
