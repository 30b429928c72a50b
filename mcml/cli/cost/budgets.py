"""`mcml cost budgets`: list, show, check, lift, undo."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.cost.budget.standing import Standing
    from mcml.cost.rates.table import Rates

app = group(
    "budgets",
    "What may be spent, over all clouds at once: list, show, check, lift, undo.",
    examples=(
        "mcml cost budgets",
        "mcml cost budgets show risk",
        "mcml cost budgets check     # from cron, every hour",
        "mcml cost budgets lift risk # what it refuses is allowed again",
    ),
    default="list",
)
Name = Annotated[str, typer.Argument(help="A budget of mcml.toml.")]
Act = Annotated[bool, typer.Option("--act", help="Carry out the actions of budgets without act = true, too, which else are only told.")]


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)


@command(app, "list", examples=("mcml cost budgets", "mcml cost budgets -o json"))
def list_budgets(session: Session) -> Document:
    """List the budgets of mcml.toml: what is spent, what will be, and whether an alert is on. Nothing is written."""
    from mcml.cost.budget import act, desk, views

    known = session.settings.cost.budgets
    rates = common.rates_of_budgets(session)
    standings = desk.look(common.ledger(session), session.store, known, session.clock(), rates)
    return views.budgets(standings, act.remembered(session.store), _usual_errors(session, standings, rates), act.off(session.store))


@command(app, "show", examples=("mcml cost budgets show risk",))
def show(session: Session, name: Name) -> Document:
    """Show one budget: its period, what is spent and estimated, how fast it burns, which alerts are on, and its actions."""
    from mcml.core.errors import unknown
    from mcml.cost.budget import act, desk, views

    known = session.settings.cost.budgets
    if name not in known:
        raise unknown("budget", name, known, next_step="mcml cost budgets")
    rates = common.rates_of_budgets(session)
    (standing,) = desk.look(common.ledger(session), session.store, {name: known[name]}, session.clock(), rates)
    return views.budget(standing, act.remembered(session.store), _usual_errors(session, [standing], rates), act.off(session.store))


CHECKS = ("mcml cost budgets check", "mcml cost budgets check --dry-run --act", "mcml cost budgets check --act --yes")


@command(app, "check", examples=CHECKS, changes=True)
def check(session: Session, act: Act = False) -> Document:
    """Write into the journal which alerts came on or went off since the last check, open incidents where that is asked for, and act.

    Actions: idle machines are stopped, and deploys on GPUs refused, while a budget is over the share that its action names. Exit 7 when
    some of it was not done, or costs in another currency could not be converted; the next check goes on.
    """
    from mcml.cli.cost import budget_pass
    from mcml.cost.budget import desk, views
    from mcml.incident.desk import record_within

    known, ledger, rates = session.settings.cost.budgets, common.ledger(session), common.rates_of_budgets(session)
    profile, dry_run = session.config.profile, session.dry_run
    told = desk.check(ledger, session.store, known, session.clock, record_within, rates, profile=profile, dry_run=dry_run)
    standings = [each.standing for each in told]
    errors, found = _usual_errors(session, standings, rates), budget_pass.check(session, standings, act=act)
    acting = [name for name, budget in known.items() if act or budget.act]
    if any(each.standing.unconverted for each in told):
        session.exit_code = exits.PARTLY_DONE
    shown = views.checked(told, found.due, found.done, dry_run=dry_run, acting=acting, errors=errors)
    return found.ended(session, shown)


@command(app, "lift", examples=("mcml cost budgets lift risk",), changes=True)
def lift(session: Session, name: Name) -> None:
    """Allow what a budget refuses now, until its period ends or its amount is changed. The journal keeps who did.

    An action at a higher share of the budget begins anew when that is spent.
    """
    from mcml.cost.budget import act

    _known(session, name)
    if session.dry_run:
        return
    found = act.lift(session.store, name, session.clock(), act.REFUSE)
    session.note(f"{name}: nothing is refused any more" if found else f"{name} refused nothing")


@command(app, "undo", examples=("mcml cost budgets undo risk", "mcml cost budgets undo risk --dry-run"), changes=True)
def undo(session: Session, name: Name) -> Document:
    """Take back what the actions of a budget did: machines that it stopped are started, what it refuses is allowed.

    These actions do not run again until its period ends or its amount is changed; one at a higher share begins anew. A machine that has a
    schedule follows that from then on. Exit 7 for one that was stopped so shortly before that it may be on its way down.
    """
    from mcml.cli.cost import budget_pass
    from mcml.cost.budget import stop, views

    _known(session, name)
    found = budget_pass.undo(session, name)
    return found.ended(session, views.undone(found.due, found.done, dry_run=session.dry_run), stop.undo(name))


def _usual_errors(session: Session, standings: "Sequence[Standing]", rates: "Rates | None") -> Mapping[str, Decimal]:
    """Return how far off the estimates in what each budget spent usually are, in percent; a budget without any is not asked about."""
    from mcml.cost.rates.convert import Exchanged

    ledger, found = common.ledger(session), {}
    for each in standings:
        if each.estimated:
            currency = each.budget.currency
            errors = common.usual_error(Exchanged(ledger, rates, currency) if rates and each.budget.convert else ledger)
            if currency in errors:
                found[each.name] = errors[currency]
    return found


def _known(session: Session, name: str) -> None:
    """Raise NotFound for a budget that is neither in mcml.toml nor has anything in force."""
    from mcml.core.errors import unknown
    from mcml.cost.budget import act
    from mcml.cost.budget.stop import by
    from mcml.cost.schedule.run import remembered

    acted = {memory.key.partition("/")[0] for memory in act.remembered(session.store)}
    stopped = {one.by for one in remembered(session.store)[0].values()}
    if name not in (session.settings.cost.budgets.keys() | acted) and by(name) not in stopped:
        raise unknown("budget", name, session.settings.cost.budgets, next_step="mcml cost budgets")
