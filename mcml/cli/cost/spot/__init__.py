"""`mcml cost spot`: jobs on machines that may be taken away at any moment, done in time all the same."""

import typer

from mcml.cli.cost.spot import checkpoint, clean, prices, run, simulate, status, stop
from mcml.cli.lazy import group

app = group(
    "spot",
    "Spot machines under a deadline: what they save, and jobs that use them and fall back on demand in time.",
    examples=(
        "mcml cost spot run train --on eu-1/g5.xlarge --fallback eu-1/g5.xlarge ... -- python train.py",
        "mcml cost spot status                               # where each job runs, what it cost and saved",
        "mcml cost spot simulate --work 48h --deadline 52h   # our policy beside three others, on drawn traces",
        "mcml cost spot simulate traces/ --restart 12m",
        "mcml cost spot checkpoint --takes 40s --between 6h",
    ),
)
for verb in (run, status, stop, clean, prices, simulate, checkpoint):
    verb.register(app)


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)
