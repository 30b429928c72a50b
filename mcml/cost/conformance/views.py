"""What verdicts look like: a line of sums, the rules that fail, and on request all of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcml.core.view import Block, Column, Document, Section, State, Status, Table, Text
from mcml.cost.conformance.judge import Outcome, Verdict
from mcml.cost.conformance.rules import RuleSet
from mcml.store.ledger.conformance import Example, Scanned

_COLUMNS = (Column("name", "Rule"), Column("rows", "Rows", "number"), Column("brief", "Requirement"), Column("example", "First such row"))
_LEVELS = ("MUST", "SHOULD")
_STATES: dict[Outcome, State] = {
    "pass": State("pass"),
    "fail": State("fail", "bad"),
    "skipped": State("skipped", "idle"),
    "not checkable": State("not checkable", "idle"),
}


@dataclass(frozen=True)
class Judged:
    """All that a check found: by which rules, which criteria were taken as true, and the verdicts.

    `older`: the version that a file is of, where there are no rules of it.
    """

    rules: RuleSet
    criteria: frozenset[str]
    scanned: Scanned
    verdicts: Sequence[Verdict]
    untold: Sequence[str] = ()
    older: str = ""

    @property
    def conforms(self) -> bool:
        """Whether no rule of level MUST fails, and every line was a row."""
        return not self.scanned.torn and not any(each.outcome == "fail" and each.rule.level == "MUST" for each in self.verdicts)


def conformance(judged: Judged, *, everything: bool = False) -> Document:
    """Show the sums and the failed rules; with `everything` all rules, also those made of others and those of level MAY."""
    failed = [each for each in judged.verdicts if each.outcome == "fail" and each.rule.level != "MAY" and not each.rule.refers]
    failed.sort(key=lambda each: _LEVELS.index(each.rule.level))
    shown = list(judged.verdicts) if everything else failed
    blocks: list[Block] = [_summary(judged, failed)]
    if judged.scanned.torn:
        blocks.append(Status(State("fail", "bad"), _torn(judged.scanned.torn)))
    for level in _LEVELS:
        rows = [_row(each) for each in failed if each.rule.level == level]
        blocks += [Section(f"Rules of level {level} that fail", (Table(_COLUMNS, rows),))] if rows else []
    if everything:
        columns = (Column("state", "Verdict", "state"), Column("level", "Level"), *_COLUMNS[:3], Column("reason", "Why"))
        blocks.append(Section("All rules", (Table(columns, [_row(each) for each in shown]),)))
    blocks += _notes(judged)
    return Document("ConformanceVerdictList", [_item(each) for each in shown], tuple(blocks))


def _torn(lines: int) -> str:
    said = "1 line is no CSV row and was" if lines == 1 else f"{lines} lines are no CSV rows and were"
    return f"{said} not judged"


def _summary(judged: Judged, failed: Sequence[Verdict]) -> Status:
    counts = Counter(each.outcome for each in judged.verdicts)
    levels = Counter(each.rule.level for each in failed)
    state = State("conforms") if judged.conforms else State("does not conform", "bad")
    rest = f"{counts['skipped']} do not apply, {counts['not checkable']} cannot be checked"
    failures = f"{levels['MUST']} MUST and {levels['SHOULD']} SHOULD fail"
    what = f"{judged.scanned.rows:,} rows under {len(judged.verdicts)} rules of FOCUS {judged.rules.version}"
    return Status(state, f"{what}: {counts['pass']} pass, {failures}; {rest}")


def _notes(judged: Judged) -> list[Block]:
    off = sorted(set(judged.rules.criteria) - judged.criteria)
    notes = [f"Taken as not so (--supports NAME says otherwise): {', '.join(off)}."] if off else []
    if judged.older:
        notes.append(f"The columns are of FOCUS {judged.older}, of which there are no official rules: what came later is told as missing.")
    if judged.untold:
        notes.append(f"The ledger cannot tell whether an export had these columns, it has no value in them: {', '.join(judged.untold)}.")
    return [Text(note) for note in notes]


def _row(verdict: Verdict) -> Mapping[str, object]:
    brief = verdict.rule.text.split(" in a FOCUS dataset")[0]
    return {**_item(verdict), "brief": brief, "example": _example(verdict.examples), "state": _STATES[verdict.outcome]}


def _example(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    first = examples[0]
    values = ", ".join(f"{name}={'null' if value is None else value}" for name, value in first.values.items())
    return f"{first.file}:{first.row} {values}"


def _item(verdict: Verdict) -> Mapping[str, object]:
    rule = verdict.rule
    return {
        "name": rule.name,
        "verdict": verdict.outcome,
        "level": rule.level,
        "function": rule.function,
        "column": rule.column,
        "rows": verdict.rows,
        "examples": [{"file": each.file, "row": each.row, "values": dict(each.values)} for each in verdict.examples],
        "reason": verdict.reason,
        "criteria": list(rule.criteria),
        "text": rule.text,
    }
