"""What run, stop and status share: the supervisor of a job, with the targets it may use."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import Usage

if TYPE_CHECKING:
    from mcml.cost.spot.order import Candidate, Fallback, Order, Record
    from mcml.cost.spot.progress import Reader
    from mcml.cost.spot.supervise import Site, Supervisor

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def of(session: Session, order: "Order") -> "Supervisor":
    """Return the supervisor of a job. Raises NotFound for a target that mcml.toml does not have, ProviderCannot."""
    from mcml.cost.spot.supervise import Supervisor

    targets = dict.fromkeys([*(one.target for one in order.candidates), order.fallback.target])
    sites = {target: _site(session, target) for target in targets}
    return Supervisor(session.store, sites, _reader(session, order.progress), session.clock, session.reporter)


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


def fallback(text: str) -> "Fallback":
    """Read TARGET/ID. Raises Usage."""
    from mcml.cost.spot.order import Fallback

    return Fallback(*_halves(text, "--fallback", "eu-1/i-0abc"))


def _halves(text: str, option: str, example: str) -> tuple[str, str]:
    target, _, rest = text.partition("/")
    if not target or not rest:
        raise Usage(f"{option} {text!r} names no machine of a target", next_step=f"{option} {example}")
    return target, rest


def _site(session: Session, target: str) -> "Site":
    from mcml.cost.spot.supervise import Site
    from mcml.providers import discovery
    from mcml.providers.api.capability import INSTANCES, INVENTORY

    instances = session.open(INSTANCES, target)
    where = session.settings.targets[target]
    listed = discovery.spec(where.provider).offer(INVENTORY).support.usable
    return Site(instances, where.provider, where.region, session.open(INVENTORY, target) if listed else None)


def _reader(session: Session, where: str) -> "Reader":
    from mcml.cost.spot import progress

    scheme, found, rest = where.partition("://")
    if not found:
        return progress.of_file(Path(where))
    from mcml.cli.data.common import open_store

    bucket, _, key = rest.partition("/")
    store = open_store(session)(scheme)
    return progress.of_object(lambda: b"".join(store.read(bucket, key)), where)
