"""What the verbs of `mcml cost rightsize` share: targets with machines, and the names of machines on them."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.session import Session
from mcml.core.fanout import Answers, ask_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mcml.cost.rightsize.look import Seen, Site
    from mcml.cost.rightsize.offs import Offs

    Told = tuple[Mapping[str, datetime], Mapping[str, Offs]]

Key = Annotated[str, typer.Argument(help="A machine, as TARGET/ID.", metavar="TARGET/ID")]


def read_key(text: str) -> tuple[str, str]:
    """Read TARGET/ID (an id may have slashes of its own). Raises Usage."""
    from mcml.core.errors import Usage

    target, _, machine = text.partition("/")
    if not target or not machine:
        why = "it is written TARGET/ID: eu-1/i-0abc"
        raise Usage(f"{text!r} names no machine of a target", why=why, next_step="mcml cost rightsize list")
    return target, machine


def site(session: Session, target: str, told: "Told | None" = None) -> "Site":
    """Return a target that can be asked for its machines. Raises NotFound for the target, ProviderCannot when it has no machines."""
    from mcml.cost.rightsize.look import Site
    from mcml.providers import discovery
    from mcml.providers.api.capability import INSTANCES, METRICS

    instances = session.open(INSTANCES, target)
    where = session.settings.targets[target]
    measured = discovery.spec(where.provider).offer(METRICS).support.usable
    metrics = session.open(METRICS, target) if measured else None
    return Site(target, where.provider, where.region, instances, metrics, *(told or _told(session)))


def _told(session: Session) -> "Told":
    """Return what our own journal has of machines: when we changed their types, and when we had turned them off."""
    from mcml.core.when import duration
    from mcml.cost.rightsize.measure import changes
    from mcml.cost.rightsize.offs import offs

    now = session.clock()
    return changes(session.store), offs(session.store, now - duration(session.settings.cost.rightsizing.window), now)


def inspect(session: Session, targets: "Sequence[str]" = ()) -> "Answers[list[Seen]]":
    """Look at every target that has machines, or at those that are named, all at once. Raises NotFound for an unknown name."""
    from mcml.core.errors import unknown
    from mcml.providers import discovery
    from mcml.providers.api.capability import INSTANCES

    settings = session.settings
    for name in targets:
        if name not in settings.targets:
            raise unknown("target", name, settings.targets, next_step="mcml config show")
    usable = [name for name, one in settings.targets.items() if discovery.spec(one.provider).offer(INSTANCES).support.usable]
    told = _told(session)
    return ask_all({name: partial(_one, session, name, told) for name in targets or usable})


def _one(session: Session, target: str, told: "Told") -> "list[Seen]":
    """Look at one target, and tell how far it is; with -q nobody is told."""
    from mcml.cli.cost import common
    from mcml.core.report import Silent
    from mcml.cost.rightsize import look

    reporter = Silent() if session.common.quiet else session.reporter
    reporter.start(target, "asks for its machines")
    ended = False
    try:
        found = look.inspect(
            site(session, target, told),
            session.settings.cost.rightsizing,
            common.ledger(session),
            session.clock(),
            told=lambda done, of: reporter.update(target, f"{done} of {of} machines"),
        )
        ended = True
    finally:
        reporter.finish(target, f"{len(found)} machines" if ended else "did not answer", ok=ended)
    return found
