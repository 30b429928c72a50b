"""`mcml cost rightsize`: machines of the size that they need."""

import typer

from mcml.cli.cost.rightsize import apply, clean, explain, keep, list_machines, models, savings, status, undo
from mcml.cli.lazy import group

app = group(
    "rightsize",
    "Machines of the size they need: what they used against what they have, and what another type would save.",
    examples=(
        "mcml cost rightsize list                       # every machine of every target",
        "mcml cost rightsize list --action shrink",
        "mcml cost rightsize explain eu-1/i-0abc        # usage, what fits and what does not, how the saving was computed",
        "mcml cost rightsize models                     # what each model should be given, and the lines for mcml.toml",
        "mcml cost rightsize apply eu-1/i-0abc          # snapshot, stop, resize, start, watch; back by itself when it is not well",
        "mcml cost rightsize savings                    # what was promised, and what the bill says came of it",
    ),
)
for verb in (list_machines, explain, models, apply, status, undo, keep, clean, savings):
    verb.register(app)


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)
