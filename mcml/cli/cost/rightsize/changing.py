"""What apply, undo and clean share: who carries a change out, what a person wishes, and how it ended."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.cost.rightsize.apply import Work
    from mcml.cost.rightsize.change import Change
    from mcml.cost.rightsize.planned import Planned, Wish

NoSnapshot = Annotated[bool, typer.Option("--no-snapshot", help="Do not copy its disks first.")]
Watch = Annotated[str, typer.Option("--watch", help="For how long it is watched: 30m.  [default: that of mcml.toml]", show_default=False)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until it was watched: exit 8, and `apply` goes on.")]


def work(session: Session, target: str) -> "Work":
    """Return what carries changes on a target out. Raises NotFound for the target, ProviderCannot when it has no machines."""
    from mcml.cost.rightsize.apply import Work
    from mcml.cost.rightsize.steps import Site
    from mcml.incident.desk import record_within
    from mcml.providers import discovery
    from mcml.providers.api.capability import INSTANCES, METRICS, SNAPSHOTS

    instances = session.open(INSTANCES, target)
    spec = discovery.spec(session.settings.targets[target].provider)
    snapshots = session.open(SNAPSHOTS, target) if spec.offer(SNAPSHOTS).support.usable else None
    metrics = session.open(METRICS, target) if spec.offer(METRICS).support.usable else None
    health = session.settings.cost.rightsizing.health
    site = Site(instances, snapshots, metrics)
    twins = [name for name in session.settings.targets if name != target and _same_place(session, name, target)]
    return Work(session.store, site, health, session.clock, session.reporter, tell=record_within, twins=twins)


def _same_place(session: Session, one: str, other: str) -> bool:
    """Tell whether two targets list the same machines: those of one provider, in one region or without any."""
    here, there = session.settings.targets[one], session.settings.targets[other]
    return here.provider == there.provider and (here.region == there.region or not (here.region and there.region))


def wish(session: Session, at_work: "Work", watch: str, *, no_snapshot: bool, to: str = "", force: bool = False) -> "Wish":
    """Read what a person wishes. Raises Usage for what is no span, ProviderCannot where there are no snapshots."""
    from mcml.core.errors import ProviderCannot, Usage
    from mcml.core.when import duration
    from mcml.cost.rightsize.planned import Wish

    if at_work.site.snapshots is None and not no_snapshot:
        raise ProviderCannot("the disks cannot be copied", why="the provider has no snapshots", next_step="add --no-snapshot")
    length = duration(watch or session.settings.cost.rightsizing.watch)
    if not length:
        raise Usage("a change is watched for some time", next_step="--watch 30m")
    return Wish(to, force, copy=not no_snapshot, watch=length)


def recommended(session: Session, at_work: "Work", machine: str, wished: "Wish") -> "Planned":
    """Look at a machine, and plan the change to what is recommended, or to the type that is wished for."""
    from mcml.cli.cost import common
    from mcml.cli.cost.rightsize import sites
    from mcml.core.errors import InvalidRequest
    from mcml.cost.rightsize import look
    from mcml.cost.rightsize.planned import planned

    target, identifier = sites.read_key(machine)
    settings, now = session.settings.cost.rightsizing, session.clock()
    (seen,) = look.inspect(sites.site(session, target), settings, common.ledger(session), now, identifier)
    try:
        types = at_work.site.instances.prices([wished.to]) if wished.to else []
    except InvalidRequest as unknown:
        raise InvalidRequest(unknown.message, why=unknown.why, next_step=f"mcml cost rightsize explain {machine}") from unknown
    return planned(seen, types, wished, settings, now)


def begun(session: Session, at_work: "Work", planned: "Planned") -> "Change":
    """Show the plan, ask, and write the change down. Raises Interrupted on a no, Conflict when it is no longer as it was planned."""
    from mcml.cost.rightsize import change_views

    if session.common.output == "table":
        session.show(change_views.plan(planned))
    change = planned.change
    down = " It is stopped meanwhile." if change.ran else ""
    session.confirm(f"Change {change.key} from {change.before} to {change.after}?{down}")
    return at_work.begin(planned)


def ended(session: Session, change: "Change", *, wanted: tuple[str, ...] = ("done",)) -> Document:
    """Return how a change stands; exit 8 while it is watched. One that did not end as wanted is shown, and raises McmlError."""
    from mcml.core import exits
    from mcml.core.errors import McmlError
    from mcml.cost.rightsize import change_views

    document = change_views.changes([change], session.clock())
    if change.under_way:
        session.exit_code = exits.STILL_RUNNING
    elif change.stage not in wanted:
        session.show(document)
        step = f"mcml cost rightsize explain {change.key}"
        raise McmlError(f"{change.key} is not {change.after}: {change.stage}", why=change.reason or change.problem, next_step=step)
    return document
