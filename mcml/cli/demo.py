"""`mcml demo`: the whole of mcml on this machine, for real."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.lazy import single
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = single("demo", "The whole of mcml on this machine, for real.")


@command(app, "demo", examples=("mcml demo", "mcml demo --folder /tmp/mcml-demo --keep"))
def run_demo(
    session: Session,
    folder: Annotated[Path, typer.Option(help="Folder to make; the demo's project stays in it.")] = Path("mcml-demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the targets, the model and the router running.")] = False,
) -> Document:
    """Train, apply, deploy, route, kill, page, repair, bill, write it up: real parts on this machine, in about a minute."""
    from mcml.demo import play, views

    return views.played(play.play(folder, session.reporter, keep=keep), keep=keep)
