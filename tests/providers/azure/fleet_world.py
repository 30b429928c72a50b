"""A small Azure in memory for the ARM stub: scale sets with their autoscale settings, disks and snapshots."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing
from tests.providers.azure.compute_world import COMPUTE, IN_GROUP, IN_SUBSCRIPTION, MONITOR, id_of

SET = IN_GROUP + "Microsoft.Compute/virtualMachineScaleSets/{name}"
DISK, SNAPSHOT = IN_GROUP + "Microsoft.Compute/disks/{name}", IN_GROUP + "Microsoft.Compute/snapshots/{name}"


@dataclass
class GroupsWorld:
    """Scale sets by name; a uniform one tells its own counts, the machines of a flexible one are listed."""

    arm: ArmStub
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    autoscale: list[dict[str, Any]] = field(default_factory=list)
    writes: int = 0

    def __post_init__(self) -> None:
        """Answer for scale sets."""
        on = self.arm.on
        listing = IN_SUBSCRIPTION + "Microsoft.Compute/virtualMachineScaleSets"
        on("GET", listing, lambda request: self.arm.page(request, self._listed(), size=1), sdk=COMPUTE, answer="[VirtualMachineScaleSet]")
        on("GET", SET, self._find, sdk=COMPUTE, answer="VirtualMachineScaleSet")
        on("PATCH", SET, self._patch, sdk=COMPUTE, body="VirtualMachineScaleSetUpdate", answer="VirtualMachineScaleSet")
        on("GET", f"{SET}/instanceView", self._view, sdk=COMPUTE, answer="VirtualMachineScaleSetInstanceView")
        on("GET", IN_SUBSCRIPTION + "Microsoft.Compute/virtualMachines", self._machines, sdk=COMPUTE, answer="[VirtualMachine]")
        path = IN_SUBSCRIPTION + "Microsoft.Insights/autoscalesettings"
        on("GET", path, lambda request: self.arm.page(request, self.autoscale, size=1), sdk=MONITOR, answer="[AutoscaleSettingResource]")

    def add(self, name: str, size: int, *, group: str = "ml", mode: str = "Uniform", **properties: Any) -> None:
        """Put a scale set there."""
        self.sets[name] = {
            "id": id_of("Microsoft.Compute/virtualMachineScaleSets", name, group), "name": name, "location": "westeurope",
            "tags": {"team": "risk"}, "sku": {"name": "Standard_D2s_v3", "tier": "Standard", "capacity": size},
            "properties": {"orchestrationMode": mode, "provisioningState": "Succeeded", **properties},
        }  # fmt: skip

    def limit(self, name: str, least: int, most: int, *, enabled: bool = True) -> None:
        """Put an autoscale setting over a scale set, its default profile after one for Mondays."""
        capacity = {"minimum": str(least), "maximum": str(most), "default": str(least)}
        monday = {"frequency": "Week", "schedule": {"timeZone": "UTC", "days": ["Monday"], "hours": [6], "minutes": [0]}}
        profiles: list[dict[str, Any]] = [
            {"name": "monday", "capacity": {**capacity, "maximum": "9"}, "rules": [], "recurrence": monday},
            {"name": "default", "capacity": capacity, "rules": []},
        ]
        target = self.sets[name]["id"].replace("/resourceGroups/ml/", "/resourceGroups/ML/")
        properties = {"targetResourceUri": target, "enabled": enabled, "profiles": profiles}
        self.autoscale.append({"id": "/a", "name": f"scale-{name}", "location": "westeurope", "properties": properties})

    def _listed(self) -> list[dict[str, Any]]:
        return [{**one, "id": one["id"].replace("/resourceGroups/ml/", "/resourceGroups/ML/")} for one in self.sets.values()]

    def _find(self, request: Request) -> dict[str, Any]:
        found = self.sets.get(request.parts["name"].lower())
        if found is None or f"/{request.parts['group'].lower()}/" not in found["id"]:
            raise missing(f"Microsoft.Compute/virtualMachineScaleSets/{request.parts['name']}")
        return found

    def _patch(self, request: Request) -> Reply:
        found = self._find(request)
        self.writes += 1
        wanted = request.body["sku"]
        if wanted["capacity"] > 500:
            message = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
            raise ArmError(409, "OperationNotAllowed", message)
        found["sku"] = dict(wanted)
        return self.arm.operation(request, lambda: found, status=200, body=found)

    def _view(self, request: Request) -> dict[str, Any]:
        size = self._find(request)["sku"]["capacity"]
        counts = [{"code": "PowerState/running", "count": size}, {"code": "ProvisioningState/succeeded", "count": size}]
        return {"virtualMachine": {"statusesSummary": [one for one in counts if one["count"]]}}

    def _machines(self, request: Request) -> Reply:
        wanted = request.query["$filter"].lower() if "$filter" in request.query else self._asked
        self._asked = wanted
        (found,) = (one for one in self.sets.values() if f"eq '{one['id'].lower()}'" in wanted)
        statuses = {"statuses": [{"code": "PowerState/running"}]}
        machine = {"id": "/m", "name": "m", "location": "westeurope", "properties": {"instanceView": statuses}}
        return self.arm.page(request, [machine] * found.get("sku", {}).get("capacity", 0), size=2)

    _asked: str = ""


@dataclass
class DisksWorld:
    """Disks and snapshots by name; `content` is what is on a disk or in a snapshot."""

    arm: ArmStub
    disks: dict[str, dict[str, Any]] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)
    puts: int = 0
    _ticks: int = 0

    def __post_init__(self) -> None:
        """Answer for disks and snapshots."""
        on = self.arm.on
        on("GET", DISK, lambda request: self._find(request, "disks"), sdk=COMPUTE, answer="Disk")
        on("PUT", DISK, lambda request: self._put(request, "disks"), sdk=COMPUTE, body="Disk", answer="Disk")
        on("GET", SNAPSHOT, lambda request: self._find(request, "snapshots"), sdk=COMPUTE, answer="Snapshot")
        on("PUT", SNAPSHOT, lambda request: self._put(request, "snapshots"), sdk=COMPUTE, body="Snapshot", answer="Snapshot")
        on("DELETE", SNAPSHOT, self._delete, sdk=COMPUTE)
        listing = IN_SUBSCRIPTION + "Microsoft.Compute/snapshots"
        on("GET", listing, lambda request: self.arm.page(request, list(self.snapshots.values()), size=1), sdk=COMPUTE, answer="[Snapshot]")

    def add(self, name: str, content: str) -> str:
        """Put a disk there; return its id."""
        self.disks[name] = {
            "id": id_of("Microsoft.Compute/disks", name), "name": name, "location": "westeurope",
            "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 32, "provisioningState": "Succeeded"},
        }  # fmt: skip
        self.content[self.disks[name]["id"].lower()] = content
        return str(self.disks[name]["id"])

    def _place(self, kind: str) -> dict[str, dict[str, Any]]:
        return self.disks if kind == "disks" else self.snapshots

    def _find(self, request: Request, kind: str) -> dict[str, Any]:
        found = self._place(kind).get(request.parts["name"])
        if found is None:
            raise missing(f"Microsoft.Compute/{kind}/{request.parts['name']}")
        return found

    def _put(self, request: Request, kind: str) -> Reply:
        name, made_from = request.parts["name"], request.body["properties"]["creationData"]
        known = self._place(kind).get(name)
        if known is not None and known["properties"]["creationData"] != made_from:
            raise ArmError(409, "PropertyChangeNotAllowed", "Changing property 'creationData' is not allowed.")
        if made_from["sourceResourceId"].lower() not in self.content:
            raise missing(made_from["sourceResourceId"])
        self.puts += 1
        self._ticks += 1
        at = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=self._ticks)
        id_ = id_of(f"Microsoft.Compute/{kind}", name)
        made = {"timeCreated": at.isoformat(), "provisioningState": "Creating", "diskSizeBytes": 32 << 30, "diskSizeGB": 32}
        body = {**request.body, "id": id_, "name": name, "properties": {**request.body["properties"], **made}}
        self._place(kind).setdefault(name, body)
        self.content[id_.lower()] = self.content[made_from["sourceResourceId"].lower()]
        self._place(kind)[name]["properties"]["provisioningState"] = "Succeeded"
        return self.arm.operation(request, lambda: self._place(kind)[name], status=202, body={**body, "properties": body["properties"]})

    def _delete(self, request: Request) -> Reply:
        if request.parts["name"] not in self.snapshots:
            return Reply(204)
        return self.arm.operation(request, lambda: self._gone(request.parts["name"]))

    def _gone(self, name: str) -> None:
        self.snapshots.pop(name, None)
