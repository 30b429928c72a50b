"""The machines of a job that has ended: stopped, they cost nothing themselves, but their disks do until the machines are deleted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, ProviderCannot
from mcml.core.fact import Fact
from mcml.cost.spot.order import Record
from mcml.cost.spot.site import RUN_TAG, TAG, THERE, Site
from mcml.providers.api.instances import Instance
from mcml.store.db import Store


@dataclass(frozen=True)
class Left:
    """A machine that was asked for by a job, and is not deleted: its target, and what it is now."""

    target: str
    instance: Instance

    @property
    def name(self) -> str:
        """TARGET/ID."""
        return f"{self.target}/{self.instance.id}"

    @property
    def since(self) -> datetime:
        """When it was started last."""
        return self.instance.launched


def every(record: Record, sites: Mapping[str, Site]) -> list[Left]:
    """Return the machines that a job and those of its name before it have asked for: two targets of one place list each of them once.

    A job of that name of another project in the account has other runs, and no part in it. Raises what a cloud raises.
    """
    runs = ("", record.run, *record.earlier)
    found: dict[tuple[str, str, str, str], Left] = {}
    for target, site in sites.items():
        for one in site.instances.list({TAG: record.name}):
            if one.tags.get(RUN_TAG, "") in runs:
                found.setdefault((site.provider, site.region, one.account, one.id), Left(target, one))
    return list(found.values())


def left(record: Record, sites: Mapping[str, Site]) -> list[Left]:
    """Return those that are stopped, not deleted."""
    return [one for one in every(record, sites) if _is_left(one.instance)]


def _is_left(one: Instance) -> bool:
    """Tell whether a machine is there and does not run; EC2 lists what it took back for an hour, as it does the terminated."""
    return one.state not in (*THERE, "terminated") and not (one.state == "interrupted" and not one.disks)


def deletable(record: Record, sites: Mapping[str, Site]) -> list[Left]:
    """Return those of a job that has ended. Raises Conflict while it runs, or while a machine of it is still to be stopped."""
    if record.state == "running" or record.leaving:
        why = "it runs" if record.state == "running" else "a machine of it is still to be stopped"
        raise Conflict(f"the spot job {record.name!r} is not over", why=why, next_step=f"mcml cost spot stop {record.name}")
    return left(record, sites)


def delete(record: Record, found: Iterable[Left], sites: Mapping[str, Site], store: Store, clock: Clock) -> None:
    """Delete machines with their disks; the journal says of each that it is gone.

    Raises ProviderCannot, when all the others are deleted, for those that their provider's inventory does not list.
    """
    kept = []
    for one in found:
        if not sites[one.target].delete(one.instance.id, {TAG: record.name}):
            kept.append(one.name)
            continue
        told = {"job": record.name, "target": one.target, "id": one.instance.id, "machine": one.instance.machine}
        store.append(Fact("cost.spot_deleted", "cost", record.name, told, at=clock()))
    if kept:
        why, step = "the provider lists no such thing that could be deleted", "delete it with the tools of the cloud"
        raise ProviderCannot(f"{', '.join(kept)} cannot be deleted", why=why, next_step=step)


def said(name: str, all_of_it: Sequence[Left]) -> list[str]:
    """Say what is left of a job that has ended: of all its machines those that run, and those that are stopped."""
    run = ", ".join(one.name for one in all_of_it if one.instance.state in THERE)
    still = f"{run} of {name} still run{'' if ', ' in run else 's'}: mcml cost spot stop {name}"
    stopped = [one for one in all_of_it if _is_left(one.instance)]
    return [*([still] if run else []), *([_stopped(name, stopped)] if stopped else [])]


def _stopped(name: str, found: Sequence[Left]) -> str:
    disks = sum(len(one.instance.disks) for one in found)
    many = "s are" if len(found) > 1 else " is"
    which = "1 disk costs" if disks == 1 else f"{disks} disks cost" if disks else "the disks cost"
    return f"{len(found)} stopped machine{many} left of {name}, and {which} on: mcml cost spot clean {name} deletes them"
