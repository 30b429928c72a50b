"""Estimates stand for the hours that no bill covers, never beside one; what the bill said later is their error."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.view import Section, Table
from mcml.cost import views
from mcml.cost.meter import estimate_views, truth
from mcml.cost.meter.estimate import Estimated, new_rows, write
from mcml.cost.meter.live import Held, Place
from mcml.cost.meter.truth import DayError, UsualError, day_errors, median, usual_error, usual_errors
from mcml.cost.report import build, dimensions_to_ask
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.settings import Price, Settings
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.estimates import Account, Standing, standing, truths
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import HOUR, row

DAY = datetime(2026, 11, 5, tzinfo=UTC)
PLACE = Place("acme", "eu-1", "eu-west")
PRICE = UnitPrice("m5", "eu-west", "h", Decimal("0.5"), "USD", "price list of acme", DAY)
ACCOUNT = Account("4711", "payer", "Acme Cloud", "Acme Inc", None)


def held(name: str = "i-1", *, since: datetime | None = DAY, price: str = "0.5", count: int = 1, **more: object) -> Held:
    found = Held(PLACE, "machine" if since else "group", name, "m5", count, since=since, price=replace(PRICE, price=Decimal(price)))
    return replace(found, **more)  # type: ignore[arg-type]


def look(folder: Path, now: datetime, *things: Held, since: datetime = DAY, dry_run: bool = False) -> Estimated:
    intake = Intake(folder, clock=lambda: now, dry_run=dry_run)
    return write(intake, Ledger(folder), "acme", "4711", things, now=now, since=since)


def bill(folder: Path, until: datetime, *, price: str = "1", resource: str = "i-1", start: datetime = DAY, hours: int = 1) -> None:
    """The bill of an account from `start` to `until`, as a delivery of the next day."""
    rows = []
    while start < until:
        end = start + hours * HOUR
        period = {"ChargePeriodStart": start, "ChargePeriodEnd": end, "SubAccountId": "4711", "BillingAccountId": "payer"}
        month = {"BillingPeriodStart": DAY.replace(day=1), "BillingPeriodEnd": DAY.replace(month=12, day=1)}
        rows.append(row(price, **period, **month, ResourceId=resource, ServiceCategory="Compute", ServiceName="Machines"))
        start = end
    Intake(folder, clock=lambda: until + timedelta(days=1), agree=lambda _: None).rows(rows, origin="acme")


def sums(folder: Path) -> dict[str | None, Decimal]:
    return {group.key[0]: group.effective for group in Ledger(folder).totals(("source",))}


def test_an_hour_is_its_part_times_the_price(tmp_path: Path) -> None:
    now = DAY + 2.5 * HOUR
    done = look(tmp_path, now, held(since=DAY + 0.25 * HOUR, tags={"model": "fraud", "team": "risk"}, spot=True, zone="eu-west-a"))
    assert [(amount.currency, amount.rows, amount.cost) for amount in done.amounts] == [("USD", 3, Decimal("1.125"))]
    assert (done.since, done.until) == (DAY, now)
    with Ledger(tmp_path).opened("look") as connection:
        columns = "PricingQuantity, EffectiveCost, ResourceId, SkuId, PricingCategory, x_Model, x_Team, x_Target, x_Source, x_Extra"
        rows = connection.execute(f"SELECT {columns} FROM cost ORDER BY ChargePeriodStart").fetchall()
    assert [found[0] for found in rows] == [Decimal("0.75"), Decimal(1), Decimal("0.5")]
    assert rows[0][1:9] == (Decimal("0.375"), "i-1", "m5 spot", "Dynamic", "fraud", "risk", "eu-1", "estimate")
    assert json.loads(rows[0][9]) == {"x_Count": 1, "x_PriceAsOf": "2026-11-05T00:00:00+00:00", "x_PriceSource": "price list of acme"}


def test_the_next_look_adds_what_is_new_and_what_was_stopped_keeps_its_hours(tmp_path: Path) -> None:
    look(tmp_path, DAY + 1.5 * HOUR, held(), held("i-2"))
    assert sums(tmp_path) == {"estimate": Decimal("1.5")}
    done = look(tmp_path, DAY + 3 * HOUR, held())
    assert done.amounts[0].cost == Decimal(1)  # the second half hour again as a whole one, and one more
    assert sums(tmp_path) == {"estimate": Decimal("2.25")}
    assert look(tmp_path, DAY + 3 * HOUR, held()).amounts == ()


def test_an_hour_keeps_the_price_of_its_time(tmp_path: Path) -> None:
    look(tmp_path, DAY + HOUR, held())
    look(tmp_path, DAY + 2 * HOUR, held(price="5"))
    assert sums(tmp_path) == {"estimate": Decimal("5.5")}


def test_a_group_counts_from_the_look_that_saw_it(tmp_path: Path) -> None:
    look(tmp_path, DAY + 1.5 * HOUR, held("web", since=None, count=2))
    assert sums(tmp_path) == {"estimate": Decimal("0.5")}
    look(tmp_path, DAY + 4 * HOUR, held("web", since=None, count=2))
    assert sums(tmp_path) == {"estimate": Decimal(3)}


def test_two_that_look_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: look(tmp_path, DAY + HOUR, held(name)), ("i-1", "i-2", "i-3", "i-4")))
    assert sums(tmp_path) == {"estimate": Decimal(2)}


def test_an_endpoint_counts_by_its_machines_and_by_its_use_not_at_all(tmp_path: Path) -> None:
    by_use = Held(PLACE, "endpoint", "spam@eu-1/1", price=PRICE, use=(Decimal(1), Decimal(1)))
    served = Held(PLACE, "endpoint", "fraud@eu-1/7", "m5", 2, tags={"model": "fraud"}, price=PRICE)
    look(tmp_path, DAY + 0.5 * HOUR, by_use, served)
    with Ledger(tmp_path).opened("look") as connection:
        columns = "ResourceId, SkuId, x_Model, PricingQuantity, ServiceCategory, ServiceName, EffectiveCost"
        rows = connection.execute(f"SELECT {columns} FROM cost").fetchall()
    quantity = Decimal(1)  # half an hour of two
    wanted = ("fraud@eu-1/7", "m5", "fraud", quantity, "AI and Machine Learning", "Model endpoints", quantity * PRICE.price)
    assert rows == [wanted]


def test_without_a_price_there_is_no_row_and_a_dry_run_writes_none(tmp_path: Path) -> None:
    done = look(tmp_path, DAY + HOUR, replace(held(), price=None, why="no price of m5 is known"))
    assert (done.amounts, [each.why for each in done.unpriced]) == ((), ["no price of m5 is known"])
    dry = look(tmp_path, DAY + HOUR, held(), dry_run=True)
    assert dry.amounts[0].cost == Decimal("0.5")
    assert not Ledger(tmp_path).manifest.parts
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_bill_replaces_what_it_covers_in_the_moment_it_is_booked(tmp_path: Path) -> None:
    look(tmp_path, DAY + 6 * HOUR, held())
    assert sums(tmp_path) == {"estimate": Decimal(3)}
    bill(tmp_path, DAY + 4 * HOUR)
    assert sums(tmp_path) == {"billed": Decimal(4), "estimate": Decimal(1)}
    by_day = Ledger(tmp_path).totals(("day", "target"), Scope(since=DAY))
    assert sum(group.effective for group in by_day) == 5
    look(tmp_path, DAY + 7 * HOUR, held())
    assert sums(tmp_path) == {"billed": Decimal(4), "estimate": Decimal("1.5")}
    bill(tmp_path, DAY + 12 * HOUR)
    assert sums(tmp_path) == {"billed": Decimal(12)}


def test_a_look_after_the_bill_begins_where_it_ends(tmp_path: Path) -> None:
    bill(tmp_path, DAY + 4 * HOUR)
    done = look(tmp_path, DAY + 6 * HOUR, held())
    assert (done.since, done.amounts[0].cost) == (DAY + 4 * HOUR, Decimal(1))
    with Ledger(tmp_path).opened("look") as connection:
        said = connection.execute("SELECT DISTINCT BillingAccountId, SubAccountId, ServiceProviderName, ServiceName FROM cost").fetchall()
    assert said == [("payer", "4711", "Acme Cloud", "Machines")]


def test_what_was_learned_of_the_account_since_counts_no_hour_twice(tmp_path: Path) -> None:
    """The first look knows neither the payer nor what the bill calls the provider; the hour it began goes on where it was."""
    look(tmp_path, DAY + 0.5 * HOUR, held())
    bill(tmp_path, DAY - 10 * HOUR, start=DAY - 12 * HOUR)
    look(tmp_path, DAY + 2 * HOUR, held())
    assert sums(tmp_path) == {"billed": Decimal(2), "estimate": Decimal(1)}


def test_a_bill_that_writes_the_path_to_an_account_covers_it(tmp_path: Path) -> None:
    look(tmp_path, DAY + 2 * HOUR, held())
    month = {"BillingPeriodStart": DAY.replace(day=1), "BillingPeriodEnd": DAY.replace(month=12, day=1)}
    period = {"ChargePeriodStart": DAY, "ChargePeriodEnd": DAY + HOUR, "SubAccountId": "/subscriptions/4711"}
    Intake(tmp_path, clock=lambda: DAY + 24 * HOUR).rows([row("0.7", **month, **period)], origin="acme")
    assert sums(tmp_path) == {"billed": Decimal("0.7"), "estimate": Decimal("0.5")}
    look(tmp_path, DAY + 3 * HOUR, held())
    assert sums(tmp_path) == {"billed": Decimal("0.7"), "estimate": Decimal(1)}


def test_a_fee_by_the_month_and_a_bill_of_another_account_cover_no_hour(tmp_path: Path) -> None:
    look(tmp_path, DAY + 2 * HOUR, held())
    month = {"ChargePeriodStart": DAY.replace(day=1), "ChargePeriodEnd": DAY.replace(month=12, day=1), "SubAccountId": "4711"}
    fee = row("100", **month, BillingPeriodStart=DAY.replace(day=1), BillingPeriodEnd=DAY.replace(month=12, day=1))
    other = row("7", ChargePeriodStart=DAY, ChargePeriodEnd=DAY + 9 * HOUR, BillingPeriodStart=DAY.replace(day=1))
    Intake(tmp_path, clock=lambda: DAY + timedelta(days=40)).rows([fee, other], origin="acme")
    assert sums(tmp_path) == {"billed": Decimal(107), "estimate": Decimal(1)}


def test_a_meter_covers_what_it_measures_and_nothing_else(tmp_path: Path) -> None:
    look(tmp_path, DAY + 2 * HOUR, held(), held("i-2"))
    period = {"ChargePeriodStart": DAY, "ChargePeriodEnd": DAY + HOUR, "BillingAccountId": "4711", "BillingPeriodStart": DAY.replace(day=1)}
    Intake(tmp_path, clock=lambda: DAY + 3 * HOUR).rows([row("0.4", **period, ResourceId="i-1", x_Source="measured")], origin="acme")
    assert sums(tmp_path) == {"measured": Decimal("0.4"), "estimate": Decimal("1.5")}


STEPS = st.lists(st.tuples(st.sampled_from(["look", "bill"]), st.integers(1, 60)), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(STEPS)
def test_no_hour_counts_twice_whatever_comes_first(steps: list[tuple[str, int]]) -> None:
    """A machine that never stops: what is billed costs 1 an hour, what was looked at beyond it 0.5."""
    looked = billed = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        for what, hours in steps:
            if what == "look" and hours > looked:
                look(folder, DAY + hours * HOUR, held())
                looked = hours
            elif what == "bill" and hours > billed:
                bill(folder, DAY + hours * HOUR)
                billed = hours
            estimated = max(0, looked - billed)
            expected = {"billed": Decimal(billed)} if billed else {}
            assert sums(folder) == expected | ({"estimate": Decimal(estimated) / 2} if estimated else {})


def test_rows_are_pure() -> None:
    rows = new_rows([held()], ACCOUNT, Standing({}, {}), [], begin=DAY, now=DAY + HOUR)
    assert [found["ServiceName"] for found in rows] == ["Virtual machines"]
    assert new_rows([held()], ACCOUNT, Standing({}, {}), rows, begin=DAY, now=DAY + HOUR) == []


def test_the_error_of_a_day_is_told_by_the_bill(tmp_path: Path) -> None:
    """Also of the first estimates, which do not know yet what the provider calls the service."""
    assert truths(Ledger(tmp_path)) == []
    look(tmp_path, DAY + 30 * HOUR, held(price="0.9"))
    assert truths(Ledger(tmp_path)) == []
    bill(tmp_path, DAY + 24 * HOUR, resource="i-other")
    (nothing,) = day_errors(truths(Ledger(tmp_path)))
    assert (nothing.billed, nothing.percent) == (Decimal(0), None)
    assert usual_error(Ledger(tmp_path)) == {}
    bill(tmp_path, DAY + 24 * HOUR)
    (day,) = day_errors(truths(Ledger(tmp_path)))
    assert (day.service, day.estimated, day.billed, day.percent) == ("Virtual machines", Decimal("21.6"), Decimal(24), Decimal("10.0"))


def learned(folder: Path) -> None:
    """A bill from before, which tells what the provider calls its machines."""
    bill(folder, DAY - 10 * HOUR, start=DAY - 12 * HOUR)


def test_a_day_of_one_service_is_compared_hour_by_hour(tmp_path: Path) -> None:
    learned(tmp_path)
    look(tmp_path, DAY + 30 * HOUR, held(price="0.9"), since=DAY)
    bill(tmp_path, DAY + 26 * HOUR)
    ledger = Ledger(tmp_path)
    days = day_errors(truths(ledger))
    assert [(day.day, day.estimated, day.billed, day.percent) for day in days] == [
        ("2026-11-05", Decimal("21.6"), Decimal(24), Decimal("10.0")),
        ("2026-11-06", Decimal("1.8"), Decimal(2), Decimal("10.0")),
    ]
    assert usual_error(ledger) == {"USD": Decimal("10.0")}


def test_a_report_says_how_far_off_its_estimates_usually_are(tmp_path: Path) -> None:
    learned(tmp_path)
    look(tmp_path, DAY + 30 * HOUR, held(price="0.9"), since=DAY)
    bill(tmp_path, DAY + 26 * HOUR)
    ledger = Ledger(tmp_path)
    report = build(("provider",), ledger.totals(dimensions_to_ask(("provider",))))
    shown = views.cost_report(report, errors=usual_error(ledger)).blocks[1]
    assert isinstance(shown, Section)
    (table,) = shown.blocks
    assert isinstance(table, Table)
    lines = [(line["source"], line["effective"], line.get("usual_error")) for line in table.rows]
    assert lines == [
        ("billed", Decimal(26), None),
        ("estimate", Decimal("3.6"), Decimal("10.0")),
        ("all", Decimal("29.6"), None),
    ]


def test_a_bill_by_the_day_counts_by_its_part_and_another_resource_not_at_all(tmp_path: Path) -> None:
    learned(tmp_path)
    look(tmp_path, DAY + 30 * HOUR, held(since=DAY + 12 * HOUR), since=DAY)
    bill(tmp_path, DAY + 24 * HOUR, price="24", hours=24, resource="/machines/I-1")
    (first,) = day_errors(truths(Ledger(tmp_path)))
    assert (first.estimated, first.billed, first.percent) == (Decimal(6), Decimal(12), Decimal("50.0"))


def test_the_usual_error_is_the_median() -> None:
    days = [DayError("USD", "Acme", name, f"2026-11-0{day}", Decimal(said), Decimal(10)) for name, day, said in (
        ("vm", 1, "9"), ("vm", 2, "10"), ("vm", 3, "20"), ("gpu", 1, "10"), ("free", 1, "1"))]  # fmt: skip
    days[-1] = replace(days[-1], billed=Decimal(0))
    assert usual_errors(days) == [
        UsualError("USD", None, None, 3, Decimal("0.0"), Decimal("100.0")),
        UsualError("USD", "Acme", "gpu", 1, Decimal("0.0"), Decimal("0.0")),
        UsualError("USD", "Acme", "vm", 3, Decimal("10.0"), Decimal("100.0")),
    ]
    assert median([Decimal(1), Decimal(4), Decimal(2), Decimal(3)]) == Decimal("2.5")


def test_what_scripts_see(tmp_path: Path) -> None:
    done = look(tmp_path, DAY + HOUR, held(), replace(held("i-9"), price=None, why="no price"))
    document = estimate_views.estimated([done], dry_run=False)
    (item,) = document.items
    assert (document.kind, {**item, "state": str(item["state"])}["rows"]) == ("EstimateResult", 1)
    assert {name: item[name] for name in item if name != "state"} == {
        "name": "acme",
        "provider": "acme",
        "account": "4711",
        "since": DAY,
        "until": DAY + HOUR,
        "unpriced": [{"name": "i-9", "why": "no price"}],
        "dry_run": False,
        "rows": 1,
        "estimated_cost": Decimal("0.5"),
        "currency": "USD",
    }
    days = [DayError("USD", "Acme", "vm", "2026-11-05", Decimal(9), Decimal(10))]
    assert estimate_views.errors(days, usual_errors(days)).items == [
        {
            "name": "2026-11-05/vm",
            "day": "2026-11-05",
            "provider": "Acme",
            "service": "vm",
            "currency": "USD",
            "estimated_cost": Decimal(9),
            "billed_cost": Decimal(10),
            "error_percent": Decimal("10.0"),
        }
    ]


def test_standing_knows_until_when_an_account_is_billed(tmp_path: Path) -> None:
    bill(tmp_path, DAY + 4 * HOUR)
    known = standing(Ledger(tmp_path))
    assert known.accounts["4711"] == Account("4711", "payer", "Acme Cloud", "Acme Cloud", DAY + 4 * HOUR)
    assert known.services == {"Acme Cloud": "Machines"}
    assert truth.usual_error(Ledger(tmp_path)) == {}


PROJECT = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
gib_hour = 0.01
"""


