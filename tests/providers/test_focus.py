"""Exports as rows of FOCUS 1.4: a real bill, any cutting of its bytes, old columns, and what is broken."""

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mcml.cost
from mcml.core.errors import InvalidRequest, Unavailable
from mcml.providers.api.billing import Period
from mcml.providers.focus import focus_row, months_of, records, starts_in, tags_of

SAMPLE = Path(str(mcml.cost.__file__)).parent / "intake" / "samples" / "focus_1_0_real_anonymised_1000.csv.gz"
START = datetime(2025, 2, 1, tzinfo=UTC)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def test_a_real_bill_of_three_clouds() -> None:
    """1,000 anonymised rows of FOCUS 1.0, NULL spelt out, times without a zone: the total to the last digit, no mandatory column null."""
    data = SAMPLE.read_bytes()
    rows = [focus_row(record) for record in records(cut(data, 997), "sample", gzipped=True)]
    plain = csv.DictReader(io.StringIO(gzip.decompress(data).decode(), newline=""))
    assert sum(Decimal(str(row["BilledCost"])) for row in rows) == sum(Decimal(record["BilledCost"]) for record in plain)
    assert len(rows) == 1000
    assert {row["ServiceProviderName"] for row in rows} == {"AWS", "Microsoft", "Oracle"}
    assert [row for row in rows if any(row[name] is None for name in ("ListCost", "ContractedCost", "ServiceCategory"))] == []
    assert {row.get("x_Filled") for row in rows} == {None, "ContractedCost"}
    assert {row["ChargePeriodStart"].tzinfo for row in rows if isinstance(row["ChargePeriodStart"], datetime)} == {UTC}


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.text(max_size=9).map(repr)), max_size=20),
    st.integers(1, 40),
    st.booleans(),
)
def test_bytes_may_be_cut_anywhere(lines: list[tuple[str, str]], size: int, gzipped: bool) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("One", "x_Two"), *lines])
    data = out.getvalue().encode()
    found = records(cut(gzip.compress(data) if gzipped else data, size), "f", gzipped=gzipped)
    assert [(record["One"], record["x_Two"]) for record in found] == lines


def test_old_and_unknown_columns() -> None:
    said = {"ProviderName": "AWS", "PublisherName": "Amazon", "BilledCost": "1.000000000000000000000001", "Id": "7", "x_Mine": "a"}
    row = focus_row(said)
    assert row["BilledCost"] == Decimal("1.000000000000000000000001")
    assert (row["ServiceProviderName"], row["x_PublisherName"], row["x_Id"], row["x_Mine"]) == ("AWS", "Amazon", "7", "a")
    assert "ProviderName" not in row
    assert row["x_Filled"] == "EffectiveCost, ContractedCost, ListCost, InvoiceIssuerName, ServiceCategory, ServiceName"
    assert row["EffectiveCost"] == row["ListCost"] == row["BilledCost"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-02-01", START),
        ("2025-02-01T00:00:00.000Z", START),
        ("2025-02-01T00:00Z", START),
        ("2025-02-01 00:00:00", START),
        ("02/01/2025", START),
        ("2025-02-01T02:00:00+02:00", START),
    ],
)
def test_times_as_the_clouds_write_them(text: str, moment: datetime) -> None:
    assert focus_row({"ChargePeriodStart": text})["ChargePeriodStart"] == moment


@pytest.mark.parametrize(("column", "text"), [("BilledCost", "1,5"), ("ListUnitPrice", "NaN"), ("ChargePeriodEnd", "yesterday")])
def test_what_is_no_number_and_no_time(column: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{column} '{text}'"):
        focus_row({column: text})


def test_broken_files() -> None:
    whole = gzip.compress(b"A,B\n1,2\n" * 99)
    for broken in (whole[:-4], whole[:20], b"\x1f\x8bnot gzip at all", b"A,B\n1,2\n"):
        with pytest.raises(Unavailable, match="cannot read f"):
            list(records([broken], "f", gzipped=True))
    for wrong in (b"A,B\n1\n", b"A,B\n1,2,3\n", b'A,B\n"1,2\n', b"A,B\n\xff,2\n"):
        with pytest.raises(InvalidRequest, match="f"):
            list(records([wrong], "f", gzipped=False))
    assert list(records([], "f", gzipped=False)) == []


def test_periods_and_tags() -> None:
    period = Period(datetime(2024, 12, 31, 23, tzinfo=UTC), START)
    assert [f"{month:%Y-%m}" for month in months_of(period)] == ["2024-12", "2025-01"]
    assert not starts_in({"ChargePeriodStart": START}, period)
    assert starts_in({"ChargePeriodStart": period.start}, period)
    assert tags_of('{"user_team": "a", "aws:x": "b", "empty": ""}', "user_") == '{"aws:x": "b", "team": "a"}'
    assert tags_of("{}") is None
    assert tags_of("") is None
