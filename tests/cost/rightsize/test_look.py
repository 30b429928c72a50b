"""A look at a target: who is asked what, what came before a resize is left out, and what fails is told."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import NotFound, Unavailable, Usage
from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.look import Site, inspect, look, once
from mcml.providers.api.instances import Instance
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from tests.cost.focus import row
from tests.cost.rightsize.made import DAY, DEFAULT, M2, NOW, Fleet, Meter, subject

ONE = subject().instance
USED = {"machine.cpu": 0.1, "machine.memory": 0.2}


def meter() -> Meter:
    return Meter(lambda series, _: USED[series.metric], missing=("machine.gpu", "machine.gpu_memory", "machine.disk", "machine.network"))


def site(*machines: Instance, metrics: Meter | None = None, **resized: datetime) -> Site:
    return Site("eu-1", "aws", "r", Fleet(machines or (ONE,)), metrics, {f"eu-1/{key}": at for key, at in resized.items()})


def billed(folder: Path, *told: tuple[str, int, int, str]) -> Ledger:
    """A bill by the day: type, from and to which day before now, and the effective cost of a day at a list cost of 1."""
    rows = [
        row(
            effective, ListCost=Decimal(1), ResourceId="i-1", RegionId="r", PricingUnit="Hrs", SkuMeter=f"BoxUsage:{type}",
            ChargePeriodStart=NOW - day * DAY, ChargePeriodEnd=NOW - (day - 1) * DAY,
            BillingPeriodStart=datetime(2026, 11, 1, tzinfo=UTC), BillingPeriodEnd=datetime(2026, 12, 1, tzinfo=UTC),
        )
        for type, first, last, effective in told for day in range(first, last, -1)
    ]  # fmt: skip
    Intake(folder, clock=lambda: NOW).rows(rows, origin="acme")
    return Ledger(folder)


def test_machines_are_judged_by_what_they_did_and_their_bill(tmp_path: Path) -> None:
    (seen,) = inspect(site(metrics=meter()), DEFAULT, billed(tmp_path, ("m.4", 10, 0, "0.5")), NOW)
    found = seen.recommendation
    assert (found.key, found.action, found.proposed) == ("eu-1/i-1", "shrink", M2)
    assert seen.usage is not None
    assert (seen.usage.start, seen.usage.steps) == (NOW - 14 * DAY, 14 * 288)
    assert (seen.rate.paid, found.list_saving, found.saving) == (Decimal("0.5"), Decimal(73), Decimal("36.5"))


def test_what_came_before_a_resize_does_not_count(tmp_path: Path) -> None:
    ledger = billed(tmp_path, ("m.8", 10, 8, "0.5"), ("m.4", 8, 0, "0.5"))
    (seen,) = inspect(site(metrics=meter()), DEFAULT, ledger, NOW)
    assert seen.usage is not None
    assert (seen.usage.start, seen.recommendation.proposed) == (NOW - 8 * DAY, M2)
    (seen,) = inspect(site(metrics=meter(), **{"i-1": NOW - 2 * DAY}), DEFAULT, ledger, NOW)
    assert seen.usage is not None
    assert (seen.usage.start, [reason.code for reason in seen.recommendation.reasons]) == (NOW - 2 * DAY, ["RecentlyResized"])


def test_only_who_is_judged_is_asked_about(tmp_path: Path) -> None:
    metrics = meter()
    others = [replace(ONE, id="g", group="workers"), replace(ONE, id="s", spot=True), replace(ONE, id="x", state="terminated")]
    found = look(site(*others, metrics=metrics), DEFAULT, Ledger(tmp_path), NOW)
    assert [(one.key, one.action) for one in found] == [("eu-1/g", "keep"), ("eu-1/s", "keep")]
    assert metrics.asked == []
    (alone,) = look(site(), DEFAULT, Ledger(tmp_path), NOW)
    assert (alone.action, alone.reasons[0].code) == ("unknown", "NotMeasured"), "its provider measures nothing"
    (odd,) = look(site(replace(ONE, machine="retired"), metrics=metrics), DEFAULT, Ledger(tmp_path), NOW)
    assert (odd.action, odd.reasons[0].code) == ("unknown", "TypeUnknown")


def test_many_machines_are_told_one_by_one_and_come_in_order(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    many = [replace(ONE, id=f"i-{number:02}") for number in range(20)]
    found = inspect(site(*reversed(many), metrics=meter()), DEFAULT, Ledger(tmp_path), NOW, told=lambda *done: told.append(done))
    assert [seen.recommendation.subject.instance.id for seen in found] == [one.id for one in many]
    assert sorted(told) == [(number, 20) for number in range(1, 21)]
    (only,) = look(site(*many, metrics=meter()), DEFAULT, Ledger(tmp_path), NOW, "i-07")
    assert only.subject.instance.id == "i-07"


def test_a_machine_that_is_not_there_is_told_with_what_to_try(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        look(site(), DEFAULT, Ledger(tmp_path), NOW, "i-2")
    assert raised.value.next_step == "mcml cost rightsize list --target eu-1"
    assert look(Site("eu-1", "aws", "r", Fleet(())), DEFAULT, Ledger(tmp_path), NOW) == []


def test_two_targets_of_one_region_list_a_machine_once(tmp_path: Path) -> None:
    mine, tagged = replace(ONE, id="a"), replace(ONE, id="b", tags={"target": "eu-2"})
    first = site(mine, tagged)
    looks = [inspect(each, DEFAULT, Ledger(tmp_path), NOW) for each in (first, replace(first, target="eu-2"))]
    assert [seen.recommendation.key for seen in once(looks)] == ["eu-1/a", "eu-2/b"]
    far = [inspect(replace(first, region="other"), DEFAULT, Ledger(tmp_path), NOW)]
    assert len(once([*looks, *far])) == 4


def test_a_window_that_can_never_be_enough_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="shorter than minimum"):
        look(site(), Rightsizing(window="6d"), Ledger(tmp_path), NOW)


class Broken(Meter):
    """Metrics that do not answer."""

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        raise Unavailable("throttled")


def test_a_provider_that_fails_is_not_taken_for_a_machine_without_metrics(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        look(site(metrics=Broken()), DEFAULT, Ledger(tmp_path), NOW)


def test_a_machine_that_its_meter_does_not_know_is_unknown(tmp_path: Path) -> None:
    class Stranger(Meter):
        def query(self, series: SeriesQuery, window: Window) -> list[Point]:
            raise NotFound("no such machine")

    (found,) = look(site(metrics=Stranger()), DEFAULT, Ledger(tmp_path), NOW)
    assert (found.action, found.reasons[0].code) == ("unknown", "NotMeasured")


def test_a_target_without_a_region_lists_the_machines_of_those_that_have_one(tmp_path: Path) -> None:
    first = site(replace(ONE, id="z/a"))
    looks = [inspect(each, DEFAULT, Ledger(tmp_path), NOW) for each in (first, replace(first, target="all", region=""))]
    assert [seen.recommendation.key for seen in once(looks)] == ["eu-1/z/a"]
    other = [inspect(site(replace(ONE, id="z/a", account="another")), DEFAULT, Ledger(tmp_path), NOW)]
    assert len(once([*looks, *other])) == 2, "one of the same name in another account is another machine"
