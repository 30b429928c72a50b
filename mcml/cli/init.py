"""`mcml init`: write an mcml.toml."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.lazy import single
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = single("init", "Write an mcml.toml.")


@command(app, "init", examples=("mcml init", "mcml init --name acme-ml --model fraud --target eu-1:europe-west1 --target us-1:us-east-1"))
def init(
    session: Session,
    folder: Annotated[Path, typer.Argument(help="Folder of the project.")] = Path(),
    name: Annotated[str, typer.Option(help="Name of the project.  [default: the folder's]", show_default=False)] = "",
    model: Annotated[str, typer.Option(help="Name of the first model.", show_default=False)] = "",
    target: Annotated[list[str] | None, typer.Option(help="NAME:REGION, repeatable.", show_default=False)] = None,
    price: Annotated[list[str] | None, typer.Option(help="REGION=VCPU_HOUR/GIB_HOUR, repeatable.", show_default=False)] = None,
    port: Annotated[int, typer.Option(help="Port of the router.", min=0, max=65535)] = 8080,
    force: Annotated[bool, typer.Option("--force", help="Replace an mcml.toml.")] = False,
) -> Document:
    """Write an mcml.toml with one model on local targets; asks for what no flag says, when somebody is there to answer."""
    from mcml.cli.project import Answers, ask_missing, refuse_existing, write_project

    refuse_existing(folder, force=force)
    answers = ask_missing(Answers(name, model, tuple(target or ()), tuple(price or ())), folder, session.streams)
    return write_project(folder, answers, port=port)
