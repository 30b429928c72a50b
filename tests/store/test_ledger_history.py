"""What replaces what, in any order of deliveries; and the ledger as of any moment is what was reported then."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.store.ledger import manifest
from mcml.store.ledger.bills import Window
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.manifest import Delivery, Manifest, Part
from tests.cost.focus import HOUR, START, row, text_row, write_csv

MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))
NOW = datetime(2026, 7, 3, tzinfo=UTC)


def bill(amount: str, month: datetime, charged: datetime | None = None, **changes: object) -> dict[str, object]:
    """A row on the bill of a month, charged at its beginning or at another time."""
    start = charged or month
    following = (month + timedelta(days=32)).replace(day=1)
    return row(
        amount, BillingPeriodStart=month, BillingPeriodEnd=following, ChargePeriodStart=start, ChargePeriodEnd=start + HOUR, **changes
    )


def billed(folder: Path, by: tuple[str, ...] = ()) -> Mapping[tuple[str | None, ...], Decimal]:
    return {group.key: group.billed for group in Ledger(folder).totals(by)}


def test_a_late_charge_of_may_on_the_bill_of_june_stands_beside_mays_bill(tmp_path: Path) -> None:
    Intake(tmp_path).rows([bill("10", MAY)], origin="may")
    Intake(tmp_path).rows([bill("20", JUNE), bill("3", JUNE, MAY + timedelta(days=30))], origin="june")
    assert billed(tmp_path, ("month",)) == {("2026-05",): Decimal(13), ("2026-06",): Decimal(20)}
    Intake(tmp_path).rows([bill("11", MAY)], origin="may, restated")
    assert billed(tmp_path, ("month",)) == {("2026-05",): Decimal(14), ("2026-06",): Decimal(20)}


def test_the_order_of_the_months_does_not_matter(tmp_path: Path) -> None:
    late, early = ("late", bill("20", JUNE)), ("early", bill("10", MAY))
    for folder, order in ((tmp_path / "a", (late, early)), (tmp_path / "b", (early, late))):
        for origin, line in order:
            Intake(folder).rows([line], origin=origin)
        assert billed(folder) == {(): Decimal(30)}


def test_two_clouds_may_give_an_account_the_same_number(tmp_path: Path) -> None:
    one, other = bill("1", MAY, ServiceProviderName="A"), bill("2", MAY, ServiceProviderName="B")
    Intake(tmp_path).rows([one], origin="a")
    Intake(tmp_path).rows([other], origin="b")
    assert billed(tmp_path) == {(): Decimal(3)}
    Intake(tmp_path).rows([bill("10", MAY, ServiceProviderName="A")], origin="a")
    assert billed(tmp_path) == {(): Decimal(12)}


def test_two_clouds_in_one_command_are_two_bills(tmp_path: Path) -> None:
    texts = {"BillingPeriodStart": "2026-05-01T00:00:00Z", "BillingPeriodEnd": "2026-06-01T00:00:00Z"}
    one = write_csv(tmp_path / "a.csv", [text_row(BilledCost="1", ServiceProviderName="A", **texts)])
    other = write_csv(tmp_path / "b.csv", [text_row(BilledCost="2", ServiceProviderName="B", **texts)])
    Intake(tmp_path / "cost").files([one, other])
    Intake(tmp_path / "cost").rows([bill("10", MAY, START, ServiceProviderName="A")], origin="a")
    assert billed(tmp_path / "cost", ("provider",)) == {("A",): Decimal(10), ("B",): Decimal(2)}


def test_a_seller_on_another_clouds_bill_goes_with_it(tmp_path: Path) -> None:
    """In another file of the same bill, linked by who issues the invoice."""
    one = write_csv(tmp_path / "a.csv", [text_row(BilledCost="1", ServiceProviderName="A", InvoiceIssuerName="A Inc.")])
    other = write_csv(tmp_path / "b.csv", [text_row(BilledCost="2", ServiceProviderName="Seller", InvoiceIssuerName="A Inc.")])
    Intake(tmp_path / "cost").files([one, other])
    Intake(tmp_path / "cost").files([write_csv(tmp_path / "c.csv", [text_row(BilledCost="5", ServiceProviderName="A")])])
    assert billed(tmp_path / "cost") == {(): Decimal(5)}


def test_periods_whose_clock_is_shifted_are_of_the_same_month(tmp_path: Path) -> None:
    for hours, amount in ((7, "1"), (-2, "2"), (0, "3"), (14, "4"), (-14, "5")):
        shift = timedelta(hours=hours)
        Intake(tmp_path).rows([bill(amount, MAY) | {"BillingPeriodStart": MAY + shift, "BillingPeriodEnd": JUNE + shift}], origin="a")
        assert billed(tmp_path) == {(): Decimal(amount)}
    assert {part.month for part in Ledger(tmp_path).manifest.parts} == {"2026-05-01"}


def test_a_window_of_charges_ends_nothing_that_it_did_not_speak_of(tmp_path: Path) -> None:
    """June's charges are fetched: a charge of May on June's bill and one of June on May's are not what they seem."""
    late, early = bill("3", JUNE, MAY + timedelta(days=30)), bill("4", MAY, JUNE + HOUR)
    Intake(tmp_path).rows([bill("10", MAY), bill("20", JUNE), late, early], origin="files")
    Intake(tmp_path).rows([bill("100", MAY, BillingAccountId="other")], origin="files of others")
    done = Intake(tmp_path).rows([bill("21", JUNE)], origin="acme", window=Window(JUNE, NOW))
    assert (done.delivery.rows, done.replaced) == (1, 2)  # the 20, and the 4, which is in the window and is no more
    assert billed(tmp_path, ("account", "day")) == {
        ("acct", "2026-05-01"): Decimal(10),
        ("acct", "2026-05-31"): Decimal(3),
        ("acct", "2026-06-01"): Decimal(21),
        ("other", "2026-05-01"): Decimal(100),
    }
    Intake(tmp_path).rows([bill("22", JUNE)], origin="acme", window=Window(JUNE, NOW))
    assert billed(tmp_path, ("month",)) == {("2026-05",): Decimal(113), ("2026-06",): Decimal(22)}
    assert Ledger(tmp_path, NOW - timedelta(days=9999)).totals(()) == []


