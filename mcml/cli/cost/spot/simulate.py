"""`mcml cost spot simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost spot simulate --work 48h --deadline 52h",
    "mcml cost spot simulate traces/ --deadline 70h --restart 12m",
    "mcml cost spot simulate --on-demand 3.06 --spot 0.9731 -o json",
)
TICK = 600


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "simulate", examples=EXAMPLES)(simulate)


def simulate(
    _session: Session,
    trace: Annotated[Path | None, typer.Argument(help="A trace, or a folder of them (Cant-Be-Late JSON). Default: drawn ones.")] = None,
    work: Annotated[str, typer.Option("--work", help="How long it takes without a stop.")] = "48h",
    deadline: Annotated[str, typer.Option("--deadline", help="How long it may take.")] = "52h",
    restart: Annotated[str, typer.Option("--restart", help="What every start of a machine costs.")] = "3m",
    on_demand: Annotated[str, typer.Option("--on-demand", help="Price of an hour on demand.")] = "3.06",
    spot: Annotated[str, typer.Option("--spot", help="Price of an hour of spot.")] = "0.9731",
    windows: Annotated[int, typer.Option("--windows", min=1, max=5000, help="How many traces are drawn of each kind.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which ones: the same seed draws the same.")] = 1,
) -> Document:
    """Run our policy and three others on traces of the spot market. Score: 100 is as cheap as spot alone, 0 as dear as on demand alone."""
    from mcml.cli.cost.spot.words import price, seconds
    from mcml.cost.spot import contest, traces, views
    from mcml.cost.spot.contest import Terms

    terms = Terms(seconds(work, "--work"), seconds(deadline, "--deadline"), seconds(restart, "--restart"), price(on_demand), price(spot))
    found = traces.read(trace) if trace else traces.draw(TICK, terms.deadline // TICK, windows, seed)
    return views.contests([contest.hold(terms, one) for one in found])
