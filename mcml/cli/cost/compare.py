"""`mcml cost compare`."""

from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from mcml.cli.completion import complete_model
from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session

EXAMPLES = ("mcml cost compare fraud", "mcml cost compare fraud --machine e2-standard-4 --limit 5", "mcml cost compare fraud -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "compare", examples=EXAMPLES)(compare)


def compare(
    session: Session,
    model: Annotated[str, typer.Argument(help="The model.", autocompletion=complete_model, show_default=False)],
    machine: Annotated[str, typer.Option("--machine", help="Price this machine type instead of what it holds now.")] = "",
    since: Annotated[str, typer.Option("--since", help="Cost and requests since then.")] = "30d",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Show the so many cheapest regions (0: all); JSON has all.")] = 20,
) -> None:
    """Set a model's places side by side: what it costs on each target, and an hour of its size in every region with a price.

    Of machines: now, at the size that right-sizing proposes, and of the cheapest type that has what is needed on each other cloud of
    mcml.toml.
    """
    from mcml.cli.cost import held, sizes
    from mcml.cost.compare import places as places
    from mcml.cost.compare import sizes as compare_sizes
    from mcml.cost.compare import views as compare_views
    from mcml.cost.meter.live import merged
    from mcml.store.ledger.units import model_costs

    asked = held.ask(session)
    mine = [each for each in merged(asked.given.values()) if each.model == model]
    ledger, scope = common.ledger(session), common.scope(session, since, "")
    here = places.here(model, _targets(session, model), mine, model_costs(ledger, places.BY, scope))
    judged, types = sizes.judged(session, model, mine), sizes.catalogues(session, mine, named=bool(machine))
    now = [*places.holdings(mine), *compare_sizes.instead(mine, judged, types, session.settings.cost.rightsizing)]
    prices = compare_sizes.with_listed(partial(held.everywhere, session), judged, types)
    there = places.there(compare_sizes.named(machine, types) if machine else now, prices)
    shown = compare_views.comparison(model, compare_sizes.with_proposals(here, mine, judged), there, limit=limit)
    session.show(common.sourced(ledger, shown, spent=replace(scope, where={"model": model})))
    asked.raise_failures("asking the target", next_step=f"mcml cost compare {model}")


def _targets(session: Session, model: str) -> dict[str, tuple[str, str]]:
    settings = session.settings
    named = settings.models[model].targets if model in settings.models else ()
    return {name: (settings.targets[name].provider, settings.targets[name].region) for name in named}
