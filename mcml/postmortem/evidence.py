"""What is known about an incident, as lines with the journal rows they come from; nothing here is a guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal

from mcml.core.when import span
from mcml.incident.react import ITSELF
from mcml.incident.timeline import CHANGES, Moment, Story
from mcml.store.incidents import Incident
from mcml.store.journal import Entry, Verdict

DRILL_BEFORE = timedelta(minutes=5)
"""A drill on the same target that began at most so long before the opening is told with it."""


@dataclass(frozen=True)
class Spend:
    """What something cost during the incident, as the cost ledger has it: the effective cost, and how many charges it is a part of."""

    what: str
    amount: Decimal
    currency: str
    rows: int


@dataclass(frozen=True)
class Evidence:
    """All that a draft is written from: the story, the entries behind it, the verdict on the chain, and the money if it is known."""

    story: Story
    entries: Mapping[int, Entry]
    verdict: Verdict
    drafted_at: datetime
    drafted_by: str
    spend: tuple[Spend, ...] = ()


@dataclass(frozen=True)
class Known:
    """One fact: what it is called, its value, and the rows of the journal that say so (none: it was computed from others above it)."""

    label: str
    value: str
    seqs: tuple[int, ...] = ()


def own(story: Story, verb: str) -> list[Moment]:
    """Return the incident's own moments of one kind (`opened`, `acked`, ...), oldest first."""
    return [moment for moment in story.moments if moment.kind == f"incident.{verb}" and moment.relation == "incident"]


def first_sign(evidence: Evidence) -> Moment | None:
    """Return the fact that opened the incident."""
    for moment in own(evidence.story, "opened"):
        entry = evidence.entries.get(moment.seqs[0])
        cause = entry.facts.get("cause") if entry else None
        return next((other for other in evidence.story.moments if cause in other.seqs), moment)
    return None


def drill(evidence: Evidence) -> Moment | None:
    """Return the drill on the same target that was running, if there was one."""
    return _last_before(evidence, "route.drill_started")


def kill(evidence: Evidence) -> Moment | None:
    """Return the moment when that drill killed the backend, if it was written down."""
    return _last_before(evidence, "route.drill_killed")


def _last_before(evidence: Evidence, kind: str) -> Moment | None:
    limit = -DRILL_BEFORE.total_seconds()
    for moment in reversed(evidence.story.moments):
        if moment.kind == kind and moment.relation == "target" and limit <= moment.offset_s <= 0:
            return moment
    return None


def detection(evidence: Evidence) -> list[Known]:
    """Say how long it took from the failure (when somebody wrote it down) to the first sign, and from there to a stored incident."""
    sign, running, broken, opened = first_sign(evidence), drill(evidence), kill(evidence), own(evidence.story, "opened")
    known = []
    if running:
        known.append(Known("In a drill", f"{_clock(running.at)} by {running.actor}: {running.text}", running.seqs))
    if broken:
        known.append(Known("The failure", f"{_clock(broken.at)}: {broken.text}", broken.seqs))
    if sign:
        known.append(Known("First sign", f"{_clock(sign.at)}: {sign.text}", sign.seqs))
    if broken and sign:
        known.append(Known("From the failure to the first sign", _between(broken.at, sign.at), (*broken.seqs, *sign.seqs)))
    if opened and sign:
        known.append(Known("From the first sign to the incident", _between(sign.at, opened[0].at), (*sign.seqs, *opened[0].seqs)))
    return known


def response(evidence: Evidence) -> list[Known]:
    """Say who acknowledged it and how fast. What mcml did by itself is never counted as an answer."""
    story = evidence.story
    answers = [moment for moment in own(story, "acked") if moment.actor != ITSELF]
    if not answers:
        return [Known("Acknowledged", "by nobody")]
    first = answers[0]
    known = [Known("Acknowledged", f"{_clock(first.at)} by {first.actor}", first.seqs)]
    known.append(Known("Time to acknowledge", _between(story.incident.opened_at, first.at), first.seqs))
    known += [Known("Taken over", f"{_clock(later.at)} by {later.actor}", later.seqs) for later in answers[1:]]
    return known


