"""Ingest: what goes in comes out to the last digit, twice is the same as once, and what cannot be booked is kept with its reason."""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.cost.intake.ingest import SAMPLE
from mcml.store.ledger import manifest
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from tests.cost.focus import csv_text, row, text_row, write_csv


def billed(folder: Path) -> dict[str, Decimal]:
    return {group.currency: group.billed for group in Ledger(folder).totals(())}


def sample_rows() -> list[dict[str, str]]:
    with gzip.open(SAMPLE, "rt", newline="") as file:
        return list(csv.DictReader(file))


# The real sample, added up independently


@pytest.fixture(scope="module")
def booked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "cost"
    done = Intake(folder).files([SAMPLE])
    assert (done.delivery.rows, done.delivery.quarantined) == (1000, 0)
    return folder


def test_the_real_sample_adds_up_to_the_last_digit(booked: Path) -> None:
    expected: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0), Decimal(0)])
    for line in sample_rows():
        sums = expected[line["ProviderName"]]
        for place, amount in enumerate((line["BilledCost"], line["EffectiveCost"], "1")):
            sums[place] += Decimal(amount)
    found = {group.key[0]: [group.billed, group.effective, Decimal(group.rows)] for group in Ledger(booked).totals(("provider",))}
    assert found == expected
    assert billed(booked) == {"USD": Decimal("20.52022672899")}


@pytest.mark.parametrize(
    ("dimension", "column"), [("service", "ServiceName"), ("category", "ServiceCategory"), ("charge", "ChargeCategory")]
)
def test_every_group_of_the_real_sample_is_right(booked: Path, dimension: str, column: str) -> None:
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for line in sample_rows():
        expected[line[column]] += Decimal(line["BilledCost"])
    assert {group.key[0]: group.billed for group in Ledger(booked).totals((dimension,))} == expected


def test_teams_of_the_real_sample_come_from_its_tags(booked: Path) -> None:
    expected: dict[str | None, int] = defaultdict(int)
    for line in sample_rows():
        tags = {} if line["Tags"] == "NULL" else json.loads(line["Tags"])
        expected[tags.get("business_unit") or tags.get("owner")] += 1
    found = {group.key[0]: group.rows for group in Ledger(booked).totals(("team",))}
    assert found == expected
    assert found["PeoriaData"] == 176


def test_no_column_is_a_float(booked: Path) -> None:
    files = [str(path) for path in booked.rglob("*.parquet")]
    assert len(files) == 4
    with duckdb.connect() as connection:
        types = dict(row[:2] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [files]).fetchall())
    assert not {"DOUBLE", "FLOAT", "HUGEINT"} & set(types.values())
    money = [name for name in types if name.endswith(("Cost", "Price", "Quantity"))]
    assert len(money) == 12
    assert {types[name] for name in money} == {"DECIMAL(38,24)"}
    assert types["ChargePeriodStart"] == "TIMESTAMP WITH TIME ZONE"


def test_rows_lie_sorted_by_provider_and_month(booked: Path) -> None:
    folders = sorted(path.parent.relative_to(booked).as_posix() for path in booked.rglob("*.parquet"))
    assert folders == [
        "focus/ServiceProviderName=AWS/BillingPeriodStart=2024-09-01",
        "focus/ServiceProviderName=Microsoft/BillingPeriodStart=2024-09-01",
        "focus/ServiceProviderName=Oracle/BillingPeriodStart=2024-09-01",
        "focus/ServiceProviderName=Oracle/BillingPeriodStart=2024-10-01",
    ]
    aws = next(booked.glob("focus/*AWS/*/*.parquet"))
    with duckdb.connect() as connection:
        starts = connection.execute("SELECT epoch_us(ChargePeriodStart) FROM read_parquet(?)", [str(aws)]).fetchall()
    assert starts == sorted(starts)


def test_an_unknown_column_and_the_old_names_are_kept(booked: Path) -> None:
    aws = next(booked.glob("focus/*AWS/*/*.parquet"))
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT x_Extra, x_PublisherName, x_File, x_Source FROM read_parquet(?) WHERE x_Row = 1", [str(aws)]
        ).fetchone()
    assert found == ('{"Id":"11472"}', "Amazon Web Services, Inc.", SAMPLE.name, "billed")


