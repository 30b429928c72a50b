"""Two spans side by side."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.cost import views
from mcml.cost.movers import compare
from mcml.cost.report import build
from mcml.cost.span import read
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total
from tests.cost.test_report import BOOKED, group

KEYS = st.sampled_from([("a", None), ("a", "x"), ("b", "x"), (None, None)])
MONEY = st.decimals(min_value=-(10**9), max_value=10**9, places=24)
SIDE = st.dictionaries(st.tuples(st.sampled_from(["USD", "EUR"]), KEYS), MONEY, max_size=6)


def groups(side: dict[tuple[str, tuple[str | None, ...]], Decimal]) -> list[Group]:
    return [group(key, amount, currency=currency) for (currency, key), amount in side.items()]


@given(SIDE, SIDE, st.integers(0, 3))
def test_changes_add_up_and_nothing_is_lost_in_the_others(
    before: dict[tuple[str, tuple[str | None, ...]], Decimal], after: dict[tuple[str, tuple[str | None, ...]], Decimal], limit: int
) -> None:
    tables = compare(("team", "service"), groups(before), groups(after), limit=limit)
    assert {table.currency for table in tables} == {currency for currency, _ in [*before, *after]}
    for table in tables:
        assert total(move.before for move in table.moves) == table.whole.before
        assert total(move.after for move in table.moves) == table.whole.after
        assert total(move.delta for move in table.moves) == table.whole.delta
        keys = {key for currency, key in [*before, *after] if currency == table.currency}
        assert sum(move.others or 1 for move in table.moves) == len(keys)
        assert not limit or len(table.moves) <= limit + 1


def test_new_gone_and_what_moved_most() -> None:
    before = [group(("a",), "10"), group(("b",), "5"), group(("c",), "1"), group(("e",), "0")]
    after = [group(("a",), "11"), group(("c",), "1"), group(("d",), "2.5"), group(("e",), "3")]
    (table,) = compare(("team",), before, after)
    assert [(move.key[0], move.delta, move.percent, move.fate) for move in table.moves] == [
        ("b", Decimal(-5), Decimal("-100.0"), "gone"),
        ("e", Decimal(3), None, "up"),
        ("d", Decimal("2.5"), None, "new"),
        ("a", Decimal(1), Decimal("10.0"), "up"),
        ("c", Decimal(0), Decimal("0.0"), "same"),
    ]
    assert (table.whole.before, table.whole.after, table.whole.percent) == (Decimal(16), Decimal("17.5"), Decimal("9.4"))


def test_days_cannot_be_compared() -> None:
    with pytest.raises(Usage, match="by day cannot be compared"):
        compare(("team", "day"), [], [])


def test_what_scripts_see_of_a_comparison() -> None:
    tables = compare(("team",), [group((None,), "1")], [group(("a, b",), "3"), group((None,), "1.5"), group(("z",), "0.1")], limit=2)
    august, september = read("2026-08", BOOKED), read("2026-09", BOOKED)
    document = views.comparison(("team",), tables, august, september)
    assert (document.kind, document.version) == ("CostComparison", 1)
    assert document.items[1]["where"] == ["team="]
    assert document.items[2]["where"] is None
    first = {**document.items[0], "fate": str(document.items[0]["fate"].text)}  # type: ignore[attr-defined]
    assert first == {
        "name": "a, b",
        "currency": "USD",
        "team": "a, b",
        "before": Decimal(0),
        "after": Decimal(3),
        "delta": Decimal(3),
        "delta_percent": None,
        "fate": "new",
        "others": 0,
        "where": ["team=a\\, b"],
    }
    assert (document.items[2]["name"], document.items[2]["others"], document.items[2]["delta"]) == ("1 other", 1, Decimal("0.1"))


def test_a_report_folds_the_cheapest_lines_into_one() -> None:
    found = [group((name, "billed"), cost, requests=10) for name, cost in (("a", "5"), ("b", "1"), ("c", "-2"), ("d", "3"))]
    (table,) = build(("team",), found, limit=2).tables
    assert [(line.key[0], line.effective, line.rows, line.requests, line.others) for line in table.lines] == [
        ("a", Decimal(5), 1, 10, 0),
        ("d", Decimal(3), 1, 10, 0),
        ("2 others", Decimal(-1), 2, 20, 2),
    ]
    assert total(line.effective for line in table.lines) == table.effective == Decimal(7)
    assert build(("team",), found, limit=4) == build(("team",), found)
