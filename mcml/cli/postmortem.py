"""`mcml postmortem`: written from the facts the others recorded."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.completion import complete_incident
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml postmortem draft INC-1", "mcml postmortem draft INC-1 --out review.md", "mcml postmortem draft INC-1 --dry-run")
app = group("postmortem", "Written from the facts the others recorded.", examples=EXAMPLES)


@command(app, "draft", examples=EXAMPLES, changes=True)
def draft(
    session: Session,
    identifier: Annotated[str, typer.Argument(help="An incident: 1 or INC-1.", autocompletion=complete_incident, metavar="INCIDENT")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to; default: postmortems/ in the project.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Document | None:
    """Draft an incident's postmortem as Markdown.

    Every fact names the journal rows it comes from; causes, lessons and actions are left to people. --dry-run prints it to stdout.
    """
    from mcml.incident.names import parse_name
    from mcml.postmortem import desk, document, views
    from mcml.ui import markdown

    evidence = desk.gather(session.store, parse_name(identifier), clock=session.clock)
    text = markdown.render(document.blocks(evidence))
    if session.dry_run:
        session.stdout_write(text)
        return None
    incident = evidence.story.incident
    path = Path.cwd() / out if out else desk.default_path(incident)
    place = desk.save(session.store, incident, text, project=session.config.project, path=path, force=force, clock=session.clock)
    return views.drafted(evidence, place)
