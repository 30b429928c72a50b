"""`mcml cost schedule`: list, run, keep, release."""

from typing import Annotated

import typer

from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import Usage, unknown
from mcml.core.view import Document

app = group(
    "schedule",
    "Office hours of machines and groups: list, run, keep, release.",
    examples=("mcml cost schedule", "mcml cost schedule run --dry-run", "mcml cost schedule keep office --for 4h"),
    default="list",
)
Name = Annotated[str, typer.Argument(help="A schedule of mcml.toml.")]
Only = Annotated[str, typer.Option("--only", help="One thing alone, as TARGET/instance/ID or TARGET/group/NAME.", show_default=False)]


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)


@command(app, "list", examples=("mcml cost schedule list", "mcml cost schedule list -o json"))
def list_schedules(session: Session) -> Document:
    """List the schedules: on or off now, why, until when, and how much is off because of them."""
    from mcml.cost.schedule import views
    from mcml.cost.schedule.run import calendar_of, remembered

    known = session.settings.cost.schedules
    stopped, keeps = remembered(session.store)
    calendars = {name: calendar_of(one, name) for name, one in known.items()}
    return views.schedules(known, calendars, stopped, keeps, session.clock(), session.config.profile)


@command(
    app, "run", examples=("mcml cost schedule run --dry-run", "mcml cost schedule run --yes   # from cron, every few minutes"), changes=True
)
def run(
    session: Session,
    name: Annotated[list[str] | None, typer.Argument(help="Schedules; all without one.", show_default=False)] = None,
) -> Document:
    """Turn off what is outside its hours, and on again, exactly as it was, what is within them. A run that was missed is made good.

    What a schedule has turned off is given back, too, when mcml.toml does not have the schedule any more, or it means something else now.
    """
    from mcml.cli.cost import schedule_pass
    from mcml.cost.schedule import views

    for one in name or ():
        known(session, one)
    found = schedule_pass.look(session, name or ())
    if session.dry_run:
        return schedule_pass.ended(session, found, views.passed(found.plans, dry_run=True), [])
    if any(plan.changes for plan in found.plans.values()):
        session.confirm(f"Turn {found.counted()}?")
    done = found.carry_out(session)
    return schedule_pass.ended(session, found, views.passed(found.plans, done), done)


@command(app, "keep", examples=("mcml cost schedule keep office --for 4h --reason 'release'",), changes=True)
def keep(
    session: Session,
    name: Name,
    lasts: Annotated[str, typer.Option("--for", help="For how long: 90m, 4h, 2d.")],
    only: Only = "",
    reason: Annotated[str, typer.Option("--reason", help="Why: shown by run, and kept in the journal.", show_default=False)] = "",
) -> None:
    """Keep a schedule's things on for a while; what is off now is turned on by the next run."""
    from mcml.core.fact import current_actor
    from mcml.core.when import duration
    from mcml.cost.schedule import run as work
    from mcml.cost.schedule.plan import Keep

    known(session, name)
    until = session.clock() + duration(lasts)
    if until <= session.clock():
        raise Usage(f"--for {lasts} is no time at all", next_step=f"mcml cost schedule release {name}")
    _check(session, only)
    session.note(f"{only or name}: kept on until {until:%Y-%m-%d %H:%M} UTC")
    if not session.dry_run:
        work.keep(session.store, Keep(name, until, only, current_actor(), reason), session.clock())


@command(app, "release", examples=("mcml cost schedule release office",), changes=True)
def release(session: Session, name: Name, only: Only = "") -> None:
    """Let a schedule have its way again, before the time that `keep` named."""
    from mcml.cost.schedule import run as work

    known(session, name)
    if session.dry_run:
        return
    session.note(f"{only or name}: released" if work.release(session.store, name, only) else f"{only or name} was not kept on")


def _check(session: Session, only: str) -> None:
    """Raise Usage for an --only that can name nothing, NotFound for its target."""
    target, _, rest = only.partition("/")
    kind, _, identifier = rest.partition("/")
    if only and (kind not in ("instance", "group") or not identifier):
        why, step = "expected TARGET/instance/ID or TARGET/group/NAME", "mcml cost schedule run --dry-run"
        raise Usage(f"--only {only} names nothing", why=why, next_step=step)
    if only and target not in session.settings.targets:
        raise unknown("target", target, session.settings.targets, next_step="mcml config show")


def known(session: Session, name: str) -> None:
    """Raise NotFound with the nearest name for a schedule that mcml.toml does not have."""
    if name not in session.settings.cost.schedules:
        raise unknown("schedule", name, session.settings.cost.schedules, next_step="mcml config show")
