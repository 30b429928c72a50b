"""Destroying units to the end: what would stop it is said before anything is touched, what the clusters made goes first, then a sweep.

What a cluster made (load balancers, disks) is removed when the cluster is gone, for it would make it anew, and before the network, whose
destroy would wait for it without an end: https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2808.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcml.core.errors import Conflict, NotFound, unknown
from mcml.core.fact import Fact
from mcml.infra import residue
from mcml.infra.accounts import Account, Open, Place, Scope, find, places, survey
from mcml.infra.chores import Chore, When
from mcml.infra.fleet import Fleet, Plans
from mcml.infra.guarded import Guarded, Store, guarded_by, only_lifts, stores_of, units_of
from mcml.infra.leftovers import Made, left_by, now
from mcml.infra.plan import Applied
from mcml.infra.residue import Held, Remains, remains
from mcml.infra.schedule import Results
from mcml.infra.units import Unit
from mcml.providers.api.inventory import Resource

RULE = "deletion-protection"
"""The policy that denies what `--unprotect` asks for; it is accepted with it, which the journal says."""

PATIENCE_SECONDS, POLL_SECONDS = 300.0, 5.0
"""How long something that is still in use by what was deleted just before is tried again."""


@dataclass(frozen=True)
class Teardown:
    """What a destroy will do: the plans, what is protected, which buckets are not empty, and what the clusters made."""

    plans: Plans
    guarded: tuple[Guarded, ...] = ()
    full: tuple[Store, ...] = ()
    made: tuple[Made, ...] = ()
    held: tuple[Held, ...] = field(default=(), repr=False)

    @property
    def changes(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.plans.changing or self.made)


@dataclass(frozen=True)
class Wrecker:
    """Destroys the units of a fleet. `open_account` opens what is asked and done besides Terraform; `sleep` waits some seconds."""

    fleet: Fleet
    scope: Scope
    open_account: Open
    sleep: Callable[[float], None] = time.sleep

    def plan(self, *, lock: bool = True) -> Teardown:
        """Plan all, and look at what would stop it. Raises what the units without a plan amount to, and what an account refuses."""
        plans = self.fleet.plan(destroy=True, lock=lock)
        plans.raise_failures(self.fleet.tools.command("destroy"))
        held = self._held()
        accounts = [self.open_account(place) for place in self._where() if place.cloud != "local"]
        made = tuple(one for account in accounts for one in left_by(account.place, find(account, self.scope, held), held, self.scope))
        guarded = tuple(one for planned in plans.planned for one in guarded_by(planned))
        stores = [store for planned in plans.planned for store in stores_of(planned)]
        return Teardown(plans, guarded, tuple(_full(stores, accounts)), made, held)

    def gate(self, found: Teardown, accepted: Sequence[str]) -> Teardown:
        """Pass the gate of the policies; return the plans with what was accepted. Raises Conflict when a policy denies one that is not."""
        return replace(found, plans=self.fleet.gate(found.plans, accepted))

    def lift(self, found: Teardown, accepted: Sequence[str]) -> None:
        """Switch deletion protection off where it is on. Raises Conflict before anything is changed, when that would change more."""
        names = units_of(found.guarded)
        fleet = replace(self.fleet.only(names), tools=self.fleet.tools).rewritten(_unprotected)
        plans = fleet.plan()
        command = self.fleet.tools.command("destroy")
        plans.raise_failures(command)
        for planned in plans.planned:
            more = only_lifts(planned, found.guarded)
            if more or planned.waits_for:
                what = "; ".join(f"{step.action} {step.name}" for step in more[:6]) or f"what is not known before {planned.waits_for[0]}"
                why = f"it is not as mcml.toml says: it would also {what}"
                step = f"mcml infra apply {planned.unit.name}, then: {command}"
                raise Conflict(f"lifting the protection of {planned.unit.name} would change more than that", why=why, next_step=step)
        self.fleet.tools.reporter.note(f"deletion protection is switched off: {', '.join(names)}")
        lifted = fleet.apply(fleet.gate(plans, [*accepted, RULE]))
        for error in lifted.failed.values():
            raise error

    def plan_again(self, found: Teardown) -> Teardown:
        """Plan the units anew whose protection was lifted. Raises Conflict when the plan is not the one that was shown."""
        again = replace(self.fleet.only(units_of(found.guarded)), tools=self.fleet.tools).plan(destroy=True)
        again.raise_failures(self.fleet.tools.command("destroy"))
        for name, planned in again.results.done.items():
            if surprises := found.plans.results.done[name].surprises(planned):
                what = "; ".join(f"{step.action} {step.name}" for step in surprises[:6])
                raise Conflict(f"the plan of {name} is not the one that was shown", why=f"now also: {what}", next_step="mcml infra destroy")
        results = replace(found.plans.results, done={**found.plans.results.done, **again.results.done})
        return replace(found, plans=replace(found.plans, results=results), guarded=())

    def destroy(self, found: Teardown) -> Results[Applied]:
        """Destroy all that was planned, from what nothing needs to what everything needs."""
        return self.fleet.apply(found.plans, lambda unit, when: self._chores(found, unit, when))

    def sweep(self, found: Teardown) -> Results[Remains]:
        """Look once more at every place: return what is left at each by its name, and append the fact that says so."""
        held = self._held()
        where = self._where()
        there = survey(where, self.open_account, self.scope, found.held)
        left = {name: remains(resources, found.held, held) for name, resources in there.done.items()}
        facts: dict[str, object] = {
            "environment": self.scope.environment,
            "digest": found.plans.digest,
            "left": [one.id for result in left.values() for one in result.left],
            "going": sum(len(result.going) for result in left.values()),
            "not_seen": list(there.failed),
        }
        self.fleet.tools.record(Fact("infra.swept", "infra", facts=facts, at=self.fleet.tools.clock()))
        return Results(left, there.failed)

    def stray(self, name: str) -> tuple[Account, Resource]:
        """Return what is at a place of these units and in no state, by its id or the end of it. Raises NotFound, Conflict."""
        held = self._held()
        found: dict[str, tuple[Account, Resource]] = {}
        for place in self._where():
            account = self.open_account(place)
            loose = residue.unmanaged(find(account, self.scope, held), held) if place.cloud != "local" else self._local(account)
            found |= {one.id: (account, one) for one in loose}
        same = [id_ for id_ in found if id_ == name or id_.endswith((f"/{name}", f":{name}"))]
        if not same:
            raise unknown("unmanaged resource", name, found, next_step="mcml infra drift")
        if len(same) > 1:
            raise Conflict(f"which {name}?", why=", ".join(same), next_step=f"mcml infra destroy --unmanaged {same[0]}")
        return found[same[0]]

    def remove(self, account: Account, resource: Resource) -> None:
        """Remove what is in no state, and append the fact. Raises Conflict when something blocks it, ProviderCannot."""
        facts = _deleted(account, resource)
        about = {"environment": self.scope.environment, "unit": account.place.name}
        self.fleet.tools.record(Fact("infra.destroyed", "infra", facts={**about, **facts}, at=self.fleet.tools.clock()))

    def switchable(self) -> dict[str, bool]:
        """Tell of each unit whether its protection is a setting of its root, which mcml can switch."""
        setting, folders = "settings.deletion_protection", self.fleet.folders
        return {
            unit.name: bool(unit.layer) and any(setting in path.read_text() for path in folders.work(unit).glob("*.tf"))
            for unit in self.fleet.graph.units
        }

    def _local(self, account: Account) -> tuple[Resource, ...]:
        names = [unit.name for unit in self.fleet.graph.units if unit.healed_by]
        return self.fleet.only(names).at_desk(lambda desk: desk.compare(account.inventory)).unmanaged

    def _where(self) -> tuple[Place, ...]:
        return places(self.fleet.graph.units)

    def _held(self) -> tuple[Held, ...]:
        states = self.fleet.held()
        for error in states.failed.values():
            raise error
        return tuple(one for state in states.done.values() for one in state)

    def _chores(self, found: Teardown, unit: Unit, when: When) -> Iterator[Chore]:
        """Yield what is to be done before a unit, or after it: its buckets are emptied, and what a cluster made goes when that is gone."""
        if when == "before":
            for store in found.full:
                if store.unit == unit.name and store.resource:
                    yield _emptying(store, self._account(unit))
        clusters = [one.name for one in self.fleet.graph.units if one.layer == "cluster" and one.cloud == unit.cloud]
        drains = unit.name in clusters if clusters else unit.layer == "network"
        if drains and when == ("after" if clusters else "before"):
            account = self._account(unit)
            there = left_by(account.place, find(account, self.scope, found.held), found.held, self.scope)
            for one in now(there, found.made):
                yield Chore(one.resource.id.rpartition("/")[2], "removing what the cluster made", "removed", self._deletion(account, one))

    def _account(self, unit: Unit) -> Account:
        return self.open_account(places([unit])[0])

    def _deletion(self, account: Account, made: Made) -> Callable[[], Mapping[str, object] | None]:
        def work() -> Mapping[str, object] | None:
            end = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    return _deleted(account, made.resource)
                except Conflict:
                    if not made.waits or time.monotonic() > end:
                        raise
                self.sleep(POLL_SECONDS)

        return work


def _full(stores: Sequence[Store], accounts: Sequence[Account]) -> Iterator[Store]:
    """Yield the stores that hold something, with what their inventory says; where that cannot be told, as if they did."""
    inventories = {account.place.cloud: account.inventory for account in accounts}
    for store in stores:
        if store.resource is None:
            yield store
        elif store.cloud in inventories and (blockers := inventories[store.cloud].blockers([store.resource])):
            reasons = "; ".join(blocker.reason for blocker in blockers)
            yield replace(store, reason=reasons, fix="\n".join(blocker.fix for blocker in blockers))


def _emptying(store: Store, account: Account) -> Chore:
    def work() -> None:
        try:
            account.buckets().empty(store.name, versions=True)
        except NotFound:  # it is gone, which is as good
            return

    return Chore(store.name, "emptying", "empty", work)


def _deleted(account: Account, resource: Resource) -> Mapping[str, object]:
    removed = account.inventory.delete(resource)
    return {
        "create": 0, "update": 0, "delete": int(removed), "targets": [resource.id], "kind": resource.kind, "region": resource.region,
        "unmanaged": True,
    }  # fmt: skip


def _unprotected(unit: Unit) -> Unit:
    settings = unit.variables.get("settings")
    if not unit.layer or not isinstance(settings, Mapping):
        return unit
    return replace(unit, variables={**unit.variables, "settings": {**settings, "deletion_protection": False}})
