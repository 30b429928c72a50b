"""From what a scan found to a verdict per rule. Pure: the same findings give the same verdicts.

A rule with a check of its own is judged by the rows that break it. A rule made of others is judged by them:
- AND fails when a part of level MUST fails, or a rule it depends on that is about a column (a part of level SHOULD or MAY fails alone);
  it passes when a part passed, and is not checkable when none could be checked.
- OR holds when every row takes one of the alternatives. An alternative without a condition of its own never fails alone.
- A condition of a rule made of others ("when X is not null, ...") is a condition of each part as well.
- A rule does not apply when one of its criteria is not true of the provider (the texts say "and"; to focus-validator one is enough), or
  when no rule that it is a part of applies.
A rule of level MAY grants something: "fail" says that it is not made use of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mcml.core.errors import Usage, did_you_mean
from mcml.cost.conformance.rules import Rule, RuleSet
from mcml.store.ledger.conformance import Broken, Check, Example, Scanned
from mcml.store.ledger.conformance_sql import WHEN, Node, columns_of, kinds_of

Outcome = Literal["pass", "fail", "skipped", "not checkable"]
DEFINED_NOWHERE = "the model defines no check: it takes more than the rows to know"
FORMS = frozenset({"FormatNumeric", "FormatDateTime", "TypeDecimal", "TypeString", "TypeDateTime"})
"""Kinds that are about the form of a value, which the ledger does not keep."""
AUTO, ALL, NONE = "auto", "all", "none"


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one rule: how many rows break it, the first of them, and why it was not judged or what it was judged by."""

    rule: Rule
    outcome: Outcome
    rows: int = 0
    examples: tuple[Example, ...] = ()
    reason: str = ""


def checks(rules: RuleSet) -> list[Check]:
    """Return what a scan has to look for: every rule with a check on rows, under its own condition and those of what it is a part of."""
    found = []
    for rule in rules.rules.values():
        requirement = _joined(rule, rules) or rule.check
        if requirement and not kinds_of(requirement) & {"CheckModelRule", "ColumnPresent"}:
            found.append(Check(rule.name, requirement, tuple(_conditions(rule, rules))))
    return found


def supported(rules: RuleSet, said: Sequence[str], filled: Mapping[str, int]) -> frozenset[str]:
    """Return the criteria that are true of the provider: those named, `all`, `none`, or `auto`, those whose columns hold a value.

    Raises Usage for a name that is none.
    """
    chosen: set[str] = set()
    for name in said or (AUTO,):
        if name == AUTO:
            chosen |= {each for each in rules.criteria if any(filled.get(column) for column in rules.governed(each))}
        elif name == ALL:
            chosen |= set(rules.criteria)
        elif name.upper() in rules.criteria:
            chosen.add(name.upper())
        elif name != NONE:
            known = (AUTO, ALL, NONE, *rules.criteria)
            raise Usage(f"{name!r} is no applicability criterion", why=_nearest(name, known), next_step="mcml cost validate --help")
    return frozenset(chosen)


def _nearest(name: str, known: Sequence[str]) -> str:
    said = did_you_mean(name, known)
    return said if said.startswith("did you mean") else f"known: {', '.join(known)}"


def judge(rules: RuleSet, scanned: Scanned, criteria: frozenset[str], *, values_only: bool = False) -> list[Verdict]:
    """Return a verdict on every rule, in the order of the model."""
    return _Bench(rules, scanned, criteria, values_only).all()


