"""The parts of a change add up to it, to the last digit, whatever the rows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.view import Section, Table
from mcml.cost import span as spans
from mcml.cost.why import views
from mcml.cost.why.split import Change, Item, Part, explain
from mcml.store.ledger.exact import total
from mcml.store.ledger.paid import Kind, Paid

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def paid(effective: str | Decimal = "1", quantity: str | Decimal = "1", **changes: object) -> Paid:
    """One sum of usage; without more words it has no commitment discount."""
    base = Paid(
        currency="USD",
        kind="usage",
        provider="Acme Cloud",
        service="Machines",
        sku="big",
        unit="Hours",
        price="big.1",
        pricing="Standard",
        description=None,
        effective=Decimal(effective),
        undiscounted=Decimal(effective),
        quantity=Decimal(quantity),
        rows=1,
        key=("risk",),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


KINDS: tuple[Kind, ...] = ("usage", "usage", "usage", "no_quantity", "unused_commitment", "purchase", "credit", "tax", "adjustment")
MONEY = st.one_of(st.just(Decimal(0)), st.decimals(min_value=-(10**6), max_value=10**6, places=24), st.integers(-3, 9).map(Decimal))


@st.composite
def sums(draw: st.DrawFn) -> Paid:
    return replace(
        paid(draw(MONEY), draw(MONEY)),
        currency=draw(st.sampled_from(["USD", "EUR"])),
        kind=draw(st.sampled_from(KINDS)),
        sku=draw(st.sampled_from(["big", "small"])),
        price=draw(st.sampled_from(["1", "2", None])),
        pricing=draw(st.sampled_from(["Standard", "Dynamic"])),
        undiscounted=draw(MONEY),
        key=(draw(st.sampled_from(["risk", None])),),
    )


SIDES = st.lists(sums(), max_size=8)


def spent(rows: Iterable[Paid], currency: str) -> Decimal:
    return total(row.effective for row in rows if row.currency == currency)


@given(SIDES, SIDES, st.integers(0, 1))
def test_parts_add_up_to_the_change(before: list[Paid], after: list[Paid], limit: int) -> None:
    for why in explain(before, after, limit=limit):
        delta = total((spent(after, why.currency), spent(before, why.currency).copy_negate()))
        assert (why.whole.before, why.whole.after) == (spent(before, why.currency), spent(after, why.currency))
        assert total(why.whole.parts.values()) == why.whole.delta == delta
        assert total(change.delta for change in why.changes) == delta
        for part, amount in why.whole.parts.items():
            assert total(change.parts.get(part, Decimal(0)) for change in why.changes) == amount
        for change in why.changes:
            assert total(change.parts.values()) == change.delta
            for item in change.items:
                assert total(item.parts.values()) == item.delta
    assert {why.currency for why in explain(before, after)} == {row.currency for row in [*before, *after]}


def negated(amount: Decimal | int) -> Decimal:
    return Decimal(amount).copy_negate()  # `-amount` would round


@given(SIDES, SIDES)
def test_the_other_way_round_is_the_negative(before: list[Paid], after: list[Paid]) -> None:
    for there, back in zip(explain(before, after), explain(after, before), strict=True):
        assert there.whole.delta == negated(back.whole.delta)
        assert there.whole.parts.get("new", 0) == negated(back.whole.parts.get("gone", 0))
        own: tuple[Part, ...] = ("unused_commitment", "purchase", "credit", "tax", "adjustment", "no_quantity")
        assert [there.whole.parts.get(part, 0) for part in own] == [negated(back.whole.parts.get(part, 0)) for part in own]


@given(SIDES)
def test_nothing_changed_has_no_parts(rows: list[Paid]) -> None:
    assert all(not why.whole.parts for why in explain(rows, rows))


@given(SIDES, SIDES, st.randoms())
def test_the_order_of_rows_does_not_matter(before: list[Paid], after: list[Paid], random: object) -> None:
    first = explain(before, after)
    random.shuffle(before)  # type: ignore[attr-defined]
    random.shuffle(after)  # type: ignore[attr-defined]
    assert [(why.currency, why.whole) for why in explain(before, after)] == [(why.currency, why.whole) for why in first]


def only(before: list[Paid], after: list[Paid]) -> Change:
    (why,) = explain(before, after)
    return why.whole


def item(before: list[Paid], after: list[Paid]) -> Item:
    (why,) = explain(before, after)
    return why.changes[0].items[0]


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        # twice as much at the same price
        ([paid("10", "5")], [paid("20", "10")], {"volume": "10"}),
        # the price went up by half
        ([paid("10", "5")], [paid("15", "5")], {"rate": "5"}),
        # both: (10 - 5) x 2 and (3 - 2) x 10
        ([paid("10", "5")], [paid("30", "10")], {"volume": "10", "rate": "10"}),
        # the small one is gone, so the average is that of the big one
        ([paid("10", "10", sku="small"), paid("40", "10")], [paid("80", "20")], {"volume": "40", "gone": "-10"}),
        # as many hours, five of them moved to the machine that is dearer by 3
        ([paid("10", "10", sku="small"), paid("40", "10")], [paid("5", "5", sku="small"), paid("60", "15")], {"mix": "15"}),
        # the same hours from on demand to spot: a move between prices of one SKU
        (
            [paid("10", "10")],
            [paid("4", "4"), paid("2", "6", price="spot", pricing="Dynamic")],
            {"mix": "-4"},
        ),
        # the contracted price stands and half is covered by a commitment at half the price
        ([paid("10", "10")], [paid("5", "5"), paid("2.5", "5", undiscounted=Decimal(5), pricing="Committed")], {"commitment": "-2.5"}),
        ([], [paid("7", "1")], {"new": "7"}),
        ([paid("7", "1")], [], {"gone": "-7"}),
        ([paid("7", "1")], [paid("9", "0")], {"no_quantity": "2"}),
        ([paid("-5", kind="credit")], [paid("-1", kind="credit"), paid("3", kind="tax")], {"credit": "4", "tax": "3"}),
        ([paid("5", kind="unused_commitment")], [paid("1", kind="no_quantity")], {"unused_commitment": "-5", "no_quantity": "1"}),
        ([], [paid("100", kind="purchase"), paid("-1", kind="adjustment")], {"purchase": "100", "adjustment": "-1"}),
    ],
)
def test_known_splits(before: list[Paid], after: list[Paid], parts: dict[str, str]) -> None:
    assert only(before, after).parts == {part: Decimal(amount) for part, amount in parts.items()}


def test_thirds_are_rounded_once_and_still_add_up() -> None:
    """1 / 3 of an hour's price has no end; the parts of the SKU differ from the fractions by less than the last digit."""
    found = item([paid("1", "3")], [paid("2", "7")])
    exact = {"volume": Fraction(4, 3), "rate": Fraction(2, 7) * 7 - Fraction(7, 3)}
    assert total(found.parts.values()) == Decimal(1)
    for part, amount in found.parts.items():
        assert abs(Fraction(amount) - exact[part]) < Fraction(1, 10**24)
    assert found.prices == (Decimal("0.333333333333"), Decimal("0.285714285714"))


