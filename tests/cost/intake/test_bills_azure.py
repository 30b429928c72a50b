"""Azure's actual and amortized exports of a month in one delivery: one bill, whose costs are the exports' sums to the last digit."""

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFile
from mcml.providers.api.billing import REFUSED
from mcml.providers.azure.bill_formats import CostDetails
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.exact import total
from mcml.testing.cli import run
from tests.cost.bill_files import write
from tests.cost.intake.test_bills import PLAN, RESERVED, amounts, azure, ingest

UPFRONT, MONTHLY = "8760.000000000000000000000001", "100"
ACTUAL = [
    azure("2.5"),
    azure("0", quantity="4", **PLAN),
    azure("0", **RESERVED),
    azure(MONTHLY, "Purchase", frequency="Recurring", quantity="1", **PLAN),
    azure(UPFRONT, "Purchase", frequency="OneTime", quantity="1", **RESERVED),
    azure("-40", "Refund", quantity="1", **RESERVED),
    azure("7", "Purchase", meterCategory="Marketplace"),
    azure("4", "Tax"),
]
AMORTIZED = [
    azure("2.5"),
    azure("1.25", quantity="4", **PLAN),
    azure("0.333333333333333333333333", **RESERVED),
    azure("0.75", "UnusedSavingsPlan", **PLAN),
    azure("0.5", "UnusedReservation", **RESERVED),
    azure("7", "Purchase", meterCategory="Marketplace"),
    azure("4", "Tax"),
]


def costs(lines: Iterable[dict[str, str]]) -> Decimal:
    return total(Decimal(line["costInBillingCurrency"]) for line in lines)


@pytest.mark.parametrize("names", [("actual.csv", "amortized.csv"), ("b.csv.gz", "a.csv")])
def test_both_exports_are_one_bill(tmp_path: Path, names: tuple[str, str]) -> None:
    """In any order, by what their lines tell: a row of each line that is on both, a commitment's purchase billed, its use effective."""
    (done,) = ingest(tmp_path / "cost", write(tmp_path / names[0], ACTUAL), write(tmp_path / names[1], AMORTIZED))
    (whole,) = Ledger(tmp_path / "cost").totals(())
    assert (whole.billed, whole.effective) == (costs(ACTUAL), costs(AMORTIZED))
    assert (done.delivery.rows, done.delivery.quarantined) == (7 + 3, 0), "the amortized lines, two purchases and a refund"
    assert amounts(tmp_path / "cost") == {
        ("EUR", "Usage"): Decimal("2.5"),
        ("EUR", "Purchase"): Decimal(MONTHLY) + Decimal(UPFRONT) + 7,
        ("EUR", "Adjustment"): Decimal(-40),
        ("EUR", "Tax"): Decimal(4),
    }
    assert amounts(tmp_path / "cost", effective=True) == {
        ("EUR", "Usage"): Decimal("5.333333333333333333333333"),
        ("EUR", "Purchase"): Decimal(7),
        ("EUR", "Tax"): Decimal(4),
    }


def test_a_month_of_one_export_alone_is_read_from_it(tmp_path: Path) -> None:
    june = {"date": "2026-06-03", "billingPeriodStartDate": "2026-06-01", "billingPeriodEndDate": "2026-06-30"}
    more = [azure("11", **june), azure("13", "Purchase", **{**PLAN, **june})]
    ingest(tmp_path / "cost", write(tmp_path / "a.csv", [*ACTUAL, *more]), write(tmp_path / "b.csv", AMORTIZED))
    months = {group.key: (group.billed, group.effective) for group in Ledger(tmp_path / "cost").totals(("month",))}
    assert months == {("2026-05",): (costs(ACTUAL), costs(AMORTIZED)), ("2026-06",): (Decimal(24), Decimal(24))}


