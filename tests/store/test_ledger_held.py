"""Which refused rows still wait: each until the bill that it is on comes again, and no longer; nothing is dropped in silence."""

import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.store.ledger import intake as intakes
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.manifest import NAME, Delivery, Held, Manifest, Part
from tests.cost.focus import text_row, write_csv

OCTOBER = text_row()
SEPTEMBER = text_row(BillingPeriodStart="2026-09-01T00:00:00Z", BillingPeriodEnd="2026-10-01T00:00:00Z")
BAD = {"BilledCost": "x"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cost"


def book(folder: Path, *files: tuple[str, list[dict[str, str]]]) -> None:
    paths = [folder.parent / name for name, _ in files]
    for path, (_, rows) in zip(paths, files, strict=True):
        path.parent.mkdir(exist_ok=True)
        write_csv(path, rows)
    Intake(folder).files(paths)


def waiting(folder: Path) -> list[tuple[str, int]]:
    """The rows that wait, and in how many deliveries' counts."""
    rows = [(line.file, line.row) for line in Ledger(folder).quarantined()]
    assert sum(each.quarantined for each in Ledger(folder).waiting()) == len(rows)
    return rows


def test_a_month_that_is_mended_leaves_the_quarantine_though_the_others_of_its_delivery_stand(folder: Path) -> None:
    book(folder, ("sep.csv", [SEPTEMBER, SEPTEMBER | BAD]), ("oct.csv", [OCTOBER, OCTOBER | BAD]))
    assert waiting(folder) == [("oct.csv", 2), ("sep.csv", 2)]
    book(folder, ("mended.csv", [OCTOBER, OCTOBER]))
    assert waiting(folder) == [("sep.csv", 2)]


def test_a_refused_row_waits_though_the_rest_of_its_file_is_replaced(folder: Path) -> None:
    """The next file is of one account only: the other one's money has not come."""
    book(folder, ("both.csv", [OCTOBER, text_row(BillingAccountId="other", **BAD)]))
    book(folder, ("one.csv", [text_row(BilledCost="2")]))
    assert waiting(folder) == [("both.csv", 2)]
    book(folder, ("other.csv", [text_row(BillingAccountId="other")]))
    assert waiting(folder) == []


def test_a_file_that_leaves_a_row_out_when_it_comes_again_is_mended_too(folder: Path) -> None:
    book(folder, ("both.csv", [OCTOBER, text_row(BillingAccountId="no account at all", **BAD)]))
    book(folder, ("both.csv", [OCTOBER, OCTOBER]))
    assert waiting(folder) == []


def test_another_months_file_of_the_same_name_mends_nothing(folder: Path) -> None:
    book(folder, ("09/export.csv", [SEPTEMBER | BAD]))
    book(folder, ("10/export.csv", [OCTOBER]))
    assert waiting(folder) == [("export.csv", 1)]
    assert [each.given for each in Ledger(folder).waiting()] == [(str(folder.parent / "09/export.csv"),)]
    book(folder, ("09/export.csv", [SEPTEMBER]))
    assert waiting(folder) == []


def test_a_file_that_is_refused_again_waits_once(folder: Path) -> None:
    book(folder, ("a.csv", [OCTOBER | BAD]))
    book(folder, ("a.csv", [OCTOBER | {"BilledCost": "y"}]))
    assert waiting(folder) == [("a.csv", 1)]


def test_a_row_that_does_not_tell_its_bill_waits_while_its_delivery_stands(folder: Path) -> None:
    book(folder, ("a.csv", [OCTOBER, text_row(BillingPeriodStart="some day")]))
    assert waiting(folder) == [("a.csv", 2)]
    book(folder, ("b.csv", [OCTOBER, OCTOBER]))
    assert waiting(folder) == []


def test_of_garbage_no_bills_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "BILLS", 3)
    book(folder, ("a.csv", [OCTOBER, *(text_row(BillingAccountId=f"{number}", **BAD) for number in range(9))]))
    assert [each.held for each in Ledger(folder).waiting()] == [(Held(9),)]
    assert len(waiting(folder)) == 9


def test_a_ledger_of_before_still_tells_what_waits(folder: Path) -> None:
    """Its manifest has no `held`, and its rows in quarantine no column `Bill`."""
    book(folder, ("a.csv", [OCTOBER, OCTOBER | BAD]))
    said = json.loads((folder / NAME).read_text())
    (delivery,) = said["deliveries"]
    for name in ("held", "given", "begin"):
        del delivery[name]
    (folder / NAME).write_text(json.dumps(said | {"format": 2}))
    path = folder / delivery["quarantine"]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE bad AS SELECT * EXCLUDE (Bill) FROM '{path}'")
        connection.execute(f"COPY bad TO '{path}' (FORMAT parquet)")
    assert waiting(folder) == [("a.csv", 2)]
    assert Intake(folder).files([folder.parent / "a.csv"]).unchanged
    book(folder, ("b.csv", [text_row(BillingAccountId="b", **BAD)]))
    assert waiting(folder) == [("b.csv", 1), ("a.csv", 2)]
    book(folder, ("c.csv", [OCTOBER, OCTOBER]))
    assert waiting(folder) == [("b.csv", 1)]


accounts = st.sets(st.sampled_from("abc"))
steps = st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from(["09", "10"]), accounts, accounts), max_size=6)


@given(steps)
def test_a_refused_row_waits_unless_its_bill_or_its_file_has_come_again(deliveries: list[tuple[str, str, set[str], set[str]]]) -> None:
    known = Manifest()
    for number, (origin, month, good, bad) in enumerate(deliveries):
        held = tuple(Held(1, f"{account}{month}", "billed", account, month) for account in sorted(bad))
        one = Delivery(f"d{number}", f"t{number}", origin, f"{number}", quarantined=len(bad), held=held)
        known = known.add(one, [Part("billed", account, month, (f"{account}{number}",), 1, one.id, one.at) for account in sorted(good)])
    waits = {(each.id, one.account) for each in known.open_quarantine for one in each.held}
    for number, (origin, month, _, bad) in enumerate(deliveries):
        later = [each for each in deliveries[number + 1 :] if each[1] == month]
        for account in bad:
            again = any(account in good or (name == origin and (good or account in worse)) for name, _, good, worse in later)
            assert ((f"d{number}", account) in waits) is not again
