"""Storage accounts in memory for the ARM stub: their listing, their blob service's settings and their lifecycle policy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request
from tests.providers.azure.compute_world import IN_GROUP, IN_SUBSCRIPTION, id_of
from tests.providers.azure.versions_stub import Account

STORAGE = "azure.mgmt.storage"
ACCOUNTS = IN_SUBSCRIPTION + "Microsoft.Storage/storageAccounts"
ONE = IN_GROUP + "Microsoft.Storage/storageAccounts/{account}"
POLICY, SERVICE = f"{ONE}/managementPolicies/{{policy}}", f"{ONE}/blobServices/default"


@dataclass
class StorageWorld:
    """The account `name` in the group "data", after others; `blobs` is its other side, whose versioning is turned on from here.

    `meddle` is called after each write of the policy: what somebody else does at that moment.
    """

    arm: ArmStub
    name: str
    blobs: Account = field(default_factory=Account)
    hierarchical: bool = False
    service: dict[str, Any] = field(default_factory=lambda: {"deleteRetentionPolicy": {"enabled": True, "days": 7}})
    rules: list[dict[str, Any]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    meddle: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Answer for storage accounts."""
        on = self.arm.on
        on("GET", ACCOUNTS, lambda request: self.arm.page(request, self._accounts(), size=1), sdk=STORAGE, answer="[StorageAccount]")
        on("GET", SERVICE, self._get_service, sdk=STORAGE, answer="BlobServiceProperties")
        on("PUT", SERVICE, self._put_service, sdk=STORAGE, body="BlobServiceProperties", answer="BlobServiceProperties")
        on("GET", POLICY, self._get_policy, sdk=STORAGE, answer="ManagementPolicy")
        on("PUT", POLICY, self._put_policy, sdk=STORAGE, body="ManagementPolicy", answer="ManagementPolicy")
        on("DELETE", POLICY, self._delete_policy, sdk=STORAGE)

    def _accounts(self) -> list[dict[str, Any]]:
        return [
            {
                "id": id_of("Microsoft.Storage/storageAccounts", name, "DATA"), "name": name, "location": "westeurope",
                "properties": {"isHnsEnabled": self.hierarchical},
            }
            for name in ("another", f"{self.name}2"[-24:], self.name)
        ]  # fmt: skip

    def _get_service(self, request: Request) -> dict[str, Any]:
        self._check(request)
        return {"id": request.path, "name": "default", "sku": {"name": "Standard_LRS", "tier": "Standard"}, "properties": self.service}

    def _put_service(self, request: Request) -> dict[str, Any]:
        self._check(request)
        self.writes.append("service")
        self.service = dict(request.body["properties"])
        self.blobs.versioning = bool(self.service.get("isVersioningEnabled"))
        return self._get_service(request)

    def _get_policy(self, request: Request) -> dict[str, Any]:
        self._check(request)
        if not self.rules:
            raise ArmError(404, "ManagementPolicyNotFound", f"No ManagementPolicy found for account {self.name}")
        properties = {"policy": {"rules": self.rules}, "lastModifiedTime": "2026-03-01T12:00:00Z"}
        return {"id": request.path, "name": "DefaultManagementPolicy", "properties": properties}

    def _put_policy(self, request: Request) -> Reply:
        self._check(request)
        rules = request.body["properties"]["policy"]["rules"]
        names = [rule["name"] for rule in rules]
        if not rules or len(rules) > 100 or len(set(names)) < len(names):
            raise ArmError(400, "InvalidRequestPropertyValue", "The value for the property rules is not valid.")
        self.writes.append("policy")
        self.rules = list(rules)
        answer = self._get_policy(request)
        self.meddle()
        return Reply(200, answer)

    def _delete_policy(self, request: Request) -> None:
        self._check(request)
        self.writes.append("no policy")
        self.rules = []
        self.meddle()

    def _check(self, request: Request) -> None:
        assert request.parts["account"] == self.name
        assert request.parts["group"].lower() == "data"
        assert request.parts.get("policy", "default") == "default"
