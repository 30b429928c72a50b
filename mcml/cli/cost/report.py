"""`mcml cost report`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.cli.cost.common import Costs
    from mcml.cost.span import Span
    from mcml.store.ledger.book import Scope

EXAMPLES = (
    "mcml cost report",
    "mcml cost report --by team --since 2026-11-01",
    "mcml cost report --by tag:cost-centre --where 'service~Amazon*' --month 2026-10",
    "mcml cost report --by service --last week --compare previous --limit 10",
    "mcml cost report --where team=risk --month 2026-10 --rows -o csv",
    "mcml cost report --month 2026-10 --currency EUR        # by the rate of each day; see: mcml cost rates",
    "mcml cost report --month 2026-10 --as-of 2026-11-01   # what was known then; see: mcml cost restatements",
)
BY = "provider, service, target, model, team, project, environment, region, account, tag:KEY, day, week, month ... "


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "report", examples=EXAMPLES, rows=True)(report)


def report(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help=f"{BY}(repeatable, or with commas; default: provider,target,model).",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    where: common.Where = None,
    since: Annotated[str, typer.Option("--since", help="30m, 7d, today, 2026-11-01: charges that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; charges that start before.")] = "",
    month: common.Month = "",
    last: common.Last = "",
    compare: Annotated[
        str, typer.Option("--compare", help="previous (the same span before it), or a span: 2026-08, 2026-08-01..2026-08-15.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many lines a currency; the others become one (0: all).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows behind these numbers, dearest first, and the query.")] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="ledger, or warehouse: a company's table of costs, [cost.warehouse] in mcml.toml.")
    ] = "ledger",
    as_of: common.AsOf = "",
    currency: common.Currency = "",
) -> Document:
    """Show what it costs, one table a currency. Days are of UTC; a charge counts on the day it starts.

    Behind any number of `mcml cost` are rows: with -o json a line says in `where` which, and --where with that, and --rows, shows them.
    """
    from mcml.core.errors import Usage
    from mcml.cost import report as reports
    from mcml.cost import views

    scope, chosen = common.chosen(session, where, since, until, month, last), common.names(by, reports.DEFAULT_BY)
    ledger = common.costs(session, engine, as_of)
    if rows and currency:
        raise Usage("--rows shows rows as they were billed", why="each has its own currency", next_step="leave out --currency or --rows")
    pair = _pair(session, common.period(session, since, until, month, last), compare, as_of) if compare else None
    if rows:
        scope = common.either(pair[1], pair[0], scope.filters) if pair else scope
        return common.rows(session, scope, limit, engine, as_of)
    if pair:
        return _compared(session, ledger, chosen, where, pair, limit, currency)
    if currency:
        return _converted(session, ledger, chosen, scope, limit, currency)
    groups = ledger.totals(reports.dimensions_to_ask(chosen), scope)
    found = reports.build(chosen, groups, ledger.totals((reports.DAY,), scope), limit=limit)
    return views.cost_report(found, ledger.waiting(), common.usual_error(ledger, common.ledger(session)))


def _converted(session: Session, ledger: "Costs", by: tuple[str, ...], scope: "Scope", limit: int, currency: str) -> Document:
    from mcml.cost import report as reports
    from mcml.cost import views
    from mcml.cost.rates.views import with_rates

    found, daily = (common.converted(session, ledger, names, scope, currency) for names in (reports.dimensions_to_ask(by), (reports.DAY,)))
    errors = common.usual_error(common.exchanged(session, ledger, currency), common.ledger(session))
    shown = views.cost_report(reports.build(by, found.groups, daily.groups, limit=limit), ledger.waiting(), errors)
    return with_rates(shown, found, by=by)


def _pair(session: Session, span: "Span | None", against: str, as_of: str) -> "tuple[Span, Span]":
    from mcml.core.errors import Usage
    from mcml.core.when import moment
    from mcml.cost.span import pair

    if span is None:
        raise Usage("--compare needs a span", why="it compares two of them", next_step="mcml cost report --last month --compare previous")
    return pair(span, against, session.clock(), moment(as_of, session.clock()) if as_of else None)


def _compared(
    session: Session, ledger: "Costs", by: tuple[str, ...], where: list[str] | None, pair: "tuple[Span, Span]", limit: int, currency: str
) -> Document:
    from mcml.cost import movers, views
    from mcml.cost.rates.views import with_rates
    from mcml.store.ledger.book import Scope

    after, before = pair
    earlier, later = (Scope(each.start, each.end, filters=common.filters(where)) for each in (before, after))
    if currency:
        sides = [common.converted(session, ledger, by, scope, currency) for scope in (earlier, later)]
        tables = movers.compare(by, sides[0].groups, sides[1].groups, limit=limit)
        made_of = common.exchanged(session, ledger, currency)
        shown = with_rates(views.comparison(by, tables, before, after), *sides)
        return common.sourced(made_of, shown, common.ledger(session), before=earlier, after=later)
    tables = movers.compare(by, ledger.totals(by, earlier), ledger.totals(by, later), limit=limit)
    return common.sourced(ledger, views.comparison(by, tables, before, after), common.ledger(session), before=earlier, after=later)
