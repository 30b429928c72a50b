"""A small Compute Engine in memory, behind the stub that Google's discovery document drives. Operations are done when they are looked at.

`page` items are in a page. `silent` zones cannot be reached. `broken` maps a zone (or a region, or "" for what is global) to the error code
that the next operations in it end with; with `no_spot` no zone has room for a spot machine. `applied` counts the changes that were really
made, by method.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError

Json = dict[str, Any]
PROJECT = "stub-project"
REGION, OTHER_REGION = "europe-west1", "us-central1"
ZONES = ("europe-west1-b", "europe-west1-c", "us-central1-a")
BASE = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}"
PACIFIC = timezone(timedelta(hours=-8))
FIRST_START = datetime(2026, 11, 1, tzinfo=UTC)
MACHINES: dict[str, Json] = {
    "e2-medium": {"guestCpus": 2, "memoryMb": 4096, "isSharedCpu": True, "architecture": "X86_64"},
    "e2-standard-4": {"guestCpus": 4, "memoryMb": 16384, "architecture": "X86_64"},
    "n2-standard-8": {"guestCpus": 8, "memoryMb": 32768},
    "c2-standard-4": {"guestCpus": 4, "memoryMb": 16384},
    "g2-standard-4": {
        "guestCpus": 4,
        "memoryMb": 16384,
        "accelerators": [{"guestAcceleratorType": "nvidia-l4", "guestAcceleratorCount": 1}],
    },
    "m1-megamem-96": {"guestCpus": 96, "memoryMb": 1468006},
    "c3-standard-4-lssd": {"guestCpus": 4, "memoryMb": 16384, "bundledLocalSsds": {"partitionCount": 1}},
}


class ComputeWorld:
    """What is there; resources are the API's own JSON, by ("zones/Z" or "regions/R" or "global", name)."""

    def __init__(self, stub: DiscoveryStub) -> None:
        self.page = 100
        kinds = ("instances", "disks", "snapshots", "instanceGroupManagers", "autoscalers", "instanceTemplates", "operations")
        self.kinds: dict[str, dict[tuple[str, str], Json]] = {kind: {} for kind in kinds}
        self.kinds["machineTypes"] = {
            (f"zones/{zone}", name): {"name": name, "zone": zone, "id": str(number), **about}
            for zone in ZONES
            for number, (name, about) in enumerate(MACHINES.items())
        }
        self.content: dict[str, bytes] = {}
        self.broken: dict[str, str] = {}
        self.silent: set[str] = set()
        self.no_spot = False
        self.applied: Counter[str] = Counter()
        self.polls = 1
        self._left: dict[str, int] = {}
        self._by_request: dict[str, Json] = {}
        self._ticks = 0
        self._serve(stub)

    def now(self) -> str:
        """A second later than the last time, as Google writes it: in the time of California."""
        self._ticks += 1
        return (FIRST_START + timedelta(seconds=self._ticks)).astimezone(PACIFIC).isoformat(timespec="milliseconds")

    def add(self, kind: str, scope: str, name: str, **about: Any) -> Json:
        self._ticks += 1
        where = {} if scope == "global" else {scope.partition("s/")[0]: f"{BASE}/{scope}"}
        link = f"{BASE}/{scope}/{kind}/{name}"
        made = {"name": name, "id": str(10_000 + self._ticks), "creationTimestamp": self.now(), "selfLink": link, **where, **about}
        self.kinds[kind][scope, name] = made
        return made

    def add_disk(self, zone: str, name: str, content: bytes, **about: Any) -> Json:
        self.content[f"{zone}/{name}"] = content
        return self.add("disks", f"zones/{zone}", name, **{"sizeGb": "10", "status": "READY", **about})

    def add_instance(self, zone: str, name: str, machine: str = "e2-medium", **about: Any) -> Json:
        kind = f"{BASE}/zones/{zone}/machineTypes/{machine}"
        return self.add("instances", f"zones/{zone}", name, **{"status": "RUNNING", "machineType": kind, "scheduling": {}, **about})

    def preempt(self, instance: str) -> None:
        """Take a spot machine away."""
        zone, _, name = instance.partition("/")
        found = self.kinds["instances"][f"zones/{zone}", name]
        found["status"] = "TERMINATED"
        made = self.add("operations", f"zones/{zone}", f"systemevent-{self._ticks}", operationType="compute.instances.preempted")
        made |= {"targetId": found["id"], "status": "DONE", "insertTime": self.now()}

    # listings

    def _serve(self, stub: DiscoveryStub) -> None:
        for kind in self.kinds:
            api = "globalOperations" if kind == "operations" else kind
            if kind != "snapshots":
                stub.on(f"compute.{api}.aggregatedList", self._aggregated(kind))
        for kind in ("instances", "disks", "machineTypes"):
            stub.on(f"compute.{kind}.get", self._get(kind, "zone"))
        stub.on("compute.machineTypes.list", self._types_in)
        stub.on("compute.snapshots.get", self._get("snapshots", ""))
        stub.on("compute.instanceTemplates.get", self._get("instanceTemplates", ""))
        stub.on("compute.regionInstanceTemplates.get", self._get("instanceTemplates", "region"))
        stub.on("compute.snapshots.list", lambda call: self._paged(call, list(self.kinds["snapshots"].values())))
        stub.on("compute.zones.list", lambda call: self._paged(call, self._zones()))
        stub.on("compute.zoneOperations.get", self._poll("zone"))
        stub.on("compute.regionOperations.get", self._poll("region"))
        stub.on("compute.globalOperations.get", self._poll(""))
        changes: dict[str, Callable[[Call, str], None]] = {
            "instances.start": self._set_status("RUNNING"),
            "instances.stop": self._set_status("TERMINATED"),
            "instances.resume": self._set_status("RUNNING"),
            "instances.setMachineType": self._set_machine,
            "instances.insert": self._insert_instance,
            "instances.delete": self._delete("instances", "instance"),
            "disks.insert": self._insert_disk,
            "disks.delete": self._delete("disks", "disk"),
            "snapshots.insert": self._insert_snapshot,
            "snapshots.delete": self._delete("snapshots", "snapshot"),
            "instanceGroupManagers.resize": self._resize,
            "regionInstanceGroupManagers.resize": self._resize,
        }
        for method, change in changes.items():
            stub.on(f"compute.{method}", self._change(method, change))

    def _types_in(self, call: Call) -> Json:
        return self._paged(call, [one for (scope, _), one in self.kinds["machineTypes"].items() if scope == f"zones/{call['zone']}"])

    def _zones(self) -> list[Json]:
        return [{"name": zone, "status": "UP", "region": f"{BASE}/regions/{zone[:-2]}"} for zone in ZONES]

    def _aggregated(self, kind: str) -> Callable[[Call], Json]:
        def answer(call: Call) -> Json:
            found = [(scope, one) for (scope, _), one in self.kinds[kind].items() if _passes(call.get("filter"), one)]
            part, rest = self._part(call, found)
            codes = {zone: "UNREACHABLE" if zone in self.silent else "NO_RESULTS_ON_PAGE" for zone in ZONES}
            scopes: dict[str, Json] = {f"zones/{zone}": {"warning": {"code": code}} for zone, code in codes.items()}
            for scope, one in part:
                if scope.partition("/")[2] in self.silent:
                    continue
                scopes.setdefault(scope, {}).pop("warning", None)
                scopes[scope].setdefault(kind, []).append(one)
            return {"items": scopes, **rest}

        return answer

    def _paged(self, call: Call, found: list[Json]) -> Json:
        part, rest = self._part(call, [one for one in found if _passes(call.get("filter"), one)])
        return {"items": part, **rest}

    def _part(self, call: Call, found: list[Any]) -> tuple[list[Any], Json]:
        start = int(call.get("pageToken", "0"))
        end = start + min(self.page, int(call.get("maxResults", "500")))
        return found[start:end], {"nextPageToken": str(end)} if end < len(found) else {}

    def _get(self, kind: str, where: str) -> Callable[[Call], Json]:
        return lambda call: self._one(kind, call, where)

    def _one(self, kind: str, call: Call, where: str) -> Json:
        scope = f"{where}s/{call[where]}" if where else "global"
        name = next(call[word] for word in (kind[:-1], "instanceTemplate", "instanceGroupManager") if word in call.parameters)
        if (scope, name) not in self.kinds[kind]:
            raise GoogleError(404, f"The resource 'projects/{PROJECT}/{scope}/{kind}/{name}' was not found", reason="notFound")
        return self.kinds[kind][scope, name]

    # changes

    def _change(self, method: str, change: Callable[[Call, str], None]) -> Callable[[Call], Json]:
        def answer(call: Call) -> Json:
            token = call["requestId"]
            if token in self._by_request:
                return self._by_request[token]
            scope = next((f"{word}s/{call[word]}" for word in ("zone", "region") if word in call.parameters), "global")
            broken = self.broken.get(scope.partition("/")[2])
            if self.no_spot and method == "instances.insert" and call.body["scheduling"]["provisioningModel"] == "SPOT":
                broken = "ZONE_RESOURCE_POOL_EXHAUSTED"
            if broken is None:
                change(call, scope)
                self.applied[method] += 1
            about = {"operationType": method, "status": "RUNNING", "insertTime": self.now()}
            operation = self.add("operations", scope, f"operation-{self._ticks}", **about)
            if broken:
                operation["error"] = {"errors": [{"code": broken, "message": f"The zone does not have enough resources: {broken}"}]}
            self._left[operation["name"]] = self.polls
            self._by_request[token] = dict(operation)
            return dict(operation)

        return answer

    def _poll(self, where: str) -> Callable[[Call], Json]:
        def answer(call: Call) -> Json:
            found = self.kinds["operations"][f"{where}s/{call[where]}" if where else "global", call["operation"]]
            self._left[found["name"]] -= 1
            if self._left[found["name"]] <= 0:
                found["status"] = "DONE"
            return found

        return answer

    def _set_status(self, status: str) -> Callable[[Call, str], None]:
        def change(call: Call, _: str) -> None:
            found = self._one("instances", call, "zone")
            found["status"] = status
            found["lastStartTimestamp" if status == "RUNNING" else "lastStopTimestamp"] = self.now()

        return change

    def _set_machine(self, call: Call, _: str) -> None:
        self._one("instances", call, "zone")["machineType"] = f"{BASE}/{call.body['machineType']}"

    def _insert_instance(self, call: Call, scope: str) -> None:
        body, zone = call.body, call["zone"]
        machine = body["machineType"].rpartition("/")[2]
        assert body["machineType"] == f"zones/{zone}/machineTypes/{machine}"
        assert body["disks"][0]["boot"]
        self._free("instances", scope, body["name"])
        boot = self.add_disk(zone, body["name"], b"the image")  # named as the machine, as Google does
        disks = [{**body["disks"][0], "source": boot["selfLink"], "architecture": "X86_64"}, *body["disks"][1:]]
        self.add_instance(zone, **{**body, "disks": disks, "machine": machine, "machineType": f"{BASE}/{body['machineType']}"})

    def _insert_disk(self, call: Call, scope: str) -> None:
        body = call.body
        self._free("disks", scope, body["name"])
        snapshot = body["sourceSnapshot"].rpartition("/")[2]
        self.add_disk(call["zone"], content=self.content[f"snapshot/{snapshot}"], **body)

    def _insert_snapshot(self, call: Call, scope: str) -> None:
        body = call.body
        self._free("snapshots", scope, body["name"])
        place, _, disk = body["sourceDisk"].partition("/disks/")
        self.content[f"snapshot/{body['name']}"] = self.content[f"{place.rpartition('/')[2]}/{disk}"]
        url = f"https://www.googleapis.com/compute/v1/{body['sourceDisk']}"
        self.add("snapshots", scope, **{**body, "sourceDisk": url, "diskSizeGb": "10", "storageBytes": "1234", "status": "READY"})

    def _delete(self, kind: str, word: str) -> Callable[[Call, str], None]:
        def change(call: Call, scope: str) -> None:
            self._one(kind, call, scope.partition("s/")[0] if scope != "global" else "")
            del self.kinds[kind][scope, call[word]]

        return change

    def _resize(self, call: Call, scope: str) -> None:
        found = self._one("instanceGroupManagers", call, scope.partition("s/")[0])
        found["targetSize"] = int(call["size"])
        found["currentActions"] = {"none": int(call["size"])}

    def _free(self, kind: str, scope: str, name: str) -> None:
        if (scope, name) in self.kinds[kind]:
            raise GoogleError(409, f"The resource 'projects/{PROJECT}/{scope}/{kind}/{name}' already exists", reason="alreadyExists")


