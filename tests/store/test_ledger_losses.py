"""A piece of a bill that would replace another piece of it: refused, with the command that brings both, unless somebody agrees."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.store.ledger.bills import Window
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.losses import WouldLose
from mcml.testing.cli import run
from tests.cost.focus import HOUR, START, row, text_row, write_csv


def billed(folder: Path) -> Decimal:
    (group,) = Ledger(folder).totals(())
    return group.billed


def week(path: Path, day: int, amount: str) -> Path:
    """A file of one week, whose billing period is the week too."""
    period = {"BillingPeriodStart": f"2026-10-{day:02}T00:00:00Z", "BillingPeriodEnd": f"2026-10-{day + 7:02}T00:00:00Z"}
    charge = {"ChargePeriodStart": f"2026-10-{day + 1:02}T10:00:00Z", "ChargePeriodEnd": f"2026-10-{day + 1:02}T11:00:00Z"}
    return write_csv(path, [text_row(BilledCost=amount, **period, **charge)])


def hours(*amounts: tuple[int, str]) -> list[dict[str, object]]:
    """Rows of amounts, each so many hours after START (5 October, 10:00)."""
    return [row(amount, ChargePeriodStart=START + at * HOUR, ChargePeriodEnd=START + (at + 1) * HOUR) for at, amount in amounts]


def test_weeks_of_a_month_do_not_replace_each_other_in_silence(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    week(tmp_path / "w1.csv", 1, "10")
    week(tmp_path / "w2.csv", 8, "20")
    folder = tmp_path / ".mcml" / "cost"
    assert run(["cost", "ingest", "w1.csv", "-q"], cwd=tmp_path).code == 0
    for more in ([], ["--dry-run"]):
        refused = run(["cost", "ingest", "w2.csv", "-q", *more], cwd=tmp_path)
        assert (refused.code, billed(folder)) == (1, Decimal(10))
        for part in ("part of the bill of 2026-10 of account acct", "2026-10-02, and these are of 2026-10-09", "ingest w1.csv w2.csv"):
            assert part in refused.err, part
    assert [path.name for path in (folder / "scratch").iterdir()] == []
    assert run(["cost", "ingest", "w2.csv", "-q", "--yes"], cwd=tmp_path).code == 0
    assert billed(folder) == Decimal(20)
    assert run(["cost", "ingest", "w1.csv", "w2.csv", "-q"], cwd=tmp_path).code == 0
    assert billed(folder) == Decimal(30)


def test_a_person_is_asked(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    week(tmp_path / "w2.csv", 8, "20")
    folder = tmp_path / ".mcml" / "cost"
    Intake(folder).files([week(tmp_path / "w1.csv", 1, "10")])
    for answer, code, amount in (("n", 130, 10), ("y", 0, 20)):
        asked = run(["cost", "ingest", "w2.csv"], cwd=tmp_path, terminal=True, stdin=f"{answer}\n")
        assert (asked.code, billed(folder), "Replace it? [y/N]" in asked.out) == (code, Decimal(amount), True), asked.out


def test_a_later_version_with_a_day_in_common_replaces_and_nobody_is_asked(tmp_path: Path) -> None:
    intake = Intake(tmp_path)
    intake.rows(hours((0, "1"), (24, "2"), (48, "3")), origin="acme")
    intake.rows(hours((26, "5"), (50, "6")), origin="acme")
    assert billed(tmp_path) == Decimal(11)


@pytest.mark.parametrize(
    ("first", "second", "has", "brings"),
    [
        (hours(*((24 * day, "1") for day in range(26))), hours((24 * 25, "1"), (24 * 26, "1")), "05 to 2026-10-30", "30 to 2026-10-31"),
        (hours((0, "1"), (17, "1")), hours((24, "1"), (41, "1")), "05 to 2026-10-06", "06 to 2026-10-07"),
    ],
    ids=["a month, then its last day and the next", "days that end in the morning of UTC's"],
)
def test_a_piece_with_a_day_in_common_replaces_nothing(
    tmp_path: Path, first: list[dict[str, object]], second: list[dict[str, object]], has: str, brings: str
) -> None:
    intake = Intake(tmp_path)
    intake.rows(first, origin="first")
    with pytest.raises(WouldLose) as refused:
        intake.rows(second, origin="second")
    assert f"charges of 2026-10-{has}, and these are of 2026-10-{brings}" in refused.value.why
    assert billed(tmp_path) == Decimal(len(first))
    assert intake.rows([*first, *second], origin="both").replaced == len(first)


def test_the_command_is_typed_from_where_one_is_and_never_the_one_that_was_refused(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    week(tmp_path / "a" / "w1.csv", 1, "10")
    assert run(["cost", "ingest", "w1.csv", "-q"], cwd=tmp_path / "a").code == 0
    week(tmp_path / "w2.csv", 8, "20")
    refused = run(["cost", "ingest", "../w2.csv", "-q"], cwd=tmp_path / "b")
    assert (refused.code, f"mcml cost ingest {tmp_path}/a/w1.csv {tmp_path}/w2.csv;" in refused.err) == (1, True), refused.err
    refused = run(["cost", "ingest", "w2.csv", "-q"], cwd=tmp_path)
    assert (refused.code, "mcml cost ingest a/w1.csv w2.csv;" in refused.err) == (1, True), refused.err
    week(tmp_path / "a" / "w1.csv", 8, "20")
    refused = run(["cost", "ingest", "w1.csv", "-q"], cwd=tmp_path / "a")
    assert (refused.code, "in one command; or replace it with --yes" in refused.err) == (1, True), refused.err


def test_what_a_provider_says_of_a_window_replaces_only_that(tmp_path: Path) -> None:
    intake = Intake(tmp_path)
    intake.rows([row("1")], origin="acme")
    later = START + 48 * HOUR
    done = intake.rows([row("2", ChargePeriodStart=later, ChargePeriodEnd=later + HOUR)], origin="acme", window=Window(later, later + HOUR))
    assert (billed(tmp_path), done.delivery.begin) == (Decimal(3), "2026-10-07T10:00:00.000000Z")


def test_the_same_rows_of_a_longer_window_are_news(tmp_path: Path) -> None:
    """A provider that has taken back a charge of October says the same of November in a window that begins in October."""
    intake, november = Intake(tmp_path), datetime(2026, 11, 1, tzinfo=UTC)
    late = row("2", ChargePeriodStart=november, ChargePeriodEnd=november + HOUR)
    intake.rows([row("1"), late], origin="acme", window=Window(START, november + HOUR))
    assert intake.rows([late], origin="acme", window=Window(november, november + HOUR)).unchanged is False
    assert billed(tmp_path) == Decimal(3)
    assert intake.rows([late], origin="acme", window=Window(november, november + 2 * HOUR)).unchanged is True
    assert intake.rows([late], origin="acme", window=Window(START, november + HOUR)).unchanged is False
    assert billed(tmp_path) == Decimal(2)


BOUGHT = row("100", ChargeCategory="Purchase", CommitmentDiscountId="ri-1")
PAID = row("100", EffectiveCost=Decimal(0), ChargeCategory="Purchase", CommitmentDiscountId="ri-1")
COVERED = row("0", CommitmentDiscountId="ri-1", CommitmentDiscountStatus="Used")
USED = row("0", EffectiveCost=Decimal("3.5"), CommitmentDiscountId="ri-1", CommitmentDiscountStatus="Used")
EXPORTS = {
    "actual": [row("1"), BOUGHT, COVERED],
    "actual of a month without a purchase": [row("1"), COVERED],
    "amortized": [row("1"), USED],
    "both": [row("1"), PAID, USED],
    "no commitment": [row("1")],
}


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        ("actual", "amortized", "only what was used of them"),
        ("both", "amortized", "only what was used of them"),
        ("amortized", "actual", "only what was paid for them"),
        ("amortized", "actual of a month without a purchase", "only what was paid for them"),
        ("both", "actual", "only what was paid for them"),
        ("actual", "actual", ""),
        ("amortized", "amortized", ""),
        ("actual", "both", ""),
        ("amortized", "both", ""),
        ("actual of a month without a purchase", "amortized", ""),
        ("both", "no commitment", ""),
    ],
)
def test_one_of_two_exports_does_not_take_the_other_ones_money(tmp_path: Path, first: str, second: str, lost: str) -> None:
    intake = Intake(tmp_path)
    intake.rows(EXPORTS[first], origin="one", given=["one.csv"])
    before = Ledger(tmp_path).totals(())
    again = [row("2"), *EXPORTS[second][1:]]
    if not lost:
        assert intake.rows(again, origin="two").delivery.rows == len(again)
        return
    with pytest.raises(WouldLose) as refused:
        intake.rows(again, origin="two", given=["two's.csv"])
    assert lost in refused.value.why
    assert """ingest one.csv 'two'"'"'s.csv'; or""" in refused.value.next_step
    assert Ledger(tmp_path).totals(()) == before
    asked: list[WouldLose] = []
    assert Intake(tmp_path, agree=asked.append).rows(again, origin="two").replaced == len(EXPORTS[first])
    assert len(asked) == 1
