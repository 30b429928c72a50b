"""Compute Engine, as instances, groups, disks and snapshots need it: listings over all zones, changes that are waited for, their errors.

https://cloud.google.com/compute/docs/reference/rest/v1. A change is an operation; it carries a `requestId`, so that a change whose answer
was lost and which is asked for again is made once (https://cloud.google.com/compute/docs/api/idempotency).
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, StillRunning, Unavailable
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.rpc import OTHER_ZONE, next_token, rpc
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import NEXT_STEP, Policy

PAGE = 500
LONGEST_OPERATION = 600.0
LONGEST_POLL = 5.0
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_QUOTA = "gcloud compute project-info describe --project=PROJECT"


class OutOfStock(QuotaExceeded):
    """A zone has no machine of that type at the moment."""


_OPERATION_ERRORS: dict[str, tuple[type[McmlError], str]] = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": (OutOfStock, OTHER_ZONE),
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": (OutOfStock, OTHER_ZONE),
    "RESOURCE_POOL_EXHAUSTED": (OutOfStock, OTHER_ZONE),
    "STOCKOUT": (OutOfStock, OTHER_ZONE),
    "QUOTA_EXCEEDED": (QuotaExceeded, _QUOTA),
    "RESOURCE_ALREADY_EXISTS": (Conflict, ""),
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": (Conflict, ""),
    "RESOURCE_NOT_READY": (Conflict, ""),
    "CONDITION_NOT_MET": (Conflict, ""),
    "RESOURCE_NOT_FOUND": (NotFound, ""),
    "PERMISSIONS_ERROR": (NotAuthenticated, "gcloud projects get-iam-policy PROJECT"),
    "IP_SPACE_EXHAUSTED": (QuotaExceeded, "gcloud compute networks subnets list --project=PROJECT"),
    "IP_SPACE_EXHAUSTED_WITH_DETAILS": (QuotaExceeded, "gcloud compute networks subnets list --project=PROJECT"),
    "RATE_LIMIT_EXCEEDED": (Unavailable, NEXT_STEP),
    "RESOURCE_OPERATION_RATE_EXCEEDED": (Unavailable, NEXT_STEP),
    "INTERNAL_ERROR": (Unavailable, NEXT_STEP),
}


@dataclass(frozen=True)
class Place:
    """A zone or a region, as an aggregated listing names it ("zones/europe-west1-b")."""

    scope: str

    @property
    def name(self) -> str:
        """The name of the zone or region."""
        return self.scope.partition("/")[2]

    @property
    def is_zone(self) -> bool:
        """True for a zone."""
        return self.scope.startswith("zones/")

    @property
    def region(self) -> str:
        """The region that it is, or lies in."""
        return self.name.rpartition("-")[0] if self.is_zone else self.name

    @property
    def fields(self) -> dict[str, str]:
        """How a request names it."""
        return {"zone" if self.is_zone else "region": self.name}


@dataclass
class Compute:
    """Compute Engine of a project; `region` keeps listings to one region (empty: all)."""

    session: Session
    region: str = ""
    longest: float = LONGEST_OPERATION
    _project: str = field(default="", repr=False)

    @property
    def project(self) -> str:
        """The project, looked up once. Raises NotAuthenticated."""
        self._project = self._project or self.session.project()
        return self._project

    def ask(self, what: str, service: str, method: str, **fields: Any) -> Any:
        """Call a method of `compute_v1.<service>Client` with a request of these fields, of our project."""
        from google.cloud import compute_v1

        return rpc(self.session, f"cannot {what}", getattr(compute_v1, f"{service}Client"), method, {"project": self.project, **fields})

    def listed(self, what: str, service: str, **fields: Any) -> Iterator[Any]:
        """Return all items of a listing, page by page."""
        for page in self._pages(what, service, "list", **fields):
            yield from page.items

    def everywhere(self, what: str, service: str, items: str, **fields: Any) -> Iterator[tuple[Place, Any]]:
        """Return all items of an aggregated listing that are in our region or global, with their places.

        `items` is the name of the field that holds them. Raises Unavailable when Google does not tell about one of our places: what is
        there is not gone.
        """
        for page in self._pages(what, service, "aggregated_list", **fields):
            self._check_all_told(what, page)
            for scope, found in sorted(page.items.items()):
                place = Place(scope)
                if self.region in ("", place.region) or scope == "global":
                    yield from ((place, one) for one in getattr(found, items))

    def find(self, kind: str, name: str, service: str, items: str) -> tuple[Place, Any]:
        """Return the one of this name: "name", or "zone/name" where several zones have one. Raises NotFound, InvalidRequest."""
        where, _, bare = name.rpartition("/")
        what = f"look for {kind} {name!r}"
        found = list(self.everywhere(what, service, items, filter=f'name = "{bare}"')) if _NAME.fullmatch(bare) else []
        found = [(place, one) for place, one in found if one.name == bare and where in ("", place.name)]
        if not found:
            raise NotFound(f"no {kind} {name!r}", why=f"it is not in {self.region or 'any region'} of project {self.project}")
        if len(found) > 1:
            places = ", ".join(place.name for place, _ in found)
            raise InvalidRequest(f"which {kind} {name!r}?", why=f"there is one in {places}", next_step=f"write ZONE/{bare}")
        return found[0]

    def change(self, what: str, service: str, method: str, **fields: Any) -> None:
        """Make a change and wait until it is done. Raises what it failed with, StillRunning when it takes too long."""
        self._finish(what, self.ask(what, service, f"{method}_unary", request_id=str(uuid.uuid4()), **fields))

    def zones(self) -> list[str]:
        """Return the zones of our region that are up, by name."""
        found = self.listed("list the zones", "Zones", max_results=PAGE, filter='status = "UP"')
        return sorted(zone.name for zone in found if self.region in ("", last(zone.region)))

    def _pages(self, what: str, service: str, method: str, **fields: Any) -> Iterator[Any]:
        token = ""
        while True:
            page = self.ask(what, service, method, **{"max_results": PAGE, **fields, **({"page_token": token} if token else {})})
            yield page
            token = next_token(f"cannot {what}", token, page)
            if not token:
                return

    def _check_all_told(self, what: str, page: Any) -> None:
        silent = {Place(scope).name for scope, found in page.items.items() if found.warning.code == "UNREACHABLE"}
        silent |= {last(url) for url in getattr(page, "unreachables", ())}
        ours = sorted(name for name in silent if self.region in ("", name, name.rpartition("-")[0]))
        if ours:
            raise Unavailable(f"cannot {what}", why=f"Google does not tell about {', '.join(ours)}", next_step=NEXT_STEP)

    def _finish(self, what: str, operation: Any) -> None:
        waited, wait = 0.0, 0.5
        while operation.status != operation.Status.DONE:
            if waited >= self.longest:
                raise StillRunning(f"{what}: still under way after {waited:.0f} s", next_step=_describe(operation, self.project))
            self.session.policy.sleep(wait)
            waited, wait = waited + wait, min(wait * 1.5, LONGEST_POLL)
            service, where = _scope(operation)
            operation = self.ask(what, service, "get", operation=operation.name, **where)
        if operation.error.errors:
            raise operation_error(what, operation, self.session)


def open_compute(ctx: ProviderContext) -> Compute:
    """Return Compute Engine for a context."""
    return Compute(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


def operation_error(what: str, operation: Any, session: Session) -> McmlError:
    """Return what the error of an operation that is done means; the first of several counts."""
    first = operation.error.errors[0]
    kind, step = _OPERATION_ERRORS.get(first.code, (InvalidRequest, ""))
    why = f"Google answered {first.code}: {session.clue.clean(first.message)}"
    return kind(f"cannot {what}", why=why, next_step=session.clue.fill(step))


def last(url: str) -> str:
    """Return the name at the end of a resource's URL."""
    return url.rpartition("/")[2]


def moment(text: str) -> datetime | None:
    """Return a time as the API writes it; None for an empty one."""
    return parse_rfc3339(text).astimezone(UTC) if text else None


def carries(labels: Mapping[str, str], tags: Mapping[str, str] | None) -> bool:
    """Tell whether labels hold all these tags."""
    return all(labels.get(key) == value for key, value in (tags or {}).items())


def token_name(prefix: str, token: str) -> str:
    """Return the name of what a token stands for: the same for the same token."""
    return f"{prefix}-{uuid.uuid5(uuid.NAMESPACE_OID, token).hex[:20]}"


def _scope(operation: Any) -> tuple[str, dict[str, str]]:
    if operation.zone:
        return "ZoneOperations", {"zone": last(operation.zone)}
    if operation.region:
        return "RegionOperations", {"region": last(operation.region)}
    return "GlobalOperations", {}


def _describe(operation: Any, project: str) -> str:
    _, where = _scope(operation)
    flags = " ".join(f"--{name}={value}" for name, value in where.items()) or "--global"
    return f"gcloud compute operations describe {operation.name} {flags} --project={project}"