def test_units_are_never_added() -> None:
    """Hours and gigabytes of one service have no common average price."""
    before = [paid("10", "10"), paid("1", "100", sku="disk", unit="GB")]
    after = [paid("20", "20"), paid("2", "200", sku="disk", unit="GB")]
    assert only(before, after).parts == {"volume": Decimal(11)}


def test_what_only_rounding_moved_is_one_line_on_the_screen_and_all_of_it_in_the_json() -> None:
    before, after = spans.read("2026-09", NOW), spans.read("2026-10", NOW)
    was = [paid("1", key=("a",)), paid("3", key=("b",)), paid("5", key=("c",), kind="tax"), paid("7", key=("same",))]
    now = [paid("2", "2", key=("a",)), paid("3.000000000005", key=("b",)), paid("4.999999999999", key=("c",), kind="tax"), was[3]]
    shown = views.why(("team",), explain(was, now), before, after)
    assert [(item["team"], item["delta"]) for item in shown.items] == [
        ("a", Decimal(1)), ("b", Decimal("5E-12")), ("c", Decimal("-1E-12")), ("same", Decimal(0)),
    ]  # fmt: skip
    parts, skus = shown.blocks
    assert isinstance(parts, Section)
    assert isinstance(skus, Section)
    (table,), (moved,) = parts.blocks, skus.blocks
    assert isinstance(table, Table)
    assert isinstance(moved, Table)
    assert [(line["team"], line["before"], line["delta"]) for line in table.rows] == [
        ("a", Decimal(1), Decimal(1)),
        ("rounding (2 lines)", Decimal(8), Decimal("4E-12")),
        ("all", Decimal(16), Decimal("1.000000000004")),
    ]
    assert "tax" not in [column.key for column in table.columns]
    assert [line["delta"] for line in moved.rows] == [Decimal(1)]
