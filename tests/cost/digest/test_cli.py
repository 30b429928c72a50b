"""`mcml cost digest` as a person, a script, a browser and a chat see it."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.main import main
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv

ONE_DAY = timedelta(days=1)
SETTINGS = """
name = "acme"
[cost.budgets.all]
amount = 90000
currency = "USD"
[cost.budgets.risk]
amount = 10
currency = "USD"
where = ["team=risk"]
"""
SERVICES = (("db", "db-1", "risk", "60.5", "0.5"), ("db", "db-2", "", "40.25", "0.25"), ("web", "web-1", "ads", "500", "2"))
LENGTH, DEAR = 75, 3


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Seventy-five days until yesterday; db-2 three times as much on the last three; a price of web up by a tenth yesterday."""
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    newest = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = [one(newest - back * ONE_DAY, back, *service) for back in range(LENGTH, 0, -1) for service in SERVICES]
    Intake(tmp_path / ".mcml" / "cost").files([write_csv(tmp_path / "bill.csv", rows)])
    return tmp_path


def one(start: datetime, back: int, service: str, resource: str, team: str, cost: str, price: str) -> dict[str, str]:
    quantity = Decimal(cost) / Decimal(price) * (3 if resource == "db-2" and back <= DEAR else 1)
    each = Decimal(price) * (Decimal("1.1") if service == "web" and back == 1 else 1)
    month = start.replace(day=1)
    return text_row(
        BilledCost=str(quantity * each), EffectiveCost=str(quantity * each), ServiceName=service, ResourceId=resource,
        SkuId=resource, SkuPriceId=f"{resource}-1", PricingUnit="Hours", PricingQuantity=str(quantity),
        Tags=json.dumps({"team": team}) if team else "", ChargeFrequency="Usage-Based",
        BillingPeriodStart=month.isoformat(), BillingPeriodEnd=(month + timedelta(days=32)).replace(day=1).isoformat(),
        ChargePeriodStart=start.isoformat(), ChargePeriodEnd=(start + ONE_DAY).isoformat(),
    )  # fmt: skip


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


FIELDS = {
    "name", "currency", "period", "from", "until", "cost", "compared", "daily", "sources", "unallocated", "month", "movers",
    "movers_against", "movers_command", "movers_without", "anomalies", "budgets", "omitted", "rows",
}  # fmt: skip


def test_its_numbers_and_the_rows_behind_each(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    told = answer(capsys, "cost", "digest")
    assert (told["kind"], len(told["items"])) == ("CostDigest", 1)
    (usd,) = told["items"]
    assert set(usd) == FIELDS
    assert (usd["name"], usd["period"], usd["cost"]) == ("USD", "day", "731.25")
    assert [(step["was"], step["delta"], step["delta_percent"]) for step in usd["compared"]] == [
        ("681.25", "50", "7.3"), ("600.75", "130.5", "21.7"),
    ]  # fmt: skip
    movers = [(each["name"], each["delta"], each["because"], each["parts"]) for each in usd["movers"]]
    assert [each[:2] for each in movers] == [("db", "80.5"), ("web", "50")]
    assert total(Decimal(each[1]) for each in movers) == Decimal(usd["compared"][1]["delta"]), "against the weekday of the week before"
    why = answer(capsys, *shlex.split(usd["movers_command"])[1:])["items"]
    assert {(each["name"], each["delta"]) for each in why} == {each[:2] for each in movers}
    assert movers[0][2] == "volume up, mix down"
    assert movers[1][2:] == ("rate up", {"rate": "50"})
    assert (usd["unallocated"]["cost"], usd["unallocated"]["share_percent"]) == ("120.75", "16.5")
    assert [(each["source"], each["share_percent"]) for each in usd["sources"]] == [("billed", "100.0")]
    assert [(each["scope"], each["kind"], each["state"], each["because"]) for each in usd["anomalies"]] == [
        ("db", "shift", "new level", "resource db-2, volume")
    ]
    first = datetime.now(UTC).day == 1  # nothing of the month is spent then; the forecast says what will be
    assert {each["name"]: each["state"] for each in usd["budgets"]} == {"risk": "warn" if first else "over", "all": "ok"}
    assert set(usd["omitted"]) <= {"month", "month_compared", "forecast"}, "on the first days of a month"
    parts = [usd, *usd["movers"], *usd["sources"], *usd["anomalies"], *usd["budgets"]]
    wanted = ["731.25", "181.25", "550", "731.25", *(each.get("actual") or each["spent"] for each in (*usd["anomalies"], *usd["budgets"]))]
    for part, number in zip(parts, wanted, strict=True):
        rows = answer(capsys, *shlex.split(part["rows"])[1:])["items"]
        assert total(Decimal(row["EffectiveCost"]) for row in rows) == Decimal(number), part["rows"]


def test_a_week_and_a_team(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    monday = datetime.now(UTC) - (datetime.now(UTC).weekday() + 14) * ONE_DAY
    words = "cost", "digest", "--weekly", "--day", f"{monday:%Y-%m-%d}", "--where", "team=risk", "--by", "resource"
    (week,) = answer(capsys, *words)["items"]
    assert (week["cost"], week["compared"][0]["delta"], week["movers"]) == ("423.5", "0", [])
    assert (week["period"], week["from"]) == ("week", f"{monday:%Y-%m-%d}")
    assert {"anomalies", "budgets"} <= set(week["omitted"])
    (day,) = answer(capsys, "cost", "digest", "--where", "team=risk")["items"]
    assert [each["name"] for each in day["budgets"]] == ["risk"], "a budget of these costs"


def test_one_screen(project: Path) -> None:
    shown = run(["cost", "digest"], cwd=project, terminal=True)
    screen = re.sub(r"\x1b\[[0-9;]*m", "", shown.out)
    assert shown.code == 0
    assert len(screen.splitlines()) <= 40, screen
    assert re.search(r"web +500\.00 +550\.00 +50\.00 +rate up", screen)


def test_a_pipe_a_page_and_a_chat(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(project)
    assert main(["cost", "digest"]) == 0
    piped = capsys.readouterr().out
    assert "web\t500\t550\t50\trate up\n" in piped
    assert "\x1b" not in piped
    assert main(["cost", "digest", "-o", "html"]) == 0
    page = capsys.readouterr().out
    assert "<h2>USD: the day" in page
    assert not re.search(r"<script|src=|href=|url\(|https?:", page), "it needs nothing from elsewhere"
    assert main(["cost", "digest", "-o", "markdown"]) == 0
    assert "| web | 500 | 550 | 50 | rate up |" in capsys.readouterr().out


def test_an_empty_ledger_and_what_is_no_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert answer(capsys, "cost", "digest")["items"] == []
    assert main(["cost", "digest", "--day", "2026-10"]) == 2
    assert "write it like 2026-11-21" in capsys.readouterr().err
    assert main(["cost", "digest", "--day", "2999-01-01"]) == 2
    assert "has not begun" in capsys.readouterr().err
