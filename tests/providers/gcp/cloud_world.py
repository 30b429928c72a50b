"""Cloud SQL, buckets and the asset inventory in memory, behind the stub that Google's discovery documents drive."""

import re
from collections import Counter
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp.compute_world import PROJECT, ComputeWorld, all_labelled

Json = dict[str, Any]


class SqlWorld:
    """Cloud SQL instances by name; a deleted one is gone when its operation has been looked at."""

    def __init__(self, stub: DiscoveryStub) -> None:
        self.databases: dict[str, Json] = {}
        self.page = 100
        self.broken = ""
        self.silent = ""
        self.applied: Counter[str] = Counter()
        stub.on("sql.instances.list", self._list)
        stub.on("sql.instances.get", lambda call: self._one(call["instance"]))
        stub.on("sql.instances.delete", self._delete)
        stub.on("sql.operations.get", lambda call: self._operation(call["operation"], "DONE"))

    def add(self, name: str, version: str = "POSTGRES_16", *, iam: bool = False, region: str = "europe-west1", **about: Any) -> Json:
        flag = "cloudsql_iam_authentication" if version.startswith("MYSQL") else "cloudsql.iam_authentication"
        flags = [{"name": flag, "value": "on"}] if iam else []
        settings = {"activationPolicy": "ALWAYS", "databaseFlags": flags, **about.pop("settings", {})}
        addresses = [{"type": "PRIVATE", "ipAddress": "10.0.0.5"}, {"type": "PRIMARY", "ipAddress": "34.1.2.3"}]
        of = {"databaseVersion": version, "state": "RUNNABLE", "region": region, "ipAddresses": addresses, "settings": settings}
        self.databases[name] = {"name": name, "project": PROJECT, **of, **about}
        return self.databases[name]

    def _list(self, call: Call) -> Json:
        start, found = int(call.get("pageToken", "0")), list(self.databases.values())
        rest = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        warning = {"code": "REGION_UNREACHABLE", "message": "The region is unreachable.", "region": self.silent}
        return {"items": found[start : start + self.page], **rest, **({"warnings": [warning]} if self.silent else {})}

    def _one(self, name: str) -> Json:
        if name not in self.databases:
            raise GoogleError(404, "The Cloud SQL instance does not exist.", reason="instanceDoesNotExist")
        return self.databases[name]

    def _delete(self, call: Call) -> Json:
        self._one(call["instance"])
        if not self.broken:
            del self.databases[call["instance"]]
            self.applied["delete"] += 1
        return self._operation("op-1", "PENDING")

    def _operation(self, name: str, status: str) -> Json:
        error = {"error": {"errors": [{"code": self.broken, "message": "It failed."}]}} if self.broken and status == "DONE" else {}
        return {"name": name, "status": status, "operationType": "DELETE", **error}


class BucketWorld:
    """Buckets by name, each with how many objects are in it."""

    def __init__(self, stub: DiscoveryStub) -> None:
        self.buckets: dict[str, Json] = {}
        self.objects: dict[str, int] = {}
        stub.on("storage.buckets.get", lambda call: self._one(call["bucket"]))
        stub.on("storage.buckets.delete", self._delete)
        stub.on("storage.objects.list", self._objects)

    def add(self, name: str, labels: Json, objects: int = 0) -> None:
        self.buckets[name] = {"name": name, "labels": labels, "location": "EUROPE-WEST1"}
        self.objects[name] = objects

    def _one(self, name: str) -> Json:
        if name not in self.buckets:
            raise GoogleError(404, "The specified bucket does not exist.", reason="notFound")
        return self.buckets[name]

    def _delete(self, call: Call) -> None:
        del self.buckets[self._one(call["bucket"])["name"]]

    def _objects(self, call: Call) -> Json:
        self._one(call["bucket"])
        names = [f"o{number}" for number in range(self.objects[call["bucket"]])]
        return {"items": [{"name": name, "bucket": call["bucket"], "generation": "1"} for name in names]}


class AssetWorld:
    """What the inventory finds of the other worlds, and `others` of its own: (asset type, full name, labels, location)."""

    def __init__(self, stub: DiscoveryStub, compute: ComputeWorld, sql: SqlWorld, buckets: BucketWorld) -> None:
        self.compute, self.sql, self.buckets = compute, sql, buckets
        self.others: list[tuple[str, str, Json, str]] = []
        self.page = 100
        stub.on("cloudasset.searchAllResources", self._search)

    def _all(self) -> list[Json]:
        found = []
        for asset, name, one in all_labelled(self.compute):
            where = str(one.get("zone", one.get("region", "global"))).rpartition("/")[2]
            found.append((asset, name, one.get("labels", {}), where))
        for name, one in self.sql.databases.items():
            full = f"//cloudsql.googleapis.com/projects/{PROJECT}/instances/{name}"
            found.append(("sqladmin.googleapis.com/Instance", full, one["settings"].get("userLabels", {}), one["region"]))
        for name, one in self.buckets.buckets.items():
            found.append(("storage.googleapis.com/Bucket", f"//storage.googleapis.com/{name}", one["labels"], one["location"].lower()))
        return [
            {"assetType": asset, "name": name, "labels": labels, "location": where, "project": "projects/1"}
            for asset, name, labels, where in [*found, *self.others]
        ]

    def _search(self, call: Call) -> Json:
        assert call["scope"] == f"projects/{PROJECT}"
        found = [one for one in self._all() if all(_passes(term, one) for term in call["query"].split(" AND "))]
        start = int(call.get("pageToken") or 0)
        rest = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        return {"results": found[start : start + self.page], **rest}


def _passes(term: str, one: Json) -> bool:
    """As the search does: without regard to case, and by the words of a value, not the whole of it."""
    found = re.fullmatch(r'(?:labels\.([\w-]+)|(name)):"([^"]*)"', term)
    if found is None:
        raise GoogleError(400, f"Invalid query: {term}")
    value = one["name"] if found[2] else one["labels"].get(found[1], None)
    return value is not None and found[3].lower() in value.lower()
