"""Budgets: the alerts of a standing, once told each, through restarts, rivals and new periods."""

import json
import multiprocessing
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mcml.cli.main import main
from mcml.core.clock import Clock
from mcml.core.schema_cost import Budget
from mcml.cost.budget import views
from mcml.cost.budget.desk import check, look
from mcml.cost.budget.standing import Alert, Change, Standing, changes, period, stand
from mcml.cost.rates.table import read
from mcml.incident import desk
from mcml.store import journal
from mcml.store.db import Store
from mcml.store.ledger.book import Group, Ledger
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import row, text_row, write_csv

MONTH = (date(2026, 10, 1), date(2026, 11, 1))
TODAY = date(2026, 10, 21)
RISK = Budget(amount=3100, currency="USD")
ONE_DAY = timedelta(days=1)


def group(day: date, cost: str | Decimal, *, currency: str = "USD", source: str = "billed", charge: str = "Usage") -> Group:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    amount = Decimal(cost)
    key = (source, day.isoformat(), charge, None, "aws")
    return Group(currency, key, amount, amount, 1, None, start, start + ONE_DAY, start + 3 * ONE_DAY)


def daily(cost: str, first: date, days: int) -> list[Group]:
    return [group(first + at * ONE_DAY, cost) for at in range(days)]


def standing(groups: list[Group], budget: Budget = RISK, on: tuple[str, ...] = (), today: date = TODAY) -> Standing:
    return stand("risk", budget, period(budget, today), today, groups, on)


def names(found: Standing) -> list[str]:
    return [alert.name for alert in found.alerts]


def test_what_is_spent_and_what_will_be() -> None:
    """100 a day for 50 days until yesterday: 20 of them in October, which will have 31."""
    found = standing(daily("100", date(2026, 9, 1), 50))
    assert (found.start, found.end) == MONTH
    assert (found.spent, found.forecast) == (Decimal(2000), Decimal(3100))
    assert (found.fast, found.slow) == (Decimal(1), Decimal(1))
    assert names(found) == ["actual-50", "forecast-100"]
    assert found.level == "warn"
    assert found.alerts[0].text == "64.5% of 3100 USD is spent"


def test_a_forecast_alert_ends_five_percent_below_where_it_began() -> None:
    just_below = daily("98", date(2026, 9, 1), 50)
    assert names(standing(just_below)) == ["actual-50"]
    assert names(standing(just_below, on=("forecast-100",))) == ["actual-50", "forecast-100"]
    assert names(standing(daily("94", date(2026, 9, 1), 50), on=("forecast-100",))) == ["actual-50"]


def test_little_history_has_no_forecast() -> None:
    found = standing(daily("100", date(2026, 10, 1), 20))
    assert (found.forecast, found.spent) == (None, Decimal(2000))


def test_burn_needs_a_dear_day_and_a_dear_week() -> None:
    quiet = Budget(amount=31000, currency="USD")
    cheap = daily("100", date(2026, 9, 1), 48)
    one_day = [*cheap[:-1], group(date(2026, 10, 18), "9000")]
    week = [*cheap[:-7], *daily("2500", date(2026, 10, 12), 7)]
    over = [*cheap[:-8], *daily("2500", date(2026, 10, 11), 7), group(date(2026, 10, 18), "100")]
    assert (standing(one_day, quiet).fast, standing(one_day, quiet).slow) == (Decimal(9), Decimal("1.37"))
    assert "burn" not in names(standing(one_day, quiet))
    assert "burn" in names(standing(week, quiet))
    assert "burn" not in names(standing(over, quiet)), "the last day was cheap again"
    assert "burn" not in names(standing(week, Budget(amount=31000, currency="USD", burn=0)))


