"""Names of things in Azure Resource Manager, listings page by page, and the tags that mcml puts on what it makes.

An id is written in any case by the services (resource groups in capitals, type names in small letters), and means the same: `ResourceId`
writes it in one way. https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcml.core.errors import InvalidRequest, NotFound, Usage
from mcml.providers.azure.session import Session

MADE_BY = {"managed-by": "mcml"}
_NAME = re.compile(r"[A-Za-z0-9_][\w.()-]{0,89}")
_ELSEWHERE = re.compile(r"[?#\\\x00-\x1f]|%(2[ef]|5c)", re.IGNORECASE)  # with these a path would lead to another resource
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/providers/(?P<rest>[^/]+(?:/[^/]+/[^/]+)+)/?", re.IGNORECASE
)


@dataclass(frozen=True)
class ResourceId:
    """A resource: subscription and group in small letters, its type (`Microsoft.Sql/servers/databases`) and the name of each level."""

    subscription: str
    group: str
    kind: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the resource itself."""
        return self.names[-1]

    def __str__(self) -> str:
        namespace, *types = self.kind.split("/")
        path = "/".join(part for level in zip(types, self.names, strict=True) for part in level)
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{namespace}/{path}"


def parse_id(text: str, kind: str = "") -> ResourceId | None:
    """Return an id in parts; None for what is no id, or (whatever its case) not of this type, whose spelling it takes."""
    found = _ID.fullmatch(text)
    if found is None or any(part in (".", "..") or _ELSEWHERE.search(part) for part in text.split("/")):
        return None
    namespace, *levels = found["rest"].split("/")
    told = "/".join((namespace, *levels[::2]))
    if kind and told.lower() != kind.lower():
        return None
    return ResourceId(found["subscription"].lower(), found["group"].lower(), kind or told, tuple(levels[1::2]))


def same_id(one: str, other: str) -> bool:
    """Tell whether two ids mean the same resource."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def locate(session: Session, named: str, kind: str, what: str) -> ResourceId:
    """Return the id that a person or a listing gave, or that of a name in the resource group of the settings.

    Raises NotFound for what cannot be the name of one, Usage when a bare name has no group.
    """
    found = parse_id(named, kind)
    if found is None:
        if not _NAME.fullmatch(named):
            raise NotFound(f"no {what} {named[:200]!r}", why=f"this is neither a name nor the id of a {kind}")
        found = ResourceId(session.named_subscription().lower(), group_of(session).lower(), kind, (named,))
    return found


def group_of(session: Session) -> str:
    """Return the resource group of what names none. Raises Usage when the settings name none either."""
    if not session.settings.resource_group:
        raise Usage(
            "no resource group is named",
            why="a name alone does not say where it is",
            next_step="set resource_group in [providers.azure] of mcml.toml (az group list), or give the whole id",
        )
    return session.settings.resource_group


def region_of(region: str, what: str) -> str:
    """Return the region as the APIs write it ("West Europe" is westeurope). Raises Usage for none."""
    if not region:
        step = "give --target, or set region in the target (az account list-locations)"
        raise Usage(f"{what} needs a region", why="no target names one", next_step=step)
    return plain_region(region)


def plain_region(region: str) -> str:
    """Return a region's name without spaces and capitals."""
    return region.replace(" ", "").lower()


def name_of_token(session: Session, target: str, prefix: str, token: str) -> str:
    """Return the name that a request's token stands for: the same token is the same thing, whoever asks. Raises InvalidRequest for none."""
    if not token:
        raise InvalidRequest(f"a {prefix} needs a token", why="without one a retry would make a second")
    return f"mcml-{prefix}-{stable(session.named_subscription(), target, prefix, token)}"


def stable(*parts: str) -> str:
    """Return a short name that follows from texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def pages(session: Session, what: str, listing: Any, *, bucket: str = "") -> Iterator[Any]:
    """Yield all of an SDK's listing (`ItemPaged`; of a `bucket`, where it is of one), each page tried again by itself."""
    by_page = listing.by_page()
    while (page := session.call(what, lambda: _page(by_page), bucket=bucket)) is not None:
        yield from page


def _page(by_page: Iterator[Iterable[Any]]) -> list[Any] | None:
    page = next(by_page, None)
    return None if page is None else list(page)


def text(value: Any) -> str:
    """Return what an SDK's field holds, whether it came as text, as an enum's member or not at all."""
    return str(getattr(value, "value", value) or "")


def has_tags(tags: Mapping[str, str] | None, wanted: Mapping[str, str] | None) -> bool:
    """Tell whether these tags hold all that are wanted (names in any case, as Azure has them; values exactly)."""
    has = {key.lower(): value for key, value in (tags or {}).items()}
    return all(has.get(key.lower()) == value for key, value in (wanted or {}).items())


def rest_get(session: Session, what: str, path: str, client: Any = None) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return what is at a path of Resource Manager (with its query) that no installed SDK client has, and the headers of the answer."""
    from azure.core.rest import HttpRequest
    from azure.mgmt.resource.resources import ResourceManagementClient

    sender = client or session.management(ResourceManagementClient)

    def get() -> tuple[dict[str, Any], Mapping[str, str]]:
        answer = sender.send_request(HttpRequest("GET", path))
        answer.raise_for_status()
        return answer.json(), answer.headers

    return session.call(what, get)


def rest_pages(session: Session, what: str, path: str, api: str, client: Any = None) -> Iterator[dict[str, Any]]:
    """Yield all of a listing of Resource Manager that no installed SDK client has, by its path and api-version; follows nextLink."""
    query = f"api-version={api}"
    while query:
        page, _ = rest_get(session, what, f"{path}?{query}", client)
        yield from page.get("value") or ()
        query = urlsplit(page.get("nextLink") or "").query