# Twice is the same as once


def test_the_same_file_counts_once(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [text_row()])
    folder = tmp_path / "cost"
    first, second = Intake(folder).files([path]), Intake(folder).files([path, path])
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.delivery == first.delivery
    assert billed(folder) == {"USD": Decimal("1.5")}


def test_a_restated_month_replaces_the_old_one_which_stays_on_disk(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    Intake(folder).rows([row("1"), row("2")], origin="acme")
    other_month = datetime(2026, 9, 1, tzinfo=UTC)
    Intake(folder).rows([row("10", BillingPeriodStart=other_month)], origin="acme")
    done = Intake(folder).rows([row("5")], origin="acme")
    assert done.replaced == 2
    assert billed(folder) == {"USD": Decimal(15)}
    history = manifest.load(folder)
    assert [(part.month, part.rows, bool(part.until)) for part in history.parts] == [
        ("2026-10-01", 2, True),
        ("2026-09-01", 1, False),
        ("2026-10-01", 1, False),
    ]
    assert all((folder / file).is_file() for part in history.parts for file in part.files)
    assert history.parts[0].until == history.parts[2].since


def test_going_back_to_an_older_export_books_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    for amount in ("1", "2", "1"):
        Intake(folder).rows([row(amount)], origin="acme")
    assert billed(folder) == {"USD": Decimal(1)}


def test_a_provider_that_vanishes_from_a_restated_account_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    Intake(folder).rows([row("1"), row("2", ServiceProviderName="Seller")], origin="acme")
    Intake(folder).rows([row("1")], origin="acme")
    assert billed(folder) == {"USD": Decimal(1)}


def test_accounts_and_sources_do_not_replace_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    Intake(folder).rows([row("1")], origin="acme")
    Intake(folder).rows([row("2", BillingAccountId="other")], origin="acme")
    Intake(folder).rows([row("4", x_Source="measured")], origin="acme")
    assert billed(folder) == {"USD": Decimal(7)}


def test_all_files_of_one_command_are_one_delivery(tmp_path: Path) -> None:
    one = write_csv(tmp_path / "one.csv", [text_row(BilledCost="1")])
    two = write_csv(tmp_path / "two.csv", [text_row(BilledCost="2"), text_row(BilledCost="3")])
    done = Intake(tmp_path / "cost").files([one, two])
    assert done.delivery.rows == 3
    assert billed(tmp_path / "cost") == {"USD": Decimal(6)}


KEYS = st.sampled_from([("a", 9), ("a", 10), ("b", 10)])
AMOUNTS = st.lists(st.decimals(min_value=-1000, max_value=1000, places=24), min_size=1, max_size=3)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.dictionaries(KEYS, AMOUNTS, min_size=1, max_size=2), min_size=1, max_size=3))
def test_the_ledger_is_the_last_word_about_each_account_and_month(deliveries: list[dict[tuple[str, int], list[Decimal]]]) -> None:
    last: dict[tuple[str, int], list[Decimal]] = {}
    with TemporaryDirectory() as place:
        folder = Path(place)
        for delivery in deliveries:
            rows = [
                row(amount, BillingAccountId=account, BillingPeriodStart=datetime(2026, month, 1, tzinfo=UTC))
                for (account, month), amounts in delivery.items()
                for amount in amounts
            ]
            Intake(folder).rows(rows, origin="acme")
            assert Intake(folder).rows(rows, origin="acme").unchanged
            last |= delivery
            assert billed(folder) == {"USD": total(amount for amounts in last.values() for amount in amounts)}