def test_a_bill_that_is_late_hides_no_burn_and_one_in_another_currency_delays_nothing() -> None:
    """Of four dear days, while the bill of another provider ended five days ago."""
    usd = [*daily("100", date(2026, 9, 1), 46), *daily("700", date(2026, 10, 17), 4)]
    plain = standing(usd)
    assert (plain.fast, "burn" in names(plain)) == (Decimal(7), True)
    late = [each._replace(key=(*each.key[:-1], "azure")) for each in daily("5", date(2026, 9, 1), 45)]
    assert plain.slow is not None
    both = standing(usd + late)
    assert (both.fast, "burn" in names(both)) == (Decimal(7), True)
    euros = standing(usd + [each._replace(currency="EUR") for each in late])
    assert replace(euros, other={}) == plain


def test_other_currencies_are_named_and_never_added() -> None:
    groups = [*daily("100", date(2026, 10, 1), 20), group(date(2026, 10, 3), "5000", currency="EUR")]
    found = standing(groups)
    assert (found.spent, found.other) == (Decimal(2000), {"EUR": Decimal(5000)})
    said = str(views.budgets([found]).blocks)
    assert "5000 EUR, because the budget is in USD" in said


def test_estimates_count_and_are_said() -> None:
    found = standing([*daily("100", date(2026, 10, 1), 20), group(date(2026, 10, 21), "1100", source="estimate")])
    assert (found.spent, found.estimated, found.level) == (Decimal(3100), Decimal(1100), "over")
    assert "risk: 35.5 % of what is spent; estimates are not checked by any bill yet" in str(views.budgets([found]).blocks)


@pytest.mark.parametrize(("billed", "estimate"), [("-1100", "1100"), ("-2000", "1100"), ("2000", "-100"), ("-10", "-10")])
def test_an_estimate_that_is_no_share_of_what_is_spent_has_none(billed: str, estimate: str) -> None:
    day = date(2026, 10, 20)
    found = standing([group(day, billed, charge="Credit"), group(day, estimate, source="estimate")])
    said = str(views.budgets([found]).blocks)
    assert "of what is spent" not in said
    assert "None" not in said.partition("estimated")[0]


@pytest.mark.parametrize(
    ("per", "first", "after"),
    [
        ("day", date(2026, 10, 21), date(2026, 10, 22)),
        ("week", date(2026, 10, 19), date(2026, 10, 26)),
        ("month", date(2026, 10, 1), date(2026, 11, 1)),
        ("quarter", date(2026, 10, 1), date(2027, 1, 1)),
    ],
)
def test_periods_are_those_of_the_calendar(per: Any, first: date, after: date) -> None:
    budget = Budget(amount=100, currency="USD", per=per)
    assert period(budget, TODAY) == (first, after)
    found = standing(daily("100", date(2026, 8, 1), 80), budget)
    assert found.spent == 100 * len([day for day in range(80) if first <= date(2026, 8, 1) + day * ONE_DAY < after])
    assert found.forecast == 100 * (after - first).days


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)), st.sampled_from(["day", "week", "month", "quarter"]))
def test_periods_meet(day: date, per: Any) -> None:
    budget = Budget(amount=1, currency="USD", per=per)
    first, after = period(budget, day)
    assert first <= day < after
    assert period(budget, after)[0] == after
    assert period(budget, first) == (first, after)


MONEY = st.decimals(-(10**9), 10**9, places=24)
GROUPS = st.lists(
    st.builds(group, st.dates(date(2026, 8, 1), date(2026, 10, 31)), MONEY, currency=st.sampled_from(["USD", "EUR"])), max_size=30
)


@given(GROUPS)
@settings(deadline=None)
def test_every_cent_of_the_period_is_counted_once(groups: list[Group]) -> None:
    found = standing(groups)
    inside = [each for each in groups if MONTH[0] <= date.fromisoformat(str(each.key[1])) < MONTH[1]]
    for currency, amount in {"USD": found.spent, **found.other}.items():
        assert amount == total(each.effective for each in inside if each.currency == currency)


def alerts(*on: str) -> tuple[Alert, ...]:
    return tuple(Alert(name, Decimal(1), f"{name} is on") for name in on)