def add_group(world: ComputeWorld, scope: str, name: str, mode: str = "OFF", **about: Any) -> None:
    """With one machine, a template of its own, and an autoscaler with the limits 0 and 3 (mode "": none)."""
    where = scope if scope.startswith("regions/") else "global"
    properties = {"machineType": "e2-medium", "labels": {"team": "risk"}}
    template = world.add("instanceTemplates", where, f"{name}-template", properties=properties)
    of = {"instanceTemplate": template["selfLink"], "targetSize": 1, "currentActions": {"none": 1}, **about}
    world.add("instanceGroupManagers", scope, name, **of)
    if mode:
        policy = {"minNumReplicas": 0, "maxNumReplicas": 3, "mode": mode}
        world.add(
            "autoscalers", scope, f"{name}-scaler", target=f"{BASE}/{scope}/instanceGroupManagers/{name}", autoscalingPolicy=policy
        )


def _passes(wanted: str, one: Json) -> bool:
    if not wanted:
        return True
    found = re.fullmatch(r'(\w+) = "([^"]*)"', wanted)
    if found is None:
        raise GoogleError(400, f"Invalid value for field 'filter': '{wanted}'", reason="invalid")
    return bool(one.get(found[1]) == found[2])


def all_labelled(world: ComputeWorld) -> Iterator[tuple[str, str, Json]]:
    """What the asset inventory sees of it: (asset type, full name, resource)."""
    types = {"instances": "Instance", "disks": "Disk", "snapshots": "Snapshot"}
    for kind, asset in types.items():
        for (scope, name), one in world.kinds[kind].items():
            yield f"compute.googleapis.com/{asset}", f"//compute.googleapis.com/projects/{PROJECT}/{scope}/{kind}/{name}", one
