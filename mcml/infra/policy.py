"""The policy gate: rules in Rego over a plan, evaluated in this process, and what an apply is refused for.

A rule file is a Rego package whose sets `deny` and `warn` hold what it found: an object with `message` and, where they apply, `rule` (its
id; the file's name without one) and `address`; or a message alone. Its `input` is Terraform's plan as JSON, with more below `input.mcml`
(policies/lib.rego says what). https://www.openpolicyagent.org/docs/latest/policy-language/
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mcml.core.errors import Conflict, NotFound, Usage
from mcml.infra.pricing import Estimate
from mcml.infra.resources import Resource

if TYPE_CHECKING:
    from regopy import Interpreter

Severity = Literal["deny", "warn"]
SEVERITIES: tuple[Severity, ...] = ("deny", "warn")

_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:#.*)?$", re.MULTILINE)
_PLACE = re.compile(r"(?:error \d+:|\s|\()(?P<name>[^\s|()]+)\|(?P<offset>\d+)\|\d+")
_MESSAGE = re.compile(r"\(errormsg \d+:(.*?)\)(?:\s|$)", re.DOTALL)


@dataclass(frozen=True)
class RuleFile:
    """A file of rules: where it is, its package and its text."""

    path: str
    package: str
    text: str

    def line(self, offset: int) -> int:
        """Return the line in which the byte at `offset` stands."""
        return self.text.encode()[:offset].count(b"\n") + 1


@dataclass(frozen=True)
class Verdict:
    """What a rule found. `address` and `cloud` are empty when it is about the plan as a whole."""

    rule: str
    severity: Severity
    message: str
    address: str = ""
    cloud: str = ""


@dataclass(frozen=True)
class Circumstances:
    """What a rule may know beside the plan. `monthly_budget` is in US dollars, None for none."""

    unit: str
    environment: str
    resources: Sequence[Resource]
    estimate: Estimate
    monthly_budget: Decimal | None = None


def read_rules(folders: Iterable[Path]) -> tuple[RuleFile, ...]:
    """Read the rule files (`*.rego`, not `*_test.rego`) of folders. Raises NotFound when one has none, Usage for one without package."""
    found = []
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*.rego") if not path.name.endswith("_test.rego")) if folder.is_dir() else []
        if not paths:
            why = "it holds no *.rego" if folder.is_dir() else "it is no folder"
            raise NotFound(f"no policies in {folder}", why=why, next_step="mcml config show --origin    # infra.policies")
        found += [_read(path) for path in paths]
    return tuple(found)


def _read(path: Path) -> RuleFile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise Usage(f"cannot read the policy {path}", why=str(unreadable), next_step=f"ls -l {path}") from unreadable
    package = _PACKAGE.search(text)
    if package is None:
        raise _broken(str(path), 1, "it does not begin with `package NAME`")
    return RuleFile(str(path), package[1], text)


def evaluate(rules: Sequence[RuleFile], document: Mapping[str, Any], about: Circumstances) -> tuple[Verdict, ...]:
    """Return what the rules say about a plan (`terraform show -json`), what denies first. The order of resources does not matter.

    Raises Usage for a rule file that is broken, naming the file and the line.
    """
    if not rules:
        return ()
    clouds = {resource.address: resource.cloud for resource in about.resources}
    said = _ask(rules, {**document, "mcml": _told(about)})
    verdicts = {_verdict(file, severity, one, clouds) for file, severity, found in said for one in found}
    return tuple(sorted(verdicts, key=lambda one: (SEVERITIES.index(one.severity), one.rule, one.address, one.message)))


def denied(verdicts: Iterable[Verdict], accepted: Iterable[str] = ()) -> tuple[Verdict, ...]:
    """Return the verdicts that stand in the way of an apply: those that deny, without the rules that somebody accepts."""
    known = set(accepted)
    return tuple(verdict for verdict in verdicts if verdict.severity == "deny" and verdict.rule not in known)


def refuse(verdicts: Iterable[Verdict], accepted: Iterable[str], command: str) -> None:
    """Raise Conflict when a rule denies that is not accepted, with each address and how to accept it. `command` is what was typed."""
    against = denied(verdicts, accepted)
    if not against:
        return
    broken = sorted({verdict.rule for verdict in against})
    named = ", ".join(broken)
    accept = " ".join(f"--accept {rule}" for rule in sorted({*broken, *accepted}))
    raise Conflict(
        f"refused by the {'policy' if len(broken) == 1 else 'policies'} {named}",
        why="\n".join(f"{one.rule}: {one.address}: {one.message}" if one.address else f"{one.rule}: {one.message}" for one in against),
        next_step=f"mend it, or, written into the journal: {command} {accept}",
    )


def _told(about: Circumstances) -> dict[str, object]:
    budget = about.monthly_budget
    return {
        "unit": about.unit,
        "environment": about.environment,
        "resources": [vars(resource) for resource in sorted(about.resources, key=lambda one: one.address)],
        "cost": {"monthly_cents": _cents(about.estimate.after), "missing": len(about.estimate.unpriced)},
        "budget_cents": None if budget is None else int(budget * 100),
    }


def _cents(dollars: Decimal) -> int:
    """Money reaches Rego in whole cents: its numbers may be floats."""
    return int((dollars * 100).to_integral_value(ROUND_CEILING))


def _ask(rules: Sequence[RuleFile], told: Mapping[str, Any]) -> Iterator[tuple[RuleFile, Severity, list[Any]]]:
    """Yield what each package's `deny` and `warn` hold, with the file that stands for the package."""
    packages = {file.package: file for file in reversed(rules)}
    asked = {f"{severity}{number}": (package, severity) for number, package in enumerate(packages) for severity in SEVERITIES}
    query = "; ".join(f"{name} := [found | found := data.{package}.{severity}]" for name, (package, severity) in asked.items())
    interpreter = _interpreter(rules, told)
    answers = _query(interpreter, query)
    if isinstance(answers, str):
        raise _failed(rules, packages, interpreter, answers)
    for name, (package, severity) in asked.items():
        for found in answers[name]:
            if not isinstance(found, list):
                line = _line_of(packages[package], severity)
                raise _broken(packages[package].path, line, f"{severity} is no set: `{severity} contains ...`")
            yield packages[package], severity, found


