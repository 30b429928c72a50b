"""What a person sees after a draft was written."""

from pathlib import Path

from mcml.core.view import Block, Document, State, Status, Text
from mcml.incident.names import name
from mcml.postmortem.evidence import Evidence


def drafted(evidence: Evidence, path: Path) -> Document:
    """Say where the draft is, what it was written from, and whether the journal behind it verifies."""
    incident, verdict = evidence.story.incident, evidence.verdict
    item = {
        "name": name(incident.id),
        "path": path,
        "incident_state": incident.state,
        "moments": len(evidence.story.moments),
        "journal_rows": verdict.rows,
        "journal_head": verdict.head,
        "journal_ok": not verdict.broken_at,
    }
    blocks: list[Block] = [Status(State("drafted", "ok"), f"{path}")]
    if verdict.broken_at:
        blocks.append(Status(State("warning", "bad"), f"the journal does not verify ({verdict.reason}); the draft says so"))
    if incident.state != "resolved":
        blocks.append(Status(State("note", "warn"), f"{name(incident.id)} is not resolved yet: draft again, with --force, when it is"))
    blocks.append(Text("next: fill in what was left blank; it is yours now", verbatim=True))
    return Document("PostmortemDraft", [item], blocks, name_key="path")
