"""Bills with values that nobody expects: a record waits in quarantine and says why, or is booked as it is meant; none stops the others."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import Record
from mcml.store.ledger.book import Ledger
from tests.cost.bill_files import formats, write
from tests.cost.intake.test_bills import amounts, aws, azure, google, ingest

WAITING = {
    "tags that are a list": (aws("Usage", "3", resource_tags='["a"]'), "Tags is not a JSON object"),
    "tags that break off": (aws("Usage", "3", resource_tags='{"a":'), "Tags is not a JSON object"),
    "a currency in small letters": (aws("Usage", "3", line_item_currency_code="usd"), "BillingCurrency is not an ISO 4217 code"),
    "underscores in a number": (aws("Usage", "1_000"), "line_item_unblended_cost '1_000': that is no number"),
    "digits of another script": (azure("\u0663"), "that is no number"),
    "an infinite number": (azure("Infinity"), "that is no number"),
    "far too much": (azure("1e400"), "BilledCost has more than 14 digits before the point"),
    "a day first": (azure("3", date="31/12/2026"), "date '31/12/2026': that is no time"),
    "a time before all times": (azure("3", date="0001-01-01T00:00:00+05:00"), "that is no time"),
    "Azure's tags as a list": (azure("3", tags='["a"]'), "Tags is not a JSON object"),
    "labels that are numbers": (google(labels=[1, 2]), "labels '1': that is no pair of key and value"),
    "a label without a key": (google(labels=[{"value": "x"}]), "that is no pair of key and value"),
    "a tag without a key": (google(tags=[{"value": "x"}]), "that is no pair of key and value"),
    "a project's label without a key": (google(project={"id": "p", "labels": [{}]}), "that is no pair of key and value"),
    "a month that is none": (google(invoice={"month": "soon"}), "invoice.month 'soon': that is no month"),
    "a thirteenth month": (google(invoice={"month": "202613"}), "invoice.month '202613': that is no month"),
    "an invoice that is no record": (google(invoice=True), "invoice 'True': that is no JSON of what is nested there"),
    "credits that are no list": (google(credits=7), "that is no JSON of what is nested there"),
}


def test_records_wait_and_the_others_are_booked(tmp_path: Path) -> None:
    """A bill of each cloud, its first record a good one: where each of the others stands, and why."""
    good = {"aws.csv": aws("Usage"), "azure.csv": azure("1"), "google.json": google(cost=1)}
    for name, first in good.items():
        held = [(record, why) for record, why in WAITING.values() if next(iter(record)) == next(iter(first))]
        folder = tmp_path / name.partition(".")[0]
        (done,) = ingest(folder, write(tmp_path / name, [first, *(record for record, _ in held)]))
        assert (done.delivery.rows, done.delivery.quarantined) == (1, len(held))
        assert list(amounts(folder).values()) == [Decimal(1)]
        for (_, why), row in zip(held, Ledger(folder).quarantined(), strict=True):
            assert why in row.reason


BOOKED: dict[str, tuple[Record, str, str]] = {
    "a product that is a list": (aws("Usage", product='["a"]'), "service", "AmazonEC2"),
    "a label whose value is left out, as BigQuery does with nulls": (google(labels=[{"key": "team"}]), "service", "Cloud Run"),
    "a project that is left out": (google(project=None), "service", "Cloud Run"),
    "nested tags": (aws("Usage", resource_tags='{"user_team": "risk", "more": {"a": 1}}'), "team", "risk"),
}


@pytest.mark.parametrize("name", BOOKED)
def test_what_is_odd_and_right_is_booked(name: str, tmp_path: Path) -> None:
    record, dimension, said = BOOKED[name]
    ingest(tmp_path / "cost", write(tmp_path / ("bill.json" if "cost_type" in record else "bill.csv"), [record]))
    assert [group.key for group in Ledger(tmp_path / "cost").totals((dimension,))] == [(said,)]


@pytest.mark.parametrize("spell", [str.upper, str.lower])
def test_a_report_whose_columns_are_in_capitals_and_in_another_order(spell: Any, tmp_path: Path) -> None:
    line = aws("Usage", "7", resource_tags='{"user_team": "risk"}')
    ingest(tmp_path / "cost", write(tmp_path / "bill.csv", [{spell(name): said for name, said in reversed(line.items())}]))
    assert amounts(tmp_path / "cost", "team") == {("USD", "risk"): Decimal(7)}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_ends_of_lines_and_empty_lines(end: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bill.csv", [aws("Usage", line_item_line_item_description="two\nlines"), aws("Usage")])
    text = path.read_text(encoding="utf-8").replace('two\nlines"', "@").replace("\n", end * 2).replace("@", 'two\nlines"')
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    (done,) = ingest(tmp_path / "cost", path)
    assert (done.delivery.rows, amounts(tmp_path / "cost")) == (2, {("USD", "Usage"): Decimal(2)})


def test_a_header_alone_is_no_cost(tmp_path: Path) -> None:
    path = write(tmp_path / "bill.csv", [aws("Usage")])
    path.write_text(path.read_text().split("\n")[0] + "\n")
    (done,) = ingest(tmp_path / "cost", path)
    assert (done.delivery.rows, done.delivery.quarantined) == (0, 0)


@pytest.mark.parametrize(("more", "said"), [("1,2\n", "line 3 has not as many fields"), ('"open', "is no CSV file")])
def test_a_torn_line_of_a_bill_books_nothing_and_says_what_to_do(more: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bill.csv", [aws("Usage")])
    path.write_text(path.read_text() + more)
    with pytest.raises(InvalidRequest, match=said) as caught:
        ingest(tmp_path / "cost", path)
    assert caught.value.next_step
    assert amounts(tmp_path / "cost") == {}


def test_the_same_rows_whatever_the_values_are_written_as() -> None:
    """A number as text, and one out of JSON, whose digits are texts, are the same row."""
    (known,) = [known for known in formats() if known.recognises(list(google()))]
    texts = json.loads(json.dumps(google(cost=1.25, labels=[{"key": "team", "value": "risk"}])), parse_float=str, parse_int=str)
    flat = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in texts.items()}
    assert list(known.rows([texts])) == list(known.rows([flat]))


@pytest.mark.parametrize(
    ("may", "june", "bad"),
    [
        (aws("Usage"), {"bill_billing_period_start_date": "2026-06-01T00:00:00Z"}, {"line_item_unblended_cost": "x"}),
        (azure("1"), {"date": "06/02/2026", "billingPeriodStartDate": "06/01/2026", "billingPeriodEndDate": ""}, {"quantity": "x"}),
        (google(), {"invoice": {"month": "202606"}}, {"cost": "x"}),
        (google(invoice=None), {"usage_start_time": "2026-06-02 07:00:00 UTC", "usage_end_time": "2026-06-02 08:00:00 UTC"}, {"cost": "x"}),
    ],
    ids=["aws", "azure", "google", "google without an invoice"],
)
def test_a_record_waits_until_its_own_month_comes_again(
    tmp_path: Path, may: dict[str, Any], june: dict[str, Any], bad: dict[str, Any]
) -> None:
    """Two months in one delivery, a bad record in each; the one that is mended does not wait for the other."""
    ledger = tmp_path / "ledger"
    ingest(ledger, write(tmp_path / "both.json", [may, may | bad, may | june, may | june | bad]))
    assert len(Ledger(ledger).quarantined()) == 2
    ingest(ledger, write(tmp_path / "june.json", [may | june, may | june]))
    (waits,) = Ledger(ledger).quarantined()
    assert "row 2:" in waits.reason
    assert [each.quarantined for each in Ledger(ledger).waiting()] == [1]
