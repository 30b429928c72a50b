"""A small Azure in memory for the ARM stub: resources with tags and locks, resource groups, and SQL servers with replicas."""

from dataclasses import dataclass, field
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing
from tests.providers.azure.compute_world import IN_GROUP, IN_SUBSCRIPTION, id_of
from tests.providers.azure.conftest import SUBSCRIPTION

RESOURCES, SQL = "azure.mgmt.resource.resources", "azure.mgmt.sql"
GROUPS = "/subscriptions/{subscription}/resourcegroups"
VERSIONS = {"Microsoft.Compute": {"disks": ["2025-01-02-preview", "2024-03-02", "2023-10-02"], "virtualMachines": ["2024-07-01"]},
            "Microsoft.Storage": {"storageAccounts": ["2023-05-01"]},
            "Microsoft.Sql": {"servers": ["2021-11-01"], "servers/databases": ["2021-11-01"]}}  # fmt: skip


@dataclass
class ResourcesWorld:
    """Resources by id in small letters; `locks` are those of the subscription; `containers` and `shares` by storage account.

    `unsupported` are the things that no storage account here can hold, `unlisted` the ids that the listing lacks yet.
    """

    arm: ArmStub
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    locks: list[dict[str, Any]] = field(default_factory=list)
    containers: dict[str, list[str]] = field(default_factory=dict)
    shares: dict[str, list[str]] = field(default_factory=dict)
    unsupported: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    deletes: int = 0

    def __post_init__(self) -> None:
        """Answer for resources of every type."""
        on, page = self.arm.on, self.arm.page
        on("GET", "/{resourceId}", self._get, sdk="", answer="object")  # by id: the version is that of the resource's own type
        on("DELETE", "/{resourceId}", self._delete, sdk="")
        lists = "/subscriptions/{subscription}/resources"
        on("GET", lists, lambda request: page(request, self._listed()), sdk=RESOURCES, answer="[GenericResourceExpanded]")
        on("GET", GROUPS, lambda request: page(request, list(self.groups.values()), size=1), sdk=RESOURCES, answer="[ResourceGroup]")
        on("GET", f"{GROUPS}/{{group}}", self._group, sdk=RESOURCES, answer="ResourceGroup")
        on("DELETE", f"{GROUPS}/{{group}}", self._delete_group, sdk=RESOURCES)
        on("GET", "/subscriptions/{subscription}/providers/{namespace}", self._provider, sdk=RESOURCES, answer="Provider")
        path = IN_SUBSCRIPTION + "Microsoft.Authorization/locks"
        on("GET", path, lambda request: page(request, self.locks, size=1), sdk="", api="2020-05-01", answer="object")
        path = IN_GROUP + "Microsoft.Storage/storageAccounts/{name}/{service}/default/{things}"
        on("GET", path, self._stored, sdk="", api="2023-05-01", answer="object")

    def add(self, kind: str, name: str, tags: dict[str, str] | None = None, *, group: str = "ml", **more: Any) -> str:
        """Put a resource there; return its id."""
        id_ = id_of(kind, name, group)
        self.resources[id_.lower()] = {"id": id_, "name": name, "type": kind, "location": "westeurope", "tags": tags or {}, **more}
        return id_

    def add_group(self, name: str, tags: dict[str, str]) -> str:
        """Put a resource group there; return its id."""
        id_ = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"
        said = {"id": id_, "name": name, "type": "Microsoft.Resources/resourceGroups", "location": "westeurope", "tags": tags}
        self.groups[name] = {**said, "properties": {"provisioningState": "Succeeded"}}
        return id_

    def lock(self, scope: str, name: str = "keep") -> None:
        """Put a lock on an id."""
        id_ = f"{scope}/providers/Microsoft.Authorization/locks/{name}"
        self.locks.append({"id": id_, "name": name, "properties": {"level": "CanNotDelete"}})

    def _listed(self) -> list[dict[str, Any]]:
        listed = [one for key, one in self.resources.items() if key not in self.unlisted]
        return [{**one, "id": one["id"].replace("/resourceGroups/ml/", "/resourceGroups/ML/")} for one in listed]

    def _known(self, request: Request) -> str:
        namespace, *levels = request.path.lower().rpartition("/providers/")[2].split("/")
        kinds = {name.lower(): value for name, value in VERSIONS.items()}[namespace]
        (known,) = (versions for kind, versions in kinds.items() if kind.lower() == "/".join(levels[::2]))
        version = request.query["api-version"]
        if version not in known or "preview" in version:
            raise ArmError(400, "NoRegisteredProviderFound", f"No registered resource provider found for API version '{version}'.")
        if request.path.lower() not in self.resources:
            raise missing(request.path)
        return request.path.lower()

    def _get(self, request: Request) -> dict[str, Any]:
        return self.resources[self._known(request)]

    def _delete(self, request: Request) -> Reply:
        key = self._known(request)
        if any(key.startswith(lock["id"].lower().partition("/providers/microsoft.authorization")[0]) for lock in self.locks):
            raise ArmError(409, "ScopeLocked", "The scope cannot perform delete operation because it is locked.")
        self.deletes += 1
        return self.arm.operation(request, lambda: self.resources.pop(key, None) and None, via="location")

    def _group(self, request: Request) -> dict[str, Any]:
        if request.parts["group"] not in self.groups:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{request.parts['group']}' could not be found.")
        return self.groups[request.parts["group"]]

    def _delete_group(self, request: Request) -> Reply:
        self._group(request)
        self.deletes += 1
        return self.arm.operation(request, lambda: self.groups.pop(request.parts["group"], None) and None, via="location")

    def _provider(self, request: Request) -> dict[str, Any]:
        namespace = request.parts["namespace"]
        types = [{"resourceType": kind, "apiVersions": versions} for kind, versions in VERSIONS.get(namespace, {}).items()]
        return {"namespace": namespace, "resourceTypes": types}

    def _stored(self, request: Request) -> Reply:
        if request.parts["things"] in self.unsupported:
            raise ArmError(400, "FeatureNotSupportedForAccount", f"{request.parts['service']} is not supported for the account.")
        stored = self.containers if request.parts["things"] == "containers" else self.shares if request.parts["things"] == "shares" else {}
        return self.arm.page(request, [{"name": name} for name in stored.get(request.parts["name"], [])], size=1)


