"""`mcml cost allocate`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost allocate --month 2026-10",
    "mcml cost allocate --month 2026-10 --explain",
    "mcml cost allocate --month 2026-10 -o csv",
    "mcml cost allocate --since 365d --trend             # what nobody bears, by month",
    "mcml cost allocate --last month --without risk      # what would be saved if this team left",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "allocate", examples=EXAMPLES, rows=True)(allocate)


def allocate(
    session: Session,
    where: common.Where = None,
    since: Annotated[str, typer.Option("--since", help="30m, 7d, today, 2026-11-01: charges that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; charges that start before.")] = "",
    month: common.Month = "",
    last: common.Last = "",
    explain: Annotated[bool, typer.Option("--explain", help="Say which rule took which costs, and to whom they went.")] = False,
    trend: Annotated[bool, typer.Option("--trend", help="Say month by month how much is borne by nobody.")] = False,
    without: Annotated[str, typer.Option("--without", help="What would be saved if this team or project left.", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --rows: at most so many (0: 100).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows that are allocated, dearest first, and the query.")] = False,
    as_of: common.AsOf = "",
) -> Document:
    """Say who bears which costs, by the rules in [cost.allocation] of mcml.toml, every cent once.

    Shared cost is split by a rule's driver; what no rule takes is a line of its own. Without rules, costs go to the team in their tags.
    """
    from mcml.core.errors import Usage
    from mcml.cost.allocate import lines, rules, share, trends, views

    if sum(map(bool, (explain, trend, without))) > 1:
        raise Usage("--explain, --trend and --without exclude each other", next_step="give one of them")
    scope = common.chosen(session, where, since, until, month, last)
    if rows:
        return common.rows(session, scope, limit, as_of=as_of)
    ordered = rules.read(session.settings.cost.allocation)
    ledger = common.ledger(session, as_of)
    if trend:
        months = trends.unallocated(ordered, ledger.totals(trends.dimensions(ordered), scope))
        return common.sourced(ledger, views.trend(months), all=scope)
    groups = ledger.totals(rules.dimensions(ordered), scope)
    if without:
        return common.sourced(ledger, views.departure(lines.departure(ordered, groups, without)), all=scope)
    allocated = share.allocate(ordered, groups)
    borne = lines.statement(allocated)
    shown = (views.explained if explain else views.allocation)(rules.dimensions(ordered), borne, allocated)
    return common.sourced(ledger, shown, all=scope)
