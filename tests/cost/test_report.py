"""A report is folded from groups without losing a cent, one currency a table."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mcml.cost import views
from mcml.cost.report import build, dimensions_to_ask, per_thousand
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total
from mcml.store.ledger.manifest import Delivery

DAY = datetime(2026, 10, 5, tzinfo=UTC)
BOOKED = DAY + timedelta(days=3)


def group(
    key: tuple[str | None, ...], effective: str | Decimal, *, currency: str = "USD", requests: int | None = None, day: int = 0
) -> Group:
    amount = Decimal(effective)
    start = DAY + timedelta(days=day)
    return Group(currency, key, amount * 2, amount, 1, requests, start, start + timedelta(days=1), BOOKED)


MONEY = st.decimals(min_value=-(10**9), max_value=10**9, places=24)
KEYS = st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["billed", "measured"]))
GROUPS = st.lists(st.builds(group, KEYS, MONEY, currency=st.sampled_from(["USD", "EUR"])))


@given(GROUPS)
def test_every_cent_lands_once(groups: list[Group]) -> None:
    report = build(("team",), groups)
    for table in report.tables:
        expected = total(group.effective for group in groups if group.currency == table.currency)
        assert total(line.effective for line in table.lines) == expected == table.effective
        assert total(source.effective for source in table.sources) == expected
        assert total(amount for line in table.lines for amount in line.sources.values()) == expected
        assert total(line.billed for line in table.lines) == table.billed
    assert {table.currency for table in report.tables} == {group.currency for group in groups}


def test_lines_hold_shares_requests_and_where_they_come_from() -> None:
    (table,) = build(
        ("target",), [group(("eu", "billed"), "3"), group(("eu", "measured"), "1", requests=4000), group(("us", "billed"), "4")]
    ).tables
    eu, us = table.lines
    assert (eu.key, eu.share, eu.requests, eu.per_thousand) == (("eu",), Decimal("50.0"), 4000, Decimal(1))
    assert eu.sources == {"billed": Decimal(3), "measured": Decimal(1)}
    assert (us.requests, us.per_thousand) == (None, None)
    assert [(source.source, source.share) for source in table.sources] == [("billed", Decimal("87.5")), ("measured", Decimal("12.5"))]
    assert [table.billed, table.effective] == [Decimal(16), Decimal(8)]


def test_credits_that_outweigh_charges_have_no_shares() -> None:
    (table,) = build((), [group(("billed",), "-1")]).tables
    assert table.lines[0].share is None


def test_a_report_by_day_is_in_order_of_days_and_others_dearest_first() -> None:
    days = build(("day",), [group((f"2026-10-{day}", "billed"), cost) for day, cost in (("07", "1"), ("05", "2"), ("06", "9"))])
    assert [line.key[0] for line in days.tables[0].lines] == ["2026-10-05", "2026-10-06", "2026-10-07"]
    teams = build(("team",), [group((None, "billed"), "1"), group(("a", "billed"), "2"), group(("b", "billed"), "2")])
    assert [line.key[0] for line in teams.tables[0].lines] == ["a", "b", None]


def test_a_charge_is_not_fresher_than_its_ingest() -> None:
    (table,) = build((), [group(("measured",), "1", day=30)]).tables
    assert table.sources[0].until == BOOKED


def test_days_are_drawn_with_gaps_and_only_when_there_is_more_than_one() -> None:
    groups = [group(("billed",), "3")]
    daily = [group(("2026-10-05",), "1"), group(("2026-10-07",), "2")]
    (table,) = build((), groups, daily).tables
    assert table.daily == (("2026-10-05", Decimal(1)), ("2026-10-06", None), ("2026-10-07", Decimal(2)))
    assert build((), groups, daily[:1]).tables[0].daily == ()
    far = [group(("2024-09-01",), "1"), group(("2026-10-07",), "2")]
    assert build((), groups, far).tables[0].daily == ()


def test_cost_per_thousand_is_rounded_once() -> None:
    assert per_thousand(Decimal(1), 3000) == Decimal("0.333333333333")
    assert per_thousand(Decimal("0.002119832201785"), 4000) == Decimal("0.00052995805")


def test_what_scripts_see() -> None:
    report = build(("provider", "target"), [group(("acme", None, "billed"), "0.000000000000000000000001", requests=10)])
    document = views.cost_report(report)
    assert (document.kind, document.version) == ("CostReport", 1)
    assert document.items == [
        {
            "name": "acme/-",
            "currency": "USD",
            "provider": "acme",
            "target": None,
            "billed_cost": Decimal("0.000000000000000000000002"),
            "effective_cost": Decimal("0.000000000000000000000001"),
            "share_percent": Decimal("100.0"),
            "rows": 1,
            "requests": 10,
            "cost_per_thousand_requests": Decimal(0),
            "effective_cost_by_source": {"billed": Decimal("0.000000000000000000000001")},
            "charges_from": DAY,
            "charges_until": DAY + timedelta(days=1),
            "ingested_at": BOOKED,
            "others": 0,
            "where": ["provider=acme", "target="],
        }
    ]
    assert dimensions_to_ask(("provider",)) == ("provider", "source")


def test_rows_in_quarantine_are_said() -> None:
    document = views.cost_report(build((), []), [Delivery("d", "t", "o", "x", quarantined=3)])
    assert "3 rows are not in these sums" in str(document.blocks[-1])
