"""What the verbs about states share: one unit, its desk, and the versions of its state."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mcml.cli.completion import complete_unit
from mcml.cli.infra import common
from mcml.cli.session import Session

if TYPE_CHECKING:
    from mcml.infra.fleet import Fleet
    from mcml.infra.states.history import Document, Versions
    from mcml.infra.units.units import Folders, Unit
    from mcml.providers.api.capability import Capability

T = TypeVar("T")

UnitName = Annotated[str, typer.Argument(metavar="UNIT", help="A unit (see mcml infra graph).", autocompletion=complete_unit)]
VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="A version, or a serial, of mcml infra state log.")]


def unit_of(session: Session, name: str) -> tuple["Unit", "Folders"]:
    """Return one unit by its whole name. Raises NotFound."""
    from mcml.core.errors import unknown

    graph, folders = common.whole(session)
    names = [unit.name for unit in graph.units]
    if name not in names:
        raise unknown("unit", name, names, next_step="mcml infra graph")
    return graph[name], folders


@contextmanager
def fleet(session: Session, name: str) -> Iterator["Fleet"]:
    """Yield the fleet of one unit. Raises NotFound."""
    unit_of(session, name)
    with common.fleet(session, [name]) as opened:
        yield opened


def open_in(session: Session, capability: "Capability[T]", provider: str, region: str) -> T:
    """Open a capability of a provider in a region."""
    from dataclasses import replace

    from mcml.providers import discovery

    context = replace(session.context(provider), region=region)
    return discovery.open_capability(discovery.spec(provider), capability, context)


def versions_of(session: Session, name: str) -> tuple["Versions", str]:
    """Return the versions of a unit's state, and where they are. Raises ProviderCannot for a backend that mcml does not know."""
    from mcml.core.errors import ProviderCannot
    from mcml.infra.states import history
    from mcml.providers.api.capability import BUCKETS, OBJECT_STORE

    unit, folders = unit_of(session, name)
    if not unit.backend:
        if unit.own and not folders.tfstate(unit).is_file():
            step = f"terraform -chdir={folders.work(unit)} state pull    # the newest"
            raise ProviderCannot(f"mcml does not know the versions of {name}", why="its root has a backend of its own", next_step=step)
        return history.Copies(history.folder_of(unit, folders)), str(history.folder_of(unit, folders))
    cloud, region = unit.backend.cloud, str(unit.backend.settings.get("region", ""))
    buckets, objects = open_in(session, BUCKETS, cloud, region), open_in(session, OBJECT_STORE, cloud, region)
    found = history.Objects(buckets, objects, unit.backend.bucket, unit.backend.key(unit.environment))
    return found, unit.backend.address(unit.environment)


def content_of(session: Session, name: str, version: str) -> "Document":
    """Return what a version holds. Raises NotFound."""
    from mcml.infra.states import history

    return history.find(versions_of(session, name)[0], version, name)
