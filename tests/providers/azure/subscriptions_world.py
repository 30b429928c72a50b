"""The subscriptions that a login sees, for the ARM stub."""

from dataclasses import dataclass, field
from typing import Any

from mcml.providers.azure.subscriptions import API
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Request
from tests.providers.azure.conftest import SUBSCRIPTION, TENANT


@dataclass
class SubscriptionsWorld:
    """The subscriptions that a login sees, for the ARM stub."""

    arm: ArmStub
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Answer for subscriptions; another than those of the list is not found."""
        self.arm.on("GET", "/subscriptions", lambda request: self.arm.page(request, self.seen, size=2), sdk="", answer="object", api=API)
        self.arm.on("GET", "/subscriptions/{id}", self._one, sdk="", answer="object", api=API)

    def add(self, id_: str = SUBSCRIPTION, name: str = "ML", state: str = "Enabled") -> None:
        """Let the login see a subscription."""
        self.seen.append({"id": f"/subscriptions/{id_}", "subscriptionId": id_, "displayName": name, "state": state, "tenantId": TENANT})

    def _one(self, request: Request) -> dict[str, Any]:
        found = [one for one in self.seen if one["subscriptionId"] == request.parts["id"]]
        if not found:
            raise ArmError(404, "SubscriptionNotFound", f"The subscription '{request.parts['id']}' could not be found.")
        return found[0]
