"""Bills in the providers' own formats: the ledger says what the bill says, to the last digit; what is wrong with one is said."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, McmlError
from mcml.cost.intake.bills import native
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.intake import Ingested, Intake
from mcml.testing.cli import run
from mcml.testing.stubs import seeded_aws, seeded_gcp
from mcml.testing.stubs.seeded_ledger import Charge, SeededLedger, total
from tests.cost.bill_files import AWS_REAL, AZURE_REAL, formats, legacy, real_rows, write
from tests.cost.focus import text_row, write_csv

LEDGER = SeededLedger(seed=5, per_day=2)
CATEGORIES = {"fee": "Purchase", "upfront": "Purchase", "tax": "Tax", "credit": "Credit", "refund": "Adjustment"}
Amounts = dict[tuple[str, str | None], Decimal]


def ingest(folder: Path, *paths: Path) -> list[Ingested]:
    bills, others = native(paths, formats)
    assert others == []
    return [Intake(folder).rows(bill.rows(), origin=bill.name) for bill in bills]


def amounts(folder: Path, *by: str, effective: bool = False) -> Amounts:
    """The sums of the ledger by currency and a dimension; what is nothing is left out."""
    groups = Ledger(folder).totals(by or ("charge",))
    found = {(group.currency, group.key[0]): group.effective if effective else group.billed for group in groups}
    return {key: amount for key, amount in found.items() if amount}


def category(charge: Charge) -> tuple[str, str | None]:
    return "USD", CATEGORIES.get(charge.kind, "Usage")


def not_nothing(sums: Amounts) -> Amounts:
    return {key: amount for key, amount in sums.items() if amount}


def test_the_real_bill_of_aws(tmp_path: Path) -> None:
    """Each category and currency, each service, and the whole, as the file itself adds up."""
    (done,) = ingest(tmp_path, AWS_REAL)
    assert (done.delivery.rows, done.delivery.quarantined) == (1281, 0)
    assert amounts(tmp_path) == {("USD", "Usage"): Decimal("1.6023086974"), ("USD", "Tax"): Decimal("0.08")}
    assert sum(amounts(tmp_path).values()) == Decimal("1.6823086974")
    native_sums: Amounts = defaultdict(Decimal)
    for line in real_rows(AWS_REAL):
        native_sums["USD", line["product/ProductName"]] += Decimal(line["lineItem/UnblendedCost"])
    assert amounts(tmp_path, "service") == not_nothing(native_sums)
    (whole,) = Ledger(tmp_path).totals(("account", "month", "provider"))
    assert whole.key == ("123412340534", "2023-11", "AWS")


def test_the_real_bill_of_azure(tmp_path: Path) -> None:
    (done,) = ingest(tmp_path, AZURE_REAL)
    assert (done.delivery.rows, done.delivery.quarantined) == (27, 0)
    lines = real_rows(AZURE_REAL)
    told = sum((Decimal(line["CostInBillingCurrency"]) for line in lines), Decimal(0))
    assert told == Decimal("1.26136926505726")
    assert amounts(tmp_path) == amounts(tmp_path, effective=True) == {("CAD", "Usage"): told}
    by_pricing: Amounts = defaultdict(Decimal)
    for line in lines:
        by_pricing["CAD", {"OnDemand": "Standard", "Spot": "Dynamic"}[line["PricingModel"]]] += Decimal(line["CostInBillingCurrency"])
    assert amounts(tmp_path, "pricing") == by_pricing
    (tagged,) = Ledger(tmp_path).totals(("tag:tagA", "tag:tagC", "account"))
    assert tagged.key == ("valueA", "valueC", "/providers/Microsoft.Billing/billingAccounts/12345678")


CUR = {
    "2.0.csv.gz": lambda row: row,
    "2.0.parquet": lambda row: {name: json.loads(value) if name in ("resource_tags", "product") else value for name, value in row.items()},
    "legacy.csv": legacy,
}


@pytest.mark.parametrize("name", CUR)
def test_commitments_credits_and_tags_of_aws(tmp_path: Path, name: str) -> None:
    """Three months with savings plans, reservations, taxes, credits and refunds: both costs by category, and the teams of the tags."""
    charges = LEDGER.seen(2)
    spell: Callable[[Any], Any] = CUR[name]
    ingest(tmp_path, write(tmp_path / name, [spell(row) for row in seeded_aws.cur_rows(charges)]))
    assert amounts(tmp_path) == not_nothing(total(charges, "billed", category))
    assert amounts(tmp_path, effective=True) == not_nothing(total(charges, "effective", category))
    teams = total(charges, "effective", lambda charge: ("USD", charge.team or None))
    assert amounts(tmp_path, "team", effective=True) == not_nothing(teams)
    commitments = {group.key: group.rows for group in Ledger(tmp_path).totals(("pricing",), Scope(where={"charge": "Usage"}))}
    assert commitments[("Committed",)] == sum(charge.kind in ("covered", "reserved", "unused", "idle") for charge in charges)
    assert commitments[("Dynamic",)] == sum(charge.kind == "spot" for charge in charges)


@pytest.mark.parametrize("name", ["export.json", "export.json.gz", "export.parquet", "dotted.csv", "underscored.csv.gz"])
def test_credits_and_labels_of_google(tmp_path: Path, name: str) -> None:
    """However the export was got out of BigQuery: cost and all credits by category, as the export's own rows add up."""
    rows = seeded_gcp.export_rows(LEDGER)
    told: Amounts = defaultdict(Decimal)
    for row in rows:
        kind = {"tax": "Tax", "adjustment": "Adjustment"}.get(row["cost_type"], "Usage")
        told["USD", kind] += Decimal(str(row["cost"]))
        for credit in row["credits"]:
            told["USD", "Credit" if credit["type"] == "PROMOTION" else kind] += Decimal(str(credit["amount"]))
    mark = {"dotted": ".", "underscored": "_"}.get(name.partition(".")[0])
    (done,) = ingest(tmp_path, write(tmp_path / name, [flattened(row, mark) if mark else row for row in rows]))
    assert done.delivery.quarantined == 0
    assert amounts(tmp_path) == not_nothing(told)
    labelled = {label["value"] for row in rows for label in row["labels"] if label["key"] == "team"}
    assert {key[1] for key in amounts(tmp_path, "team")} == {*labelled, None}


