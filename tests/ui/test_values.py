from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.view import Kind, State
from mcml.ui.values import NOISE, ago, bar, exact, friendly, money, plain, sparkline

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.000000000000000000000001"), "0.000000000000000000000001"),
        (Decimal("1E+3"), "1000"),
        (NOW, "2026-01-02T03:04:05.000000Z"),
        (True, "true"),
        (None, ""),
        (["a", 1], "a,1"),
        ({"k": "v"}, "k=v"),
        ("two\nlines", "two lines"),
        (State("ready"), "ready"),
        (timedelta(minutes=1), "60.0"),
        (Path("a/b"), "a/b"),
    ],
)
def test_exact(value: object, text: str) -> None:
    assert exact(value) == text


def test_plain_opens_dataclasses_and_refuses_what_it_does_not_know() -> None:
    @dataclass
    class Inner:
        price: Decimal

    assert plain([Inner(Decimal("1.50"))]) == [{"price": "1.50"}]
    with pytest.raises(TypeError, match="object"):
        plain(object())


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0.00"), ("1234.565", "1,234.56"), ("0.00012345", "0.0001234"), ("-0.5", "-0.5000"), ("0.1", "0.1000"),
     ("0.0000000012", "0.000000001200"), ("-0.000000000005", "~0")],
)  # fmt: skip
def test_money(value: str, text: str) -> None:
    assert money(Decimal(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=Decimal("-1e12"), max_value=Decimal("1e12")))
def test_money_is_near_the_value_and_never_scientific(value: Decimal) -> None:
    shown = money(value)
    assert "E" not in shown
    if shown == "~0":
        assert 0 < abs(value) < NOISE
        return
    assert abs(Decimal(shown.replace(",", "")) - value) <= max(abs(value) * Decimal("0.006"), Decimal("1e-12"))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "text", "-"),
        ("", "text", "-"),
        (NOW - timedelta(minutes=5), "time", "5m ago"),
        (Decimal("42"), "percent", "42%"),
        (0.5, "percent", "0.5%"),
        (0.5, "share", "0.5%"),
        (1536, "bytes", "1.5 KiB"),
        (1234567, "number", "1,234,567"),
        (0.25, "number", "0.25"),
        ([1, 2], "number", "1, 2"),
    ],
)
def test_friendly(value: object, kind: Kind, text: str) -> None:
    assert friendly(value, kind, NOW) == text


def test_ago_says_dates_beyond_a_month_and_times_to_come() -> None:
    assert ago(NOW - timedelta(days=40), NOW) == "2025-11-23"
    assert ago(NOW + timedelta(hours=2), NOW) == "in 2h"
    assert ago(NOW, NOW) == "now"


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=50))
def test_sparkline_has_one_mark_a_point(points: list[float | None]) -> None:
    drawn = sparkline(points)
    assert len(drawn) == len(points)
    assert all((mark == " ") == (point is None) for mark, point in zip(drawn, points, strict=True))


@given(st.decimals(-1000, 1000, places=1), st.integers(1, 40))
def test_a_bar_is_as_wide_as_it_should_be_and_grows_with_its_share(share: Decimal, width: int) -> None:
    drawn, more = bar(share, width), bar(share + 20, width)
    assert len(drawn) == width
    assert drawn.count("█") <= more.count("█")
    assert abs(drawn.count("█") - min(max(share, Decimal(0)), Decimal(100)) / 100 * width) < 1 + Decimal(1) / 16


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 1.6, 12.5, 50, 100)] == ["    ", "▏   ", "▌   ", "██  ", "████"]


def test_sparkline_ends() -> None:
    drawn = sparkline([0, 1, None, 2])
    assert (drawn[0], drawn[2], drawn[3]) == ("▁", " ", "█")