def test_an_older_export_beside_a_newer_one_differs_by_an_adjustment(tmp_path: Path) -> None:
    """The actual export ends a day before: what the other has of that day is billed, and taken back, and a row says so."""
    later = azure("3", date="2026-05-03")
    ingest(tmp_path / "cost", write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", [*AMORTIZED, later]))
    days = {group.key: group.billed for group in Ledger(tmp_path / "cost").totals(("day", "charge"))}
    assert days["2026-05-03", "Usage"] == -days["2026-05-03", "Adjustment"] == 3
    (whole,) = Ledger(tmp_path / "cost").totals(())
    assert (whole.billed, whole.effective) == (costs(ACTUAL), costs(AMORTIZED) + 3)
    with Ledger(tmp_path / "cost").opened("cannot look") as connection:
        told = "x_Extra ->> 'x_Diagnostic'"
        query = f"SELECT EffectiveCost, PricingCurrency, {told} FROM cost WHERE {told} IS NOT NULL"
        ((effective, currency, why),) = connection.execute(query).fetchall()
    assert (effective, currency, "exported at different times" in why) == (0, "EUR", True)


def test_exports_in_parts_and_a_part_that_tells_nothing(tmp_path: Path) -> None:
    """A part without a commitment is known by its path, by its last word; without one it is refused."""
    folders = [tmp_path / "actual and amortized" / name for name in ("ActualCost", "AmortizedCost")]
    for folder in folders:
        folder.mkdir(parents=True)
    rest = {folder: [write(folder / "part-1.csv", [azure("5"), azure("6")])] for folder in folders}
    first = [write(folder / "part-0.csv", lines) for folder, lines in zip(folders, (ACTUAL, AMORTIZED), strict=True)]
    rest[folders[0]] = [write(folders[0] / "part-1.csv", [azure("6"), azure("5")])]  # else it is the same file twice
    ingest(tmp_path / "cost", *first, *rest[folders[0]], *rest[folders[1]])
    (whole,) = Ledger(tmp_path / "cost").totals(())
    assert (whole.billed, whole.effective) == (costs(ACTUAL) + 11, costs(AMORTIZED) + 11)
    nameless = write(tmp_path / "part.csv", [azure("5")])
    with pytest.raises(InvalidRequest, match=r"part\.csv is of the actual or of the amortized export") as caught:
        ingest(tmp_path / "other", write(tmp_path / "1.csv", ACTUAL), write(tmp_path / "2.csv", AMORTIZED), nameless)
    assert "write actual or amortized into its name" in caught.value.next_step
    assert amounts(tmp_path / "other") == {}


def test_without_commitments_both_are_the_same_and_count_once(tmp_path: Path) -> None:
    lines = [azure("1"), azure("2")]
    same = write(tmp_path / "x.csv", lines), write(tmp_path / "y.csv", lines[::-1])
    with pytest.raises(InvalidRequest, match="have lines in common") as caught:
        ingest(tmp_path / "cost", *same)
    assert "x.csv and " in caught.value.message and caught.value.next_step == "ingest one of them"
    ingest(tmp_path / "cost", write(tmp_path / "actual.csv", lines), write(tmp_path / "amortized.csv", lines[::-1]))
    (whole,) = Ledger(tmp_path / "cost").totals(())
    assert (whole.billed, whole.effective, whole.rows) == (Decimal(3), Decimal(3), 2)


def test_what_nobody_can_tell_apart_is_refused_and_never_doubled(tmp_path: Path) -> None:
    """A month of a commitment that was bought earlier: no line of the actual export says what it is."""
    actual = [azure("2.5"), azure("3"), azure("4"), azure("0", **PLAN)]
    amortized = [azure("2.5"), azure("3"), azure("4"), azure("1.25", **PLAN)]
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    beside = write(tmp_path / "x.csv", actual), write(tmp_path / "y.csv", amortized)
    with pytest.raises(InvalidRequest, match="have lines in common"):
        ingest(tmp_path / "cost", *beside)
    apart = write(one / "part.csv", actual[:1]), write(other / "part.csv", [*amortized[3:], azure("9")])
    with pytest.raises(InvalidRequest, match="is of the actual or of the amortized export"):
        ingest(tmp_path / "cost", *apart)
    assert amounts(tmp_path / "cost") == {}
    parts = write(one / "1.csv", actual[:2]), write(one / "2.csv", actual[2:])
    ingest(tmp_path / "cost", *parts)
    assert amounts(tmp_path / "cost") == {("EUR", "Usage"): Decimal("9.5")}


def test_what_cannot_be_read_on_both_waits_once(tmp_path: Path) -> None:
    bad = azure("7", quantity="many")
    (done,) = ingest(tmp_path / "cost", write(tmp_path / "a.csv", [*ACTUAL, bad]), write(tmp_path / "b.csv", [*AMORTIZED, bad]))
    assert done.delivery.quarantined == 1
    (whole,) = Ledger(tmp_path / "cost").totals(())
    assert (whole.billed, whole.effective) == (costs(ACTUAL), costs(AMORTIZED))


def test_parts_of_one_export_are_added_up(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"part-{at}.csv", ACTUAL[at::2]) for at in range(2)]
    (done,) = ingest(tmp_path / "cost", *parts)
    assert (done.delivery.rows, Ledger(tmp_path / "cost").totals(())[0].billed) == (len(ACTUAL), costs(ACTUAL))