@dataclass
class SqlWorld:
    """SQL servers and their databases; `links` are the replicas, as the server of the primary tells them."""

    arm: ArmStub
    databases: dict[str, list[str]] = field(default_factory=dict)
    links: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    locks: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Answer for servers."""
        on, page = self.arm.on, self.arm.page
        server = IN_GROUP + "Microsoft.Sql/servers/{name}"
        path = IN_SUBSCRIPTION + "Microsoft.Sql/servers"
        on("GET", path, lambda request: page(request, self._servers(), size=1), sdk=SQL, answer="[Server]")
        on("GET", f"{server}/databases", self._databases, sdk=SQL, answer="[Database]")
        on("GET", f"{server}/replicationLinks", self._links, sdk=SQL, answer="[ReplicationLink]")
        path = IN_SUBSCRIPTION + "Microsoft.Authorization/locks"
        on("GET", path, lambda request: page(request, self.locks), sdk="", api="2020-05-01", answer="object")

    def replicate(self, server: str, database: str, partner: str, state: str = "CATCH_UP", percent: int = 100) -> None:
        """Link a database to its copy on another server."""
        for one, other, role, partner_role in ((server, partner, "Primary", "Secondary"), (partner, server, "Secondary", "Primary")):
            id_ = f"{id_of('Microsoft.Sql/servers', one)}/databases/{database}/replicationLinks/f0550bf5-07ce-4270-8e4b-71737975973a"
            said = {
                "partnerServer": other, "partnerDatabase": database, "partnerLocation": "North Europe", "role": role,
                "partnerRole": partner_role, "replicationMode": "ASYNC", "percentComplete": percent, "replicationState": state,
            }  # fmt: skip
            self.links.setdefault(one, []).append({"id": id_, "name": "link", "properties": said})

    def _servers(self) -> list[dict[str, Any]]:
        return [
            {
                "id": id_of("Microsoft.Sql/servers", name), "name": name, "location": "westeurope", "kind": "v12.0",
                "properties": {"version": "12.0", "state": "Ready", "fullyQualifiedDomainName": f"{name}.database.windows.net"},
            }
            for name in self.databases
        ]  # fmt: skip

    def _databases(self, request: Request) -> Reply:
        server = request.parts["name"]
        found = [
            {
                "id": f"{id_of('Microsoft.Sql/servers', server)}/databases/{name}", "name": name, "location": "westeurope",
                "sku": {"name": "GP_S_Gen5", "tier": "GeneralPurpose", "capacity": 2}, "properties": {"status": "Online"},
            }
            for name in ["master", *self.databases[server]]
        ]  # fmt: skip
        return self.arm.page(request, found, size=2)

    def _links(self, request: Request) -> Reply:
        return self.arm.page(request, self.links.get(request.parts["name"], []), size=1)
