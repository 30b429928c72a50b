"""What is really there in the clouds' accounts, asked of their inventories; one that does not answer hides no other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mcml.core.errors import McmlError
from mcml.core.fact import Fact
from mcml.infra.fleet import Fleet, combined
from mcml.infra.residue.adopt import adoption
from mcml.infra.residue.drift import Drift, Drifted
from mcml.infra.residue.residue import Held, cluster_names, questions, unmanaged
from mcml.infra.units.schedule import Results
from mcml.infra.units.units import Unit
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.inventory import Inventory, Resource

REMOVE = "mcml infra destroy --unmanaged"


@dataclass(frozen=True)
class Scope:
    """Whose things are looked for: the tags `project` and `environment` of all that the modules make. `part` ends their names."""

    project: str
    environment: str
    part: str = ""
    google_project: str = ""


@dataclass(frozen=True)
class Place:
    """A cloud and one of its regions; `local` is this machine."""

    cloud: str
    region: str = ""

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.cloud} {self.region}".strip()


@dataclass(frozen=True)
class Account:
    """A place with what can be asked there. Buckets are opened where some are to be emptied."""

    place: Place
    inventory: Inventory
    buckets: Callable[[], Buckets]


Open = Callable[[Place], Account]


def places(units: Iterable[Unit]) -> tuple[Place, ...]:
    """Return where units are, each place once; one that does not say its region is where the others of its cloud are (pure)."""
    said = {Place(unit.cloud, str(unit.variables.get("region") or unit.variables.get("location") or "")) for unit in units if unit.cloud}
    known = {place.cloud for place in said if place.region}
    return tuple(sorted((one for one in said if one.region or one.cloud not in known), key=lambda one: (one.cloud, one.region)))


def find(account: Account, scope: Scope, held: Iterable[Held]) -> tuple[Resource, ...]:
    """Return what carries the tags of an environment, or those of its clusters, each once. Raises what the inventory raises."""
    cloud = account.place.cloud
    clusters = cluster_names(cloud, scope.project, scope.environment, scope.part, held)
    asked = questions(cloud, scope.project, scope.environment, clusters)
    found = {(one.kind, one.id): one for tags in asked for one in account.inventory.find_by_tag(tags)}
    return tuple(one for one in found.values() if cloud != "local" or one.kind == "target")


def survey(where: Sequence[Place], open_account: Open, scope: Scope, held: Sequence[Held]) -> Results[tuple[Resource, ...]]:
    """Look at all places at the same time; return what was found at each, by its name."""

    def look(place: Place) -> tuple[Resource, ...] | McmlError:
        try:
            return find(open_account(place), scope, held)
        except McmlError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, len(where))) as pool:
        answers = dict(zip((place.name for place in where), pool.map(look, where), strict=True))
    done = {name: answer for name, answer in answers.items() if not isinstance(answer, McmlError)}
    return Results(done, {name: answer for name, answer in answers.items() if isinstance(answer, McmlError)})


def strays(fleet: Fleet, open_account: Open, scope: Scope) -> Results[Drift]:
    """Return what is in the clouds of a fleet's units and in no state, by place, and append a fact for each that has something.

    Where the state of a unit cannot be read, nobody can tell: it is the error of every place of its clouds.
    """
    where = [place for place in places(fleet.graph.units) if place.cloud != "local"]
    if not where:
        return Results()
    states = fleet.held()
    held = [one for state in states.done.values() for one in state]
    unread = unreadable(fleet, states)
    found = survey([place for place in where if place.cloud not in unread], open_account, scope, held)
    failed = {**{place.name: unread[place.cloud] for place in where if place.cloud in unread}, **found.failed}
    drifts = {name: _drift(name, unmanaged(there, held), held, scope) for name, there in found.done.items()}
    for drift in drifts.values():
        if drift.drifted:
            facts: Mapping[str, object] = {"environment": scope.environment, "unit": drift.unit, **drift.facts}
            fleet.tools.record(Fact("infra.drift_found", "infra", facts=facts, at=fleet.tools.clock()))
    return Results(drifts, failed)


def unreadable(fleet: Fleet, states: Results[tuple[Held, ...]]) -> dict[str, McmlError]:
    """Return, by cloud, why nobody can tell what is loose there: a state of a unit on it cannot be read."""
    failed = [(unit, states.failed[unit.name]) for unit in fleet.whole.units if unit.name in states.failed]
    return {cloud: error for unit, error in failed for cloud in (unit.cloud, *unit.accounts) if cloud}


def looked_at(units: Results[Drift], loose: Results[Drift], again: str) -> McmlError | None:
    """Return what it amounts to that some units, or places, could not be looked at. `again` is the command to try when it is mended."""
    both = Results({**units.done, **loose.done}, {**units.failed, **loose.failed}, {**units.skipped, **loose.skipped})
    return combined(both, "looked at", again)


def _drift(place: str, loose: Sequence[Resource], held: Sequence[Held], scope: Scope) -> Drift:
    drifted = tuple(
        Drifted("unmanaged", one.id, f"{one.kind} in no state", _fixes(one, held, scope), one.region) for one in sorted(loose, key=_key)
    )
    return Drift(scope.environment, drifted, unmanaged=tuple(loose), unit=place)


def _fixes(resource: Resource, held: Sequence[Held], scope: Scope) -> tuple[str, ...]:
    adopt = adoption(resource, held, scope.google_project)
    return (*([f"adopt: {adopt}"] if adopt else []), f"remove: {REMOVE} {resource.id}")


def _key(resource: Resource) -> tuple[str, str]:
    return resource.kind, resource.id
