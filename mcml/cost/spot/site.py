"""A target that a job may run on: how a machine is asked for there, found again, and ended."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from mcml.core.errors import InvalidRequest, NotAuthenticated, NotFound, ProviderCannot, QuotaExceeded
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import Fallback, Place, Record
from mcml.providers.api.groups import Group, Groups
from mcml.providers.api.instances import Instance, Instances, InstanceState, MachineRequest, Noticed
from mcml.providers.api.inventory import Inventory

TAG = "mcml-spot-job"
"""The tag of every machine that was asked for: the job's name."""
RUN_TAG = "mcml-spot-run"
"""Its other tag: the run of the job, which no job of that name shares, be it an earlier one or of another project in the same account."""
THERE = ("running", "pending")


@dataclass(frozen=True)
class Site:
    """A target: its machines, whose they are, and where. A machine that its cloud never stops is deleted, where it has an inventory."""

    instances: Instances
    provider: str
    region: str
    inventory: Inventory | None = None
    groups: Groups | None = None

    def ask(self, tags: Mapping[str, str], place: Place, command: tuple[str, ...]) -> Instance:
        """Ask for the machine of a place: the same token gives the same one. Raises as Instances.request, .start or Groups.resize."""
        if place.group:
            return self._grown(place)
        if not place.machine:
            return self.instances.start(place.token)
        spot = place.choice == Choice.SPOT
        return self.instances.request(MachineRequest(place.machine, place.token, command, tags=tags, spot=spot))

    def find(self, tags: Mapping[str, str], place: Place) -> Instance | None:
        """Return the machine of a place as it is now, or None. A group that is to have a member, and has none yet, has a `pending` one."""
        if place.group:
            now = self._groups().size(place.token)
            return self._member(place, "running" if now.running else "pending") if now.running or now.desired else None
        return next((one for one in self.instances.list(tags if place.machine else None) if one.id == place.instance), None)

    def leave(self, tags: Mapping[str, str], place: Place, here: str) -> bool:
        """End what runs of a place. One whose name was never heard is found by its tags (of a place to WAIT, on either market); the
        machine `here` is not it. False when no machine of the place is listed: one that was asked for a moment ago may be there soon.

        Raises NotFound for one that is gone, InvalidRequest when it can neither be stopped nor deleted, or is a group with
        members of others.
        """
        if place.group:
            if self._groups().size(place.token).desired > 1:
                raise InvalidRequest(f"the group {place.token!r} has members that are not ours")
            self._groups().resize(place.token, 0)
            return True
        if place.choice == Choice.ON_DEMAND and not place.machine:
            self.end(place.instance or place.token, tags)
            return True
        seen = False
        for one in self.instances.list(tags):
            meant = place.choice == Choice.WAIT or one.spot is (place.choice == Choice.SPOT)
            if one.id == here or not meant or place.instance not in ("", one.id):
                continue
            runs = one.state in THERE or self._is_charged(place, one)
            if runs:
                self.end(one.id, tags)
            seen = seen or runs or one.id == place.instance
        if not seen and place.instance not in ("", here):  # a listing may lack for a moment what runs: it is stopped by its id
            with suppress(InvalidRequest, NotFound):
                self.end(place.instance, tags)
                return True
        return seen

    def end(self, instance: str, tags: Mapping[str, str]) -> None:
        """Stop a machine, or delete the one with these tags where it cannot be stopped. Raises InvalidRequest when neither can be done."""
        try:
            self.instances.stop(instance)
        except InvalidRequest:
            if not self.delete(instance, tags):
                raise

    def delete(self, instance: str, tags: Mapping[str, str]) -> bool:
        """Delete the machine of that id with these tags; False where there is no inventory, or it does not list it."""
        name = instance.rpartition("/")[2]
        if self.inventory is None:
            return False
        mine = [one for one in self.inventory.find_by_tag(tags) if one.id.rpartition("/")[2] == name]
        for one in mine:
            self.inventory.delete(one)
        return bool(mine)

    def _grown(self, place: Place) -> Instance:
        """Give a group its one member; where there is no room for it the group is empty again, for it would get one later."""
        if (now := self._groups().size(place.token)).desired > 1:
            raise QuotaExceeded(f"the group {place.token!r} has {now.desired} members of somebody else")
        try:
            self._groups().resize(place.token, 1)
        except QuotaExceeded:
            self._groups().resize(place.token, 0)
            raise
        return self._member(place)

    def _member(self, place: Place, state: InstanceState = "running") -> Instance:
        """Return the member of a group under the group's name: it may be replaced by another at any time."""
        return Instance(place.token, "", "", state, place.since)

    def group_type(self, group: str) -> str:
        """Return the type of a group's machines. Raises NotFound, ProviderCannot."""
        return self._groups().size(group).machine

    def _groups(self) -> Groups:
        if self.groups is None:
            raise ProviderCannot("the target has no groups of machines")
        return self.groups

    def _is_charged(self, place: Place, one: Instance) -> bool:
        """Tell whether a machine may be charged for though it has stopped: on Azure one that shut itself down is, until it is told to.

        https://learn.microsoft.com/azure/virtual-machines/states-billing
        """
        return one.id == place.instance and one.state == "stopped"

    @property
    def gives_notice(self) -> bool:
        """True when it tells from outside that a machine is about to be taken away."""
        return isinstance(self.instances, Noticed)

    def notice(self, place: Place) -> datetime | None:
        """Return when the machine of a place is to be taken away; None when that is not known."""
        return self.instances.notices([place.instance]).get(place.instance) if isinstance(self.instances, Noticed) else None


def tags_of(record: Record) -> dict[str, str]:
    """Return the tags of all machines that a job asks for; a job of before its runs had tags is told by its name."""
    return {TAG: record.name} | ({RUN_TAG: record.run} if record.run else {})


def _group(site: Site, what: str) -> Group | None:
    """Return the group of that name; None for none, or when we may not look for one: most fallbacks are none."""
    with suppress(NotFound, InvalidRequest, NotAuthenticated, ProviderCannot):
        return site.groups.size(what) if site.groups else None
    return None


def fallback(site: Site, target: str, what: str) -> Fallback:
    """Tell the id of a machine from a group and from a machine type, in this order.

    Raises NotFound for what is none of them, InvalidRequest for a group that has members, or cannot have none or one.
    """
    if any(one.id == what for one in site.instances.list()):
        return Fallback(target, instance=what)
    group = _group(site, what)
    if group is not None and (group.minimum, group.desired) == (0, 0) and group.maximum:
        return Fallback(target, group=what)
    if group is not None:
        why = f"its size is {group.desired}, its limits are {group.minimum} to {group.maximum}"
        step = "name an empty group whose template runs the job, and whose least size is 0"
        raise InvalidRequest(f"the group {what!r} of {target} is no fallback", why=why, next_step=step)
    try:
        site.instances.prices([what])
    except InvalidRequest as unknown:
        step = f"--fallback {target}/MACHINE_TYPE, the id of a stopped on-demand machine, or an empty group"
        message = f"{what!r} is neither a machine nor a machine type of {target}, and no group"
        raise NotFound(message, why=unknown.why, next_step=step) from unknown
    return Fallback(target, machine=what)
