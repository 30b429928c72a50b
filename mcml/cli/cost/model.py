"""`mcml cost model`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_model
from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost model",
    "mcml cost model fraud --by target,version --since 7d",
    "mcml cost model --shared requests --month 2026-10 -o json",
    "mcml cost model fraud --last week --rows -o csv",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "model", examples=EXAMPLES, rows=True)(model_cost)


def model_cost(
    session: Session,
    model: Annotated[str, typer.Argument(help="Only this model; all when left out.", autocompletion=complete_model)] = "",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Also by target, version, environment ...", autocompletion=common.complete_dimension, show_default=False),
    ] = None,
    shared: Annotated[
        str, typer.Option("--shared", help="How what carries no model is shared among the models: by cost, requests, or none of it.")
    ] = "cost",
    where: common.Where = None,
    since: Annotated[str, typer.Option("--since", help="30m, 7d, today, 2026-11-01: charges that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; charges that start before.")] = "",
    month: common.Month = "",
    last: common.Last = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --rows: at most so many (0: 100).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows that carry the model, dearest first, and the query.")] = False,
    as_of: common.AsOf = "",
) -> Document:
    """Show what a request costs, and a token where a bill or a meter counts them: its usage alone, and fully loaded.

    Usage is what was metered with the requests: what one request more adds. Loaded is everything that carries the model and its share of
    what carries none; all lines together are the bill of the span. Idle is what was held while nobody asked.
    """
    from dataclasses import replace

    from mcml.cost import unit, unit_views
    from mcml.store.ledger.dimensions import Filter
    from mcml.store.ledger.units import model_costs

    driver = next((each for each in unit.DRIVERS if each == shared), None)
    if driver is None:
        raise Usage(f"cannot share by {shared!r}", why=f"choose one of {', '.join(unit.DRIVERS)}", next_step="mcml cost model --help")
    chosen = tuple(dict.fromkeys((unit.MODEL, *common.names(by, ()))))
    scope, ledger = common.chosen(session, where, since, until, month, last), common.ledger(session, as_of)
    if rows:
        own = (Filter(unit.MODEL, "=", (model,)),) if model else ()
        return common.rows(session, replace(scope, filters=(*scope.filters, *own)), limit, as_of=as_of)
    tables = unit.build(model_costs(ledger, chosen, scope), driver)
    shown = unit_views.units(chosen, unit.of_model(tables, model) if model else tables)
    return common.sourced(ledger, shown, all=scope)
