"""`mcml cost rightsize list`."""

from enum import StrEnum
from typing import Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.options import command
from mcml.cli.session import Session

EXAMPLES = (
    "mcml cost rightsize list",
    "mcml cost rightsize list --target eu-1 --action shrink --action change",
    "mcml cost rightsize list -o json",
)


class Action(StrEnum):
    """What may become of a machine."""

    SHRINK = "shrink"
    GROW = "grow"
    CHANGE = "change"
    KEEP = "keep"
    UNKNOWN = "unknown"


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "list", examples=EXAMPLES)(list_machines)


def list_machines(
    session: Session,
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Only this target. Repeatable.", autocompletion=complete_target, show_default=False)
    ] = None,
    action: Annotated[list[Action] | None, typer.Option("--action", help="Only these. Repeatable.", show_default=False)] = None,
) -> None:
    """List what should become of each machine: a smaller type, a larger, another, none, or too little is known; why, and what it saves.

    What was measured before a machine had its present type does not count, and what is not measured is not made smaller. Savings are a
    month's, at the rate that the bill shows. Exit 7 when a target did not answer.
    """
    from mcml.cli.cost.rightsize import sites
    from mcml.cost.rightsize import look, views

    asked = sites.inspect(session, target or ())
    if asked.given or not asked.failed:
        found = [seen.recommendation for seen in look.once(asked.given.values())]
        session.show(views.listed([one for one in found if not action or one.action in action], asked.failed))
    asked.raise_failures("asking the target", next_step="mcml cost rightsize list")