class _Bench:
    """Verdicts as they are reached; a rule that others refer to is judged once."""

    def __init__(self, rules: RuleSet, scanned: Scanned, criteria: frozenset[str], values_only: bool) -> None:
        self.rules, self.scanned, self.criteria, self.values_only = rules, scanned, criteria, values_only
        self.verdicts: dict[str, Verdict] = {}

    def all(self) -> list[Verdict]:
        return [self.of(name) for name in self.rules.rules]

    def of(self, name: str) -> Verdict:
        if name not in self.verdicts:
            self.verdicts[name] = self._judged(self.rules.rules[name])
        return self.verdicts[name]

    def _judged(self, rule: Rule) -> Verdict:
        if why := self._not_applicable(rule):
            return Verdict(rule, "skipped", reason=why)
        if not rule.check:
            return Verdict(rule, "not checkable", reason=DEFINED_NOWHERE)
        if rule.check["CheckFunction"] == "ColumnPresent":
            return self._present(rule)
        if rule.refers:
            return self._any(rule) if rule.check["CheckFunction"] == "OR" else self._composed(rule)
        if self.values_only and rule.check["CheckFunction"] in FORMS:
            return Verdict(rule, "not checkable", reason="the ledger keeps values, not the form that an export gave them")
        return self._alternative(self._by_rows(rule))

    def _not_applicable(self, rule: Rule, below: str = "") -> str:
        """Say why a rule does not apply; empty when it does."""
        off = [name for name in rule.criteria if name not in self.criteria]
        if off:
            return f"{' and '.join(off)} {'is' if len(off) == 1 else 'are'} not so{below}"
        above = [self._not_applicable(self.rules.rules[name], f" ({name})") for name in rule.part_of]
        return above[0] if above and all(above) else ""

    def _present(self, rule: Rule) -> Verdict:
        if self.values_only and not self.scanned.filled.get(rule.column):
            why = "the ledger has no value in it, and does not keep which columns an export had"
            return Verdict(rule, "not checkable", reason=why)
        if rule.column in self.scanned.filled:
            return Verdict(rule, "pass")
        return Verdict(rule, "fail", self.scanned.rows, reason="there is no such column")

    def _by_rows(self, rule: Rule) -> Verdict:
        gone = self._missing(rule, columns_of(rule.check))
        if gone:
            return gone
        return _verdict(rule, self.scanned.broken[rule.name])

    def _missing(self, rule: Rule, columns: frozenset[str]) -> Verdict | None:
        """Say which columns a rule needs and are not there; the ledger has every column, one without a value may have been in no export."""
        there = {name for name, filled in self.scanned.filled.items() if filled or not self.values_only}
        gone = ", ".join(sorted(columns - there))
        return Verdict(rule, "not checkable", reason=f"there is no column {gone}") if gone else None

    def _alternative(self, verdict: Verdict) -> Verdict:
        """Look above a failed alternative without a condition: it is the OR that counts."""
        rule = verdict.rule
        if verdict.outcome != "fail" or rule.condition:
            return verdict
        choices = [name for name in rule.part_of if self.rules.rules[name].check["CheckFunction"] == "OR"]
        if not choices:
            return verdict
        return Verdict(rule, "pass", verdict.rows, reason=f"an alternative; {choices[0]} asks for one of them")

    def _any(self, rule: Rule) -> Verdict:
        columns = frozenset().union(*(columns_of(self.rules.rules[name].check) for name in rule.refers))
        return self._missing(rule, columns) or _verdict(rule, self.scanned.broken[rule.name])

    def _composed(self, rule: Rule) -> Verdict:
        parts = [self.of(name) for name in rule.refers]
        others = [self.of(name) for name in rule.dependencies if name not in rule.refers and self.rules.rules[name].entity != "Dataset"]
        failed = [each for each in (*parts, *others) if each.outcome == "fail" and each.rule.level == "MUST"]
        if failed:
            return Verdict(rule, "fail", max(each.rows for each in failed), reason=f"fails: {', '.join(each.rule.name for each in failed)}")
        judged = [each for each in parts if each.outcome in ("pass", "fail")]
        if judged:
            return Verdict(rule, "pass", reason=f"{len(judged)} of {len(parts)} parts could be judged")
        left: Outcome = "skipped" if all(each.outcome == "skipped" for each in parts) else "not checkable"
        return Verdict(rule, left, reason=parts[0].reason if left == "skipped" else "no part can be checked")


def _verdict(rule: Rule, found: Broken) -> Verdict:
    return Verdict(rule, "fail" if found.rows else "pass", found.rows, found.examples)


def _conditions(rule: Rule, rules: RuleSet) -> list[Node]:
    """Return a rule's condition and those of the rules above it, each once."""
    found = [rule.condition] if rule.condition else []
    for name in rule.part_of:
        found += [each for each in _conditions(rules.rules[name], rules) if each not in found]
    return found


def _joined(rule: Rule, rules: RuleSet) -> Node:
    """Return the alternatives of an OR of rules as one requirement: each is broken only where its own condition holds."""
    if rule.check.get("CheckFunction") != "OR" or not rule.refers:
        return {}
    parts = [rules.rules[name] for name in rule.refers]
    items = [{"CheckFunction": WHEN, "If": each.condition, "Items": [each.check]} if each.condition else each.check for each in parts]
    return {"CheckFunction": "OR", "Items": items}
