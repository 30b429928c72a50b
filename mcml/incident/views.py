"""What incidents look like: the 3 a.m. screen, lists, one incident's story."""

from collections.abc import Sequence
from datetime import datetime

from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.core.when import offset, span
from mcml.incident.names import name
from mcml.incident.react import SEVERITIES
from mcml.incident.runbooks import Runbook, steps_for
from mcml.incident.timeline import Moment, Story
from mcml.store.incidents import Incident

_LEVELS: dict[str, Level] = {"critical": "bad", "error": "bad", "warning": "warn", "info": "idle"}
_STATE_LEVELS: dict[str, Level] = {"open": "bad", "acked": "warn", "resolved": "ok"}

COLUMNS = (
    Column("name", "Incident"),
    Column("severity", "Severity", "state"),
    Column("state", "State", "state"),
    Column("title", "What"),
    Column("opened_at", "Opened", "time"),
    Column("acked_by", "Who has it"),
)
MOMENT_COLUMNS = (Column("offset", "When"), Column("clock", "UTC"), Column("said", "What"))


def item(incident: Incident) -> dict[str, object]:
    """Return the fields of an incident as scripts see them; times are None until they happen."""
    return {
        "name": name(incident.id),
        "id": incident.id,
        "key": incident.key,
        "title": incident.title,
        "severity": State(incident.severity, _LEVELS[incident.severity]),
        "state": State(incident.state, _STATE_LEVELS[incident.state]),
        "target": incident.target,
        "model": incident.model,
        "opened_at": incident.opened_at,
        "acked_at": incident.acked_at,
        "acked_by": incident.acked_by,
        "recovered_at": incident.recovered_at,
        "resolved_at": incident.resolved_at,
        "resolved_by": incident.resolved_by,
    }


def incident_list(incidents: Sequence[Incident], *, everything: bool = False) -> Document:
    """Show incidents as rows. `everything`: resolved ones were asked for too."""
    rows = [item(incident) for incident in incidents]
    empty = "no incident yet" if everything else "no unresolved incident (resolved ones: mcml incident list --all)"
    return Document("IncidentList", rows, (Table(COLUMNS, rows, empty=empty),))


def fire(stories: Sequence[Story], last: Incident | None, now: datetime) -> Document:
    """Show what is wrong now, worst and oldest first, and the one next step. `last` is the incident resolved last, if any."""
    ranked = sorted(stories, key=lambda told: (SEVERITIES.index(told.incident.severity), told.incident.opened_at))
    items = [item(told.incident) | {"changed_before": told.suspect.text if told.suspect else ""} for told in ranked]
    if not ranked:
        past = f"; last: {name(last.id)} {last.title}, resolved {_ago(last.resolved_at, now)} by {last.resolved_by}" if last else ""
        return Document("IncidentList", items, (Status(State("ok", "ok"), f"nothing is on fire{past}"),))
    blocks = [block for told in ranked for block in _burning(told, now)]
    return Document("IncidentList", items, (*blocks, Text(f"next: {next_step(ranked[0].incident)}", verbatim=True)))


def _burning(told: Story, now: datetime) -> list[Block]:
    incident = told.incident
    lines: list[tuple[str, object]] = [("since", f"{_ago(incident.opened_at, now)}{_recovery(incident)}")]
    lines.append(("who", f"{incident.acked_by}, {_ago(incident.acked_at, now)}" if incident.acked_by else "nobody has it yet"))
    lines.append(("before", f"{told.suspect.text} ({told.suspect.suspect})" if told.suspect else "no change found on its target or model"))
    head = Status(State(incident.severity.upper(), _LEVELS[incident.severity]), f"{name(incident.id)}  {incident.title}")
    return [head, Pairs(lines), Text("")]


def next_step(incident: Incident) -> str:
    """Return the one command that comes next for an incident."""
    if incident.state == "open":
        return f"mcml incident ack {name(incident.id)}"
    if incident.state == "acked" and incident.recovered_at:
        return f"mcml incident resolve {name(incident.id)} --note 'what it was'"
    if incident.state == "acked":
        return f"mcml incident show {name(incident.id)}"
    return f"mcml postmortem draft {name(incident.id)}"


