"""A small Azure in memory for the ARM stub: virtual machines and their sizes, with the codes and messages of the vendor's documentation.

Resource groups come back in capitals in listings, as Azure's do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing
from tests.providers.azure.conftest import SUBSCRIPTION

COMPUTE, MONITOR = "azure.mgmt.compute", "azure.mgmt.monitor"
IN_SUBSCRIPTION = "/subscriptions/{subscription}/providers/"
IN_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/"
VM = IN_GROUP + "Microsoft.Compute/virtualMachines/{name}"
SIZES = {"Standard_D2s_v3": ("2", "8"), "Standard_D4s_v3": ("4", "16"), "Standard_D8s_v3": ("8", "32")}
SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
IMAGE = "Canonical:ubuntu-24_04-lts:server:latest"
SPOT_PRICE = 0.02


def id_of(kind: str, name: str, group: str = "ml") -> str:
    """Return an id as mcml writes it."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{kind}/{name}"


@dataclass
class ComputeWorld:
    """Machines by their name in small letters; `power` is what the instance view says; `log` is the activity log."""

    arm: ArmStub
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    power: dict[str, str] = field(default_factory=dict)
    log: list[tuple[datetime, str, str]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    no_capacity: bool = False
    no_spot: bool = False
    _looks: dict[str, int] = field(default_factory=dict)
    _ticks: int = 0
    _filter: str = ""

    def __post_init__(self) -> None:
        """Answer for machines, sizes and the activity log."""
        on = self.arm.on
        for path in ("deallocate", "start"):
            on("POST", f"{VM}/{path}", self._turn(path), sdk=COMPUTE)
        on("GET", VM, self._get, sdk=COMPUTE, answer="VirtualMachine")
        on("PUT", VM, self._put, sdk=COMPUTE, body="VirtualMachine", answer="VirtualMachine")
        on("PATCH", VM, self._patch, sdk=COMPUTE, body="VirtualMachineUpdate", answer="VirtualMachine")
        on("DELETE", VM, self._delete, sdk=COMPUTE)
        on("GET", IN_SUBSCRIPTION + "Microsoft.Compute/virtualMachines", self._list, sdk=COMPUTE, answer="[VirtualMachine]")
        on("GET", IN_SUBSCRIPTION + "Microsoft.Compute/skus", self._skus, sdk=COMPUTE, answer="[ResourceSku]")
        path = IN_SUBSCRIPTION + "Microsoft.Insights/eventtypes/management/values"
        on("GET", path, self._events, sdk=MONITOR, answer="[EventData]")

    def now(self) -> datetime:
        """Return a time that is later than all before it, and just past."""
        self._ticks += 1
        return datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=self._ticks)

    def add(self, name: str, group: str = "ml", *, power: str = "running", **changed: Any) -> str:
        """Put a machine there by hand; return its id."""
        properties = {"hardwareProfile": {"vmSize": "Standard_D2s_v3"}, "provisioningState": "Succeeded", **changed.pop("properties", {})}
        properties = {"timeCreated": self.now().isoformat(), **properties}
        self.machines[name] = {
            "id": id_of("Microsoft.Compute/virtualMachines", name, group), "name": name, "location": "westeurope", **changed,
            "properties": properties,
        }  # fmt: skip
        self.power[name] = power
        return str(self.machines[name]["id"])

    def evict(self, instance: str) -> None:
        """Take a spot machine away, as Azure does it."""
        name = instance.rpartition("/")[2]
        self.power[name] = "deallocated"
        self.log.append((self.now(), instance, "Microsoft.Compute/virtualMachines/evictSpotVM/action"))

    def _find(self, request: Request) -> dict[str, Any]:
        name = request.parts["name"].lower()
        found = self.machines.get(name)
        if found is None or f"/{request.parts['group'].lower()}/" not in found["id"].lower():
            raise missing(f"Microsoft.Compute/virtualMachines/{name}")
        return found

    def _view(self, machine: dict[str, Any]) -> dict[str, Any]:
        power, failed = self.power[machine["name"]], machine["properties"]["provisioningState"] == "Failed"
        codes = ["ProvisioningState/failed/AllocationFailed" if failed else "ProvisioningState/succeeded"]
        codes += [f"PowerState/{power}"] if power else []
        return {"statuses": [{"code": code, "level": "Info", "displayStatus": code} for code in codes]}

    def _get(self, request: Request) -> dict[str, Any]:
        found = self._find(request)
        if found["properties"]["provisioningState"] == "Creating":  # the next look sees the end of it
            self._looks[found["name"]] = self._looks.get(found["name"], 0) + 1
            if self._looks[found["name"]] > 1 and not self._full(found["properties"]):
                self._made(found["name"])
            elif self._looks[found["name"]] > 1:
                found["properties"]["provisioningState"] = "Failed"
        if request.query.get("$expand") != "instanceView":
            return found
        return {**found, "properties": {**found["properties"], "instanceView": self._view(found)}}

    def _list(self, request: Request) -> Reply:
        listed = [{**one, "id": one["id"].replace("/resourceGroups/ml/", "/resourceGroups/ML/")} for one in self.machines.values()]
        if request.query.get("statusOnly") == "true":
            listed = [
                {**{name: one[name] for name in ("id", "name", "location")}, "properties": {"instanceView": self._view(one)}}
                for one in listed
            ]
        return self.arm.page(request, listed, size=1)

    def _turn(self, path: str) -> Callable[[Request], Reply]:
        def turn(request: Request) -> Reply:
            found = self._find(request)
            self.writes.append(f"{path} {found['name']}")
            self.log.append((self.now(), found["id"], f"Microsoft.Compute/virtualMachines/{path}/action"))
            if path == "start" and self.no_capacity:
                return self.arm.operation(request, failure=ArmError(409, "AllocationFailed", "Allocation failed."))
            return self.arm.operation(request, lambda: self._turned(found["name"], "running" if path == "start" else "deallocated"))

        return turn

    def _turned(self, name: str, power: str) -> None:
        self.power[name] = power

    def _put(self, request: Request) -> Reply:
        name, asked = request.parts["name"], request.body
        if request.headers.get("if-none-match") == "*" and name in self.machines:
            raise ArmError(412, "PreconditionFailed", "The condition '*' in the If-None-Match header was not satisfied.")
        self.writes.append(f"create {name}")
        spot = asked["properties"]["priority"] == "Spot"
        assert spot is ("evictionPolicy" in asked["properties"]) is ("billingProfile" in asked["properties"])
        most = asked["properties"]["billingProfile"]["maxPrice"] if spot else -1
        if most != -1 and most < SPOT_PRICE:
            message = f"the provided max price '{most} USD' is lower than the current spot price '{SPOT_PRICE} USD'"
            raise ArmError(409, "SpotPriceGreaterThanProvidedMaxPrice", f"Can't perform operation since {message}.")
        properties = {key: value for key, value in asked["properties"].items() if key != "osProfile"}
        self.add(name, power="", tags=asked["tags"], properties={**properties, "provisioningState": "Creating"})
        self.log.append((self.now(), self.machines[name]["id"], "Microsoft.Compute/virtualMachines/write"))
        failure = ArmError(409, "AllocationFailed", "Allocation failed.") if self._full(properties) else None
        return self.arm.operation(request, lambda: self._made(name), status=201, body=self.machines[name], failure=failure)

    def _full(self, properties: dict[str, Any]) -> bool:
        return self.no_capacity or (self.no_spot and properties.get("priority") == "Spot")

    def _made(self, name: str) -> dict[str, Any]:
        said = self.machines[name]["properties"]
        disk = {"createOption": "FromImage", "managedDisk": {"id": id_of("MICROSOFT.COMPUTE/disks", f"{name}_disk1", "ML")}}
        said |= {"provisioningState": "Succeeded", "storageProfile": {**said.get("storageProfile", {}), "osDisk": disk}}
        self.power[name] = "running"
        return self.machines[name]

    def _patch(self, request: Request) -> dict[str, Any]:
        found = self._find(request)
        self.writes.append(f"resize {found['name']}")
        found["properties"]["hardwareProfile"] = dict(request.body["properties"]["hardwareProfile"])
        return found

    def _delete(self, request: Request) -> Reply:
        name = self._find(request)["name"]
        self.writes.append(f"delete {name}")
        return self.arm.operation(request, lambda: self._gone(name))

    def _gone(self, name: str) -> None:
        del self.machines[name], self.power[name]

    def _skus(self, request: Request) -> Reply:
        assert self._wanted(request) == "location eq 'westeurope'"
        skus: list[dict[str, Any]] = [
            {"resourceType": "virtualMachines", "name": name, "locations": ["westeurope"], "capabilities": [
                {"name": "vCPUs", "value": cpus}, {"name": "MemoryGB", "value": memory}, {"name": "vCPUsAvailable", "value": cpus},
                {"name": "CpuArchitectureType", "value": "x64"},
            ]} for name, (cpus, memory) in SIZES.items()
        ]  # fmt: skip
        return self.arm.page(request, [{"resourceType": "disks", "name": "Premium_LRS", "locations": ["westeurope"]}, *skus], size=2)

    def _wanted(self, request: Request) -> str:
        """Return the filter of a listing; its further pages do not repeat it."""
        self._filter = request.query.get("$filter", self._filter)
        return self._filter

    def _events(self, request: Request) -> Reply:
        wanted = self._wanted(request)
        assert wanted.startswith("eventTimestamp ge '")
        events = [
            {"eventTimestamp": at.isoformat(), "operationName": {"value": name, "localizedValue": name}}
            for at, resource, name in reversed(self.log)
            if f"resourceuri eq '{resource.lower()}'" in wanted.lower()
        ]
        return self.arm.page(request, events, size=1)
