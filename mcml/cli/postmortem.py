"""`mcml postmortem`: written from the facts the others recorded."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.incident import Identifier
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import McmlError
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.postmortem.evidence import Evidence

EXAMPLES = ("mcml postmortem draft INC-1", "mcml postmortem draft INC-1 --out review.md", "mcml postmortem draft INC-1 --dry-run")
app = group("postmortem", "Written from the facts the others recorded.", examples=EXAMPLES)


@command(app, "draft", examples=EXAMPLES, changes=True)
def draft(
    session: Session,
    identifier: Identifier,
    out: Annotated[Path | None, typer.Option("--out", help="Where to; default: postmortems/ in the project.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Document | None:
    """Draft an incident's postmortem as Markdown.

    Every fact names the journal rows it comes from; causes, lessons and actions are left to people. --dry-run prints it to stdout.
    """
    from mcml.incident import desk as incident_desk
    from mcml.postmortem import desk, document, views
    from mcml.ui import markdown

    number = incident_desk.identify(session.store, identifier)
    evidence = _with_cost(session, desk.gather(session.store, number, clock=session.clock))
    text = markdown.render(document.blocks(evidence))
    if session.dry_run:
        session.stdout_write(text)
        return None
    incident = evidence.story.incident
    path = Path.cwd() / out if out else desk.default_path(incident)
    place = desk.save(session.store, incident, text, project=session.config.project, path=path, force=force, clock=session.clock)
    return views.drafted(evidence, place)


def _with_cost(session: Session, evidence: "Evidence") -> "Evidence":
    """Add what the incident's target cost meanwhile; a ledger that cannot be read leaves the draft without money, and is said."""
    from mcml.cli.cost import common
    from mcml.postmortem.evidence import Spend, window

    if not common.folder(session).is_dir():
        return evidence
    from mcml.cost.window import cost_between

    target = evidence.story.incident.target
    try:
        found = cost_between(common.ledger(session), *window(evidence), target=target or None)
    except McmlError as failed:
        session.note(f"without cost: {failed.message} ({failed.why})")
        return evidence
    return replace(evidence, spend=tuple(Spend(target or "everything", cost.effective, cost.currency, cost.rows) for cost in found))
