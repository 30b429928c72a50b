"""Instances on this machine: worker slots, each a detached process under the limits of a machine type (see `machines`).

    instances/<id>/   resource.json, instance.json (type, command, wanted state, ...), work/, log, and the files of `runner`

`work/` is the disk `disk/<id>/work`, of which snapshots are taken; it goes with its instance.

A stopped instance keeps its folder and starts again with the same command. A spot instance that is killed from outside is `interrupted`
(and may be started again), one whose command has ended is `terminated`; an instance on demand is `stopped` in both cases.
"""

import builtins
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded
from mcml.core.files import read_json, write_json
from mcml.providers.api.instances import Instance, Instances, InstanceState, MachinePrice, MachineRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local import worker
from mcml.providers.local.layout import LocalResource, locked, read_resource, remove_folder, root_of, write_resource
from mcml.providers.local.machines import (
    CATALOGUE,
    GIB,
    architecture,
    available_cpus,
    check_fits,
    choose_cpus,
    machine_named,
    on_demand_price,
    spot_price,
)
from mcml.providers.local.runner import RUN_FILE
from mcml.providers.local.scope import id_of_token, new_folder, new_resource, resources_in_scope
from mcml.providers.local.settings import Price, Settings
from mcml.providers.local.volumes import work_disk

LOCK = "instances"
"""One lock for all, for they share the machine's CPUs and the quota."""
INSTANCE_FILE, NOTICE_FILE = "instance.json", "notice.json"
IDLE = ("sleep", "infinity")
MEMBER_TAG = "mcml-group"
"""The tag that a member of a group carries: the group's name."""


@dataclass(frozen=True)
class Slot:
    """What `instance.json` says: the type, the command, whether it should run, whether it is spot, since when."""

    machine: str
    command: tuple[str, ...]
    running: bool
    spot: bool
    launched: str


def open_instances(ctx: ProviderContext) -> Instances:
    """Return the instances of the context's target."""
    return LocalInstances(ctx)


