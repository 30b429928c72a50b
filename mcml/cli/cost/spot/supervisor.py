"""What run, stop and status share: the supervisor of a job, with the targets it may use."""

import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import McmlError, Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcml.cost.spot.market import Memory
    from mcml.cost.spot.order import Candidate, Fallback, Order, Record
    from mcml.cost.spot.progress import Reader
    from mcml.cost.spot.site import Site
    from mcml.cost.spot.supervise import Supervisor

DETACH_SECONDS = 60.0
RECENTLY = timedelta(days=7)
"""How long after its end the clouds of a job are asked what is left of it."""
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def of(session: Session, order: "Order") -> "Supervisor":
    """Return the supervisor of a job. Raises NotFound for a target that mcml.toml does not have, ProviderCannot."""
    from mcml.cost.spot.supervise import Supervisor

    targets = dict.fromkeys([*(one.target for one in order.candidates), order.fallback.target])
    sites = {target: _site(session, target) for target in targets}
    return Supervisor(session.store, sites, _reader(session, order.progress), session.clock, session.reporter)


def foreground(session: Session, at_work: "Supervisor", name: str, fresh: "Order | None") -> Document:
    """Look after a job until it ends, or until SIGTERM. Raises Conflict when somebody does already, McmlError for a job that failed."""
    from mcml.cost.spot.supervise import failed
    from mcml.cost.spot.watch import watching

    with watching(folder(session), name, session.clock()) as stop:
        at_work = replace(at_work, sleep=stop.wait)
        begun = at_work.begin(name, fresh) if fresh else at_work.resume(name)
        if begun.state != "running":
            session.note(f"{name} is over ({begun.state}): with a command it begins anew")
        record = at_work.run(begun)
    document = over(session, record, at_work)
    if record.state == "failed":
        raise failed(record)
    return document


def over(session: Session, record: "Record", at_work: "Supervisor | None" = None) -> Document:
    """Show a job that is not looked after any more. Raises PartlyDone when it has ended, and a machine of it may still run."""
    from mcml.core.errors import PartlyDone
    from mcml.cost.spot import views

    if why := views.not_over(record):
        session.show(shown(session, [record]))
        step = f"mcml cost spot stop {record.name}"
        raise PartlyDone(f"the spot job {record.name} has ended, and a machine of it may still run", why=why, next_step=step)
    note_left(session, record, at_work)
    return shown(session, [record])


def detached(session: Session, at_work: "Supervisor", name: str, fresh: "Order | None") -> Document:
    """Begin a job, and leave `mcml cost spot run NAME` behind as a process of its own that looks after it."""
    from mcml.cost.spot.watch import detach, watching

    if fresh:
        with watching(folder(session), name, session.clock()):  # not while somebody still leaves the job of that name before
            at_work.begin(name, fresh)
    argv = [sys.executable, "-m", "mcml", "cost", "spot", "run", name]
    argv += ["--profile", session.config.profile] if session.config.profile else []
    left = detach(folder(session), name, argv, cwd=session.config.project, seconds=session.timeout or DETACH_SECONDS)
    if left is None and known(session, name).state == "running":
        step = f"mcml cost spot run {name} --detach"
        raise McmlError(f"nobody looks after {name}", why="the process that was to do it has ended", next_step=step)
    session.note(f"pid {left.process.pid} looks after {name} and writes to {left.log}" if left else f"{name} is over already")
    return shown(session, [known(session, name)])


def shown(session: Session, records: "Sequence[Record]", places: "Mapping[str, Memory] | None" = None) -> Document:
    """Show jobs, and who looks after each."""
    from mcml.cost.spot import views
    from mcml.cost.spot.watch import watcher

    watches = {record.name: watcher(folder(session), record.name) for record in records}
    return views.jobs(records, places or {}, watches)


def note_left(session: Session, record: "Record", at_work: "Supervisor | None" = None) -> None:
    """Say which machines of a job that has ended run, or keep disks; nothing when a cloud does not answer: it is no part of the job."""
    from contextlib import suppress

    from mcml.cost.spot import disks

    if record.state == "running" or (record.ended and session.clock() - record.ended > RECENTLY):
        return
    with suppress(McmlError):
        for told in disks.said(record.name, disks.every(record, (at_work or of(session, record.order)).sites)):
            session.note(told)


def alone(session: Session, records: "Sequence[Record]") -> list[str]:
    """Return the names of the jobs that run and that nobody on this machine looks after."""
    from mcml.cost.spot.watch import watcher

    return [record.name for record in records if record.state == "running" and watcher(folder(session), record.name) is None]


def folder(session: Session) -> Path:
    """Return where those who look after jobs on this machine say so."""
    return session.config.state / "spot"


def known(session: Session, name: str) -> "Record":
    """Return the record of a job. Raises NotFound with the nearest name."""
    from mcml.core.errors import unknown
    from mcml.cost.spot.order import KIND, read
    from mcml.store import documents

    with session.store.reading() as connection:
        kept = {one.key: one for one in documents.every(connection, KIND)}
    if name not in kept:
        raise unknown("spot job", name, kept, next_step="mcml cost spot status")
    return read(kept[name].content)


def checked_name(name: str) -> str:
    """Return the name of a job: it becomes a tag and a token of every cloud. Raises Usage."""
    if not NAME.fullmatch(name):
        raise Usage(f"{name!r} is no name of a spot job", why="up to 40 of a-z, 0-9 and -, not at an end")
    return name


def candidate(text: str) -> "Candidate":
    """Read TARGET/MACHINE. Raises Usage."""
    from mcml.cost.spot.order import Candidate

    return Candidate(*_halves(text, "--on", "eu-1/m5.large"))


def fallback(session: Session, text: str) -> "Fallback":
    """Read TARGET/MACHINE, TARGET/ID or TARGET/GROUP, whichever the target knows. Raises Usage, NotFound."""
    from mcml.cost.spot import site

    target, what = _halves(text, "--fallback", "eu-1/m5.large")
    return site.fallback(_site(session, target), target, what)


def _halves(text: str, option: str, example: str) -> tuple[str, str]:
    target, _, rest = text.partition("/")
    if not target or not rest:
        raise Usage(f"{option} {text!r} names no machine of a target", next_step=f"{option} {example}")
    return target, rest


def _site(session: Session, target: str) -> "Site":
    from mcml.cost.spot.site import Site
    from mcml.providers import discovery
    from mcml.providers.api.capability import GROUPS, INSTANCES, INVENTORY

    instances = session.open(INSTANCES, target)
    where = session.settings.targets[target]
    offer = discovery.spec(where.provider).offer
    inventory = session.open(INVENTORY, target) if offer(INVENTORY).support.usable else None
    groups = session.open(GROUPS, target) if offer(GROUPS).support.usable else None
    return Site(instances, where.provider, where.region, inventory, groups)


def _reader(session: Session, where: str) -> "Reader":
    from mcml.cost.spot import progress

    scheme, found, rest = where.partition("://")
    if not found:
        return progress.of_file(Path(where))
    from mcml.cli.data.common import open_store

    bucket, _, key = rest.partition("/")
    store = open_store(session)(scheme)
    return progress.of_object(lambda: b"".join(store.read(bucket, key)), where)
