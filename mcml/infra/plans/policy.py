"""The policy gate: rules in Rego over a plan, evaluated in this process, and what an apply is refused for.

A rule file is a Rego package whose sets `deny` and `warn` hold what it found: an object with `message` and, where they apply, `rule` (its
id; the file's name without one) and `address`; or a message alone. Its `input` is Terraform's plan as JSON, with more below `input.mcml`
(policies/lib.rego says what). https://www.openpolicyagent.org/docs/latest/policy-language/
"""

import atexit
import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from mcml.core.errors import Conflict, NotFound, Usage
from mcml.infra.plans.pricing import Estimate
from mcml.infra.plans.resources import Resource

if TYPE_CHECKING:
    from regopy import Bundle, Interpreter, Output

Severity = Literal["deny", "warn"]
SEVERITIES: tuple[Severity, ...] = ("deny", "warn")

_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:#.*)?$", re.MULTILINE)
_PLACE = re.compile(r"(?:error \d+:|\s|\()(?P<name>[^\s|()]+)\|(?P<offset>\d+)\|\d+")
_BARE_QUOTE = re.compile(r'(?<!\\)"')
_LEFT_OUT = ("planned_values", "prior_state", "relevant_attributes", "checks")

_TEXTS_PACKAGE = "mcml_texts"
_TEXTS = """package mcml_texts

texts(held) := [parts(found) | some found in held] if { type_name(held) in {"set", "array"} } else := ["wrong"]

parts(found) := [base64.encode(text) | some text in said(found)] if { every text in said(found) { is_string(text) } } else := []

said(found) := ["", "", found] if { is_string(found) }
  else := [object.get(found, "rule", ""), object.get(found, "address", ""), object.get(found, "message", object.get(found, "msg", 0))] if {
    is_object(found)
  } else := [0]
"""
"""In base64, because regopy hands a text with a quote in it back as JSON that is none."""

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
    said = _ask(rules, _told(document, about))
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


def _told(document: Mapping[str, Any], about: Circumstances) -> dict[str, object]:
    """Return what the rules are given: the plan without what it holds twice or what no rule needs, and what we know beside it."""
    known = {resource.address: _beside(resource) for resource in about.resources}
    changes = [{**change, "mcml": known.get(str(change["address"]), {})} for change in document.get("resource_changes") or ()]
    budget = about.monthly_budget
    return {
        **{key: value for key, value in document.items() if key not in _LEFT_OUT},
        "resource_changes": sorted(changes, key=lambda change: str(change["address"])),
        "mcml": {
            "unit": about.unit,
            "environment": about.environment,
            "cost": {"monthly_cents": _cents(about.estimate.after), "missing": len(about.estimate.unpriced)},
            "budget_cents": None if budget is None else int(budget * 100),
        },
    }


def _beside(resource: Resource) -> dict[str, object]:
    return {name: getattr(resource, name) for name in ("cloud", "region", "module", "within", "refers", "default_tags")}


def _cents(dollars: Decimal) -> int:
    """Money reaches Rego in whole cents: its numbers may be floats."""
    return int((dollars * 100).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True)
class _Compiled:
    """Rules that are ready for any input. `asked` are the names under which `query` asks for a package's `deny` and `warn`."""

    packages: Mapping[str, RuleFile]
    asked: Mapping[str, tuple[str, Severity]]
    query: str
    interpreter: "Interpreter"
    bundle: "Bundle | None"

    def answers(self, told: Mapping[str, Any]) -> Any:
        """Return what is bound to the names for an input, or what the interpreter said instead."""
        # As text: what is given as Python values is not equal to the same text in a rule once it holds a quote or a line's end.
        self.interpreter.set_input_term(json.dumps(told, ensure_ascii=False, default=dict))
        if self.bundle is not None:
            quick = _bindings(lambda: self.interpreter.query_bundle(self.bundle))
            if not isinstance(quick, str):
                return quick
        return _bindings(lambda: self.interpreter.query(self.query))  # it says more about what is wrong


