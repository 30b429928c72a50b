"""Costs in one currency: identity, sums to the last digit, the missing day by name, and what people and scripts see."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cli.main import main
from mcml.core.errors import NotFound
from mcml.cost.rates.convert import convert
from mcml.cost.rates.table import Rates, read
from mcml.cost.rates.views import SET_UP
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import product, tidy, total
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import row

FIRST = date(2026, 10, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(10)]
HEAD = "Date,USD,JPY,GBP,\n"


def euro(*days: date) -> Rates:
    """Rates that differ from day to day."""
    lines = [f"{day},1.0{day.day:02},16{day.day % 10}.37,0.8{day.day:02},\n" for day in days or DAYS]
    return read(HEAD + "".join(lines), "ECB", 7)


def group(currency: str, team: str, day: date, cost: Decimal) -> Group:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Group(currency, (team, day.isoformat()), cost, cost, 1, None, start, start + timedelta(hours=1), start)


GROUPS = st.lists(
    st.builds(
        group,
        st.sampled_from(["USD", "JPY", "EUR"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(DAYS),
        st.decimals(-(10**9), 10**9, places=24),
    ),
    max_size=30,
)


@given(GROUPS)
def test_in_its_own_currency_nothing_changes(groups: list[Group]) -> None:
    mine = [each for each in groups if each.currency == "EUR"]
    found = convert(mine, ("team", "day"), euro(), "EUR")
    assert found.used == ()
    for key in {each.key for each in mine}:
        before = tidy(total(each.effective for each in mine if each.key == key))
        assert [each.effective for each in found.groups if each.key == key] == [before]


@given(GROUPS, st.sampled_from(["EUR", "USD", "GBP"]))
def test_converted_lines_add_up_to_the_converted_total_to_the_last_digit(groups: list[Group], currency: str) -> None:
    """By team, by team and day, or all in one: the same sum, and that of each cost times the rate of its day."""
    rates = euro()
    by_team, by_day = convert(groups, ("team",), rates, currency).groups, convert(groups, ("team", "day"), rates, currency).groups
    whole = total(product(each.effective, rates.of(each.currency, currency, date.fromisoformat(str(each.key[1]))).value) for each in groups)
    assert {each.currency for each in by_team} <= {currency}
    assert total(each.effective for each in by_team) == total(each.effective for each in by_day) == whole
    assert sum(each.rows for each in by_team) == len(groups)


@given(st.sets(st.sampled_from(DAYS), min_size=1), st.lists(st.sampled_from(DAYS), min_size=1))
def test_a_day_without_a_rate_is_named(known: set[date], asked: list[date]) -> None:
    rates = Rates("x", 0, euro(*known).pairs)
    missing = sorted(set(asked) - known)
    groups = [group("USD", "a", day, Decimal(1)) for day in asked]
    if not missing:
        assert len(convert(groups, ("team",), rates, "EUR").used) == len(set(asked))
        return
    with pytest.raises(NotFound, match=f"no rate from USD to EUR for {missing[0]}") as refused:
        convert(groups, ("team",), rates, "EUR")
    assert (f"for {len(missing) - 1} other days" in refused.value.why) == (len(missing) > 1)


def fill(folder: Path, *costs: tuple[str, str, date, str]) -> None:
    rows = []
    account = costs[0][1]
    for team, currency, day, cost in costs:
        start = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        month = start.replace(day=1, hour=0)
        times = {"ChargePeriodStart": start, "ChargePeriodEnd": start + timedelta(hours=1), "BillingPeriodStart": month}
        times["BillingPeriodEnd"] = (month + timedelta(days=32)).replace(day=1)
        rows.append(row(cost, BillingCurrency=currency, BillingAccountId=account, x_Team=team, **times))
    Intake(folder / ".mcml" / "cost").rows(rows, origin="test")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Dollars on two days, euros on one; rates of 1.25 and 1.6 dollars for a euro."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[cost.rates]\nfile = "rates.csv"\nsource = "the treasury"\n')
    (tmp_path / "rates.csv").write_text("date,from,to,rate\n2026-10-01,EUR,USD,1.25\n2026-10-05,EUR,USD,1.6\n")
    fill(tmp_path, ("risk", "USD", FIRST, "10"), ("risk", "USD", DAYS[5], "16"))
    fill(tmp_path, ("risk", "EUR", DAYS[2], "0.5"), ("ads", "EUR", FIRST, "7"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def items(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, object]]:
    assert main(["cost", *arguments, "-o", "json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["items"]
    return found


def test_a_report_in_one_currency(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apart = items(capsys, "report", "--by", "team")
    assert {(item["name"], item["currency"]) for item in apart} == {("risk", "USD"), ("risk", "EUR"), ("ads", "EUR")}
    risk, ads = items(capsys, "report", "--by", "team", "--month", "2026-10", "--currency", "EUR")
    assert (risk["name"], risk["currency"], risk["effective_cost"]) == ("risk", "EUR", "18.5")
    assert risk["converted_from"] == {"EUR": "0.5", "USD": "26"}
    assert (ads["effective_cost"], ads["converted_from"]) == ("7", {"EUR": "7"})
    assert risk["rates"] == [
        {
            "from": "USD", "to": "EUR", "first_day": "2026-10-01", "last_day": "2026-10-06", "days": 2, "lowest": "0.625", "highest": "0.8",
            "published": "2026-10-01 to 2026-10-05", "how": "inverse", "source": "the treasury",
        }
    ]  # fmt: skip
    by_day = items(capsys, "report", "--by", "day", "--currency", "EUR")
    assert {item["name"]: item["effective_cost"] for item in by_day} == {"2026-10-01": "15", "2026-10-03": "0.5", "2026-10-06": "10"}


def test_a_comparison_in_one_currency(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spans = ("--month", "2026-10", "--compare", "2026-09")
    (move,) = items(capsys, "report", "--by", "team", *spans, "--currency", "USD", "--where", "team=risk")
    assert (move["currency"], move["after"]) == ("USD", "26.625")


def test_a_forecast_in_one_currency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Half in dollars, half in euros at 2 dollars: as much as all of it in dollars."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[cost.rates]\nfile = "rates.csv"\nmax_age = 366\n')
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(60, 0, -1)]
    (tmp_path / "rates.csv").write_text(f"date,from,to,rate\n{days[0]},EUR,USD,2\n")
    fill(tmp_path, *(("risk", "USD", day, "10") for day in days))
    fill(tmp_path, *(("risk", "EUR", day, "5") for day in days))
    monkeypatch.chdir(tmp_path)
    apart = {str(item["currency"]): Decimal(str(item["forecast_cost"])) for item in items(capsys, "forecast")}
    (both,) = items(capsys, "forecast", "--currency", "USD")
    assert Decimal(str(both["forecast_cost"])) == apart["USD"] + 2 * apart["EUR"] == 2 * apart["USD"]
    assert [rate["from"] for rate in both["rates"]] == ["EUR"]  # type: ignore[attr-defined]


def test_people_see_whose_rates_and_of_when(project: Path) -> None:
    shown = run(["cost", "report", "--by", "team", "--currency", "EUR"], cwd=project, terminal=True)
    for part in ("18.50", "rates of the treasury: each charge by the rate of its day", "0.625"):
        assert part in shown.out, part
    piped = run(["cost", "report", "--by", "team", "--currency", "EUR"], cwd=project)
    assert piped.code == 0
    assert "\x1b" not in piped.out


def test_a_missing_day_refuses_the_report(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "rates.csv").write_text("date,from,to,rate\n2026-10-05,EUR,USD,1.6\n")
    assert main(["cost", "report", "--currency", "EUR"]) == 5
    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no rate from USD to EUR for 2026-10-01" in said.err


def test_the_rates_are_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (item,) = items(capsys, "rates", "--on", "2026-10-03")
    assert set(item) == {"name", "from", "to", "rate", "date", "days", "since", "state", "source"}
    assert (item["name"], item["rate"], item["date"], item["state"]) == ("EUR/USD", "1.25", "2026-10-01", "holds")
    (old,) = items(capsys, "rates", "--on", "2026-10-20")
    assert (old["date"], old["state"]) == ("2026-10-05", "15 days old: not used")
    assert "EUR" in run(["cost", "rates"], cwd=project, terminal=True).out
    assert "\x1b" not in run(["cost", "rates"], cwd=project).out


@pytest.mark.parametrize(
    ("toml", "arguments", "code", "said"),
    [
        ("", ["report", "--currency", "EUR"], 2, "no exchange rates are set up"),
        ('[cost.rates]\nfile = "none.csv"\n', ["report", "--currency", "EUR"], 2, "none.csv"),
        ('[cost.rates]\nfile = "mcml.toml"\n', ["rates"], 2, "there are no exchange rates in it"),
        ('[cost.rates]\nfile = "r.csv"\n', ["report", "--currency", "euro"], 2, "'euro' is no currency"),
        ('[cost.rates]\nfile = "r.csv"\n', ["report", "--currency", "EUR", "--rows"], 2, "rows as they were billed"),
        ('[cost.rates]\nfile = "r.csv"\nmax_age = -1\n', ["rates"], 2, "max_age"),
    ],
    ids=["none", "no file", "another file", "no code", "rows", "no age"],
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
    (tmp_path / "r.csv").write_text("date,from,to,rate\n2026-10-05,EUR,USD,1.6\n")
    monkeypatch.chdir(tmp_path)
    assert main(["cost", *arguments]) == code
    assert said in capsys.readouterr().err


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    for shown in (run(["cost", "rates"], cwd=tmp_path, terminal=terminal) for terminal in (True, False)):
        assert shown.code == 0
        for line in ("no exchange rates are set up", "[cost.rates]", 'file = "rates/eurofxref-hist.csv"', "unzip eurofxref-hist.zip"):
            assert line in shown.out, line
    assert json.loads(run(["cost", "rates", "-o", "json"], cwd=tmp_path).out)["items"] == []


def test_the_toml_that_is_shown_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(f'name = "acme"\n{SET_UP}\n')
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates/eurofxref-hist.csv").write_text("Date,USD,\n2026-10-05,1.6,\n")
    (item,) = json.loads(run(["cost", "rates", "--on", "2026-10-06", "-o", "json"], cwd=tmp_path).out)["items"]
    assert (item["name"], item["rate"], item["source"]) == ("EUR/USD", "1.6", "European Central Bank")
