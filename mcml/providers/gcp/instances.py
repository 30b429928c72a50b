"""Instances on Compute Engine. An id is "ZONE/NAME" (a name alone will do where only one zone has it).

https://cloud.google.com/compute/docs/reference/rest/v1/instances. A stopped spot machine is `interrupted` when Google's operations
(kept for some weeks) tell that it was preempted since its last start: https://cloud.google.com/compute/docs/instances/spot.
"""

import builtins
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, did_you_mean
from mcml.providers.api.instances import Architecture, Instance, Instances, InstanceState, MachinePrice, MachineRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.compute import Compute, OutOfStock, Place, carries, last, moment, open_compute, token_name
from mcml.providers.gcp.machine_types import architecture_of, is_n1
from mcml.providers.gcp.prices import Rates, Shape, hourly, read_rates, shape_of
from mcml.providers.gcp.settings import Settings

CURRENCY = "USD"
_MACHINE = re.compile(r"[a-z][a-z0-9-]{0,62}")
SCRIPT = "startup-script"
NOTICE = timedelta(seconds=30)
RATES_HOLD = timedelta(hours=6)
"""A supervisor or a router asks for days on end; Spot prices change at most once a month: https://cloud.google.com/spot-vms/pricing."""
PREEMPTED = 'operationType = "compute.instances.preempted"'
_STATES: Mapping[str, InstanceState] = {
    "PROVISIONING": "pending", "STAGING": "pending", "REPAIRING": "pending", "STOPPING": "pending", "SUSPENDING": "pending",
    "PENDING": "pending", "PENDING_STOP": "pending", "DEPROVISIONING": "terminated",
    "RUNNING": "running", "TERMINATED": "stopped", "STOPPED": "stopped", "SUSPENDED": "stopped",
}  # fmt: skip
_STOPPING = ("STOPPING", "SUSPENDING", "PENDING_STOP", "DEPROVISIONING")
_BEGINNING_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def open_instances(ctx: ProviderContext) -> Instances:
    """Return the machines of the target's region, or of all regions without one."""
    return GcpInstances(open_compute(ctx))


