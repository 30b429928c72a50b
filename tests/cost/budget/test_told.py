"""Alerts of budgets are told once each, through restarts, rivals, new periods, and budgets that are no more."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from mcml.core.schema_cost import Budget
from mcml.cost.budget import views
from mcml.cost.budget.desk import KIND, check, look
from mcml.cost.rates.table import read
from mcml.incident import desk
from mcml.store import documents, journal
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from tests.cost.budget.rig import ONE_DAY, RISK, clock, fill, told, url
from tests.cost.focus import row


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """2,000 USD in the first twenty days of October."""
    fill(tmp_path, "100")
    return Ledger(tmp_path / "cost")


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


def test_a_budget_that_is_no_more_has_no_alert_and_no_open_incident(ledger: Ledger, tmp_path: Path) -> None:
    budgets = {"risk": Budget(amount=2400, currency="USD", incident=True), "ads": Budget(amount=3100, currency="USD")}
    with Store(url(tmp_path)) as store:
        check(ledger, store, budgets, clock(), desk.record_within)
        first = [("cost.budget_alerted", alert) for alert in ("actual-50", "actual-80", "actual-50")]
        assert (told(store), len(desk.list_incidents(store))) == (first, 1)
        check(ledger, store, {"ads": budgets["ads"]}, clock(), desk.record_within, profile="dev")
        check(ledger, store, {"ads": budgets["ads"]}, clock(), desk.record_within, dry_run=True)
        assert told(store) == first, "another profile has other budgets, and a dry run tells nothing"
        for _ in range(2):
            check(ledger, store, {"ads": budgets["ads"]}, clock(), desk.record_within)
        assert told(store)[3:] == [("cost.budget_recovered", "actual-50"), ("cost.budget_recovered", "actual-80")]
        assert desk.list_incidents(store) == []
        check(ledger, store, budgets, clock(), desk.record_within)
        assert len(desk.list_incidents(store)) == 1, "it comes back as a new one"


def test_alerts_of_before_profiles_were_kept_are_not_ended_by_another_profile(ledger: Ledger, tmp_path: Path) -> None:
    budgets = {"risk": Budget(amount=2400, currency="USD")}
    with Store(url(tmp_path)) as store:
        check(ledger, store, budgets, clock(), desk.record_within, profile="dev")
        with store.writing() as connection:
            (kept,) = documents.every(connection, KIND)
            before = {key: value for key, value in kept.content.items() if key != "profile"}
            documents.put(connection, KIND, kept.key, before, clock()())
        first = told(store)
        check(ledger, store, {}, clock(), desk.record_within)
        check(ledger, store, budgets, clock(), desk.record_within, profile="dev")
        assert told(store) == first, "ended, it would be told anew"
        check(ledger, store, {}, clock(), desk.record_within, profile="dev")
        assert len(told(store)) == 2 * len(first), "a check has kept whose it is"


def test_an_incident_ends_also_when_its_budget_opens_none_any_more(ledger: Ledger, tmp_path: Path) -> None:
    asking = Budget(amount=2400, currency="USD", incident=True)
    with Store(url(tmp_path)) as store:
        check(ledger, store, {"risk": asking}, clock(), desk.record_within)
        assert len(desk.list_incidents(store)) == 1
        silent = {"risk": asking.model_copy(update={"incident": False})}
        fill(tmp_path, "1")
        check(ledger, store, silent, clock(), desk.record_within)
        assert desk.list_incidents(store) == []
        fill(tmp_path, "100")
        check(ledger, store, silent, clock(), desk.record_within)
        assert desk.list_incidents(store) == [], "and it opens none"
