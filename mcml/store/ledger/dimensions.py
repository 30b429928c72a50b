"""What costs can be grouped and chosen by: the dimensions of the ledger, any tag, and conditions on them. Pure: strings in, SQL out."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from mcml.core.errors import Usage, did_you_mean
from mcml.store.ledger.engine import literal

DIMENSIONS: Mapping[str, str] = {
    "provider": "ServiceProviderName",
    "service": "ServiceName",
    "category": "ServiceCategory",
    "target": "x_Target",
    "model": "x_Model",
    "version": "x_Version",
    "team": "x_Team",
    "project": "x_Project",
    "environment": "x_Environment",
    "region": "coalesce(RegionId, RegionName)",
    "account": "BillingAccountId",
    "subaccount": "coalesce(SubAccountName, SubAccountId)",
    "sku": "SkuId",
    "resource": "coalesce(ResourceId, ResourceName)",
    "pricing": "PricingCategory",
    "charge": "ChargeCategory",
    "frequency": "ChargeFrequency",
    "source": "x_Source",
    "billing_currency": "BillingCurrency",
    "day": "strftime(ChargePeriodStart, '%Y-%m-%d')",
    "week": "strftime(date_trunc('week', ChargePeriodStart), '%Y-%m-%d')",
    "month": "strftime(ChargePeriodStart, '%Y-%m')",
}
"""What costs can be grouped by. A charge counts on the day it starts; a week is named by its Monday; days are of UTC."""

TAG = "tag:"
"""Before the key of a tag, as the bill has it: `tag:cost-centre`. It is read out of JSON, seven times slower than a column."""

Operator = Literal["=", "!=", "~", "!~"]
_CONDITION = re.compile(r"\s*(?P<dimension>tag:.+?|[^=!~]+?)\s*(?P<operator>!=|!~|=|~)\s*(?P<values>.*?)\s*", re.DOTALL)

_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True)
class Filter:
    """A condition on a dimension: it equals one of `values` (=), none of them (!=), or matches one of them as a shell pattern (~, !~).

    An empty value stands for rows that have none. `!=` and `!~` keep rows without a value, unless the empty value is among `values`.
    As text, a comma within a value is written `\\,`.
    """

    dimension: str
    operator: Operator
    values: tuple[str, ...]

    def __str__(self) -> str:
        return self.dimension + self.operator + ",".join(value.replace(",", r"\,") for value in self.values)

    def holds(self, value: str | None) -> bool:
        """Tell in Python what `condition` says in SQL: whether a row with this value of the dimension is meant."""
        wanted = [each for each in self.values if each]
        if value is None:
            found = "" in self.values
        elif self.operator.endswith("~"):
            found = any(fnmatch.fnmatchcase(value, pattern) for pattern in wanted)
        else:
            found = value in wanted
        return found != self.operator.startswith("!")


def dimension(name: str) -> str:
    """Return the SQL of a dimension. Raises Usage with the nearest name for an unknown one."""
    if name.startswith(TAG) and len(name) > len(TAG):
        return f"nullif(json_extract_string(Tags, {literal(_json_path(name[len(TAG) :]))}), '')"  # a tag without a value is none
    if name not in DIMENSIONS:
        raise Usage(f"costs cannot be grouped by {name!r}", why=did_you_mean(name, DIMENSIONS), next_step="mcml cost report --help")
    return DIMENSIONS[name]


def parse(text: str) -> Filter:
    """Read `team=risk`, `service!=Amazon S3,AWS Lambda`, `tag:app~web-*`. Raises Usage for anything else."""
    found = _CONDITION.fullmatch(text)
    if not found:
        why = f"expected DIMENSION=VALUE with one of {' '.join(get_args(Operator))}"
        raise Usage(f"cannot read the condition {text!r}", why=why, next_step="mcml cost report --help")
    name, operator = found["dimension"], found["operator"]
    dimension(name)
    return Filter(name, operator, tuple(value.strip().replace("\\,", ",") for value in _COMMA.split(found["values"])))  # type: ignore[arg-type]


def condition(wanted: Sequence[Filter]) -> tuple[str, list[str]]:
    """Return the SQL of conditions that all hold, and its parameters; `true` for none."""
    found = [_one(each) for each in wanted]
    return " AND ".join(text for text, _ in found) or "true", [value for _, values in found for value in values]


def _one(wanted: Filter) -> tuple[str, list[str]]:
    column = dimension(wanted.dimension)
    values = [value for value in wanted.values if value]
    pattern = wanted.operator.endswith("~")
    texts = [_like(value) if pattern else value for value in values]
    same = "regexp_full_match(" + column + ", ?)" if pattern else f"{column} = ?"
    alternatives = [*([f"{column} IS NULL"] if "" in wanted.values else []), *(same for _ in texts)]
    text = f"({' OR '.join(alternatives)})"
    return (f"NOT coalesce({text}, false)" if wanted.operator.startswith("!") else text), texts


def _like(pattern: str) -> str:
    """Turn a shell pattern into a regular expression that DuckDB (RE2) reads as Python does."""
    return "(?s)" + re.sub(r"^\(\?s:(.*)\)\\[Zz]$", r"\1", fnmatch.translate(pattern), flags=re.DOTALL).replace("(?>", "(?:")


def _json_path(key: str) -> str:
    return '$."' + key.replace('"', '\\"') + '"'
