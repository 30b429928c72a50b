"""The rules by version: those of the FOCUS 1.2 model as they are, and those that follow from the column model of FOCUS 1.4.

Sources and licences of both files are in NOTICE beside them. The 1.4 model has no rules but a table of columns; each column gives rules for
its presence, type, nulls, format, values and range, in the language of the 1.2 model. Three rules of 1.2 are corrected: see CORRECTED.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from mcml.core.errors import Usage
from mcml.store.ledger.conformance_sql import Node, columns_of

Version = Literal["1.2", "1.4"]
VERSIONS: tuple[str, ...] = get_args(Version)
Level = Literal["MUST", "SHOULD", "MAY"]
_LEVELS: dict[str, Level] = {
    **dict.fromkeys(("MUST", "MUST NOT"), "MUST"),
    **dict.fromkeys(("SHOULD", "SHOULD NOT", "RECOMMENDED"), "SHOULD"),
    "MAY": "MAY",
}


def _is(column: str, value: str | None) -> Node:
    return {"CheckFunction": "CheckValue", "ColumnName": column, "Value": value}


def _is_not(column: str, value: str | None) -> Node:
    return {"CheckFunction": "CheckNotValue", "ColumnName": column, "Value": value}


CORRECTED: dict[str, dict[str, Node]] = {
    # the text says "is not null" and names ChargeCategory "Usage"; the model has "is null"
    "CommitmentDiscountStatus-C-004-C": {
        "condition": {"CheckFunction": "AND", "Items": [_is_not("CommitmentDiscountId", None), _is("ChargeCategory", "Usage")]}
    },
    # the specification allows Used and Unused, which other rules of the model ask for; the model has Active, Expired and Pending
    "CommitmentDiscountStatus-C-005-M": {
        "check": {"CheckFunction": "OR", "Items": [_is("CommitmentDiscountStatus", "Used"), _is("CommitmentDiscountStatus", "Unused")]}
    },
    # the text is about this column; the model looks at PricingCurrencyListUnitPrice
    "PricingCurrencyEffectiveCost-C-004-M": {
        "check": {"CheckFunction": "CheckDecimalValue", "ColumnName": "PricingCurrencyEffectiveCost"}
    },
}
"""Where the model's check contradicts the text of its own rule: what is checked instead. With the model's word no export could conform."""


@dataclass(frozen=True)
class Rule:
    """One requirement of the specification. `check` is empty where the model defines none (it takes more than the rows to know).

    `part_of`: the rules that are composed of this one. `criteria`: all of them have to be true of the provider, or the rule does not apply.
    """

    name: str
    function: str
    entity: str
    level: Level
    text: str
    check: Node = field(default_factory=dict)
    condition: Node = field(default_factory=dict)
    criteria: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    part_of: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """The column that the rule is about; for an attribute, its name."""
        return str(self.check.get("ColumnName") or self.name.split("-")[0])

    @property
    def refers(self) -> tuple[str, ...]:
        """The rules that this one is composed of; empty for one with a check of its own."""
        return tuple(item["ModelRuleId"] for item in self.check.get("Items", ()) if item["CheckFunction"] == "CheckModelRule")


@dataclass(frozen=True)
class RuleSet:
    """All rules of a version by name, and what each applicability criterion means."""

    version: Version
    rules: Mapping[str, Rule]
    criteria: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the version has, as its presence rules name them."""
        return tuple(dict.fromkeys(rule.column for rule in self.rules.values() if rule.check.get("CheckFunction") == "ColumnPresent"))

    def governed(self, criterion: str) -> frozenset[str]:
        """Return the columns that have to be there, or hold a value, when a criterion is true: a value in one of them says that it is."""
        return frozenset().union(*(columns_of(rule.check) for rule in self.rules.values() if criterion in rule.criteria))


def version_of(columns: tuple[str, ...]) -> Version:
    """Return the version that a file is to be judged by: ProviderName was in it until 1.3 and is gone in 1.4."""
    return "1.2" if "ProviderName" in columns and "HostProviderName" not in columns else "1.4"


_SINCE = {
    "1.2": {"InvoiceId", "PricingCurrency", "BillingAccountType", "SubAccountType"},
    "1.1": {"CapacityReservationId", "CommitmentDiscountQuantity", "ServiceSubcategory", "SkuMeter", "SkuPriceDetails"},
}
"""Columns that a version brought, for those of which the FinOps Foundation publishes no rules. Source: the changelog of FOCUS_Spec."""


def older(columns: tuple[str, ...]) -> str:
    """Return the version that a file's columns are of when it is older than 1.2, for which there are no rules; else nothing."""
    if version_of(columns) != "1.2" or _SINCE["1.2"].intersection(columns):
        return ""
    return "1.1" if _SINCE["1.1"].intersection(columns) else "1.0"


