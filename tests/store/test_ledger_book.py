"""Questions to the ledger: groups, spans of time, windows; and the manifest's own arithmetic."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, Usage
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.dimensions import DIMENSIONS
from mcml.store.ledger.engine import connected
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.manifest import Delivery, Manifest, Part
from tests.cost.focus import HOUR, START, row

NOW = datetime(2026, 10, 6, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder = tmp_path_factory.mktemp("book")
    later = START + timedelta(days=1)
    Intake(folder, clock=lambda: NOW).rows(
        [
            row("1.000000000000000000000001", x_Target="eu-1", x_Model="fraud", x_Requests=400),
            row("0.5", x_Target="eu-1", x_Model="fraud", EffectiveCost=Decimal("0.25")),
            row("2", x_Target="us-1", x_Model="fraud", x_Requests=100, ChargePeriodStart=later, ChargePeriodEnd=later + HOUR),
            row("7", BillingCurrency="EUR", ServiceProviderName="Other", RegionName="Frankfurt"),
            row("-0.1", ChargeCategory="Credit", ChargePeriodStart=START + HOUR / 2, ChargePeriodEnd=START + HOUR / 2),
        ],
        origin="acme",
    )
    return Ledger(folder)


def test_currencies_are_never_added(ledger: Ledger) -> None:
    found = {group.currency: (group.billed, group.effective, group.rows, group.requests) for group in ledger.totals(())}
    assert found == {
        "EUR": (Decimal(7), Decimal(7), 1, None),
        "USD": (Decimal("3.400000000000000000000001"), Decimal("3.150000000000000000000001"), 4, 500),
    }


def test_groups_hold_their_key_their_time_and_their_requests(ledger: Ledger) -> None:
    dollars = [group for group in ledger.totals(("target", "model")) if group.currency == "USD"]
    assert [(group.key, group.billed, group.requests) for group in dollars] == [
        (("us-1", "fraud"), Decimal(2), 100),
        (("eu-1", "fraud"), Decimal("1.500000000000000000000001"), 400),
        ((None, None), Decimal("-0.1"), None),
    ]
    assert (dollars[1].first, dollars[1].last, dollars[1].ingested) == (START, START + HOUR, NOW)


@pytest.mark.parametrize("name", DIMENSIONS)
def test_every_dimension_can_be_asked_for_and_loses_nothing(name: str, ledger: Ledger) -> None:
    groups = ledger.totals((name, "day"))
    assert sum(group.rows for group in groups) == 5
    assert sum(group.billed for group in groups if group.currency == "EUR") == 7


def test_times_are_named_in_utc(ledger: Ledger) -> None:
    keys = {group.key for group in ledger.totals(("day", "week", "month"))}
    assert keys == {("2026-10-05", "2026-10-05", "2026-10"), ("2026-10-06", "2026-10-05", "2026-10")}


def test_a_scope_is_half_open(ledger: Ledger) -> None:
    def dollars(scope: Scope) -> list[int]:
        return [group.rows for group in ledger.totals((), scope) if group.currency == "USD"]

    assert dollars(Scope(since=START, until=START + HOUR)) == [3]
    assert dollars(Scope(since=START + timedelta(microseconds=1))) == [2]
    assert dollars(Scope(until=START)) == []
    assert dollars(Scope(where={"target": "us-1"})) == [1]
    assert dollars(Scope(with_requests=True)) == [2]
    assert dollars(Scope(where={"target": "x' OR true --"})) == []


def test_an_unknown_dimension_names_the_nearest(ledger: Ledger) -> None:
    with pytest.raises(Usage) as refused:
        ledger.totals(("targt",))
    assert "did you mean 'target'?" in refused.value.why


def test_a_window_takes_what_overlaps_it(ledger: Ledger) -> None:
    start = START + timedelta(minutes=15)
    found = {(one.currency, one.overlap, one.length): one.billed for one in ledger.slices(start, start + timedelta(minutes=30))}
    assert found == {
        ("EUR", timedelta(minutes=30), HOUR): Decimal(7),
        ("USD", timedelta(minutes=30), HOUR): Decimal("1.500000000000000000000001"),
        ("USD", timedelta(0), timedelta(0)): Decimal("-0.1"),
    }
    assert ledger.slices(START + HOUR, START + 2 * HOUR) == []
    assert [one.rows for one in ledger.slices(START, START + HOUR, {"target": "eu-1"})] == [2]


def test_a_ledger_that_is_not_there_is_empty(tmp_path: Path) -> None:
    empty = Ledger(tmp_path / "no" / "ledger")
    assert empty.totals(("provider",)) == []
    assert empty.slices(START, NOW) == []
    assert empty.quarantined() == []
    assert list(tmp_path.iterdir()) == []


def test_no_result_is_a_float(ledger: Ledger) -> None:
    for group in ledger.totals(("provider", "day")):
        assert float not in set(map(type, group))


def test_a_sum_beyond_fourteen_digits_is_told(tmp_path: Path) -> None:
    Intake(tmp_path).rows([row("99999999999999", ServiceProviderName=name) for name in "ab"], origin="acme")
    assert len(Ledger(tmp_path).totals(("provider",))) == 2
    with pytest.raises(McmlError) as refused:
        Ledger(tmp_path).totals(())
    assert "14 digits" in refused.value.why


def test_nothing_is_fetched_and_nothing_is_left_open() -> None:
    with connected("test") as connection:
        settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert (settings["autoinstall_known_extensions"], settings["autoload_known_extensions"]) == ("false", "false")
    assert settings["TimeZone"] == "UTC"


# The manifest, without files


def delivery(number: int, *, origin: str = "o", quarantined: int = 0) -> Delivery:
    return Delivery(f"d{number}", f"t{number}", origin, f"digest{number}", quarantined=quarantined, quarantine="q" * bool(quarantined))


def part(number: int, account: str) -> Part:
    return Part("billed", account, "2026-10-01", (f"f{number}",), 1, f"d{number}", f"t{number}")


def test_the_same_digest_counts_while_all_of_it_stands() -> None:
    one = Manifest().add(delivery(1), [part(1, "a"), part(1, "b")])
    assert one.same("digest1") == delivery(1)
    two = one.add(delivery(2), [part(2, "a")])
    assert two.replaced == 1
    assert two.same("digest1") is None
    assert two.same("digest2") == delivery(2)
    assert two.files == ["f1", "f2"]
    assert two.parts[0].until == "t2"


def test_quarantine_waits_while_something_of_its_delivery_stands() -> None:
    one = Manifest().add(delivery(1, quarantined=1), [part(1, "a")])
    assert [each.id for each in one.open_quarantine] == ["d1"]
    assert one.add(delivery(2, origin="other"), [part(2, "a")]).open_quarantine == []
    nothing_booked = Manifest().add(delivery(1, quarantined=1), [])
    assert [each.id for each in nothing_booked.add(delivery(2, origin="other"), [part(2, "a")]).open_quarantine] == ["d1"]
    assert nothing_booked.add(delivery(2), [part(2, "a")]).open_quarantine == []
