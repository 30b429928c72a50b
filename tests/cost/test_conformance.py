"""The FOCUS rules: a clean bill passes them, a broken copy fails each kind of check, and the verdicts follow from the rows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.cost.conformance import judge, run
from mcml.cost.conformance.rules import CORRECTED, load, version_of
from mcml.cost.conformance.views import Judged
from mcml.store.ledger.conformance import Broken, Scanned
from mcml.store.ledger.conformance_sql import KINDS, Shape, holds, kinds_of, violated
from tests.cost import seeded

RULES = load("1.2")
SAMPLE = Path(run.__file__).parents[1] / "intake/samples/focus_1_0_real_anonymised_1000.csv.gz"
LEAVES = [rule for rule in RULES.rules.values() if rule.check and not rule.refers]
Row = dict[str, Any]


def failures(judged: Judged, *levels: str) -> dict[str, int]:
    """Name and rows of the failed rules with a check of their own."""
    wanted = levels or ("MUST", "SHOULD")
    return {
        each.rule.name: each.rows
        for each in judged.verdicts
        if each.outcome == "fail" and each.rule.level in wanted and not each.rule.refers
    }


def of(judged: Judged, name: str) -> judge.Verdict:
    return next(each for each in judged.verdicts if each.rule.name == name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(("version", "rules", "checked"), [("1.2", 621, 373), ("1.4", 214, 214)])
def test_a_clean_bill_passes_every_rule(version: str, rules: int, checked: int, suffix: str, tmp_path: Path) -> None:
    listed = list(map(seeded.as_12, seeded.rows())) if version == "1.2" else seeded.rows()
    write = seeded.write_csv if suffix == "csv" else seeded.write_parquet
    judged = run.of_files([write(tmp_path / f"bill.{suffix}", listed)], supports=["all"])
    assert (judged.rules.version, judged.conforms, judged.scanned.rows) == (version, True, len(listed))
    assert failures(judged) == {}
    outcomes = [each.outcome for each in judged.verdicts]
    assert (len(outcomes), outcomes.count("pass"), outcomes.count("skipped")) == (rules, checked, 0)


@dataclass(frozen=True)
class Breakage:
    """What is done to the rows (it returns the number of the first one changed), the rule that has to say so, and for how many rows.

    `rows` None: all of them. `prepare` makes a bill clean that is not by itself, for a rule of level MAY.
    """

    rule: str
    change: Callable[[list[Row]], int]
    rows: int | None = 1
    types: Mapping[str, str] | None = None
    drop: str = ""
    prepare: Callable[[Row], object] | None = None


def change(column: str, *values: object, **where: object) -> Callable[[list[Row]], int]:
    """Give a column of the first rows where the others are as said (`...`: not null) one of the values each."""

    def changed(listed: list[Row]) -> int:
        fitting = [
            number
            for number, row in enumerate(listed)
            if all(row[name] is not None if wanted is ... else row[name] == wanted for name, wanted in where.items())
        ]
        for number, value in zip(fitting, values, strict=False):
            listed[number][column] = value
        assert len(fitting) >= len(values)
        return fitting[0] + 1

    return changed


def every(column: str, value: object) -> Callable[[list[Row]], int]:
    def changed(listed: list[Row]) -> int:
        for row in listed:
            row[column] = value
        return 1

    return changed


def nothing(listed: list[Row]) -> int:
    return 1


USAGE = {"ChargeCategory": "Usage", "PricingCategory": "Standard", "CommitmentDiscountId": None, "CapacityReservationId": None}
NO_MAPS = ("team=risk", '["risk"]', '{"team": {"name": "risk"}}', '{"team": ["risk"]}', '{"team": "a", "team": "b"}', '"risk"')
NO_TIMES = ("2026-10-05 10:00:00", "2026-10-05T10:00:00+00:00", "2026-13-05T10:00:00Z", "2026-10-05T10:00:00.5Z")
BREAKAGES: dict[str, list[Breakage]] = {
    "ColumnPresent": [Breakage("CostAndUsage-D-032-M", nothing, None, drop="ListCost")],
    "TypeString": [Breakage("InvoiceId-C-001-M", every("InvoiceId", "4711"), None, types={"InvoiceId": "BIGINT"})],
    "TypeDecimal": [
        Breakage("ListCost-C-001-M", change("ListCost", "twelve", **USAGE)),
        Breakage("ListCost-C-001-M", nothing, None, types={"ListCost": "VARCHAR"}),
    ],
    "TypeDateTime": [Breakage("ChargePeriodStart-C-001-M", change("ChargePeriodStart", "soon"))],
    "FormatNumeric": [Breakage("ListCost-C-002-M", change("ListCost", "+1", "1,000", "1e+3", "$1", "1/2", **USAGE), 5)],
    "FormatDateTime": [Breakage("ChargePeriodEnd-C-002-M", change("ChargePeriodEnd", *NO_TIMES), 4)],
    "FormatString": [Breakage("RegionName-C-002-M", change("RegionName", "Ire\x07land", "\ufffdland", "  ", RegionId=...), 3)],
    "FormatKeyValue": [Breakage("Tags-C-001-M", change("Tags", *NO_MAPS, Tags=...), 6)],
    "FormatCurrency": [Breakage("PricingCurrency-C-003-M", change("PricingCurrency", "usd", " USD"), 2)],
    "CheckNationalCurrency": [Breakage("BillingCurrency-C-006-M", change("BillingCurrency", "XQZ"))],
    "FormatUnit": [Breakage("PricingUnit-C-003-O", change("PricingUnit", "per hour", "hours", "Hours/days", **USAGE), 3)],
    "CheckValue": [
        Breakage("RegionName-C-004-C", change("RegionName", "Nowhere", RegionId=None)),
        Breakage("ChargeClass-C-005-C", change("ChargeClass", "Refund", ChargeClass="Correction")),
    ],
    "CheckNotValue": [
        Breakage("BilledCost-C-003-M", change("BilledCost", None)),
        Breakage("ChargeFrequency-C-004-C", change("ChargeFrequency", "Usage-Based", ChargeCategory="Purchase")),
    ],
    "CheckNotSameValue": [Breakage("BilledCost-C-005-C", change("BilledCost", Decimal(1), ServiceProviderName="DataVendor"))],
    "CheckSameValue": [
        Breakage("SkuPriceId-C-011-O", change("SkuPriceId", "other", **USAGE), prepare=lambda row: row.update(SkuPriceId=row["SkuId"]))
    ],
    "CheckDecimalValue": [Breakage("BilledCost-C-004-M", change("BilledCost", "NaN", "inf", "1 USD"), 3)],
    "CheckGreaterOrEqualThanValue": [Breakage("ListUnitPrice-C-008-M", change("ListUnitPrice", Decimal("-0.2"), **USAGE))],
    "ColumnByColumnEqualsColumnValue": [
        Breakage("ListCost-C-009-C", change("ListCost", Decimal("999.01"), **USAGE)),
        Breakage("ContractedUnitPrice-C-011-C", change("ContractedCost", Decimal("0.000001"), **USAGE)),
    ],
    "CheckDistinctCount": [
        Breakage("ServiceName-C-005-C", change("ServiceCategory", "Other", ServiceName="Floe Warehouse"), 6),
        Breakage("SkuPriceId-C-008-M", change("SkuId", "another", SkuPriceId="sku-credits-p1"), 3),
    ],
    "OR": [Breakage("ChargeCategory-C-003-M", change("ChargeCategory", "Usages", ChargeCategory="Credit"))],
    "AND": [Breakage("ServiceSubcategory-C-004-M", change("ServiceSubcategory", "Containers", ServiceCategory="Storage"))],
    "CheckModelRule": [Breakage("CostAndUsage-D-002-M", change("BilledCost", None))],
}
ONE_EACH = [pytest.param(kind, each, id=f"{kind}-{number}") for kind, found in BREAKAGES.items() for number, each in enumerate(found)]


def test_every_kind_of_check_of_the_model_is_broken_above() -> None:
    used = frozenset().union(*(kinds_of(node) for rule in RULES.rules.values() for node in (rule.check, rule.condition)))
    assert set(BREAKAGES) == used
    assert len(used) == 22
    assert used <= KINDS


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return checked(tmp_path_factory.mktemp("clean"), seeded.rows(), {}, "")


@pytest.mark.parametrize(("kind", "broken"), ONE_EACH)
def test_a_broken_copy_fails_the_rule(kind: str, broken: Breakage, clean: Judged, tmp_path: Path) -> None:
    listed = seeded.rows()
    if broken.prepare:
        for row in listed:
            broken.prepare(row)
        clean = checked(tmp_path, listed, {}, "")
    assert of(clean, broken.rule).outcome == "pass"
    first = broken.change(listed)
    judged = checked(tmp_path, listed, broken.types or {}, broken.drop)
    verdict = of(judged, broken.rule)
    assert (verdict.outcome, verdict.rows) == ("fail", broken.rows or len(listed))
    assert judged.conforms == (verdict.rule.level != "MUST")
    assert kind in kinds_of(verdict.rule.check) | kinds_of(verdict.rule.condition)
    if verdict.examples and kind != "CheckDistinctCount":
        example = verdict.examples[0]
        assert (example.file.split(".")[0], example.row) == ("bill", first)
        assert verdict.rule.column in example.values


def checked(folder: Path, listed: Iterable[Row], types: Mapping[str, str], drop: str) -> Judged:
    shown = [{name: value for name, value in seeded.as_12(row).items() if name != drop} for row in listed]
    if types:
        return run.of_files([seeded.write_parquet(folder / "bill.parquet", shown, **types)], supports=["all"])
    return run.of_files([seeded.write_csv(folder / "bill.csv", shown)], supports=["all"])


BROKEN_14 = [
    ("Tags-Format", "Tags", '{"a": []}'),
    ("ContractApplied-Format", "ContractApplied", "[]"),
    ("BillingCurrency-National", "BillingCurrency", "Credits"),
    ("ServiceSubcategory-Parent", "ServiceSubcategory", "Wizardry"),
    ("PricingCategory-Values", "PricingCategory", "Spot"),
    ("ListUnitPrice-Range", "ListUnitPrice", "-1"),
    ("HostProviderName-Format", "HostProviderName", " "),
    ("ChargePeriodStart-Type", "ChargePeriodStart", "never"),
    ("ChargePeriodStart-Format", "ChargePeriodStart", "2026-10-05"),
    ("EffectiveCost-Nullability", "EffectiveCost", ""),
    ("EffectiveCost-Type", "EffectiveCost", "much"),
    ("PricingUnit-Format", "PricingUnit", "each"),
]


def test_a_broken_copy_fails_each_kind_of_the_column_model(tmp_path: Path) -> None:
    listed = seeded.rows()[: len(BROKEN_14)]
    for row, (_, column, value) in zip(listed, BROKEN_14, strict=True):
        row[column] = value
    for row in listed:
        del row["InvoiceIssuerName"]
    found = failures(run.of_files([seeded.write_csv(tmp_path / "bill.csv", listed)], "1.4"))
    expected = {name: 1 for name, _, _ in BROKEN_14} | {"ChargePeriodStart-Format": 2, "EffectiveCost-Format": 1}
    assert found == expected | {"InvoiceIssuerName-Presence": len(listed)}


def test_the_real_sample_fails_the_known_checks() -> None:
    """12 checks of focus-validator 1.0 fail on it too: times without `Z`, seven Oracle rows, and so on."""
    assert failures(run.of_files([SAMPLE], "1.2")) == {
        "BillingAccountName-C-003-C": 7,
        "BilledCost-C-005-C": 615,
        "BillingPeriodEnd-C-002-M": 1000,
        "BillingPeriodStart-C-002-M": 1000,
        "ChargeFrequency-C-003-M": 7,
        "ChargePeriodEnd-C-002-M": 1000,
        "ChargePeriodStart-C-002-M": 1000,
        "ConsumedQuantity-C-004-C": 2,
        "ContractedCost-C-003-M": 7,
        "ContractedCost-C-004-M": 7,
        "ContractedUnitPrice-C-006-C": 5,
        "ContractedUnitPrice-C-009-C": 1,
        "ContractedUnitPrice-C-011-C": 18,
        "ConsumedUnit-C-003-O": 9,
        "CostAndUsage-D-015-C": 1000,
        "CostAndUsage-D-018-C": 1000,
        "CostAndUsage-D-033-O": 1000,
        "CostAndUsage-D-042-O": 1000,
        "CostAndUsage-D-059-C": 1000,
        "CostAndUsage-D-061-C": 1000,
        "ListCost-C-009-C": 31,
        "ListUnitPrice-C-010-C": 31,
        "PricingCategory-C-004-C": 5,
        "PricingUnit-C-003-O": 9,
        "RegionName-C-004-C": 7,
        "RegionName-C-005-C": 2,
        "ResourceType-C-004-C": 36,
        "ResourceType-C-005-C": 752,
        "ServiceName-C-005-C": 554,
        "SkuPriceId-C-005-C": 5,
    }


def scanned(broken: Mapping[str, int] = {}, columns: Iterable[str] = RULES.columns) -> Scanned:
    """What a scan would have found, made by hand."""
    names = [check.name for check in judge.checks(RULES)]
    return Scanned(9, 0, dict.fromkeys(columns, 9), {name: Broken(broken.get(name, 0), ()) for name in names})


@pytest.mark.parametrize("criterion", RULES.criteria)
def test_a_criterion_switches_its_rules_on_and_off(criterion: str) -> None:
    own = [rule.name for rule in RULES.rules.values() if criterion in rule.criteria]
    every = frozenset(RULES.criteria)
    on = {each.rule.name: each for each in judge.judge(RULES, scanned(), every)}
    off = {each.rule.name: each for each in judge.judge(RULES, scanned(), every - {criterion})}
    assert {on[name].outcome for name in own} <= {"pass", "not checkable"}
    assert own
    for name in own:
        assert (off[name].outcome, criterion in off[name].reason) == ("skipped", True), name
    below = [name for name, rule in RULES.rules.items() if rule.part_of and set(rule.part_of) <= set(own)]
    assert {off[name].outcome for name in below} <= {"skipped"}

    governed = RULES.governed(criterion)
    filled = dict.fromkeys(RULES.columns, 1)
    assert criterion in judge.supported(RULES, (), filled)
    assert criterion not in judge.supported(RULES, (), {name: 0 if name in governed else 1 for name in filled})


def test_criteria_are_named_or_inferred() -> None:
    assert judge.supported(RULES, ["none"], {"Tags": 1}) == frozenset()
    assert judge.supported(RULES, ["none", "tagging_supported"], {}) == {"TAGGING_SUPPORTED"}
    assert judge.supported(RULES, ["all"], {}) == frozenset(RULES.criteria)
    with pytest.raises(Usage) as refused:
        judge.supported(RULES, ["TAGING_SUPPORTED"], {})
    assert "TAGGING_SUPPORTED" in refused.value.why


CHAINED = [rule.name for rule in LEAVES if rule.level == "MUST" and rule.entity == "Column"]
ALTERNATIVES = {name for rule in RULES.rules.values() if rule.check.get("CheckFunction") == "OR" for name in rule.refers}


@given(st.sets(st.sampled_from(CHAINED), max_size=4))
def test_a_failed_part_fails_all_that_is_made_of_it_and_nothing_else(broken: set[str]) -> None:
    verdicts = {each.rule.name: each for each in judge.judge(RULES, scanned(dict.fromkeys(broken, 2)), frozenset(RULES.criteria))}
    failed = {name for name, each in verdicts.items() if each.outcome == "fail"}
    above = set()
    queue = [name for name in broken if name not in ALTERNATIVES]
    while queue:
        rule = RULES.rules[queue.pop()]
        users = [each.name for each in RULES.rules.values() if rule.name in (*each.refers, *(each.dependencies if each.refers else ()))]
        new = [name for name in users if name not in above and RULES.rules[name].check["CheckFunction"] == "AND"]
        above |= set(new)
        queue += [name for name in new if RULES.rules[name].level == "MUST"]
    assert failed - ALTERNATIVES == above | (broken - ALTERNATIVES)
    assert ("CostAndUsage-D-000-M" in failed) == bool(broken - ALTERNATIVES - unimportant(broken))


def unimportant(names: set[str]) -> set[str]:
    """Parts whose every road to the top leads over a SHOULD."""

    def leads(name: str) -> bool:
        rule = RULES.rules[name]
        return name == "CostAndUsage-D-000-M" or (rule.level == "MUST" and any(map(leads, rule.part_of)))

    return {name for name in names if not leads(name)}


def test_a_missing_column_is_one_failure_and_the_rest_cannot_be_checked() -> None:
    without = [name for name in RULES.columns if name != "RegionId"]
    verdicts = {each.rule.name: each for each in judge.judge(RULES, scanned(columns=without), frozenset(RULES.criteria))}
    (gone,) = [each for each in verdicts.values() if each.outcome == "fail" and not each.rule.refers]
    assert (gone.rule.text.split(" be ")[0], gone.reason) == ("RegionId MUST", "there is no such column")
    assert verdicts["RegionId-C-001-M"].reason == "there is no column RegionId"
    assert verdicts["RegionId-C-000-C"].outcome == "not checkable"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("FormatNumeric", ("0", "-1.5", ".5", "1e-7", "12E3"), ("", "+1", "1.", "1e+7", "--1", "0x1", "1 ")),
        ("FormatUnit", ("Hours", "GB-Hours", "GB/Hour", "1000 Tokens", "Units/3 Months", "KiB", "vCPU-Hours"), ("gb", "Hours ", "5")),
        ("FormatCurrency", ("USD", "Credits", "Floe Tokens"), ("eur", "Eur", "  ")),
        ("FormatJson", ("{}", '{"a": [1]}'), ("[]", "1", "{", "null")),
        ("FormatKeyValue", ("{}", '{"a": 1, "b": null, "c": true}'), ("[]", '{"a": {}}', '{"a": 1, "a": 1}')),
        ("FormatDateTime", ("2024-02-29T23:59:59Z",), ("2023-02-29T00:00:00Z", "2024-02-29", "2024-02-29T24:61:00Z")),
    ],
)
def test_formats(kind: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    text = violated({"CheckFunction": kind, "ColumnName": "said"}, Shape({"said": "VARCHAR"}, typed=False))
    answer = duckdb.execute(f"SELECT said, ({text}) FROM unnest(?) t(said)", [[*good, *bad, None]]).fetchall()
    assert [said for said, is_bad in answer if is_bad] == list(bad)


def test_a_condition_sees_null_and_a_missing_column_alike() -> None:
    shape = Shape({"there": "VARCHAR"}, typed=False)
    for name in ("there", "gone"):
        is_not = {"CheckFunction": "CheckNotValue", "ColumnName": name, "Value": "Correction"}
        both = {"AND": [is_not, {"CheckFunction": "CheckValue", "CheckCondition": name, "Value": None}]}
        assert duckdb.execute(f"SELECT {holds(both, shape)} FROM (SELECT NULL::VARCHAR AS there)").fetchall() == [(True,)]


def test_the_parts_of_an_export_are_judged_together(tmp_path: Path) -> None:
    listed = seeded.rows()
    halves = [seeded.write_csv(tmp_path / f"{name}.csv", part) for name, part in (("a", listed[:100]), ("b", listed[100:]))]
    assert run.of_files(halves, supports=["all"]).scanned.rows == len(listed)
    listed[150]["BilledCost"] = None
    halves[1] = seeded.write_csv(tmp_path / "b.csv", listed[100:])
    (example,) = of(run.of_files(halves), "BilledCost-Nullability").examples
    assert (example.file, example.row, example.values) == ("b.csv", 51, {"BilledCost": None})


def test_the_rules_are_whole() -> None:
    assert len(RULES.rules) == 621
    assert set(CORRECTED) <= set(RULES.rules)
    assert {name for rule in RULES.rules.values() for name in (*rule.refers, *rule.dependencies)} <= set(RULES.rules)
    assert len(load("1.4").columns) == 65
    assert (version_of(seeded.COLUMNS_12), version_of(seeded.COLUMNS_14)) == ("1.2", "1.4")
    with pytest.raises(Usage):
        load("1.1")
