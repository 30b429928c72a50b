"""`mcml data cp`."""

import sys
from typing import Annotated

import typer

from mcml.cli.completion import complete_address
from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml data cp model.onnx local://models/fraud/",
    "mcml data cp -r local://models/fraud backup/fraud --dry-run",
    "pg_dump shop | mcml data cp - local://dumps/shop.sql",
)
From = Annotated[
    str, typer.Argument(help="scheme://bucket/key, a path, or - for stdin.", autocompletion=complete_address, show_default=False)
]
To = Annotated[
    str, typer.Argument(help="The same, or - for stdout; ending in / it is a folder.", autocompletion=complete_address, show_default=False)
]
NoClobber = Annotated[bool, typer.Option("--no-clobber", help="Never overwrite, not even what appears meanwhile.")]
Force = Annotated[bool, typer.Option("--force", help="Copy also what looks the same.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "cp", examples=EXAMPLES, changes=True)(copy_data)


def copy_data(
    session: Session,
    source: From,
    destination: To,
    recursive: common.Recursive = False,
    no_clobber: NoClobber = False,
    force: Force = False,
    jobs: common.Jobs = 8,
) -> Document | None:
    """Copy what is missing or differs, with verified checksums; cut off at any moment, the same command goes on.

    With --recursive what is below SOURCE comes to lie directly below DESTINATION. Sizes and checksums decide what differs.
    """
    from mcml.cli.data.cat import cat_data
    from mcml.data import copy, ends, views, work
    from mcml.data.address import STREAM, parse
    from mcml.data.plan import Rules

    if destination == STREAM and not recursive:
        cat_data(session, source)
        return None
    both = ends.ends(parse(source), parse(destination), common.open_store(session), recursive=recursive, stdin=lambda: sys.stdin.buffer)
    again = common.again("cp", source, destination, recursive=recursive, no_clobber=no_clobber, force=force)
    job = copy.Copy(both, Rules(clobber=not no_clobber, force=force), session.reporter, jobs, again)
    plan = copy.look(job)
    if session.dry_run:
        return views.plan_document(plan)
    outcomes = copy.run(job, plan, record=common.recorder(session, both.destination.place))
    session.show(views.outcome_list(outcomes, "copied"))
    work.raise_failures(outcomes, "copied", again)
    return None
