"""What the facts of other rooms do to incidents: a fact and the incidents it may concern in, changes out.

    route.backend_down   opens `backend_down:MODEL@TARGET`       route.backend_up   ends it
    deploy.failed        opens `deploy_failed:MODEL@TARGET`      deploy.finished    ends it
                                                                 deploy.deleted     ends both: there is nothing left to be down
    cost.budget_alerted  opens `budget:NAME`, when the budget    cost.budget_recovered  ends it, when no alert of it is on
                         asks for incidents
    cost.rightsize_stuck opens `rightsize:TARGET/ID`             cost.rightsize_rolled_back, _done, _failed  ends it

The rules, for every key:
- A sign of trouble opens an incident; while one is unresolved, further signs are notes on it (and raise its severity, never lower it).
- The end of trouble is a recovery. An incident that nobody acknowledged is then resolved by itself; an acknowledged one belongs to
  a person, who resolves it.
- Flapping is one incident: trouble that comes back within REOPEN_WITHIN of such a resolution by itself opens the same incident again.
  What a person resolved stays resolved; later trouble is a new incident.
- Facts count in the order of the journal, not of their clocks: an outage is never ignored because a clock was set back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from mcml.core.fact import Fact
from mcml.store.incidents import Incident, Severity
from mcml.store.journal import Entry

REOPEN_WITHIN = timedelta(minutes=10)
ITSELF = "mcml"
"""The actor of what happens with nobody's hand: so it is never counted as a person's answer."""

SEVERITIES: tuple[Severity, ...] = ("critical", "error", "warning", "info")
"""Worst first."""

Verb = Literal["opened", "reopened", "noted", "acked", "recovered", "resolved"]


@dataclass(frozen=True)
class Change:
    """One step in an incident's life: what happens, its state afterwards (`id` 0 when it is new), and why."""

    verb: Verb
    incident: Incident
    text: str


@dataclass(frozen=True)
class Signal:
    """What a fact says about one key: trouble (`firing`) or the end of it."""

    key: str
    firing: bool
    text: str
    title: str = ""
    severity: Severity = "error"


def signals(fact: Fact | Entry) -> tuple[Signal, ...]:
    """Return what a fact says about incidents; nothing for a kind that is none of our business."""
    read = _READERS.get(fact.kind)
    return read(fact) if read else ()


def react(fact: Fact | Entry, known: Sequence[Incident]) -> list[Change]:
    """Return what a fact changes. `known` holds the unresolved incidents and those resolved within REOPEN_WITHIN before the fact."""
    return [change for signal in signals(fact) for change in (_trouble if signal.firing else _ended)(signal, fact, known)]


def model_of(fact: Fact | Entry) -> str:
    """Return the model that a fact is about, empty when it names none."""
    return _word(fact.facts, "model") or _word(fact.facts, "backend").partition("@")[0]


def _trouble(signal: Signal, fact: Fact | Entry, known: Sequence[Incident]) -> list[Change]:
    of_key = [incident for incident in known if incident.key == signal.key]
    for current in of_key:
        if current.state != "resolved":
            worst = min(current.severity, signal.severity, key=SEVERITIES.index)
            return [Change("noted", replace(current, severity=worst, recovered_at=None), signal.text)]
    for ended in reversed(of_key):
        if ended.resolved_by == ITSELF and ended.resolved_at and fact.at - ended.resolved_at <= REOPEN_WITHIN:
            again = replace(ended, state="open", severity=signal.severity, recovered_at=None, resolved_at=None, resolved_by="")
            return [Change("reopened", again, signal.text)]
    fresh = Incident(signal.key, signal.title, signal.severity, opened_at=fact.at, target=fact.target, model=model_of(fact))
    return [Change("opened", fresh, signal.text)]


def _ended(signal: Signal, fact: Fact | Entry, known: Sequence[Incident]) -> list[Change]:
    for current in known:
        if current.key != signal.key or current.state == "resolved" or current.recovered_at:
            continue
        recovered = Change("recovered", replace(current, recovered_at=fact.at), signal.text)
        if current.state == "acked":
            return [recovered]
        resolved = replace(recovered.incident, state="resolved", resolved_at=fact.at, resolved_by=ITSELF)
        return [recovered, Change("resolved", resolved, "by itself: it recovered before anybody acknowledged it")]
    return []


