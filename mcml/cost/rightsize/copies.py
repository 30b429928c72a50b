"""The snapshots that were taken before changes: kept until somebody deletes them."""

from mcml.core.clock import Clock
from mcml.core.fact import Fact
from mcml.cost.rightsize.change import Taken, every, forget_snapshots, known, under_way
from mcml.providers.api.snapshots import Snapshots
from mcml.store.db import Store


def kept(store: Store, snapshots: Snapshots | None, key: str) -> list[Taken]:
    """Return the snapshots of a machine's changes that are there. Raises NotFound, Conflict while a change is under way."""
    if known(store, key).under_way:
        raise under_way(known(store, key))
    there = {one.id for one in snapshots.list()} if snapshots else set()
    return [one for change in every(store) if change.key == key for one in change.taken if one.snapshot in there]


def clean(store: Store, snapshots: Snapshots | None, key: str, clock: Clock) -> None:
    """Delete the snapshots of a machine's changes, and forget them. Raises as `kept`."""
    for one in kept(store, snapshots, key):
        if snapshots is not None:
            snapshots.delete(one.snapshot)
            about = {"snapshot": one.snapshot, "source": one.source, "size_bytes": one.size_bytes}
            store.append(Fact("cost.rightsize_snapshot_deleted", "cost", key, about, at=clock()))
    forget_snapshots(store, key, clock())