def incident_show(told: Story, runbook: Runbook | None, trouble: str, now: datetime) -> Document:
    """Show one incident: its state, its story, the steps of its runbook and what to type next. `trouble`: why there is no runbook."""
    incident = told.incident
    rows = [_line(moment, incident) for moment in told.moments]
    data = item(incident) | {
        "moments": [moment_item(moment) for moment in told.moments],
        "runbook": runbook.source if runbook else "",
        "next": next_step(incident),
    }
    blocks: list[Block] = [
        Status(State(incident.severity.upper(), _LEVELS[incident.severity]), f"{name(incident.id)}  {incident.title}"),
        Pairs(_facts(incident, now)),
        Section("Timeline (T = opened, times in UTC)", (Table(MOMENT_COLUMNS, rows, empty="the journal has nothing around it"),)),
    ]
    if told.cut:
        blocks.append(Text("Too many entries for one screen: the oldest are left out. All of them: mcml journal list"))
    if runbook:
        blocks.append(Section(f"Runbook: {runbook.summary}", (Text(steps_for(runbook, incident), verbatim=True),)))
    else:
        blocks.append(Section("Runbook", (Text(trouble),)))
    return Document("Incident", [data], (*blocks, Text(""), Text(f"next: {next_step(incident)}", verbatim=True)))


def moment_item(moment: Moment) -> dict[str, object]:
    """Return the fields of a moment as scripts see them; `offset_s` counts from the opening."""
    return {
        "offset": offset(moment.offset_s),
        "offset_s": round(moment.offset_s, 6),
        "at": moment.at,
        "kind": moment.kind,
        "target": moment.target,
        "actor": moment.actor,
        "text": moment.text,
        "relation": moment.relation,
        "mark": moment.suspect,
        "seqs": list(moment.seqs),
    }


def _line(moment: Moment, incident: Incident) -> dict[str, object]:
    same_day = moment.at.date() == incident.opened_at.date()
    return {
        "offset": offset(moment.offset_s),
        "clock": f"{moment.at:%H:%M:%S}" if same_day else f"{moment.at:%m-%d %H:%M}",
        "said": f"{moment.text} <-- {moment.suspect}" if moment.suspect else moment.text,
    }


def changed(incident: Incident, what: str) -> Document:
    """Show an incident after a person did something to it, and what comes next."""
    blocks = (
        Status(State(incident.state, _STATE_LEVELS[incident.state]), f"{name(incident.id)} {incident.title}: {what}"),
        Text(f"next: {next_step(incident)}", verbatim=True),
    )
    return Document("Incident", [item(incident) | {"next": next_step(incident)}], blocks)


def _facts(incident: Incident, now: datetime) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = [
        ("state", State(incident.state, _STATE_LEVELS[incident.state])),
        ("target", incident.target),
        ("model", incident.model),
        ("opened", f"{incident.opened_at:%Y-%m-%d %H:%M:%S} UTC, {_ago(incident.opened_at, now)}{_recovery(incident)}"),
        ("who", f"{incident.acked_by}, {_after(incident.acked_at, incident)}" if incident.acked_by else "nobody has acknowledged it"),
    ]
    if incident.resolved_at:
        pairs.append(("resolved", f"by {incident.resolved_by}, {_after(incident.resolved_at, incident)}"))
    return pairs


def _recovery(incident: Incident) -> str:
    if incident.recovered_at:
        return f"; recovered {_after(incident.recovered_at, incident)}"
    return "" if incident.state == "resolved" else "; NOT recovered"


def _after(moment: datetime | None, incident: Incident) -> str:
    return f"{span((moment - incident.opened_at).total_seconds())} after the opening" if moment else "at an unknown time"


def _ago(moment: datetime | None, now: datetime) -> str:
    return f"{span((now - moment).total_seconds())} ago" if moment else "at an unknown time"
