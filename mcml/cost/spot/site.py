"""A target that a job may run on: how a machine is asked for there, found again, and ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mcml.core.errors import InvalidRequest, NotFound
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import Fallback, Place
from mcml.providers.api.instances import Instance, Instances, MachineRequest, Noticed
from mcml.providers.api.inventory import Inventory

TAG = "mcml-spot-job"
"""The tag of every machine that was asked for: the job's name."""
THERE = ("running", "pending")


@dataclass(frozen=True)
class Site:
    """A target: its machines, whose they are, and where. A machine that its cloud never stops is deleted, where it has an inventory."""

    instances: Instances
    provider: str
    region: str
    inventory: Inventory | None = None

    def ask(self, name: str, place: Place, command: tuple[str, ...]) -> Instance:
        """Ask for the machine of a place: the same token gives the same one. Raises as Instances.request or Instances.start."""
        if not place.machine:
            return self.instances.start(place.token)
        spot = place.choice == Choice.SPOT
        return self.instances.request(MachineRequest(place.machine, place.token, command, tags={TAG: name}, spot=spot))

    def find(self, name: str, place: Place) -> Instance | None:
        """Return the machine of a place as it is now, or None."""
        tags = {TAG: name} if place.machine else None
        return next((one for one in self.instances.list(tags) if one.id == place.instance), None)

    def leave(self, name: str, place: Place, here: str) -> None:
        """End what runs of a place. One whose name was never heard is found by its tag (of a place to WAIT, on either market); the
        machine `here` is not it.

        Raises NotFound for one that is gone, InvalidRequest when it can neither be stopped nor deleted.
        """
        if place.choice == Choice.ON_DEMAND and not place.machine:
            self.end(place.instance or place.token, {TAG: name})
            return
        for one in self.instances.list({TAG: name}):
            meant = place.choice == Choice.WAIT or one.spot is (place.choice == Choice.SPOT)
            if one.id != here and meant and place.instance in ("", one.id) and (one.state in THERE or self._is_charged(place, one)):
                self.end(one.id, {TAG: name})

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


def fallback(site: Site, target: str, what: str) -> Fallback:
    """Tell the id of a machine from a machine type: a machine of that id goes first. Raises NotFound for what is neither."""
    if any(one.id == what for one in site.instances.list()):
        return Fallback(target, instance=what)
    try:
        site.instances.prices([what])
    except InvalidRequest as unknown:
        step = f"--fallback {target}/MACHINE_TYPE, or the id of a stopped on-demand machine"
        raise NotFound(f"{what!r} is neither a machine nor a machine type of {target}", why=unknown.why, next_step=step) from unknown
    return Fallback(target, machine=what)
