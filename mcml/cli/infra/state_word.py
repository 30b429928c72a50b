"""`mcml infra state`: earlier versions of a unit's state."""

import typer

from mcml.cli.infra import state_diff, state_log, state_restore
from mcml.cli.lazy import group

app = group(
    "state",
    "Earlier versions of a unit's state: log, diff, restore.",
    examples=("mcml infra state log aws-data", "mcml infra state diff aws-data 12", "mcml infra state restore aws-data 12"),
)
for verb in (state_log, state_diff, state_restore):
    verb.register(app)


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)