def flattened(row: Any, mark: str) -> dict[str, Any]:
    """A row as a table without records: what is nested in a record becomes a column."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= {f"{name}{mark}{inner}": said for inner, said in value.items()} if isinstance(value, dict) else {name: value}
    return found


def azure(cost: str, kind: str = "Usage", **changes: str) -> dict[str, str]:
    """A line of an MCA export, whose names begin small."""
    return {
        "invoiceId": "G1", "billingAccountId": "77", "SubscriptionId": "s1", "subscriptionName": "prod", "date": "2026-05-02",
        "billingPeriodStartDate": "2026-05-01", "billingPeriodEndDate": "2026-05-31", "meterCategory": "Virtual Machines",
        "chargeType": kind, "pricingModel": "OnDemand", "quantity": "24", "unitOfMeasure": "1 Hour", "costInBillingCurrency": cost,
        "billingCurrency": "EUR", "frequency": "UsageBased", "tags": '{"team": "risk"}', "benefitId": "", **changes,
    }  # fmt: skip


PLAN = {"pricingModel": "SavingsPlan", "benefitId": "/providers/Microsoft.BillingBenefits/savingsPlanOrders/o/savingsPlans/1"}
RESERVED = {"pricingModel": "Reservation", "benefitId": "/providers/microsoft.capacity/reservationOrders/o/reservations/1"}


def test_an_amortized_bill_of_azure(tmp_path: Path) -> None:
    """What a commitment covers is billed nothing and costs its share; what nothing used of it is Usage, and Unused."""
    lines = [
        azure("2.5"),
        azure("1.25", **PLAN),
        azure("0.75", "UnusedSavingsPlan", **PLAN),
        azure("3", **RESERVED),
        azure("0.5", "UnusedReservation", **RESERVED),
        azure("-1", "Refund"),
        azure("0.01", "RoundingAdjustment"),
    ]
    ingest(tmp_path, write(tmp_path / "amortized.csv", lines))
    assert amounts(tmp_path) == {("EUR", "Usage"): Decimal("2.5"), ("EUR", "Adjustment"): Decimal("-0.99")}
    assert amounts(tmp_path, effective=True) == {("EUR", "Usage"): Decimal(8), ("EUR", "Adjustment"): Decimal("-0.99")}
    assert amounts(tmp_path, "team", effective=True) == {("EUR", "risk"): Decimal("7.01")}
    with Ledger(tmp_path).opened("cannot look") as connection:
        chosen = "CommitmentDiscountCategory, CommitmentDiscountStatus, EffectiveCost, BillingPeriodEnd::VARCHAR"
        found = connection.execute(f"SELECT {chosen} FROM cost WHERE CommitmentDiscountId IS NOT NULL ORDER BY EffectiveCost").fetchall()
    end = "2026-06-01 00:00:00+00"
    assert found == [
        ("Usage", "Unused", Decimal("0.5"), end),
        ("Spend", "Unused", Decimal("0.75"), end),
        ("Spend", "Used", Decimal("1.25"), end),
        ("Usage", "Used", Decimal(3), end),
    ]


def test_an_actual_bill_of_azure(tmp_path: Path) -> None:
    lines = [azure("2.5"), azure("0", **PLAN), azure("100", "Purchase", frequency="OneTime", **PLAN), azure("4", "Tax")]
    ingest(tmp_path, write(tmp_path / "actual.csv.gz", lines))
    assert amounts(tmp_path) == {("EUR", "Usage"): Decimal("2.5"), ("EUR", "Purchase"): Decimal(100), ("EUR", "Tax"): Decimal(4)}


def aws(kind: str, cost: str = "1", **changes: str) -> dict[str, str]:
    return {
        "line_item_line_item_type": kind, "line_item_unblended_cost": cost, "line_item_currency_code": "USD",
        "line_item_usage_start_date": "2026-05-02T00:00:00Z", "line_item_usage_end_date": "2026-05-03T00:00:00Z",
        "bill_payer_account_id": "1", "bill_billing_period_start_date": "2026-05-01T00:00:00Z", "line_item_product_code": "AmazonEC2",
        **changes,
    }  # fmt: skip


def google(**changes: Any) -> dict[str, Any]:
    return {
        "billing_account_id": "0-0-0", "usage_start_time": "2026-05-02 07:00:00 UTC", "usage_end_time": "2026-05-02 08:00:00 UTC",
        "cost": 1.5, "currency": "EUR", "cost_type": "regular", "invoice": {"month": "202605"}, "service": {"description": "Cloud Run"},
        **changes,
    }  # fmt: skip


def test_what_is_not_known_is_an_adjustment_and_says_so(tmp_path: Path) -> None:
    ingest(
        tmp_path,
        write(tmp_path / "aws.csv", [aws("Usage"), aws("MoonlightFee", "-0.25")]),
        write(tmp_path / "azure.csv", [azure("1"), azure("0.125", "Gift")]),
        write(tmp_path / "google.json", [google(), google(cost_type="surprise", cost=2)]),
    )
    assert amounts(tmp_path) == {
        ("EUR", "Adjustment"): Decimal("2.125"),
        ("EUR", "Usage"): Decimal("2.5"),
        ("USD", "Adjustment"): Decimal("-0.25"),
        ("USD", "Usage"): Decimal(1),
    }
    with Ledger(tmp_path).opened("cannot look") as connection:
        said = connection.execute("SELECT x_Extra ->> 'x_Diagnostic' FROM cost WHERE x_Extra ->> 'x_Diagnostic' IS NOT NULL ORDER BY 1")
        assert [row[0].partition(" is not known")[0] for row in said.fetchall()] == [
            "charge type 'Gift'",
            "cost type 'surprise'",
            "line type 'MoonlightFee'",
        ]


def test_a_printed_float_keeps_the_decimals_of_the_ledger(tmp_path: Path) -> None:
    """The digits beyond never were exact; a number that is written in full with more of them is refused, and waits in quarantine."""
    written = "0.0000000000000000000000001"
    path = write(tmp_path / "cur.csv", [aws("Usage", "1.2345678901234567e-10"), aws("Usage", "-2E-3"), aws("Usage", written)])
    (done,) = ingest(tmp_path / "ledger", path)
    assert amounts(tmp_path / "ledger") == {("USD", "Usage"): Decimal("0.000000000123456789012346") - Decimal("0.002")}
    assert [(line["rows"], "more than 24 decimals" in line["reason"]) for line in done.delivery.refused] == [(1, True)]


def test_the_same_month_again_replaces_it(tmp_path: Path) -> None:
    charges = LEDGER.seen(1)
    ingest(tmp_path, write(tmp_path / "first.csv", seeded_aws.cur_rows(charges)))
    (again,) = ingest(tmp_path, tmp_path / "first.csv", tmp_path / "first.csv")
    assert again.unchanged
    later = LEDGER.seen(2)
    (done,) = ingest(tmp_path, write(tmp_path / "second.csv", seeded_aws.cur_rows(later)))
    assert done.replaced
    assert amounts(tmp_path) == not_nothing(total(later, "billed", category)) != not_nothing(total(charges, "billed", category))


def test_a_bill_in_parts_is_one_delivery(tmp_path: Path) -> None:
    charges = LEDGER.seen(2)
    rows = seeded_aws.cur_rows(charges)
    parts = [write(tmp_path / f"part-{at}.csv.gz", rows[at::3]) for at in range(3)]
    (done,) = ingest(tmp_path, *parts)
    assert done.delivery.origin == "part-0.csv.gz, part-1.csv.gz, part-2.csv.gz"
    assert amounts(tmp_path) == not_nothing(total(charges, "billed", category))


# What is wrong with a file


def torn(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def refused(paths: Iterable[Path], tmp_path: Path) -> McmlError:
    with pytest.raises(McmlError) as caught:
        ingest(tmp_path / "ledger", *paths)
    assert amounts(tmp_path / "ledger") == {}
    return caught.value


def waiting(folder: Path) -> list[tuple[str, Decimal | None, str]]:
    """What is in quarantine: why, the amount, and the record as it was."""
    return [(row.reason, row.billed, row.content) for row in Ledger(folder).quarantined()]


def test_a_record_with_a_value_that_is_none_waits_and_the_others_are_booked(tmp_path: Path) -> None:
    """In quarantine it has its place, its amount where that can be read, and itself."""
    aws_file = write(tmp_path / "aws.csv", [aws("Usage"), aws("Usage", "1,5"), aws("Usage", "3", line_item_usage_amount="many")])
    azure_file = write(tmp_path / "azure.csv", [azure("NaN"), azure("2")])
    credits = [{"name": "free", "amount": -1, "type": "PROMOTION"}]
    google_file = write(tmp_path / "google.json", [google(), google(cost=4, usage_start_time="soon", credits=credits), google(cost="much")])
    done = ingest(tmp_path / "ledger", aws_file, azure_file, google_file)
    assert [(one.delivery.rows, one.delivery.quarantined) for one in done] == [(1, 2), (1, 1), (1, 2)]
    assert amounts(tmp_path / "ledger") == {("USD", "Usage"): Decimal(1), ("EUR", "Usage"): Decimal("3.5")}
    found = {reason: (billed, content) for reason, billed, content in waiting(tmp_path / "ledger")}
    assert {reason: billed for reason, (billed, _) in found.items()} == {
        "aws.csv, row 2: the bill says line_item_unblended_cost '1,5': that is no number": None,
        "aws.csv, row 3: the bill says line_item_usage_amount 'many': that is no number": Decimal(3),
        "azure.csv, row 1: the bill says costinbillingcurrency 'NaN': that is no number": None,
        "google.json, row 2: the bill says usage_start_time 'soon': that is no time": Decimal(3),
        "google.json, row 3: the bill says cost 'much': that is no number": None,
    }
    content = found["aws.csv, row 2: the bill says line_item_unblended_cost '1,5': that is no number"][1]
    assert "line_item_unblended_cost" in content
    assert "1,5" in content
    files = {row.file for row in Ledger(tmp_path / "ledger").quarantined()}
    assert files == {"aws.csv as FOCUS", "azure.csv as FOCUS", "google.json as FOCUS"}


def test_what_a_savings_plan_covers_and_cannot_be_read_does_not_count_twice(tmp_path: Path) -> None:
    """The sum of the bill is that of the ledger and the quarantine."""
    covered = {"savings_plan_savings_plan_effective_cost": "some"}
    lines = [aws("SavingsPlanCoveredUsage", "4", **covered), aws("SavingsPlanNegation", "-4", savings_plan_savings_plan_effective_cost="")]
    ingest(tmp_path / "ledger", write(tmp_path / "aws.csv", lines))
    (billed,) = amounts(tmp_path / "ledger").values()
    (row,) = Ledger(tmp_path / "ledger").quarantined()
    assert (billed, row.billed) == (Decimal(-4), Decimal(4))


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("Usage", "line_item_unblended_cost"),
        ("Usage", "bill_payer_account_id"),
        ("SavingsPlanCoveredUsage", "savings_plan_savings_plan_effective_cost"),
        ("DiscountedUsage", "reservation_effective_cost"),
        ("RIFee", "reservation_unused_amortized_upfront_fee_for_billing_period"),
    ],
)
def test_a_column_that_is_missing_is_named(tmp_path: Path, kind: str, column: str) -> None:
    """Without it usage under a commitment would look free."""
    line = {name: value for name, value in aws(kind).items() if name != column}
    assert f"row 1: the report has no column {column}" in refused([write(tmp_path / "aws.csv", [line])], tmp_path).message


def test_a_row_without_an_amount_is_refused(tmp_path: Path) -> None:
    assert "row 1: the row has no currency" in refused([write(tmp_path / "g.json", [google(currency=None)])], tmp_path).message
    line = {name: value for name, value in azure("1").items() if name != "billingCurrency"}
    assert "row 1: the line has no billingcurrency" in refused([write(tmp_path / "a.csv", [line])], tmp_path).message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bill.csv.gz", "is a damaged gzip file"),
        ("bill.csv", "has not as many fields as the first line"),
        ("bill.parquet", "cannot read"),
        ("bill.json", "is no JSON object"),
        ("bill.json.gz", "is a damaged gzip file"),
    ],
)
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, name: str, said: str) -> None:
    rows = [google() for _ in range(300)] if "json" in name else [aws("Usage", str(number)) for number in range(300)]
    path = torn(write(tmp_path / name, rows), 0.795)
    if name.endswith("parquet"):  # nothing shows what it is: it is not taken for a bill, and the ledger says what is wrong
        assert native([path], formats) == ([], [path])
        with pytest.raises(McmlError):
            Intake(tmp_path / "ledger").files([path])
        return
    assert said in refused([path], tmp_path).message


def test_what_is_no_bill_goes_the_way_of_focus(tmp_path: Path) -> None:
    focus = write_csv(tmp_path / "focus.csv", [text_row()])
    semicolons = write(tmp_path / "semicolons.csv", [aws("Usage")], delimiter=";")
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}\n')
    missing = tmp_path / "missing.csv"
    bills, others = native([focus, semicolons, other, missing, tmp_path, AWS_REAL], formats)
    assert [bill.name for bill in bills] == [AWS_REAL.name]
    assert others == [focus, semicolons, other, missing, tmp_path]
    with pytest.raises(InvalidRequest, match="is no FOCUS export") as caught:
        Intake(tmp_path / "ledger").files([semicolons])
    assert "semicolons" in caught.value.why


def test_no_provider_is_asked_for_a_focus_file(tmp_path: Path) -> None:
    """Providers are opened for a file that FOCUS does not know."""

    def never() -> list[Any]:
        raise AssertionError

    assert native([write_csv(tmp_path / "focus.csv", [text_row()])], never)[0] == []


# As a person runs it


@pytest.mark.slow
def test_bills_and_focus_in_one_command(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    focus = write_csv(tmp_path / "focus.csv", [text_row()])
    done = run(["cost", "ingest", str(AWS_REAL), str(focus), str(AZURE_REAL), "-o", "json"], cwd=tmp_path)
    assert done.code == 0, done.err
    assert [(item["origin"], item["rows"]) for item in json.loads(done.out)["items"]] == [
        (AWS_REAL.name, 1281),
        (AZURE_REAL.name, 27),
        ("focus.csv", 1),
    ]
    shown = run(["cost", "report", "--by", "provider", "-o", "json"], cwd=tmp_path)
    assert {item["name"]: item["billed_cost"] for item in json.loads(shown.out)["items"]} == {
        "AWS": "1.6823086974",
        "Microsoft": "1.26136926505726",
        "Acme Cloud": "1.5",
    }
    entries = json.loads(run(["journal", "list", "-o", "json"], cwd=tmp_path).out)["items"]
    assert [entry["kind"] for entry in entries].count("cost.ingested") == 3