def _backend_down(fact: Fact | Entry) -> tuple[Signal, ...]:
    reason = _word(fact.facts, "reason") or "no reason given"
    subject = _subject(fact)
    return (Signal(f"backend_down:{subject}", True, f"{subject} is down: {reason}", f"{subject} is down", _severity(fact.facts)),)


def _backend_up(fact: Fact | Entry) -> tuple[Signal, ...]:
    subject = _subject(fact)
    return (Signal(f"backend_down:{subject}", False, f"{subject} answers again"),)


def _deploy_failed(fact: Fact | Entry) -> tuple[Signal, ...]:
    reason = _word(fact.facts, "reason") or "no reason given"
    subject, version = _subject(fact), _word(fact.facts, "version")
    what = f"deploy of {subject}" + (f" version {version}" if version else "")
    return (Signal(f"deploy_failed:{subject}", True, f"{what} failed: {reason}", f"{what} failed"),)


def _deploy_finished(fact: Fact | Entry) -> tuple[Signal, ...]:
    subject = _subject(fact)
    return (Signal(f"deploy_failed:{subject}", False, f"a later deploy of {subject} succeeded"),)


def _deploy_deleted(fact: Fact | Entry) -> tuple[Signal, ...]:
    subject = _subject(fact)
    return tuple(Signal(f"{alert}:{subject}", False, f"{subject} was deleted") for alert in ("backend_down", "deploy_failed"))


def _budget_alerted(fact: Fact | Entry) -> tuple[Signal, ...]:
    if fact.facts.get("incident") is not True:
        return ()
    name, text = _word(fact.facts, "budget") or "?", _word(fact.facts, "text") or "no reason given"
    severity: Severity = "error" if fact.facts.get("over") is True else "warning"
    return (Signal(f"budget:{name}", True, f"budget {name}: {text}", f"budget {name}: {text}", severity),)


def _budget_recovered(fact: Fact | Entry) -> tuple[Signal, ...]:
    name = _word(fact.facts, "budget") or "?"
    return () if fact.facts.get("on") else (Signal(f"budget:{name}", False, f"budget {name}: no alert is on"),)


def _resize_stuck(fact: Fact | Entry) -> tuple[Signal, ...]:
    name, why = fact.target or "?", _word(fact.facts, "problem") or "no reason given"
    sizes = f"between {_word(fact.facts, 'from') or '?'} and {_word(fact.facts, 'to') or '?'}"
    title = f"{name} is stuck {sizes}, and may not run"
    return (Signal(f"rightsize:{name}", True, f"{title}: {why}", title, "critical"),)


def _resize_ended(fact: Fact | Entry) -> tuple[Signal, ...]:
    return (Signal(f"rightsize:{fact.target or '?'}", False, f"{fact.target} is no longer stuck"),)


_READERS: Mapping[str, Callable[[Fact | Entry], tuple[Signal, ...]]] = {
    "route.backend_down": _backend_down,
    "route.backend_up": _backend_up,
    "deploy.failed": _deploy_failed,
    "deploy.finished": _deploy_finished,
    "deploy.deleted": _deploy_deleted,
    "cost.budget_alerted": _budget_alerted,
    "cost.budget_recovered": _budget_recovered,
    "cost.rightsize_stuck": _resize_stuck,
    "cost.rightsize_rolled_back": _resize_ended,
    "cost.rightsize_done": _resize_ended,
    "cost.rightsize_failed": _resize_ended,
}


def _severity(facts: Mapping[str, object]) -> Severity:
    """Rate a lost backend by how many others of its route still serve: none = outage, one = the next failure is an outage."""
    serving = facts.get("serving")
    if not isinstance(serving, int):
        return "error"
    return "critical" if serving <= 0 else "error" if serving == 1 else "warning"


def _subject(fact: Fact | Entry) -> str:
    """Name what the fact is about: `model@target`, with `?` for a half that it does not say."""
    return _word(fact.facts, "backend") or f"{_word(fact.facts, 'model') or '?'}@{fact.target or '?'}"


def _word(facts: Mapping[str, object], key: str) -> str:
    value = facts.get(key)
    return str(value) if value not in (None, "") else ""