_COMPILING = Lock()


def prepare(rules: Sequence[RuleFile]) -> None:
    """Compile rules, which takes longer than asking them: `evaluate` finds them ready. Raises Usage for a file that is broken."""
    if rules:
        _ready(rules)


def _ready(rules: Sequence[RuleFile]) -> _Compiled:
    with _COMPILING:
        return _compiled(tuple(rules))


@lru_cache(maxsize=1)
def _compiled(rules: tuple[RuleFile, ...]) -> _Compiled:
    from regopy import RegoError

    atexit.register(_compiled.cache_clear)  # what regopy holds is given back by functions that are gone when modules end
    packages = {file.package: file for file in reversed(rules)}
    asked = {f"{severity}{number}": (package, severity) for number, package in enumerate(packages) for severity in SEVERITIES}
    query = "; ".join(_question(name, package, severity) for name, (package, severity) in asked.items())
    interpreter = _interpreter(rules)
    bundle = None
    with suppress(RegoError):  # the query tells which rule is broken
        bundle = interpreter.build(query)
    return _Compiled(packages, asked, query, interpreter, bundle if bundle is not None and bundle.ok() else None)


def _ask(rules: Sequence[RuleFile], told: Mapping[str, Any]) -> Iterator[tuple[RuleFile, Severity, list[list[str]]]]:
    """Yield what each package's `deny` and `warn` hold, as `[rule, address, message]`, with the file that stands for the package."""
    ready = _ready(rules)
    answers = ready.answers(told)
    if isinstance(answers, str):
        raise _failed(rules, ready.packages, ready.interpreter, answers)
    for name, (package, severity) in ready.asked.items():
        file = ready.packages[package]
        if answers[name] == ["wrong"] or [] in answers[name]:
            why = f"`{severity} contains ...` is wanted, each an object with a message, or a text"
            raise _broken(file.path, _line_of(file, severity), why)
        yield file, severity, [[_text(part) for part in one] for one in answers[name]]


def _question(name: str, package: str, severity: Severity) -> str:
    return f"{name} := [found | some all in [held | held := data.{package}.{severity}]; some found in data.{_TEXTS_PACKAGE}.texts(all)]"


def _text(coded: str) -> str:
    """Return a text that Rego gave us in base64. Inside the interpreter it is escaped as in JSON, apart from quotes that `sprintf` adds."""
    escaped = b64decode(coded).decode()
    with suppress(ValueError):
        return str(json.loads(f'"{_BARE_QUOTE.sub(chr(92) + chr(34), escaped)}"'))
    return escaped


def _interpreter(rules: Sequence[RuleFile]) -> "Interpreter":
    from regopy import Interpreter, RegoError, log_level_from_string

    interpreter = Interpreter()
    interpreter.log_level = log_level_from_string("None")  # it would write to our stdout
    interpreter.add_module(_TEXTS_PACKAGE, _TEXTS)
    for file in rules:
        try:
            interpreter.add_module(file.path, file.text)
        except RegoError as refused:
            raise _explained([file], str(refused)) from None
    return interpreter


def _bindings(ask: "Callable[[], Output]") -> Any:
    """Return the bindings of an answer, or what the interpreter said instead."""
    try:
        output = ask()
    except json.JSONDecodeError as said:  # regopy reads every answer as JSON, and an error is none
        return said.doc
    return output[0].bindings if output.ok() and len(output) else str(output)


def _failed(rules: Sequence[RuleFile], packages: Mapping[str, RuleFile], interpreter: "Interpreter", said: str) -> Usage:
    """Find the package that does not evaluate: alone, each is asked again."""
    for package, file in packages.items():
        for severity in SEVERITIES:
            question = _question("found", package, severity)
            answer = _bindings(partial(interpreter.query, question))
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


def _verdict(file: RuleFile, severity: Severity, said: Sequence[str], clouds: Mapping[str, str]) -> Verdict:
    rule, address, message = said
    return Verdict(rule or Path(file.path).stem, severity, message, address, clouds.get(address, ""))