@given(st.lists(st.tuples(st.booleans(), st.frozensets(st.sampled_from(["actual-50", "actual-80", "burn"]))), max_size=20))
def test_alerts_come_on_and_go_off_in_turn(looks: list[tuple[bool, frozenset[str]]]) -> None:
    """After any story what was told adds up to what is on, and an alert of the old period is not taken for one of the new."""
    base, start = standing([]), MONTH[0]
    memory: dict[str, str] = {}
    began, told_on = start.isoformat(), set[str]()
    for new_period, on in looks:
        start = start + 40 * ONE_DAY if new_period else start
        now = replace(base, start=start, alerts=alerts(*sorted(on)))
        for change in changes(now, memory, began):
            assert (change.name in told_on) != change.on
            (told_on.add if change.on else told_on.discard)(change.name)
        memory, began = {alert.name: alert.text for alert in now.alerts}, start.isoformat()
        assert told_on == on


def test_a_new_period_ends_the_alerts_of_the_old_one() -> None:
    now = replace(standing([]), alerts=alerts("burn"))
    assert changes(now, {"burn": "it burned", "actual-80": "80%"}, "2026-09-01") == [
        Change("burn", False, "a new period has begun"),
        Change("actual-80", False, "a new period has begun"),
        Change("burn", True, "burn is on"),
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """2,000 USD in the first twenty days of October."""
    fill(tmp_path, "100")
    return Ledger(tmp_path / "cost")


def fill(folder: Path, cost: str) -> None:
    starts = [datetime(2026, 10, 1, tzinfo=UTC) + at * ONE_DAY for at in range(20)]
    rows = [row(cost, ChargePeriodStart=start, ChargePeriodEnd=start + ONE_DAY, x_Team="risk") for start in starts]
    Intake(folder / "cost").rows(rows, origin="test")


def clock(day: date = TODAY) -> Clock:
    return lambda: datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'mcml.db'}"


def told(store: Store) -> list[tuple[str, object]]:
    return [(entry.kind, entry.facts["alert"]) for entry in store.entries() if entry.kind.startswith("cost.budget")]


def test_each_state_is_told_once_and_its_end_too(ledger: Ledger, tmp_path: Path) -> None:
    budgets = {"risk": Budget(amount=2400, currency="USD", where=("team=risk",))}
    with Store(url(tmp_path)) as store:
        for _ in range(3):
            check(ledger, store, budgets, clock())
        first = [("cost.budget_alerted", "actual-50"), ("cost.budget_alerted", "actual-80")]
        assert told(store) == first
        fill(tmp_path, "70")
        check(ledger, store, budgets, clock())
        assert told(store) == [*first, ("cost.budget_recovered", "actual-80")]
        check(ledger, store, budgets, clock(date(2026, 11, 1)))
        check(ledger, store, budgets, clock(date(2026, 11, 1)))
        assert told(store)[3:] == [("cost.budget_recovered", "actual-50")]


def test_a_dry_run_tells_nothing(ledger: Ledger, tmp_path: Path) -> None:
    with Store(url(tmp_path)) as store:
        (found,) = check(ledger, store, {"risk": RISK}, clock(), dry_run=True)
        assert [change.name for change in found.changes] == ["actual-50"]
        assert told(store) == []


def test_an_incident_opens_once_and_resolves_when_nothing_is_on(ledger: Ledger, tmp_path: Path) -> None:
    budgets = {"risk": Budget(amount=2000, currency="USD", incident=True), "quiet": Budget(amount=2000, currency="USD")}
    with Store(url(tmp_path)) as store:
        check(ledger, store, budgets, clock(), desk.record_within)
        (incident,) = desk.list_incidents(store)
        assert (incident.key, incident.severity) == ("budget:risk", "error")
        fill(tmp_path, "60")
        check(ledger, store, budgets, clock(), desk.record_within)
        assert len(desk.list_incidents(store)) == 1, "actual-50 is still on"
        fill(tmp_path, "1")
        check(ledger, store, budgets, clock(), desk.record_within)
        assert desk.list_incidents(store) == []
        assert [each.state for each in desk.list_incidents(store, desk.EVERY)] == ["resolved"]


