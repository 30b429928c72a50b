"""Our verdicts beside those of focus-validator 2.2.1, the FinOps Foundation's, on the same files: equal, or different for a known reason.

What it said is kept in peer/: it needs Python 3.12 and a NumPy of its own. It was run as
`focus-validator --data-file FILE --validate-version 1.2 --block-download --applicability-criteria ALL`.
"""

import json
from pathlib import Path

import pytest

from mcml.cost.conformance import run
from mcml.store.ledger.conformance_sql import columns_of
from tests.cost import seeded
from tests.cost.test_conformance import BREAKAGES, SAMPLE

SAID = json.loads((Path(__file__).parent / "peer/focus_validator_2_2_1.json").read_text())

ANY_ROW = "its OR passes when any row does"
CORRECTED = "the model's condition contradicts its text: see CORRECTED in the rules"
EMPTY = "a quoted empty field is a text to it"
NOT_CORRECTION = "'ChargeClass is not Correction': it leaves out the rows where ChargeClass is null"
NULL_KEY = "rows without a key are a group to it"
ONE_BY_ONE = "it judges an alternative of an OR of rules by itself"
READER = "it judges what its reader made of the text: integers are no decimals, times are parsed, what cannot be parsed is null or gone"
UNCHECKED = "it does not check this kind"
UNREAD = "it does not read the condition, which the model spells as a key"
VIRTUAL = "the name of a virtual currency is no code to it"

ALWAYS = {
    "BilledCost-C-004-M": UNCHECKED,
    "CapacityReservationStatus-C-003-C": UNREAD,
    "CapacityReservationStatus-C-004-C": UNREAD,
    "CommitmentDiscountStatus-C-004-C": CORRECTED,
    "InvoiceId-C-004-C": ONE_BY_ONE,
}
INTEGERS = dict.fromkeys(("PricingQuantity-C-001-M", "ConsumedQuantity-C-001-M", "CommitmentDiscountQuantity-C-001-M"), READER)
TIMES = ("BillingPeriodStart-C-002-M", "BillingPeriodEnd-C-002-M", "ChargePeriodStart-C-002-M", "ChargePeriodEnd-C-002-M")
NO_COLUMNS = {"CapacityReservationStatus-C-003-C", "CapacityReservationStatus-C-004-C", "InvoiceId-C-004-C"}
DIFFERENCES: dict[str, dict[str, str]] = {
    "clean.csv": ALWAYS | INTEGERS | {"PricingCurrency-C-003-M": VIRTUAL},
    "clean.parquet": ALWAYS | {"PricingCurrency-C-003-M": VIRTUAL},
    "broken.csv": {
        **ALWAYS,
        **INTEGERS,
        **dict.fromkeys(("ChargeCategory-C-003-M", "ServiceSubcategory-C-004-M"), ANY_ROW),
        **dict.fromkeys(("CostAndUsage-D-037-M", "ChargePeriodStart-C-003-M", "ChargePeriodEnd-C-003-M"), READER),
        **dict.fromkeys(("ChargePeriodEnd-C-001-M", "ChargePeriodEnd-C-002-M"), READER),
        "ContractedUnitPrice-C-011-C": NOT_CORRECTION,
    },
    "sample.csv": {
        **{name: why for name, why in ALWAYS.items() if name not in NO_COLUMNS},
        **dict.fromkeys(TIMES, READER),
        **dict.fromkeys(("SkuPriceId-C-005-C", "PricingCategory-C-004-C", "ContractedUnitPrice-C-006-C"), NOT_CORRECTION),
        **dict.fromkeys(("ListUnitPrice-C-010-C", "ListCost-C-009-C", "ContractedUnitPrice-C-011-C"), NOT_CORRECTION),
        "BillingAccountName-C-003-C": EMPTY,
        "ChargeFrequency-C-003-M": ANY_ROW,
        "SkuPriceId-C-008-M": NULL_KEY,
    },
}
EQUAL = {"clean.csv": 259, "clean.parquet": 262, "broken.csv": 252, "sample.csv": 199}
"""Verdicts that agree, of the rules with a check of their own on columns that are there."""


def write(folder: Path, which: str) -> Path:
    """Make the file that focus-validator was given."""
    if which == "sample.csv":
        return SAMPLE
    listed = seeded.rows()
    if which == "broken.csv":
        for breakage in (each for found in BREAKAGES.values() for each in found):
            if not breakage.types and not breakage.prepare:
                breakage.change(listed)
    shown = list(map(seeded.as_12, listed))
    return (seeded.write_csv if which.endswith("csv") else seeded.write_parquet)(folder / which, shown)


@pytest.mark.parametrize("which", sorted(SAID))
def test_every_verdict_is_that_of_focus_validator_or_differs_for_a_known_reason(which: str, tmp_path: Path) -> None:
    theirs = {**dict.fromkeys(SAID[which]["fails"], "fail"), **dict.fromkeys(SAID[which]["skips"], "not checkable")}
    judged = run.of_files([write(tmp_path, which)], "1.2", ["all"])
    there = set(judged.scanned.filled)
    comparable = [
        each
        for each in judged.verdicts
        if each.rule.check
        and not each.rule.refers
        and each.rule.level != "MAY"
        and (each.rule.function == "Presence" or columns_of(each.rule.check) <= there)
    ]
    differs = {each.rule.name for each in comparable if each.outcome != theirs.get(each.rule.name, "pass")}
    assert differs == set(DIFFERENCES[which])
    assert len(comparable) - len(differs) == EQUAL[which]