@pytest.mark.slow
def test_a_machine_of_this_project_until_its_bill_comes(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(PROJECT)
    prices = {"eu-west-1": Price(vcpu_hour=Decimal("0.05"), gib_hour=Decimal("0.01"))}
    clock: Callable[[], datetime] = lambda: datetime.now(UTC) - 5 * HOUR  # noqa: E731
    instances = LocalInstances(ProviderContext(Settings(prices=prices), tmp_path / ".mcml/local", "eu-1", "eu-west-1", clock))
    made = instances.launch("local-1x2", "token", tags={"model": "fraud"})
    try:
        dry = run(["cost", "estimate", "--dry-run", "-o", "json"], cwd=tmp_path)
        (item,) = json.loads(dry.out)["items"]
        assert (item["provider"], item["state"], item["currency"]) == ("local", "would be written", "USD")
        done = run(["cost", "estimate", "-q"], cwd=tmp_path)
        assert done.code == 0, done.err
        assert done.out.split("\t")[2] in ("5", "6")  # hours of the clock that five hours touch
    finally:
        instances.terminate(made.id)
    (line,) = json.loads(run(["cost", "report", "--by", "target,model", "-o", "json"], cwd=tmp_path).out)["items"]
    assert line["name"] == "eu-1/fraud"
    assert list(line["effective_cost_by_source"]) == ["estimate"]
    assert Decimal("0.35") <= Decimal(line["effective_cost"]) < Decimal("0.36")
    errors = run(["cost", "estimate", "--errors"], cwd=tmp_path, terminal=True)
    assert (errors.code, "no estimate has been covered by a bill yet" in errors.out) == (0, True)
