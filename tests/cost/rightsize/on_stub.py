"""One check for every cloud's stub: a machine gets another type and goes back, whoever is killed on the way, with one snapshot a disk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from mcml.core.clock import utc_now
from mcml.core.report import Silent
from mcml.cost.rightsize.apply import Work
from mcml.cost.rightsize.change import Change, identified
from mcml.cost.rightsize.planned import Planned
from mcml.cost.rightsize.steps import Site
from mcml.providers.api.instances import Instance, Instances
from mcml.providers.api.snapshots import Snapshots
from mcml.store.db import Store
from tests.cost.rightsize.cloud import Killed


@dataclass
class Mortal:
    """Instances: mcml is killed right after each change of a machine."""

    inside: Instances

    def __getattr__(self, name: str) -> Callable[..., object]:
        said = getattr(self.inside, name)
        if name not in ("start", "stop", "resize"):
            return said  # type: ignore[no-any-return]

        def call(*arguments: str) -> object:
            said(*arguments)
            raise Killed

        return call


def check(store: Store, instances: Instances, snapshots: Snapshots, machine: Instance, other: str) -> None:
    """Change a running machine to another type, and back, in the real time of a watch of some milliseconds."""
    key, now = f"t/{machine.id}", utc_now()
    assert machine.disks, "its disks are named, so they can be copied"
    there = Change(identified(key, now), key, "t", machine.id, machine.machine, other, machine.machine, now, disks=machine.disks, watch=0.3)
    finished(store, instances, snapshots, there, killed=3)
    assert now_of(instances, machine) == (other, "running")
    copies = [one for one in snapshots.list() if one.tags.get("mcml-rightsize") == there.id]
    assert sorted(one.source for one in copies) == sorted(machine.disks)

    later = now + timedelta(seconds=1)
    back = replace(there, id=identified(key, later), started=later, before=other, after=machine.machine, told=other, disks=())
    finished(store, instances, snapshots, back)
    assert now_of(instances, machine) == (machine.machine, "running")
    kinds = [entry.kind.removeprefix("cost.rightsize_") for entry in store.entries()]
    assert kinds == ["planned", *["snapshot"] * len(machine.disks), "resized", "watched", "done", "planned", "resized", "watched", "done"]


def finished(store: Store, instances: Instances, snapshots: Snapshots, change: Change, killed: int = 0) -> None:
    """Begin a change, and go on with it until it is done, by an mcml that is killed so often after a step, and one that is not."""
    at_work = Work(store, Site(Mortal(instances), snapshots), (), utc_now, Silent())  # type: ignore[arg-type]
    found = at_work.begin(Planned(change))
    for _ in range(killed):
        try:
            at_work.run(found)
        except Killed:
            found = at_work.resume(change.key)
    last = Work(store, Site(instances, snapshots), (), utc_now, Silent())
    assert last.run(last.resume(change.key)).stage == "done"


def now_of(instances: Instances, machine: Instance) -> tuple[str, str]:
    """Its type and state as they are."""
    return next((one.machine, one.state) for one in instances.list() if one.id == machine.id)
