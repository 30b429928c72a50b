"""What a person may do with an incident: the incident and who asks in, the change out, or an error that says who has it."""

from dataclasses import replace
from datetime import datetime

from mcml.core.errors import Conflict, Usage
from mcml.core.when import span
from mcml.incident.names import name
from mcml.incident.react import Change
from mcml.store.incidents import Incident


def acknowledge(incident: Incident, actor: str, at: datetime, *, take_over: bool = False) -> Change | None:
    """Give the incident to `actor`; None when they have it already.

    Raises Conflict when it is resolved, or when somebody else has it and `take_over` is not set.
    """
    if incident.state == "resolved":
        raise _over(incident, at, "acknowledged")
    if incident.state == "acked" and incident.acked_by == actor:
        return None
    if incident.state == "acked" and not take_over:
        raise Conflict(
            f"{name(incident.id)} is acknowledged by {incident.acked_by}",
            why=f"since {_ago(incident.acked_at, at)}",
            next_step=f"mcml incident ack {name(incident.id)} --take-over",
        )
    before = incident.acked_by
    # The first acknowledgement is when somebody answered; who takes over later does not make that later.
    acked = replace(incident, state="acked", acked_by=actor, acked_at=incident.acked_at or at)
    return Change("acked", acked, f"taken over from {before}" if before else "")


def resolve(incident: Incident, actor: str, at: datetime, *, note: str = "") -> Change:
    """End the incident in the name of `actor`. Raises Conflict when it is resolved already."""
    if incident.state == "resolved":
        raise _over(incident, at, "resolved")
    return Change("resolved", replace(incident, state="resolved", resolved_at=at, resolved_by=actor), note.strip())


def add_note(incident: Incident, text: str) -> Change:
    """Add a sentence to the incident's story, also after its end. Raises Usage for an empty one."""
    if not text.strip():
        raise Usage("the note is empty", next_step=f"mcml incident note {name(incident.id)} 'what you saw or did'")
    return Change("noted", incident, text.strip())


def _over(incident: Incident, at: datetime, wanted: str) -> Conflict:
    return Conflict(
        f"{name(incident.id)} cannot be {wanted}: it is resolved",
        why=f"by {incident.resolved_by}, {_ago(incident.resolved_at, at)}",
        next_step=f"mcml incident show {name(incident.id)}",
    )


def _ago(then: datetime | None, now: datetime) -> str:
    return f"{span((now - then).total_seconds())} ago" if then else "at an unknown time"
