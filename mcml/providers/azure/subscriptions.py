"""Subscriptions, over Resource Manager's REST API. https://learn.microsoft.com/rest/api/resources/subscriptions"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from mcml.core.errors import NotAuthenticated, NotFound
from mcml.providers.azure.arm import rest_get, rest_pages
from mcml.providers.azure.error_table import skew
from mcml.providers.azure.session import Session

API = "2022-12-01"
CHOOSE = "set subscription in [providers.azure] of mcml.toml, or AZURE_SUBSCRIPTION_ID (az account list --output table)"


@dataclass(frozen=True)
class Subscription:
    """A subscription: its id, its display name, and its state (Enabled, Warned, PastDue, Disabled, Deleted)."""

    id: str
    name: str
    state: str

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


def subscription_of(session: Session) -> tuple[Subscription, float]:
    """Return the subscription that is named, and by how many seconds our clock is ahead of Azure's.

    Raises NotAuthenticated when the login cannot see it, Unavailable, Usage when none is named.
    """
    named = session.named_subscription()
    what = f"look at subscription {named}"
    try:
        found, headers = rest_get(session, what, f"/subscriptions/{named}?api-version={API}", _client(session))
    except NotFound as missing:
        raise NotAuthenticated(missing.message, why=f"the login does not see it: {missing.why}", next_step=CHOOSE) from missing
    return _to_subscription(found), skew(headers, session.clock)


def subscriptions_of(session: Session) -> list[Subscription]:
    """Return the subscriptions that the login sees (none is an answer too), by name."""
    listed = rest_pages(session, "list subscriptions", "/subscriptions", API, _client(session))
    return sorted((_to_subscription(found) for found in listed), key=lambda one: (one.name, one.id))


def _to_subscription(found: dict[str, Any]) -> Subscription:
    return Subscription(str(found.get("subscriptionId", "")), str(found.get("displayName", "")), str(found.get("state", "")))


def _client(session: Session) -> Any:
    return session.management(_tenant_client(), of_subscription=False)


@cache
def _tenant_client() -> type:
    """Return a client that is of no subscription: the SDK's own wants one, and puts it into the paths of its own methods only."""
    from azure.mgmt.resource.resources import ResourceManagementClient

    class TenantClient(ResourceManagementClient):  # type: ignore[misc]
        def __init__(self, credential: Any, **options: Any) -> None:
            super().__init__(credential, "none", **options)

    return TenantClient
