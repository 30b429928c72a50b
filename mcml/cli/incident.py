"""`mcml incident`: what is on fire, who has it, what changed before."""

from enum import StrEnum
from typing import Annotated

import typer

from mcml.cli.completion import complete_incident
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml incident                  # what is on fire now, and the next step",
    "mcml incident show INC-1       # its story and its runbook",
    "mcml incident ack INC-1        # I have it",
    "mcml incident resolve INC-1 --note 'disk replaced'",
)
Identifier = Annotated[str, typer.Argument(help="An incident: 1, INC-1, or latest.", autocompletion=complete_incident, metavar="INCIDENT")]


class State(StrEnum):
    """States that a list can be cut down to."""

    open = "open"
    acked = "acked"
    resolved = "resolved"


app = group("incident", "What is on fire, who has it, what changed before.", examples=EXAMPLES, default="now")


@command(app, "now", examples=("mcml incident", "mcml incident -o json"))
def now(session: Session) -> Document:
    """Show what is on fire, and the one next step."""
    from mcml.incident import desk, views

    burning = [desk.tell(session.store, incident.id) for incident in desk.list_incidents(session.store)]
    last = None if burning else desk.last_resolved(session.store)
    return views.fire(burning, last, session.clock())


@command(app, "list", examples=("mcml incident list", "mcml incident list --all -o json", "mcml incident list --state acked"))
def list_incidents(
    session: Session,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    state: Annotated[State | None, typer.Option("--state", help="Only those in this state.")] = None,
) -> Document:
    """List incidents, newest first.

    Resolved ones are left out unless they are asked for.
    """
    from mcml.incident import desk, views

    states = (state.value,) if state else desk.EVERY if everything else desk.UNRESOLVED
    return views.incident_list(desk.list_incidents(session.store, states), everything=everything or state is not None)


@command(app, "show", examples=("mcml incident show INC-1", "mcml incident show 1 -o json"))
def show(session: Session, incident: Identifier) -> Document:
    """Show an incident's story and its runbook.

    The story comes from the journal: what changed before it, what happened, who did what, how it ended.
    """
    from mcml.incident import desk, runbooks, views

    told = desk.tell(session.store, desk.identify(session.store, incident))
    runbook, trouble = runbooks.look_up(told.incident, runbooks.folders(session.config.project))
    return views.incident_show(told, runbook, trouble, session.clock())


@command(app, "ack", examples=("mcml incident ack INC-1", "mcml incident ack INC-1 --take-over"))
def ack(
    session: Session,
    incident: Identifier,
    take_over: Annotated[bool, typer.Option("--take-over", help="Even when somebody else has it.")] = False,
) -> Document:
    """Acknowledge an incident: you have it now.

    It stays yours until you resolve it, also when it recovers.
    """
    from mcml.incident import desk, views

    acked = desk.ack(session.store, desk.identify(session.store, incident), take_over=take_over, clock=session.clock)
    return views.changed(acked, f"{acked.acked_by} has it")


@command(app, "resolve", examples=("mcml incident resolve INC-1", "mcml incident resolve INC-1 --note 'disk replaced'"))
def resolve(
    session: Session, incident: Identifier, note: Annotated[str, typer.Option("--note", help="What it was.", show_default=False)] = ""
) -> Document:
    """End an incident."""
    from mcml.incident import desk, views

    resolved = desk.resolve(session.store, desk.identify(session.store, incident), note=note, clock=session.clock)
    return views.changed(resolved, f"resolved by {resolved.resolved_by}")


@command(app, "note", examples=("mcml incident note INC-1 'restarted the node by hand'",))
def note(session: Session, incident: Identifier, text: Annotated[str, typer.Argument(help="What you saw or did.")]) -> Document:
    """Add a sentence to an incident's story."""
    from mcml.incident import desk, views

    noted = desk.note(session.store, desk.identify(session.store, incident), text, clock=session.clock)
    return views.changed(noted, f"noted: {text.strip()}")