def recovery(evidence: Evidence) -> list[Known]:
    """Say when it worked again, how often it fell back, and who closed it."""
    story, known = evidence.story, []
    recoveries, resolutions = own(story, "recovered"), own(story, "resolved")
    if story.incident.recovered_at:
        seqs = recoveries[-1].seqs if recoveries else ()
        known.append(Known("Recovered", _clock(story.incident.recovered_at), seqs))
        known.append(Known("Time to recover", _between(story.incident.opened_at, story.incident.recovered_at), seqs))
    else:
        known.append(Known("Recovered", "not that the journal knows"))
    if len(recoveries) > 1:
        known.append(Known("Recoveries", str(len(recoveries)), tuple(seq for moment in recoveries for seq in moment.seqs)))
    if story.incident.resolved_at:
        who = "by itself" if story.incident.resolved_by == ITSELF else f"by {story.incident.resolved_by}"
        known.append(Known("Resolved", f"{_clock(story.incident.resolved_at)} {who}", resolutions[-1].seqs if resolutions else ()))
    else:
        known.append(Known("Resolved", "not yet"))
    return known


def impact(evidence: Evidence) -> list[Known]:
    """Say how long, what, how many requests and errors, and how much money, as far as somebody has measured it."""
    incident = evidence.story.incident
    known = [Known("Lasted", _lasted(incident)), Known("Target", incident.target or "none"), Known("Model", incident.model or "none")]
    return known + _requests(evidence) + _traffic(evidence) + _money(evidence)


def changes(evidence: Evidence) -> list[Moment]:
    """Return what changed before the opening, nearest last."""
    return [moment for moment in evidence.story.moments if moment.offset_s < 0 and moment.kind in CHANGES]


def window(evidence: Evidence) -> tuple[datetime, datetime]:
    """Return the time that the incident's cost is asked for: from the opening to the recovery, else to the resolution, else to now."""
    incident = evidence.story.incident
    return incident.opened_at, incident.recovered_at or incident.resolved_at or evidence.drafted_at


def rows(seqs: Sequence[int]) -> str:
    """Write rows of the journal: `7`, `9-11`, `3, 7`; successive ones as a range."""
    ranges: list[list[int]] = []
    for seq in sorted(set(seqs)):
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _lasted(incident: Incident) -> str:
    if incident.recovered_at:
        return f"{_between(incident.opened_at, incident.recovered_at)}, from the opening to the last recovery"
    if incident.resolved_at:
        return f"{_between(incident.opened_at, incident.resolved_at)}, from the opening to the resolution; no recovery was recorded"
    return "not over when this was drafted"


def _requests(evidence: Evidence) -> list[Known]:
    found = []
    for moment in evidence.story.moments:
        facts = evidence.entries[moment.seqs[0]].facts if moment.kind == "route.drill_finished" and moment.offset_s >= 0 else {}
        if isinstance(facts.get("requests"), int):
            found.append(Known("Requests during the drill", f"{facts['requests']:,}, {facts.get('failed', '?')} failed", moment.seqs))
    return found or [Known("Requests and errors", "not measured: no fact in the journal counts them")]


def _traffic(evidence: Evidence) -> list[Known]:
    shifts = [moment for moment in evidence.story.moments if moment.kind == "route.weights" and moment.offset_s >= 0]
    return [Known("Traffic", moment.text, moment.seqs) for moment in shifts]


def _money(evidence: Evidence) -> list[Known]:
    if not evidence.spend:
        return [Known("Money", "not known: the cost ledger has no row for this time")]
    six = Context(prec=6)
    return [
        Known(
            f"Spent on {spend.what} meanwhile",
            f"{six.create_decimal(spend.amount):f} {spend.currency}, effective cost, from {spend.rows} rows of the cost ledger",
        )
        for spend in evidence.spend
    ]


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"


def _between(start: datetime, end: datetime) -> str:
    return span(max(0.0, (end - start).total_seconds()))