def test_both_kinds_of_line_in_one_file_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "all.csv", [*ACTUAL, *AMORTIZED])
    for files in ([one], [one, write(tmp_path / "more.csv", [azure("1")])]):
        with pytest.raises(InvalidRequest, match="an actual and an amortized export") as caught:
            ingest(tmp_path / "cost", *files)
        assert "give them as two files" in caught.value.next_step
    assert amounts(tmp_path / "cost") == {}


def test_a_record_that_cannot_be_read_waits_and_is_in_no_sum(tmp_path: Path) -> None:
    """On the amortized export alone, the actual one's cost of it is an adjustment; the sums are those of what can be read."""
    broken = azure("1", quantity="many", date="2026-05-09")
    ingest(tmp_path / "cost", write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", [*AMORTIZED, broken]))
    (row,) = Ledger(tmp_path / "cost").quarantined()
    assert (row.billed, "b.csv, row 8: the bill says quantity 'many'" in row.reason) == (Decimal(1), True)
    (whole,) = Ledger(tmp_path / "cost").totals((), Scope(where={"account": "/providers/Microsoft.Billing/billingAccounts/77"}))
    assert (whole.billed, whole.effective) == (costs(ACTUAL), costs(AMORTIZED))


KINDS = ["Usage", "Purchase", "Tax", "Refund", "UnusedReservation", "Gift"]
drawn = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from([{}, PLAN, RESERVED]), st.decimals(-50, 50, places=9), st.integers(1, 3)), max_size=12
)


@settings(deadline=None)
@given(actual=drawn, amortized=drawn)
def test_whatever_the_lines_are_both_sums_are_kept(actual: list[Any], amortized: list[Any]) -> None:
    """Also where the exports contradict each other. Lines that would tell the other export are left out."""
    files = []
    for name, lines in (("actual", actual), ("amortized", amortized)):
        records = [azure(str(cost), kind, date=f"2026-05-0{day}", **more) for kind, more, cost, day in lines]
        files.append([line for line in [azure("1"), *records] if allowed(line, name)])
    rows = list(CostDetails().joined([BillFile(name, lines.__iter__) for name, lines in zip(("actual", "amortized"), files, strict=True)]))
    assert not any(REFUSED in row for row in rows)
    for column, lines in zip(("BilledCost", "EffectiveCost"), files, strict=True):
        assert total(Decimal(str(row[column])) for row in rows) == costs(lines)


def allowed(line: dict[str, str], name: str) -> bool:
    committed, kind, paid = bool(line["benefitId"]), line["chargeType"], Decimal(line["costInBillingCurrency"])
    if name == "actual":
        return not kind.startswith("Unused") and not (committed and kind == "Usage" and paid)
    return not (committed and kind == "Purchase")


def test_as_a_person_gives_them(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    paths = [str(write(tmp_path / "actual.csv", ACTUAL)), str(write(tmp_path / "amortized.csv", AMORTIZED))]
    done = run(["cost", "ingest", *paths, "-q"], cwd=tmp_path)
    assert done.code == 0, done.err
    (item,) = json.loads(run(["cost", "report", "--by", "provider", "-o", "json"], cwd=tmp_path).out)["items"]
    assert (Decimal(item["billed_cost"]), Decimal(item["effective_cost"])) == (costs(ACTUAL), costs(AMORTIZED))


def test_one_after_the_other_is_refused_with_the_command_that_makes_one_bill_of_them(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    for name, lines in (("actual", ACTUAL), ("amortized", AMORTIZED)):
        write(tmp_path / f"{name}.csv", lines)
    assert run(["cost", "ingest", "actual.csv", "-q"], cwd=tmp_path).code == 0
    refused = run(["cost", "ingest", "amortized.csv", "-q"], cwd=tmp_path)
    assert (refused.code, refused.out) == (1, "")
    assert "only what was used of them" in refused.err
    assert "mcml cost ingest actual.csv amortized.csv; or" in refused.err
    (kept,) = Ledger(tmp_path / ".mcml" / "cost").totals(())
    assert kept.billed == costs(ACTUAL)
    assert run(["cost", "ingest", "actual.csv", "amortized.csv", "-q"], cwd=tmp_path).code == 0
    assert run(["cost", "ingest", "actual.csv", "-q"], cwd=tmp_path).code == 1
    (whole,) = Ledger(tmp_path / ".mcml" / "cost").totals(())
    assert (whole.billed, whole.effective) == (costs(ACTUAL), costs(AMORTIZED))
