"""What files of exchange rates say: the two kinds of CSV, the one rate of a day, and what is no rate."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import NotFound, Usage
from mcml.cost.rates.table import PLACES, Rates, read

ECB = """Date,USD,JPY,BGN,CYP,GBP,
2025-04-25,1.1357,162.8,1.9558,N/A,0.8531,
2025-04-24,1.1376,162.3,1.9558,N/A,0.8543,
2007-12-31,1.4721,164.93,1.9558,0.585274,0.73335,
"""
"""The first currencies of lines as the European Central Bank publishes them: newest first, a comma at the end."""
OWN = "date,from,to,rate,note\n2026-10-01,USD,EUR,0.9,\n2026-10-05,USD,EUR,0.8,monthly rate\n"
DAY = date(2025, 4, 25)


def ecb() -> Rates:
    return read(ECB, "ECB", 7)


def test_the_file_of_the_european_central_bank() -> None:
    rates = ecb()
    assert len(rates.pairs) == 5
    assert rates.of("EUR", "USD", DAY).value == Decimal("1.1357")
    assert rates.of("EUR", "CYP", date(2008, 1, 2)).dates == (date(2007, 12, 31),)
    with pytest.raises(NotFound, match="no rate from EUR to CYP for 2025-04-25") as none:
        rates.of("EUR", "CYP", DAY)
    assert "EUR to CYP: 2007-12-31" in none.value.why


def test_the_inverse_and_the_way_across_the_euro_are_rounded_once() -> None:
    rates = ecb()
    inverse, across = rates.of("USD", "EUR", DAY), rates.of("USD", "JPY", DAY)
    assert (inverse.how, across.how) == ("inverse", "across the euro")
    assert inverse.value == Decimal("0.880514220304657920")
    assert across.value == Decimal(round(Fraction("162.8") / Fraction("1.1357") * 10**PLACES)).scaleb(-PLACES)
    assert rates.of("USD", "USD", DAY).value == 1


def test_a_day_without_a_rate_takes_the_last_one_before_it() -> None:
    rates = read(OWN, "finance", 7)
    found = {day: rates.of("USD", "EUR", date(2026, 10, day)).value for day in (1, 4, 5, 12)}
    assert found == {1: Decimal("0.9"), 4: Decimal("0.9"), 5: Decimal("0.8"), 12: Decimal("0.8")}
    with pytest.raises(NotFound, match="for 2026-10-13") as old:
        rates.of("USD", "EUR", date(2026, 10, 13))
    assert "USD to EUR: 2026-10-05; more than 7 days older is too old" in old.value.why
    with pytest.raises(NotFound, match="for 2026-09-30") as early:
        rates.of("USD", "EUR", date(2026, 9, 30))
    assert "finance has none of these currencies up to that day" in early.value.why


def test_order_byte_order_mark_line_ends_and_blank_lines_do_not_matter() -> None:
    lines = OWN.splitlines()
    shuffled = "\ufeff" + "\r\n".join([lines[0], lines[2], "", lines[1], ",,,,"])
    assert read(shuffled, "finance", 7) == read(OWN, "finance", 7)
    assert read("rate,to,from,date\n0.9,EUR,USD,2026-10-01\n", "x", 7).of("USD", "EUR", date(2026, 10, 2)).value == Decimal("0.9")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line is ''"),
        ("a,b\n1,2\n", "its first line is 'a,b'"),
        ("date,from,to,rate\n", "no line has one"),
        ("Date,USD,\n2026-10-01,N/A,\n", "no line has one"),
        ("date,from,to,rate\n01.10.2026,USD,EUR,0.9\n", "line 2: '01.10.2026' is no date"),
        ("date,from,to,rate\n2026-10-01,usd,EUR,0.9\n", "line 2: 'usd' is no currency"),
        ("date,from,to,rate\n2026-10-01,EUR,EUR,1\n", "line 2: EUR to itself"),
        ("date,from,to,rate\n2026-10-01,USD,EUR,0\n", "line 2: '0' is no rate"),
        ("date,from,to,rate\n2026-10-01,USD,EUR,NaN\n", "line 2: 'NaN' is no rate"),
        ("date,from,to,rate\n2026-10-01,USD,EUR,-1\n", "line 2: '-1' is no rate"),
        ("date,from,to,rate\n2026-10-01,USD,EUR,1e400\n", "line 2: '1e400' is no rate"),
        ("date,from,to,rate\n2026-10-01,USD,EUR,0.9\n2026-10-01,USD,EUR,0.8\n", "line 3: USD to EUR is 0.8 on 2026-10-01, and 0.9"),
        ("date,from,to,rate\n2026-10-01,USD,EUR\n", "line 2: '' is no rate"),
        ("Date,USD,JPY,\n2026-10-01,1.1\n", "line 2: 2 columns, expected 4"),
        ('date,from,to,rate\n"2026-10-01,USD\0', "line 2"),
    ],
    ids=[
        "empty", "other columns", "no line", "no rate", "date", "code", "itself", "zero", "nan", "negative", "huge", "twice", "short",
        "short euro", "torn",
    ],
)  # fmt: skip
def test_what_is_no_rate_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(Usage) as wrong:
        read(text, "x", 7)
    assert why in wrong.value.why


RATES = st.decimals(min_value=Decimal("0.0001"), max_value=Decimal(20000), places=4)
DAYS = st.integers(0, 60).map(lambda number: date(2026, 1, 1) + timedelta(days=number))


@given(st.dictionaries(DAYS, RATES, min_size=1), DAYS, st.integers(0, 20))
def test_the_rate_of_a_day_is_the_newest_that_is_not_too_old(known: dict[date, Decimal], day: date, max_age: int) -> None:
    text = "date,from,to,rate\n" + "".join(f"{each},USD,EUR,{rate}\n" for each, rate in known.items())
    rates = read(text, "x", max_age)
    fitting = [each for each in known if timedelta() <= day - each <= timedelta(days=max_age)]
    if fitting:
        assert rates.of("USD", "EUR", day).value == known[max(fitting)]
        assert abs(rates.of("EUR", "USD", day).value * known[max(fitting)] - 1) < known[max(fitting)] * Decimal("1e-17")
    else:
        with pytest.raises(NotFound, match=f"for {day}"):
            rates.of("USD", "EUR", day)