class GcpInstances:
    """Machines of one project."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._settings: Settings = compute.session.settings
        self._rates: dict[str, tuple[datetime, Rates]] = {}

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """Return the machines that carry all these labels, by the time they were started."""
        found = self._compute.everywhere("list the instances", "Instances", "instances")
        return sorted(self._read([one for one in found if carries(one[1].labels, tags)]), key=lambda one: (one.launched, one.id))

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """Return the list prices of the named machine types, or of all in the region, in US dollars; None for what `prices` does not cover.

        A type has the GPUs that belong to it. Those that are attached to an N1 machine are in no type and no price here, stay attached when
        it is resized within N1, and cannot go along to another series.
        https://cloud.google.com/compute/docs/instances/changing-machine-type-of-stopped-instance

        Raises InvalidRequest for an unknown type, and without a region (the target's, or that of the setting `zone`).
        """
        region = self._region()
        shapes = {name: shape_of(self._machine(name)) for name in machines} if machines else self._all_shapes(region)
        read, rates = self._rates_of(region)
        return [
            MachinePrice(
                name,
                region,
                shape.vcpus,
                shape.memory_gib,
                hourly(shape, rates, "on demand"),
                hourly(shape, rates, "spot"),
                CURRENCY,
                read,
                **vars(shape.has),
            )
            for name, shape in shapes.items()
        ]

    def start(self, instance: str) -> Instance:
        """Start one that does not run, and wait for it.

        Raises NotFound, QuotaExceeded (quota, or no stock in its zone), Conflict while it is being stopped.
        """
        place, found = self._find(instance)
        if found.status in _STOPPING:
            why = f"it is {found.status.lower()}"
            raise Conflict(f"cannot start instance {instance!r}", why=why, next_step="try again when it has stopped")
        if found.status in ("TERMINATED", "STOPPED", "SUSPENDED"):
            method = "resume" if found.status == "SUSPENDED" else "start"
            self._compute.change(f"start instance {instance!r}", "Instances", method, instance=found.name, **place.fields)
        return self._now(place, found.name)

    def stop(self, instance: str) -> Instance:
        """Stop one, and wait for it; one that is stopped stays so. Raises NotFound."""
        place, found = self._find(instance)
        if found.status not in ("TERMINATED", "STOPPED", "SUSPENDED"):
            self._compute.change(f"stop instance {instance!r}", "Instances", "stop", instance=found.name, **place.fields)
        return self._now(place, found.name)

    def resize(self, instance: str, machine: str) -> Instance:
        """Change the type of one that is stopped.

        Raises NotFound, Conflict when it is not, InvalidRequest for a type its zone has not, or that leaves GPUs behind (see `prices`).
        """
        place, found = self._find(instance)
        if last(found.machine_type) == machine:
            return self._now(place, found.name)
        if found.status not in ("TERMINATED", "STOPPED"):
            why = f"it is {found.status.lower()} as {last(found.machine_type)}"
            raise Conflict(f"cannot resize instance {instance!r} to {machine}", why=why, next_step="stop it first")
        self._machine(machine, place.name)
        if found.guest_accelerators and is_n1(last(found.machine_type)) and not is_n1(machine):
            why = "GPUs are attached to it, and only N1 machines have such"
            raise InvalidRequest(f"cannot resize instance {instance!r} to {machine}", why=why, next_step="take an N1 type")
        wanted = {"machine_type": f"zones/{place.name}/machineTypes/{machine}"}
        self._compute.change(
            f"resize instance {instance!r} to {machine}",
            "Instances",
            "set_machine_type",
            instance=found.name,
            instances_set_machine_type_request_resource=wanted,
            **place.fields,
        )
        return self._now(place, found.name)

    def request(self, request: MachineRequest) -> Instance:
        """Start a machine in the first zone that has room; Google stops a spot machine, and keeps its disk, when it takes it away.

        Its name comes from the token: the same token gives the one that is there, whatever has become of it. The command runs at every
        boot, and the machine stops with it. `max_price` is held against the list price: Google takes no bids. Raises QuotaExceeded when no
        zone has one or the price is above `max_price` or unknown, InvalidRequest for an unknown type and for a token that stands for
        another request.
        """
        self._region()
        name = token_name("mcml-machine", request.token)
        zones = self._zones_of(request.machine)
        there = self._named(name)
        if there is None:
            self._check_price(request)
            conflict = self._insert(request, name, zones)
            there = self._named(name)
            if there is None and conflict is not None:
                raise conflict
        if there is None:
            raise NotFound(f"instance {name} is gone", why="it was there a moment ago: somebody deleted it")
        if (_is_spot(there[1]), _script_of(there[1])) != (request.spot, _script(request)):
            why = f"the token stands for {name}, which has another command or another market"
            raise InvalidRequest("cannot request the machine", why=why, next_step="use a new token for a new machine")
        return self._read([there])[0]

    def notices(self, instances: Sequence[str]) -> Mapping[str, datetime]:
        """See `Noticed.notices`: a spot machine that is STOPPING has 30 seconds, https://cloud.google.com/compute/docs/instances/spot."""
        found = {instance: there[1] for instance in instances if (there := self._named(instance)) is not None}
        until = self._compute.session.ctx.clock() + NOTICE
        return {name: until for name, one in found.items() if one.status == "STOPPING" and _is_spot(one)}

    def _insert(self, request: MachineRequest, name: str, zones: Sequence[str]) -> Conflict | None:
        """Make it, or return what stands in its way: a machine of that name, if an earlier request with this token made it."""
        full: OutOfStock | None = None
        for zone in zones:
            body = _body(request, name, zone, self._settings) | {"scheduling": self._scheduling(request, zone)}
            try:
                self._compute.change(f"start {request.words} in {zone}", "Instances", "insert", zone=zone, instance_resource=body)
                return None
            except OutOfStock as failed:
                full = failed
            except Conflict as conflict:
                return conflict
        if full is not None:
            raise full
        return None

    def _scheduling(self, request: MachineRequest, zone: str) -> dict[str, Any]:
        """https://cloud.google.com/compute/docs/instances/setting-vm-host-options: a machine with GPUs is not moved while it runs."""
        if request.spot:
            stops = {"instance_termination_action": "STOP", "automatic_restart": False, "on_host_maintenance": "TERMINATE"}
            return {"provisioning_model": "SPOT", **stops}
        fixed = {"on_host_maintenance": "TERMINATE"} if self._machine(request.machine, zone).accelerators else {}
        return {"provisioning_model": "STANDARD", "automatic_restart": True, **fixed}

    def _check_price(self, request: MachineRequest) -> None:
        if request.max_price is None:
            return
        shape, region = shape_of(self._machine(request.machine)), self._region()
        price = hourly(shape, self._rates_of(region)[1], "spot")
        if price is None or price > request.max_price:
            known = f"an hour costs {price} {CURRENCY}" if price is not None else f"its price in {region} is not known"
            why = f"{known}, at most {request.max_price} was offered"
            raise QuotaExceeded(f"no spot {request.machine} at that price", why=why, next_step="offer more, or start it on demand")

    def _find(self, instance: str) -> tuple[Place, Any]:
        return self._compute.find("instance", instance, "Instances", "instances")

    def _named(self, name: str) -> tuple[Place, Any] | None:
        try:
            return self._find(name)
        except NotFound:
            return None

    def _now(self, place: Place, name: str) -> Instance:
        found = self._compute.ask(f"look at instance {name!r}", "Instances", "get", instance=name, **place.fields)
        return self._read([(place, found)])[0]

    def _read(self, found: Sequence[tuple[Place, Any]]) -> builtins.list[Instance]:
        taken: dict[int, datetime] = {}
        if any(_is_spot(one) and one.status == "TERMINATED" for _, one in found):
            for _, told in self._compute.everywhere("look for preemptions", "GlobalOperations", "operations", filter=PREEMPTED):
                taken[told.target_id] = max(taken.get(told.target_id, _BEGINNING_OF_TIME), moment(told.insert_time) or _BEGINNING_OF_TIME)
        return [_instance(place, one, taken.get(one.id), self._compute.project) for place, one in found]

    def _region(self) -> str:
        region = self._compute.region or self._settings.zone.rpartition("-")[0]
        if not region:
            why = "neither the target has a region nor [providers.gcp] a zone"
            raise InvalidRequest("no region to work in", why=why, next_step="write zone under [providers.gcp] in mcml.toml")
        return region

    def _rates_of(self, region: str) -> tuple[datetime, Rates]:
        """Return what parts cost in a region, and when that was read: the catalog is long, and read anew after `RATES_HOLD`."""
        now = self._compute.session.ctx.clock()
        known = self._rates.get(region)
        if known is None or not timedelta(0) <= now - known[0] < RATES_HOLD:
            known = self._rates[region] = now, read_rates(self._compute.session, region)
        return known

    def _all_shapes(self, region: str) -> dict[str, Shape]:
        zones = [zone for zone in self._compute.zones() if Place(f"zones/{zone}").region == region]
        return dict(sorted((machine.name, shape_of(machine)) for zone in zones for machine in self._types_in(zone)))

    def _machine(self, machine: str, zone: str = "") -> Any:
        """Return a machine type of a zone, or of the first that has it. Raises InvalidRequest."""
        where = zone or self._zones_of(machine)[0]
        try:
            return self._compute.ask(f"look at machine type {machine!r}", "MachineTypes", "get", zone=where, machine_type=machine)
        except NotFound as unknown:
            raise InvalidRequest(f"no machine type {machine!r} in {where}", why=unknown.why, next_step=_types(where)) from unknown

    def _zones_of(self, machine: str) -> builtins.list[str]:
        """Return where a machine of this type can be started. Raises InvalidRequest when it is nowhere."""
        only = self._settings.zone
        if "custom-" in machine:  # in no listing, though there are some
            zones = [only] if only else self._compute.zones()
        else:
            zones = sorted(place.name for place, _ in self._types_named(machine) if only in ("", place.name))
        if not zones:
            where = only or self._compute.region or "any region"
            raise InvalidRequest(f"no machine type {machine!r} in {where}", why=_near(machine, self._known()), next_step=_types(only))
        return zones

    def _types_named(self, machine: str) -> Iterator[tuple[Place, Any]]:
        """Return the machine types of a name, one a zone: of all types there are tens of thousands."""
        if _MACHINE.fullmatch(machine):
            what = "look for the machine type"
            yield from self._compute.everywhere(what, "MachineTypes", "machine_types", filter=f'name = "{machine}"')

    def _known(self) -> set[str]:
        """Return the names of the machine types of one zone."""
        for zone in [self._settings.zone] if self._settings.zone else self._compute.zones():
            return {one.name for one in self._types_in(zone)}
        return set()

    def _types_in(self, zone: str) -> Iterator[Any]:
        return self._compute.listed("list the machine types", "MachineTypes", zone=zone)


def _instance(place: Place, found: Any, preempted: datetime | None, project: str) -> Instance:
    launched = moment(found.last_start_timestamp) or moment(found.creation_timestamp) or _BEGINNING_OF_TIME
    state = _STATES.get(found.status, "pending")
    if state == "stopped" and preempted is not None and preempted >= launched:
        state = "interrupted"
    where = f"{place.name}/{found.name}"
    return Instance(
        where,
        last(found.machine_type),
        place.name,
        state,
        launched,
        _is_spot(found),
        dict(found.labels),
        _group(found),
        tuple(disk for disk, _ in _disks(found)),
        next((architecture for _, architecture in _disks(found)), ""),
        (*_gpus_of(found), *(f"a local SSD ({one.interface})" for one in found.disks if one.type_ == "SCRATCH")),
        account=project,
    )


def _gpus_of(found: Any) -> list[str]:
    """Return the GPUs that are attached to a machine of N1; those of other series are part of the type."""
    attached = found.guest_accelerators if is_n1(last(found.machine_type)) else ()
    return [f"{one.accelerator_count} x {last(one.accelerator_type)}" for one in attached]


def _disks(found: Any) -> list[tuple[str, Architecture]]:
    """Return the disks of a machine as Snapshots.create takes them ("ZONE/NAME"), with their architectures, the boot disk first.

    A local SSD has no name of its own, and no copies.
    """
    named = sorted((one for one in found.disks if one.source), key=lambda one: not one.boot)
    return [(f"{one.source.split('/')[-3]}/{last(one.source)}", architecture_of(one.architecture)) for one in named]


def _group(found: Any) -> str:
    """Return the managed instance group that made a machine: https://cloud.google.com/compute/docs/instance-groups/getting-info-about-migs."""
    maker = next((item.value for item in found.metadata.items if item.key == "created-by"), "")
    return last(maker) if "/instanceGroupManagers/" in maker else ""


def _is_spot(found: Any) -> bool:
    return found.scheduling.provisioning_model == "SPOT" or bool(found.scheduling.preemptible)


def _body(request: MachineRequest, name: str, zone: str, settings: Settings) -> dict[str, Any]:
    network = {"network": settings.network, **({"subnetwork": settings.subnetwork} if settings.subnetwork else {})}
    body: dict[str, Any] = {
        "name": name,
        "machine_type": f"zones/{zone}/machineTypes/{request.machine}",
        "labels": dict(request.tags),
        "disks": [{"boot": True, "auto_delete": True, "initialize_params": {"source_image": settings.image}}],
        "network_interfaces": [network],
    }
    if script := _script(request):
        body["metadata"] = {"items": [{"key": SCRIPT, "value": script}]}
    if settings.service_account:
        scope = "https://www.googleapis.com/auth/cloud-platform"
        body["service_accounts"] = [{"email": settings.service_account, "scopes": [scope]}]
    return body


def _script(request: MachineRequest) -> str:
    """Return what runs at every boot: the command, with whose end the machine stops. An automatic restart is for those that Google stops:
    https://cloud.google.com/compute/docs/instances/setting-vm-host-options"""
    return f"#!/bin/sh\n{shlex.join(request.command)}\nshutdown -h now\n" if request.command else ""


def _script_of(found: Any) -> str:
    return next((str(item.value) for item in found.metadata.items if item.key == SCRIPT), "")


def _near(machine: str, known: set[str]) -> str:
    hint = did_you_mean(machine, known)
    return hint if hint.startswith("did you mean") else "no such type is offered there"


def _types(zone: str) -> str:
    return "gcloud compute machine-types list" + (f" --zones={zone}" if zone else "")