def test_a_bill_of_which_a_window_leaves_nothing_is_gone(tmp_path: Path) -> None:
    Intake(tmp_path).rows([bill("4", MAY, JUNE + HOUR), bill("20", JUNE)], origin="files")
    Intake(tmp_path).rows([bill("21", JUNE)], origin="acme", window=Window(JUNE, NOW))
    assert billed(tmp_path) == {(): Decimal(21)}
    Intake(tmp_path).rows([bill("5", MAY)], origin="acme", window=Window(MAY, JUNE))
    assert billed(tmp_path) == {(): Decimal(26)}


CHARGES = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([MAY, JUNE]), st.integers(0, 60), st.integers(-50, 50))
DELIVERIES = st.tuples(st.booleans(), st.lists(CHARGES, min_size=1, max_size=4))


@settings(max_examples=4, deadline=None)
@given(st.lists(DELIVERIES, min_size=1, max_size=3))
def test_the_ledger_as_of_a_moment_is_what_was_reported_then(deliveries: list[tuple[bool, list[tuple[str, datetime, int, int]]]]) -> None:
    reports = []
    with TemporaryDirectory() as place:
        folder, now = Path(place), NOW
        for number, (windowed, charges) in enumerate(deliveries):
            rows = [bill(str(amount), month, MAY + timedelta(days=day), BillingAccountId=name) for name, month, day, amount in charges]
            now += timedelta(seconds=number % 2, microseconds=1)
            intake = Intake(folder, clock=lambda now=now: now, agree=lambda _: None)  # type: ignore[misc]
            intake.rows(rows, origin="o", window=Window(MAY, JUNE) if windowed else None)
            by = ("account", "day", "month")
            reports.append((now, Ledger(folder).totals(by), manifest.load(folder)))
        for moment, report, known in reports:
            assert Ledger(folder, moment).totals(by) == report
            assert Ledger(folder, moment).manifest == known
        assert Ledger(folder, NOW).totals(()) == []


def test_a_manifest_of_the_first_format_is_read_and_its_bills_are_replaced(tmp_path: Path) -> None:
    Intake(tmp_path).rows([bill("1", MAY)], origin="a")
    path = tmp_path / manifest.NAME
    said = json.loads(path.read_text()) | {"format": 1}
    for part in said["parts"]:
        del part["names"], part["carried"], part["ended_by"]
    path.write_text(json.dumps(said))
    assert billed(tmp_path) == {(): Decimal(1)}
    Intake(tmp_path).rows([bill("5", MAY)], origin="a")
    assert billed(tmp_path) == {(): Decimal(5)}


def test_a_clock_that_is_set_back_does_not_change_history(tmp_path: Path) -> None:
    for back, amount in ((0, "1"), (3600, "2")):
        Intake(tmp_path, clock=lambda back=back: NOW - timedelta(seconds=back)).rows([bill(amount, MAY)], origin="a")  # type: ignore[misc]
    assert [part.since for part in Ledger(tmp_path).manifest.parts] == ["2026-07-03T00:00:00.000000Z"] * 2
    assert Ledger(tmp_path, NOW).totals(())[0].billed == Decimal(2)


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=3)), max_size=8))
def test_a_manifest_knows_every_one_before_it(deliveries: list[tuple[int, list[tuple[str, str]]]]) -> None:
    known, second, saved = Manifest(), 0, []
    for number, (later, bills) in enumerate(deliveries):
        second += later + 1
        at = f"2026-07-03T00:00:{second:02}.000000Z"
        delivery = Delivery(f"d{number}", at, "o", f"digest{number}")
        parts = [
            Part("billed", account, "2026-05-01", (f"f{number}{account}{name}",), 1, delivery.id, at, names=(name,))
            for account, name in bills
        ]
        known = known.add(delivery, parts)
        saved.append((datetime.fromisoformat(at), known))
    assert all(known.at(moment) == then for moment, then in saved)