@settings(max_examples=5, deadline=None)
@given(st.lists(st.decimals(min_value=-(10**12), max_value=10**12, places=24), min_size=1, max_size=50))
def test_twenty_four_decimals_survive_the_journey(amounts: list[Decimal]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        Intake(folder).rows([row(amount, SkuId=str(number)) for number, amount in enumerate(amounts)], origin="acme")
        found = {group.key[0]: group.billed for group in Ledger(folder).totals(("sku",))}
    assert found == {str(number): amount for number, amount in enumerate(amounts)}


# Quarantine


def test_what_goes_in_comes_out_or_is_in_quarantine(tmp_path: Path) -> None:
    rows = sample_rows()
    broken: dict[int, Mapping[str, str]] = {
        3: {"BillingCurrency": "NULL"},
        10: {"ChargePeriodStart": "09/18/2024"},
        11: {"ChargeCategory": "Fee"},
        12: {"EffectiveCost": "NaN"},
        500: {"Tags": "team=ml"},
        997: {"BilledCost": "n/a"},
    }
    for index, changes in broken.items():
        rows[index] = {**rows[index], **changes}
    done = Intake(tmp_path / "cost").files([write_csv(tmp_path / "broken.csv", rows)])
    ledger = Ledger(tmp_path / "cost")
    refused = ledger.quarantined()
    assert (done.delivery.rows, done.delivery.quarantined) == (994, 6)
    assert [(line.row, line.reason) for line in refused] == [
        (4, "BillingCurrency is missing"),
        (11, "ChargePeriodStart is not a time"),
        (12, "ChargeCategory is none of Usage, Purchase, Tax, Credit, Adjustment"),
        (13, "EffectiveCost is not a number"),
        (501, "Tags is not a JSON object"),
        (998, "BilledCost is not a number"),
    ]
    readable = [Decimal(line["BilledCost"]) for line in rows if line["BilledCost"] != "n/a"]
    assert total(readable) == total([*billed(tmp_path / "cost").values(), *(line.billed for line in refused if line.billed is not None)])
    assert json.loads(refused[0].content)["ResourceId"] == rows[3]["ResourceId"]
    assert sum(line["rows"] for line in done.delivery.refused) == 6


def test_lines_that_are_no_rows_are_quarantined_as_they_are(tmp_path: Path) -> None:
    text = csv_text([text_row(), text_row(BilledCost="2")])
    path = tmp_path / "torn.csv"
    path.write_text(text + "1,2,3\n" + text.splitlines()[1] + ',more\n"open quote,', newline="")
    Intake(tmp_path / "cost").files([path])
    refused = Ledger(tmp_path / "cost").quarantined()
    assert [(line.row, line.reason) for line in refused] == [
        (4, "is no CSV row: missing columns"),
        (5, "is no CSV row: too many columns"),
        (6, "is no CSV row: unquoted value"),
    ]
    assert json.loads(refused[0].content) == "1,2,3"
    assert billed(tmp_path / "cost") == {"USD": Decimal("3.5")}


def test_a_corrected_export_empties_the_quarantine(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    path = write_csv(tmp_path / "a.csv", [text_row(), text_row(BilledCost="x")])
    Intake(folder).files([path])
    assert len(Ledger(folder).quarantined()) == 1
    assert Intake(folder).files([path]).unchanged
    Intake(folder).files([write_csv(path, [text_row(), text_row(BilledCost="2")])])
    assert Ledger(folder).quarantined() == []
    assert billed(folder) == {"USD": Decimal("3.5")}


def test_an_export_of_nothing_but_faults_waits_until_its_next_version(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    path = write_csv(tmp_path / "a.csv", [text_row(BillingCurrency="")])
    done = Intake(folder).files([path])
    assert (done.delivery.rows, done.delivery.quarantined, billed(folder)) == (0, 1, {})
    assert [line.reason for line in Ledger(folder).quarantined()] == ["BillingCurrency is missing"]
    Intake(folder).files([write_csv(path, [text_row()])])
    assert Ledger(folder).waiting() == []


def test_a_dry_run_judges_and_books_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cost"
    done = Intake(folder, dry_run=True).files([write_csv(tmp_path / "a.csv", [text_row(), text_row(BilledCost="x")])])
    assert (done.delivery.rows, done.delivery.quarantined) == (1, 1)
    assert billed(folder) == {}
    assert list(folder.rglob("*.parquet")) == []
