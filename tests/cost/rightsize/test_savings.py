"""What the bill says of promises: exact, adjusted for the hours that a machine ran, and silent while it is too early."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.rightsize.change import Change, identified, keep
from mcml.cost.rightsize.savings import DAY, Realised, Verdict, grade, realised, totals
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.exact import product
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.resource_days import Billed, ResourceDay
from mcml.testing.cli import run
from tests.cost.focus import row

AT = datetime(2026, 10, 11, 9, tzinfo=UTC)
FIRST = AT.date()
KEY = "eu-1/i-1"
DONE = replace(
    Change(identified(KEY, AT), KEY, "eu-1", "i-1", "m4", "m2", "m2", AT),
    stage="done",
    down=AT,
    resized=AT,
    began=AT,
    ended=AT + timedelta(hours=1),
    saving=Decimal("138.70"),
    currency="USD",
)
FIELDS = [
    "name", "change", "from", "to", "done_at", "promised", "realised_per_month", "realised_so_far", "currency", "rate_before", "rate_after",
    "hours_before", "hours_after", "billed_days", "billed_until", "verdict",
]  # fmt: skip


def bill(before: Sequence[tuple[int, str]], after: Sequence[tuple[int, str]], days_after: int | None = None) -> Billed:
    """Hours and the price of one, day by day, up to the change and from the day after it on."""
    found = [_day(FIRST - (len(before) - number) * DAY, *one) for number, one in enumerate(before)]
    found += [_day(FIRST, 24, "9")]
    found += [_day(FIRST + (number + 1) * DAY, *one) for number, one in enumerate(after)]
    count = len(after) if days_after is None else days_after
    return Billed(tuple(found), datetime.combine(FIRST + (count + 1) * DAY, time(), UTC))


def _day(day: date, hours: int, rate: str) -> ResourceDay:
    return ResourceDay("USD", day, product(Decimal(rate), hours), Fraction(hours))


def test_a_promise_that_the_bill_keeps_to_the_cent() -> None:
    found = grade(DONE, bill([(24, "0.38")] * 10, [(12, "0.19")] * 8))
    assert (found.verdict, found.days) == ("confirmed", 8)
    assert (found.rate_before, found.rate_after, found.per_month) == (Decimal("0.38"), Decimal("0.19"), Decimal("138.7"))
    assert (found.so_far, found.hours_before, found.hours_after) == (Decimal("18.24"), Fraction(240), Fraction(96))


@given(
    rate=st.decimals(min_value="0.0001", max_value="100", places=10),
    before=st.lists(st.integers(0, 24), min_size=1, max_size=30).filter(any),
    after=st.lists(st.integers(0, 24), min_size=1, max_size=30).filter(any),
)
def test_where_an_hour_costs_what_it_did_nothing_is_saved_whatever_the_hours(rate: Decimal, before: list[int], after: list[int]) -> None:
    found = grade(DONE, bill([(hours, str(rate)) for hours in before], [(hours, str(rate)) for hours in after]))
    assert (found.per_month, found.so_far) == (Decimal(0), Decimal(0))
    assert found.verdict == ("too early" if len(after) < 7 else "not confirmed")


@given(old=st.integers(1, 10**6), new=st.integers(1, 10**6), hours=st.lists(st.integers(1, 24), min_size=7, max_size=20))
def test_what_is_saved_is_the_difference_of_an_hour_times_the_hours_since(old: int, new: int, hours: list[int]) -> None:
    found = grade(DONE, bill([(24, f"{old}e-4")], [(one, f"{new}e-4") for one in hours]))
    assert found.so_far == (Decimal(old) - Decimal(new)) * sum(hours) / 10000
    assert found.per_month == (Decimal(old) - Decimal(new)) * 730 / 10000


@pytest.mark.parametrize(
    ("promised", "rate", "verdict"),
    [
        ("138.70", "0.19", "confirmed"),
        ("138.70", "0.227", "confirmed"),
        ("138.70", "0.229", "partly"),
        ("138.70", "0.39", "not confirmed"),
        ("-100", "0.53", "confirmed"),
        ("-100", "0.60", "not confirmed"),
        (None, "0.19", "no promise"),
    ],
)
def test_four_fifths_of_a_promise_confirm_it(promised: str | None, rate: str, verdict: Verdict) -> None:
    change = replace(DONE, saving=None if promised is None else Decimal(promised))
    assert grade(change, bill([(24, "0.38")] * 3, [(24, rate)] * 7)).verdict == verdict


def test_it_is_too_early_until_seven_whole_days_are_billed() -> None:
    early = bill([(24, "0.38")], [(24, "0.19")] * 7, days_after=6)
    assert (grade(DONE, early).verdict, grade(DONE, early).days, grade(DONE, early).hours_after) == ("too early", 6, Fraction(144))
    weekdays = bill([(24, "0.38")], [(24, "0.19")] * 5, days_after=7)
    assert grade(DONE, weekdays).verdict == "confirmed", "days on which it is off are billed, too"
    idle = bill([(24, "0.38")], [(0, "0.19")] * 9)
    assert (grade(DONE, idle).verdict, grade(DONE, idle).so_far) == ("too early", None), "it has not run since"
    for none in (Billed((), None), bill([], [(24, "0.19")] * 9)):
        assert grade(DONE, none).verdict == "no bill"
    assert grade(DONE, replace_currency(bill([(24, "1")], [(24, "1")] * 9))).verdict == "other currency"


def replace_currency(billed: Billed) -> Billed:
    return Billed(tuple(replace(day, currency="EUR") for day in billed.days), billed.until)


def test_days_of_another_change_do_not_count() -> None:
    whole = bill([(24, "0.80")] * 5 + [(24, "0.38")] * 5, [(24, "0.19")] * 8 + [(24, "0.01")] * 5)
    found = grade(DONE, whole, earlier=FIRST - 6 * DAY, later=FIRST + 9 * DAY)
    assert (found.rate_before, found.rate_after, found.days, found.verdict) == (Decimal("0.38"), Decimal("0.19"), 8, "confirmed")


def seed(folder: Path) -> None:
    """A machine at 0.40 an hour until the change, and at 0.15 for 12 hours a day after it; one that was taken back, one under way."""
    rows = []
    for number in range(-10, 9):
        start = datetime.combine(FIRST + number * DAY, time(), UTC)
        hours, cost = (24, "9.6") if number <= 0 else (12, "1.8")
        when = {"ChargePeriodStart": start, "ChargePeriodEnd": start + DAY, "RegionId": "eu"}
        about = {"ResourceId": "i-1", "PricingQuantity": Decimal(hours), "PricingUnit": "Hours"}
        rows.append(row(cost, **when, **about))
    Intake(folder / ".mcml" / "cost").rows(rows, origin="acme")
    changes = [DONE]
    for number, stage in enumerate(("rolled back", "watch", "failed"), 2):
        key = f"eu-1/i-{number}"
        changes.append(replace(DONE, key=key, id=identified(key, AT), instance=f"i-{number}", stage=stage))  # type: ignore[arg-type]
    with Store(f"sqlite:///{folder / '.mcml' / 'mcml.db'}") as store:
        for change in changes:
            keep(store, change, 0, AT)


def test_the_ledger_of_savings_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[targets.eu-1]\nprovider = "local"\nregion = "eu"\n')
    (tmp_path / ".mcml").mkdir()
    seed(tmp_path)
    found = realised(Ledger(tmp_path / ".mcml" / "cost"), [DONE], lambda _: "eu")
    assert [(one.verdict, one.per_month, one.so_far) for one in found] == [("confirmed", Decimal("182.5"), Decimal(24))]
    back, early = Realised(replace(DONE, stage="rolled back"), "rolled back", so_far=Decimal(0)), Realised(DONE, "no bill")
    (whole,) = totals([*found, back, early])
    assert (whole.changes, whole.promised, whole.billed, whole.of_billed) == (2, Decimal("277.40"), 1, Decimal("138.70"))
    assert (whole.per_month, whole.so_far) == (Decimal("182.5"), Decimal(24))

    done = run(["cost", "rightsize", "savings", "-o", "json"], cwd=tmp_path)
    assert done.code == 0, done.err
    items = json.loads(done.out)["items"]
    assert [list(item) for item in items] == [FIELDS] * 3, "one that failed has promised nothing"
    assert [(item["name"], item["verdict"], item["realised_so_far"]) for item in items] == [
        ("eu-1/i-1", "confirmed", "24"),
        ("eu-1/i-2", "rolled back", "0"),
        ("eu-1/i-3", "under way", None),
    ]
    assert (items[0]["rate_before"], items[0]["rate_after"], items[0]["hours_after"], items[0]["billed_days"]) == ("0.4", "0.15", "96", 8)
    shown = run(["cost", "rightsize", "savings"], cwd=tmp_path, terminal=True).out
    assert "1 change: 138.70 USD a month promised; 182.50 USD by the bill, 24.00 USD saved so far" in " ".join(shown.split())