def _interpreter(rules: Sequence[RuleFile], told: Mapping[str, Any]) -> "Interpreter":
    from regopy import Input, Interpreter, RegoError, log_level_from_string

    interpreter = Interpreter()
    interpreter.log_level = log_level_from_string("None")  # it would write to our stdout
    for file in rules:
        try:
            interpreter.add_module(file.path, file.text)
        except RegoError as refused:
            raise _explained([file], str(refused)) from None
    interpreter.set_input(Input(json.loads(json.dumps(told, default=dict))))
    return interpreter


def _query(interpreter: "Interpreter", query: str) -> Any:
    """Return the bindings of a query, or what the interpreter said instead."""
    try:
        output = interpreter.query(query)
    except json.JSONDecodeError as said:  # regopy reads every answer as JSON, and an error is none
        return said.doc
    return output[0].bindings if output.ok() and len(output) else str(output)


def _failed(rules: Sequence[RuleFile], packages: Mapping[str, RuleFile], interpreter: "Interpreter", said: str) -> Usage:
    """Find the package that does not evaluate: alone, each is asked again."""
    for package, file in packages.items():
        for severity in SEVERITIES:
            answer = _query(interpreter, f"found := [found | found := data.{package}.{severity}]")
            if isinstance(answer, str):
                own = [rule for rule in rules if rule.package == package]
                return _explained(own or [file], answer, severity)
    return _explained(rules, said)


def _explained(files: Sequence[RuleFile], said: str, severity: Severity | None = None) -> Usage:
    """Return the error of what the interpreter said: in the file and the line that it names, else in that of the rule that failed."""
    message = _MESSAGE.search(said)
    why = message[1].strip() if message else "it does not evaluate: a rule or a function has two values"
    by_path = {file.path: file for file in files}
    place = next((found for found in _PLACE.finditer(said) if found["name"] in by_path), None)
    if place:
        return _broken(place["name"], by_path[place["name"]].line(int(place["offset"])), why)
    missing = re.search(r"Function not found: ([\w.]+)", said)
    for file in files:
        for number, line in enumerate(file.text.splitlines(), 1):
            if missing and re.search(rf"\b{re.escape(missing[1].rpartition('.')[2])}\(", line):
                return _broken(file.path, number, why)
    return _broken(files[0].path, _line_of(files[0], severity or "deny"), why)


def _line_of(file: RuleFile, name: str) -> int:
    """Return the line on which a rule begins, 1 when it is in none."""
    found = re.search(rf"^{name}\b", file.text, re.MULTILINE)
    return file.text[: found.start()].count("\n") + 1 if found else 1


def _broken(path: str, line: int, why: str) -> Usage:
    return Usage(f"the policy {path}:{line} is broken", why=why, next_step="mend it; the shipped rules are an example")


def _verdict(file: RuleFile, severity: Severity, said: Any, clouds: Mapping[str, str]) -> Verdict:
    told = said if isinstance(said, Mapping) else {"message": said}
    message = told.get("message", told.get("msg"))
    if not isinstance(message, str):
        raise _broken(file.path, _line_of(file, severity), f"{severity} holds {json.dumps(said)[:80]}, which has no message")
    address = str(told.get("address") or "")
    return Verdict(str(told.get("rule") or Path(file.path).stem), severity, message, address, clouds.get(address, ""))