def die(ledger: Ledger, folder: Path) -> None:
    """Check, and be gone (as by kill -9) after the second fact, before the transaction ends."""
    count = 0

    def append(connection: Any, fact: Any) -> object:
        nonlocal count
        count += 1
        if count == 2:
            os._exit(9)
        return journal.append(connection, fact)

    with Store(url(folder)) as store:
        check(ledger, store, {"risk": Budget(amount=2400, currency="USD", incident=True)}, clock(), append)


def test_whoever_is_killed_in_between_has_told_nothing_and_the_next_one_all(ledger: Ledger, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=die, args=(ledger, tmp_path))
    process.start()
    process.join(60)
    assert process.exitcode == 9
    with Store(url(tmp_path)) as store:
        assert told(store) == []
        check(ledger, store, {"risk": Budget(amount=2400, currency="USD")}, clock())
        assert [alert for _, alert in told(store)] == ["actual-50", "actual-80"]
        assert store.verify().broken_at == 0


def test_two_at_once_tell_each_alert_once(ledger: Ledger, tmp_path: Path) -> None:
    """The first to write waits until the other one has looked, too."""
    looked = Barrier(2)

    def look() -> datetime:
        with suppress(BrokenBarrierError):
            looked.wait(2)
        return clock()()

    def one(_: int) -> None:
        with Store(url(tmp_path)) as store:
            check(ledger, store, {"risk": Budget(amount=2400, currency="USD")}, look)

    with Store(url(tmp_path)) as store:
        store.entries()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(2)))
        assert [alert for _, alert in told(store)] == ["actual-50", "actual-80"]


def test_other_currencies_count_where_the_budget_converts(ledger: Ledger, tmp_path: Path) -> None:
    """2,000 USD, and 100 EUR at 1.25; days before the period have no rate, and no part in it."""
    starts = [datetime(2026, month, 2, tzinfo=UTC) for month in (9, 10)]
    costs = [row("100", ChargePeriodStart=at, ChargePeriodEnd=at + ONE_DAY, BillingCurrency="EUR", BillingAccountId="eu") for at in starts]
    Intake(tmp_path / "cost").rows(costs, origin="test")
    budget = {"risk": Budget(amount=3100, currency="USD", convert=True)}
    rates = read("date,from,to,rate\n2026-10-01,EUR,USD,1.25\n", "test", 7)
    with Store(url(tmp_path)) as store:
        (found,) = look(ledger, store, budget, clock()(), rates)
        assert (found.spent, found.other, found.unconverted) == (Decimal(2125), {}, "")
        (without,) = look(ledger, store, budget, clock()())
        assert (without.spent, without.other) == (Decimal(2000), {"EUR": Decimal(100)})
        assert (found.converted_from, without.converted_from) == ({"EUR": Decimal(100), "USD": Decimal(2000)}, {})
        assert "because there are no exchange rates" in str(views.budgets([without]).blocks)
        (old,) = look(ledger, store, budget, clock()(), read("date,from,to,rate\n2026-09-01,EUR,USD,1.25\n", "test", 7))
        assert (old.spent, "no rate from EUR to USD for 2026-10-02" in old.unconverted) == (Decimal(2000), True)
        kept = row("7", ChargePeriodStart=starts[1], ChargePeriodEnd=starts[1] + ONE_DAY, BillingCurrency="ARS", BillingAccountId="ar")
        Intake(tmp_path / "cost").rows([kept], origin="test")
        (most,) = look(ledger, store, budget, clock()(), rates)
        assert (most.spent, most.other, "no rate from ARS" in most.unconverted) == (Decimal(2125), {"ARS": Decimal(7)}, True)


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
        ('[cost.budgets.a]\namount = 1\ncurrency = "USD"\nwhere = ["teem=x"]\n', ["list"], 2, "did you mean 'team'?"),
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


def test_a_budget_is_in_one_currency() -> None:
    with pytest.raises(ValidationError):
        Budget(amount=1, currency="dollars")
