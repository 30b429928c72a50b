"""What Azure tells of a virtual machine, as an Instance; pure.

https://learn.microsoft.com/azure/virtual-machines/states-billing
"""

import base64
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from mcml.providers.api.instances import Instance, InstanceState, MachineRequest
from mcml.providers.azure.arm import parse_id, text
from mcml.providers.azure.machine_types import architecture_of

SPOT = "spot"
DISK = "Microsoft.Compute/disks"
_STATES: Mapping[str, InstanceState] = {
    "starting": "pending",
    "running": "running",
    "stopping": "running",
    "deallocating": "running",
    "stopped": "stopped",
    "unknown": "pending",
}
_EVICTION = ("evictspotvm", "simulateeviction")
_OTHER_CHANGES = ("/virtualmachines/deallocate/", "/virtualmachines/start/", "/virtualmachines/poweroff/")
PRICE_STEP = Decimal("0.00001")


def power_of(statuses: Iterable[Any] | None) -> str:
    """Return the power state of an instance view ("running", "deallocated"), or "" when it has none (yet)."""
    codes = (str(status.code or "") for status in statuses or ())
    return next((code.partition("/")[2].lower() for code in codes if code.lower().startswith("powerstate/")), "")


def failure_of(statuses: Iterable[Any] | None) -> str:
    """Return why a machine could not be made, in Azure's words, or ""."""
    failed = [status for status in statuses or () if str(status.code or "").lower().startswith("provisioningstate/failed")]
    return next((": ".join(part for part in (str(one.code).rpartition("/")[2], str(one.message or "")) if part) for one in failed), "")


def state_of(provisioning: str, power: str, evicted: Callable[[], bool]) -> InstanceState:
    """Return the state; `evicted` is asked only of a deallocated machine. One on its way down still runs, and costs.

    A machine that was shut down from inside is `stopped` too, although Azure goes on charging for it until it is deallocated.
    """
    if provisioning.lower() == "deleting":
        return "terminated"
    if power == "deallocated":
        return "interrupted" if evicted() else "stopped"
    if not power:
        return "stopped" if provisioning.lower() in ("failed", "canceled") else "pending"
    return _STATES.get(power, "pending")


def last_change_is_eviction(events: Iterable[tuple[datetime, str]]) -> bool:
    """Tell from the activity log's (time, operation) whether the last that changed a machine's power was its eviction."""
    changes = [(at, name.lower()) for at, name in events]
    known = [(at, name) for at, name in changes if any(word in name for word in (*_EVICTION, *_OTHER_CHANGES))]
    return bool(known) and any(word in max(known)[1] for word in _EVICTION)


def to_instance(identity: str, machine: Any, state: InstanceState, ours: str = "") -> Instance:
    """Return an instance from the SDK's VirtualMachine; its architecture is that of its type, on which no other image starts.

    A scale set is named as Groups does: by its name in the resource group `ours`, by its id elsewhere.
    """
    said = machine.properties
    zone = (machine.zones or [""])[0]
    size = text(said.hardware_profile.vm_size) if said.hardware_profile else ""
    return Instance(
        identity,
        size,
        f"{machine.location}-{zone}" if zone else str(machine.location),
        state,
        said.time_created or datetime.fromtimestamp(0, UTC),
        is_spot(machine),
        dict(machine.tags or {}),
        _set_named(str(said.virtual_machine_scale_set.id or ""), ours) if said.virtual_machine_scale_set else "",
        disks_of(said.storage_profile),
        architecture_of(size),
    )


def _set_named(identity: str, ours: str) -> str:
    at = parse_id(identity)
    return identity if at is None else at.name if at.group == ours.lower() else str(at)


def disks_of(storage: Any | None) -> tuple[str, ...]:
    """Return the ids of the managed disks that a snapshot can be taken of, the disk of the operating system first, the others by LUN.

    An ephemeral disk has no copies: https://learn.microsoft.com/azure/virtual-machines/ephemeral-os-disks#unsupported-features
    """
    if storage is None:
        return ()
    system = [storage.os_disk] if storage.os_disk is not None and storage.os_disk.diff_disk_settings is None else []
    attached = [*system, *sorted(storage.data_disks or (), key=lambda one: one.lun)]
    ids = (parse_id(str(one.managed_disk.id or ""), DISK) for one in attached if one.managed_disk is not None)
    return tuple(str(found) for found in ids if found is not None)


def is_spot(machine: Any) -> bool:
    """Tell whether a machine may be evicted."""
    return text(machine.properties.priority).lower() == SPOT


def offered_price(most: Decimal | None) -> float | None:
    """Return `billingProfile.maxPrice` in USD an hour: five decimals, -1 for "up to the price on demand"; None: less than any price."""
    if most is None:
        return -1.0
    cut = most.quantize(PRICE_STEP, ROUND_DOWN)
    return float(cut) if cut > 0 else None


def market_of(request: MachineRequest) -> dict[str, Any] | None:
    """Return the properties that say which market a machine is of; None for a highest price that is less than any price."""
    if not request.spot:
        return {"priority": "Regular"}
    price = offered_price(request.max_price)
    return {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": price}} if price is not None else None


def first_boot(command: Sequence[str]) -> str:
    """Return cloud-init's custom data, in base64, that runs a command at each boot (as local instances do), then shuts the machine
    down.

    https://cloudinit.readthedocs.io/en/latest/reference/modules.html#scripts-per-boot
    """
    script = f"#!/bin/sh\n{shlex.join(command)}\nshutdown -h now\n"
    config = {"write_files": [{"path": "/var/lib/cloud/scripts/per-boot/mcml.sh", "permissions": "0755", "content": script}]}
    return base64.b64encode(f"#cloud-config\n{json.dumps(config)}\n".encode()).decode()


def image_reference(image: str) -> dict[str, str]:
    """Return `imageReference` of publisher:offer:sku:version, or of the id of an image of one's own."""
    if image.startswith("/"):
        return {"id": image}
    publisher, offer, sku, version = image.split(":")
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