@cache
def load(version: str) -> RuleSet:
    """Read the rules of a version. Raises Usage for one that is not here."""
    if version == "1.2":
        content = _read("focus_1_2_rules.json.gz")
        parents: dict[str, list[str]] = {}
        for raw in content["rules"]:
            for item in raw.get("check", {}).get("Items", ()):
                parents.setdefault(item.get("ModelRuleId", ""), []).append(raw["id"])
        return RuleSet("1.2", {raw["id"]: _rule(raw, parents.get(raw["id"], [])) for raw in content["rules"]}, content["criteria"])
    if version == "1.4":
        content = _read("focus_1_4_columns.json.gz")
        rules = [*_from_columns(content["columns"]), _one_parent(content["parents"])]
        return RuleSet("1.4", {rule.name: rule for rule in rules}, content["criteria"])
    known = f"known versions: {', '.join(VERSIONS)}"
    raise Usage(f"there are no rules for FOCUS {version}", why=known, next_step="mcml cost validate --help")


def _read(name: str) -> Any:
    with files("mcml.cost.conformance").joinpath(name).open("rb") as file:
        return json.loads(gzip.decompress(file.read()))


def _rule(given: Mapping[str, Any], part_of: list[str]) -> Rule:
    raw = {**given, **CORRECTED.get(given["id"], {})}
    return Rule(
        name=raw["id"],
        function=raw["function"],
        entity=raw["entity"],
        level=_LEVELS[raw["level"]],
        text=raw["text"],
        check=raw.get("check", {}),
        condition=raw.get("condition", {}),
        criteria=tuple(raw.get("criteria", ())),
        dependencies=tuple(raw.get("dependencies", ())),
        part_of=tuple(part_of),
    )


_TYPES = {"String": "TypeString", "Decimal": "TypeDecimal", "Date/Time": "TypeDateTime"}
_FORMATS = {
    "Currency": ("FormatCurrency", "MUST"),
    "Date/Time": ("FormatDateTime", "MUST"),
    "Decimal (any)": ("FormatNumeric", "MUST"),
    "Decimal (non-negative)": ("FormatNumeric", "MUST"),
    "JSON Object": ("FormatJson", "MUST"),
    "Key-Value": ("FormatKeyValue", "MUST"),
    "Unit": ("FormatUnit", "SHOULD"),
    "Unspecified": ("FormatString", "MUST"),
}


def _from_columns(columns: Mapping[str, Mapping[str, Any]]) -> Iterator[Rule]:
    for name, column in columns.items():
        criteria = tuple(column.get("criteria", ()))
        presence: Level = "SHOULD" if column["level"] == "Recommended" else "MUST"
        text = f"{name} {'is RECOMMENDED to' if presence == 'SHOULD' else 'MUST'} be present"
        check = {"CheckFunction": "ColumnPresent", "ColumnName": name}
        yield Rule(f"{name}-Presence", "Presence", "Dataset", presence, f"{text} in a FOCUS dataset.", check, criteria=criteria)
        yield from (_of_column(name, *each) for each in _requirements(name, column))


def _of_column(name: str, what: str, function: str, level: Level, text: str, check: Node) -> Rule:
    return Rule(f"{name}-{what}", function, "Column", level, f"{name} {text}", check)


def _requirements(name: str, column: Mapping[str, Any]) -> Iterator[tuple[str, str, Level, str, Node]]:
    about = {"ColumnName": name}
    if column["type"] in _TYPES:
        yield "Type", "Type", "MUST", f"MUST be of type {column['type']}.", {"CheckFunction": _TYPES[column["type"]], **about}
    if not column["nulls"]:
        yield "Nullability", "Nullability", "MUST", "MUST NOT be null.", {"CheckFunction": "CheckNotValue", **about, "Value": None}
    if found := _FORMATS.get(column["format"]):
        kind, level = found
        text = "MUST be readable text." if kind == "FormatString" else f"{level} conform to the format {column['format']}."
        yield "Format", "Format", _LEVELS[level], text, {"CheckFunction": kind, **about}
    if column["format"] == "Decimal (non-negative)":
        check = {"CheckFunction": "CheckGreaterOrEqualThanValue", **about, "Value": 0}
        yield "Range", "Validation", "MUST", "MUST be a non-negative decimal value.", check
    if name == "BillingCurrency":
        check = {"CheckFunction": "CheckNationalCurrency", **about}
        yield "National", "Validation", "MUST", "MUST be a national currency of ISO 4217.", check
    if values := column.get("values"):
        items = [{"CheckFunction": "CheckValue", **about, "Value": value} for value in values]
        yield "Values", "Validation", "MUST", "MUST be one of the allowed values.", {"CheckFunction": "OR", "Items": items}


def _one_parent(parents: Mapping[str, str]) -> Rule:
    """Return the rule that a subcategory is an allowed one and stands under its own category."""
    pairs = [
        {
            "CheckFunction": "AND",
            "Items": [
                {"CheckFunction": "CheckValue", "ColumnName": "ServiceSubcategory", "Value": child},
                {"CheckFunction": "CheckValue", "ColumnName": "ServiceCategory", "Value": parent},
            ],
        }
        for child, parent in parents.items()
    ]
    text = "ServiceSubcategory MUST be one of the allowed values and have its one parent ServiceCategory."
    return Rule("ServiceSubcategory-Parent", "Validation", "Column", "MUST", text, {"CheckFunction": "OR", "Items": pairs})