class LocalInstances:
    """Instances as processes."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._root = root_of(ctx)
        self._settings: Settings = ctx.settings

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """Return the instances that carry all these tags, in the order they were started."""
        found = [_instance(about) for about in resources_in_scope(self._ctx, "instances", tags)]
        return sorted((one for one in found if one is not None), key=lambda one: (one.launched, one.id))

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """Return the prices of the named machine types, or of all, from the settings. Raises InvalidRequest for an unknown one."""
        price = self._price()
        return [
            MachinePrice(
                machine.name,
                self._ctx.region,
                Decimal(machine.vcpus),
                Decimal(machine.memory_gib),
                on_demand_price(machine, price),
                spot_price(machine, price, self._settings.spot_discount),
                self._settings.currency,
                self._ctx.clock(),
                architecture(),
            )
            for machine in map(machine_named, machines or CATALOGUE)
        ]

    def start(self, instance: str) -> Instance:
        """Start one that does not run. Raises NotFound, QuotaExceeded (the quota of CPUs, the size of the machine)."""
        with self._changing(instance) as (about, slot):
            state = _state(about.folder, slot)
            if state not in ("running", "pending"):
                (about.folder / NOTICE_FILE).unlink(missing_ok=True)
                worker.prepare(about.folder, self._command(slot))
                write_slot(about.folder, replace(slot, running=True, launched=rfc3339(self._ctx.clock())))
            if state != "running":
                worker.start(about.folder)
            return self._now(about)

    def stop(self, instance: str) -> Instance:
        """Stop one, and all that it started; one that is stopped stays so. Raises NotFound."""
        with self._changing(instance) as (about, slot):
            write_slot(about.folder, replace(slot, running=False))
            worker.halt(about.folder)
            return self._now(about)

    def resize(self, instance: str, machine: str) -> Instance:
        """Change the type of one that does not run. Raises NotFound, Conflict when it runs, InvalidRequest for an unknown type."""
        machine_named(machine)
        with self._changing(instance) as (about, slot):
            if _state(about.folder, slot) in ("running", "pending") and slot.machine != machine:
                why = f"it runs as {slot.machine}"
                raise Conflict(f"cannot resize instance {instance!r} to {machine}", why=why, next_step="stop it first")
            write_slot(about.folder, replace(slot, machine=machine))
            return self._now(about)

    def request(self, request: MachineRequest) -> Instance:
        """Start an instance; the same token gives the one that is there, whatever has become of it.

        Raises QuotaExceeded when the price of spot is above `max_price` or the machine is full, InvalidRequest for an unknown type or a
        token that stands for another request.
        """
        machine = machine_named(request.machine)
        price = spot_price(machine, self._price(), self._settings.spot_discount)
        if request.max_price is not None and request.max_price < price:
            why = f"an hour costs {price} {self._settings.currency}, at most {request.max_price} was offered"
            raise QuotaExceeded(f"no spot {machine.name} at that price", why=why, next_step="offer more, or start it on demand")
        return self.launch(request.machine, request.token, request.command, request.tags, spot=request.spot)

    def warn(self, instance: str, at: datetime) -> None:
        """Give notice that a spot instance is taken away at a time, as a cloud would; whoever calls this ends it then. Raises NotFound."""
        with self._changing(instance) as (about, _):
            write_json(about.folder / NOTICE_FILE, {"at": rfc3339(at)})

    def notices(self, instances: Sequence[str]) -> Mapping[str, datetime]:
        """See `Noticed.notices`: what `warn` has said."""
        found = {about.id: read_json(about.folder / NOTICE_FILE) for about in resources_in_scope(self._ctx, "instances")}
        return {instance: parse_rfc3339(told["at"]) for instance, told in found.items() if told and instance in instances}

    def launch(
        self, machine: str, token: str, command: Sequence[str] = (), tags: Mapping[str, str] | None = None, *, spot: bool = False
    ) -> Instance:
        """Make an instance and start it (groups and Terraform do, on demand); the same token gives the one that is there.

        Raises as `request`. One whose start was cut off is started by the next call.
        """
        slot = Slot(machine_named(machine).name, tuple(command) or IDLE, True, spot, rfc3339(self._ctx.clock()))
        folder = self._root / "instances" / id_of_token(self._ctx, "instance", token)
        with locked(self._root, LOCK):
            about = replace(new_resource(self._ctx, "instance", folder.name, tags), folder=folder)
            known = read_slot(folder)
            if known is None:
                with new_folder(folder) as stage:
                    worker.prepare(stage, self._command(slot))
                    write_slot(stage, slot)
                    write_resource(stage, about)
            elif (known.command, known.spot) != (slot.command, slot.spot):
                why = f"the token stands for {folder.name}, which has another command or another market"
                raise InvalidRequest("cannot launch the instance", why=why, next_step="use a new token for a new instance")
            if _state(folder, known or slot) == "pending":
                worker.start(folder)
            return self._now(about)

    def terminate(self, instance: str) -> None:
        """Stop one and remove it; one that is gone is fine."""
        with locked(self._root, LOCK):
            folder = self._root / "instances" / instance
            if folder.parent == self._root / "instances" and folder.exists():
                worker.halt(folder)
                remove_folder(folder)

    def _price(self) -> Price:
        return self._settings.prices.get(self._ctx.region, self._settings.price)

    def _now(self, about: LocalResource) -> Instance:
        found = _instance(read_resource(about.folder))
        if found is None:
            raise _no_instance(about.id)
        return found

    @contextmanager
    def _changing(self, instance: str) -> Iterator[tuple[LocalResource, Slot]]:
        """Hold the lock over an instance of our target. Raises NotFound."""
        with locked(self._root, LOCK):
            about = next((found for found in resources_in_scope(self._ctx, "instances") if found.id == instance), None)
            slot = read_slot(about.folder) if about else None
            if about is None or slot is None:
                raise _no_instance(instance)
            yield about, slot

    def _command(self, slot: Slot) -> worker.Command:
        """Return what the slot's process is and its limits. Raises QuotaExceeded."""
        machine = machine_named(slot.machine)
        check_fits(machine.name, machine.vcpus, machine.memory_gib * GIB)
        busy, quota = self._busy_cpus(), self._settings.vcpu_quota
        if len(busy) + machine.vcpus > quota:
            why = f"{len(busy)} of {quota} virtual CPUs are taken, it wants {machine.vcpus}"
            raise QuotaExceeded(f"the quota leaves no room for {machine.name}", why=why, next_step="stop some, or raise vcpu_quota")
        cpus = choose_cpus(available_cpus(), busy, machine.vcpus)
        return worker.Command(slot.command, {}, cpus, machine.memory_gib * GIB, metered=True)

    def _busy_cpus(self) -> builtins.list[int]:
        """Return the CPUs of all running instances of the machine, each as often as it is used."""
        folders = [about.folder for about in resources_in_scope(replace(self._ctx, target=""), "instances")]
        slots = ((folder, read_slot(folder)) for folder in folders)
        return [
            cpu
            for folder, slot in slots
            if slot is not None and _state(folder, slot) in ("running", "pending")
            for cpu in read_json(folder / RUN_FILE)["cpus"]
        ]


def read_slot(folder: Path) -> Slot | None:
    """Read `instance.json`; None where there is none."""
    said = read_json(folder / INSTANCE_FILE)
    return None if said is None else Slot(**{**said, "command": tuple(said["command"])})


def write_slot(folder: Path, slot: Slot) -> None:
    """Write `instance.json`, for its owner only: a command may hold something private."""
    write_json(folder / INSTANCE_FILE, asdict(slot), mode=0o600)


def state_of(slot: Slot, run: worker.Run) -> InstanceState:
    """Decide the state of an instance from what is wanted of it and how its process is."""
    if not slot.running:
        return "stopped"
    if not run.over:
        return "running" if run.state == "running" else "pending"
    if not slot.spot:
        return "stopped"
    return "interrupted" if run.state == "lost" or run.signal else "terminated"


def _state(folder: Path, slot: Slot) -> InstanceState:
    return state_of(slot, worker.look(folder))


def _instance(about: LocalResource | None) -> Instance | None:
    slot = read_slot(about.folder) if about else None
    if about is None or slot is None:
        return None
    launched = parse_rfc3339(slot.launched)
    group, disks = about.tags.get(MEMBER_TAG, ""), (work_disk(about).source,)
    state = _state(about.folder, slot)
    return Instance(about.id, slot.machine, about.region, state, launched, slot.spot, dict(about.tags), group, disks, architecture())


def _no_instance(instance: str) -> NotFound:
    return NotFound(f"no instance {instance!r}", why="it was never made on this target, or it is terminated")
