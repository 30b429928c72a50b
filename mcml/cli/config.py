"""`mcml config`: the configuration in force, an example, its schema."""

from typing import Annotated

import typer

from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = group(
    "config",
    "The configuration in force, an example, its schema.",
    examples=("mcml config show --origin", "mcml config example > mcml.toml", "mcml config schema > mcml.schema.json"),
)


@command(app, "show", examples=("mcml config show", "mcml config show --origin", "mcml config show -o json"))
def show_config(
    session: Session, origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False
) -> Document:
    """Show every setting in force, one a line."""
    from mcml.cli.about import config_document

    return config_document(session.config, origin=origin)


@command(app, "example", examples=("mcml config example > mcml.toml",))
def print_example(session: Session) -> None:
    """Print a complete mcml.toml with every key explained."""
    from mcml.core.example import annotated

    session.stdout_write(annotated())


@command(app, "schema", examples=("mcml config schema > mcml.schema.json",))
def print_schema(session: Session) -> None:
    """Print the JSON Schema of mcml.toml, for editors that complete and check."""
    import json

    from mcml.core.schema import Settings

    session.stdout_write(json.dumps(Settings.model_json_schema(), indent=2) + "\n")
