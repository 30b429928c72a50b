"""Management locks, over Resource Manager's REST API. https://learn.microsoft.com/rest/api/resources/management-locks"""

from dataclasses import dataclass

from mcml.providers.azure.arm import rest_pages
from mcml.providers.azure.session import Session

API = "2020-05-01"
_BETWEEN = "/providers/microsoft.authorization/locks/"


@dataclass(frozen=True)
class Lock:
    """A lock: its id, the id of what it locks (and all below it), and its level (CanNotDelete, ReadOnly: neither may be deleted)."""

    id: str
    scope: str
    level: str

    @property
    def name(self) -> str:
        """Its own name."""
        return self.id.rpartition("/")[2]

    def blocks(self, resource: str) -> bool:
        """Tell whether a resource cannot be deleted for it: it lies on it, on something above it, or on something inside it."""
        return self.covers(resource) or _path(self.scope).startswith(_path(resource))

    def covers(self, resource: str) -> bool:
        """Tell whether it lies on a resource or on something above it."""
        return _path(resource).startswith(_path(self.scope))


def locks_of(session: Session) -> list[Lock]:
    """Return all locks of the subscription, at whatever level."""
    path = f"/subscriptions/{session.named_subscription()}/providers/Microsoft.Authorization/locks"
    found = [(str(one["id"]), str(one["properties"]["level"])) for one in rest_pages(session, "list locks", path, API)]
    return [Lock(id_, id_[: id_.lower().rindex(_BETWEEN)], level) for id_, level in found]


def _path(id_: str) -> str:
    return id_.lower().rstrip("/") + "/"
