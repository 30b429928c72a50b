"""The draft as a document: the sections that postmortems share, facts filled in with their rows, judgement left blank."""

from collections.abc import Iterable, Sequence

from mcml.core.view import Block, Column, Pairs, Section, Table, Text
from mcml.core.when import offset, span
from mcml.incident.names import name
from mcml.incident.react import ITSELF
from mcml.incident.timeline import Moment
from mcml.postmortem.evidence import Evidence, Known, changes, detection, drill, first_sign, impact, own, recovery, response, rows

BLANK = "_To be written by a person._"
LESSONS = ("What went well", "What went badly", "Where we got lucky")
ACTION_TYPES = ("prevent", "detect", "mitigate")
_KNOWN = (Column("label", "Fact"), Column("value", "Value"), Column("rows", "Journal rows"))
_TIMELINE = (Column("offset", "T"), Column("clock", "UTC"), Column("text", "What"), Column("actor", "Who"), Column("rows", "Journal rows"))
_ACTIONS = (Column("what", "Action"), Column("owner", "Owner"), Column("due", "Due"), Column("type", "Type"), Column("link", "Link"))


def blocks(evidence: Evidence) -> tuple[Block, ...]:
    """Return the whole draft as blocks; `ui.markdown` renders them."""
    incident = evidence.story.incident
    return (
        Section(
            f"{name(incident.id)}: {incident.title}",
            (
                Text(_note(evidence)),
                Pairs(_head(evidence)),
                Section("Summary", (Text(summary(evidence)),)),
                Section("Impact", (_facts(impact(evidence)), Text(f"What users saw: {BLANK}"))),
                Section("Detection", (_facts(detection(evidence)), Text(f"Should it have been found earlier? {BLANK}"))),
                Section("What changed before", _changed(evidence)),
                Section("Timeline", (Text("T is the opening of the incident."), _timeline(evidence.story.moments))),
                Section("Response", (_facts(response(evidence)), *_notes(evidence))),
                Section("Recovery", (_facts(recovery(evidence)), Text(f"What brought it back: {BLANK}"))),
                Section("Root cause", (Text(BLANK), *_pointers(evidence))),
                Section("Lessons", tuple(Section(title, (Text(BLANK),)) for title in LESSONS)),
                Section("Action items", (Table(_ACTIONS, [{"type": kind} for kind in ACTION_TYPES]),)),
                Section("Evidence", (Text(_chain(evidence)),)),
            ),
        ),
    )


def summary(evidence: Evidence) -> str:
    """Say in a few sentences what the journal knows: no cause, no judgement."""
    incident, sign, running = evidence.story.incident, first_sign(evidence), drill(evidence)
    said = [f"On {incident.opened_at:%Y-%m-%d at %H:%M:%S} UTC: {sign.text if sign else incident.title}{_cite(sign)}."]
    if running:
        said.append(f"A drill on the same target was running{_cite(running)}.")
    answers = own(evidence.story, "acked")
    said.append(f"{answers[0].actor} acknowledged it {_after(answers[0])}{_cite(answers[0])}." if answers else "Nobody acknowledged it.")
    recoveries = own(evidence.story, "recovered")
    back = incident.recovered_at and recoveries
    said.append(f"It recovered {_after(recoveries[-1])}{_cite(recoveries[-1])}." if back else "No recovery is recorded.")
    if incident.state != "resolved":
        said.append("It is not resolved yet: draft again when it is.")
    return " ".join(said)


def _note(evidence: Evidence) -> str:
    return (
        f"Draft by `mcml postmortem draft`, {evidence.drafted_at:%Y-%m-%d %H:%M:%S} UTC. Everything in a table, and every sentence that "
        f"names rows, is a fact of the journal; what stands as {BLANK} is not known to it, and was not guessed."
    )


def _head(evidence: Evidence) -> list[tuple[str, object]]:
    incident = evidence.story.incident
    return [
        ("Incident", name(incident.id)),
        ("Severity", incident.severity),
        ("State", incident.state),
        ("Date", f"{incident.opened_at:%Y-%m-%d}"),
        ("Drafted by", evidence.drafted_by),
        ("Authors", ""),
    ]


def _facts(known: Iterable[Known]) -> Table:
    return Table(_KNOWN, [{"label": each.label, "value": each.value, "rows": rows(each.seqs)} for each in known], empty="no fact")


def _changed(evidence: Evidence) -> tuple[Block, ...]:
    found = changes(evidence)
    if not found:
        return (Text("The journal has no change before it."),)
    suspect = evidence.story.suspect
    nearest = f"Nearest on the same target or model: {suspect.text}, {suspect.suspect}{_cite(suspect)}." if suspect else ""
    return (Text(nearest or "None of them was on its target or model."), _timeline(found))


def _timeline(moments: Sequence[Moment]) -> Table:
    return Table(
        _TIMELINE,
        [
            {
                "offset": offset(moment.offset_s),
                "clock": f"{moment.at:%Y-%m-%d %H:%M:%S}",
                "text": moment.text,
                "actor": moment.actor,
                "rows": rows(moment.seqs),
            }
            for moment in moments
        ],
        empty="the journal has nothing around it",
    )


def _notes(evidence: Evidence) -> tuple[Block, ...]:
    notes = [moment for moment in own(evidence.story, "noted") if moment.actor != ITSELF]
    if not notes:
        return ()
    return (Text("Notes taken meanwhile:"), _timeline(notes))


def _pointers(evidence: Evidence) -> tuple[Block, ...]:
    """Return the facts that point somewhere, said as facts."""
    running, suspect = drill(evidence), evidence.story.suspect
    pointers = [f"- A drill was running on the same target{_cite(running)}."] if running else []
    if suspect and suspect != running:
        pointers.append(f"- {suspect.text}, {suspect.suspect}{_cite(suspect)}.")
    resolved = [entry for moment in own(evidence.story, "resolved") if (entry := evidence.entries.get(moment.seqs[0]))]
    for entry in resolved:
        if entry.actor != ITSELF and entry.facts.get("text"):
            pointers.append(f"- {entry.actor} resolved it with the words: {' '.join(str(entry.facts['text']).split())} (row {entry.seq}).")
    return (Text("Facts that point somewhere:"), Text("\n".join(pointers))) if pointers else ()


def _chain(evidence: Evidence) -> str:
    verdict = evidence.verdict
    if verdict.broken_at:
        return (
            f"**The journal does not verify**: {verdict.reason}. Facts from row {verdict.broken_at} on may have been changed; "
            "do not rely on them before `mcml journal verify` passes."
        )
    return (
        f"The journal's chain was verified when this was drafted: {verdict.rows:,} rows, head `{verdict.head}`. "
        f"`mcml journal verify` checks it again; `mcml journal show {verdict.rows}` must still show this hash, and `mcml journal show ROW` "
        "shows any row named here."
    )


def _cite(moment: Moment | None) -> str:
    if moment is None:
        return ""
    return f" (row {rows(moment.seqs)})" if len(moment.seqs) == 1 else f" (rows {rows(moment.seqs)})"


def _after(moment: Moment) -> str:
    return f"{span(max(0.0, moment.offset_s))} later"
