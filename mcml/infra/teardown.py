"""Destroying units to the end: what would stop it is said before anything is touched, what the clusters made goes first, then a sweep.

What a cluster made (load balancers, disks) is removed when the cluster is gone, for it would make it anew, and before the network, whose
destroy would wait for it without an end: https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2808.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcml.core.errors import Conflict, McmlError, NotFound, unknown
from mcml.core.fact import Fact
from mcml.infra.accounts import Account, Open, Place, Scope, find, places, survey, unreadable
from mcml.infra.chores import Chore, When
from mcml.infra.fleet import Fleet, Plans, combined
from mcml.infra.leftovers import Made, left_by, now
from mcml.infra.plans.guarded import Guarded, Store, guarded_by, only_lifts, stores_of, units_of
from mcml.infra.plans.plan import Applied
from mcml.infra.residue import residue
from mcml.infra.residue.residue import CLUSTERS, Held, Remains, cluster_names, remains
from mcml.infra.units.schedule import Results
from mcml.infra.units.units import Unit
from mcml.providers.api.inventory import Inventory, Resource

RULE = "deletion-protection"
"""The policy that denies what `--unprotect` asks for; it is accepted with it, which the journal says."""

PATIENCE_SECONDS, POLL_SECONDS = 300.0, 5.0
"""How long something that is still in use by what was deleted just before is tried again."""


@dataclass(frozen=True)
class Teardown:
    """What a destroy will do: the plans, what is protected, which buckets are not empty, and what the clusters made.

    `not_seen` are the places that did not answer: what is there besides is not known.
    """

    plans: Plans
    guarded: tuple[Guarded, ...] = ()
    full: tuple[Store, ...] = ()
    made: tuple[Made, ...] = ()
    held: tuple[Held, ...] = field(default=(), repr=False)
    not_seen: Mapping[str, McmlError] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.plans.changing or self.made)

    def unseen(self, again: str) -> McmlError | None:
        """Return what it amounts to that places did not answer, so that nothing is destroyed. `again` is what was typed."""
        return combined(Results(self.plans.results.done, self.not_seen), "planned", again)


@dataclass(frozen=True)
class Wrecker:
    """Destroys the units of a fleet. `open_account` opens what is asked and done besides Terraform; `sleep` waits some seconds."""

    fleet: Fleet
    scope: Scope
    open_account: Open
    sleep: Callable[[float], None] = time.sleep

    def plan(self, *, lock: bool = True) -> Teardown:
        """Plan all, and look at what would stop it; a place that does not answer is in `not_seen`.

        Raises what the units without a plan amount to.
        """
        plans = self.fleet.plan(destroy=True, lock=lock)
        plans.raise_failures(self.fleet.tools.command("destroy"))
        held, _ = self._held()
        where = [place for place in self._where() if place.cloud != "local"]
        there = survey(where, self.open_account, self.scope, held)
        made = (one for unit in self.fleet.graph.units for one in self._made_by(unit, held, there.done))
        guarded = tuple(one for planned in plans.planned for one in guarded_by(planned))
        stores = [store for planned in plans.planned for store in stores_of(planned)]
        full, failed = self._full(stores, [place for place in where if place.name in there.done])
        return Teardown(plans, guarded, full, tuple(made), held, {**there.failed, **failed})

    def gate(self, found: Teardown, accepted: Sequence[str]) -> Teardown:
        """Pass the gate of the policies; return the plans with what was accepted. Raises Conflict when a policy denies one that is not."""
        return replace(found, plans=self.fleet.gate(found.plans, accepted))

    def lift(self, found: Teardown, accepted: Sequence[str]) -> None:
        """Switch deletion protection off where it is on. Raises Conflict before anything is changed, when that would change more."""
        names = units_of(found.guarded)
        keeping = self._say("settings.last_copies")
        fleet = replace(self.fleet.only(names), tools=self.fleet.tools).rewritten(lambda unit: _unprotected(unit, keeping[unit.name]))
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
        """Plan the units anew whose protection was lifted, and with them what needs them, without which none may be destroyed.

        Raises Conflict when a plan is not the one that was shown.
        """
        lifted = set(units_of(found.guarded))
        names = [one.name for one in self.fleet.graph.units if one.name in lifted or self.fleet.whole.needed_by(one.name) & lifted]
        again = replace(self.fleet.only(names), tools=self.fleet.tools).plan(destroy=True)
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
        held, unread = self._held()
        where = self._where()
        there = survey([place for place in where if place.cloud not in unread], self.open_account, self.scope, found.held)
        left = {name: remains(resources, found.held, held) for name, resources in there.done.items()}
        failed = {**{place.name: unread[place.cloud] for place in where if place.cloud in unread}, **there.failed}
        facts: dict[str, object] = {
            "environment": self.scope.environment,
            "digest": found.plans.digest,
            "left": [one.id for result in left.values() for one in result.left],
            "going": sum(len(result.going) for result in left.values()),
            "not_seen": list(failed),
        }
        self.fleet.tools.record(Fact("infra.swept", "infra", facts=facts, at=self.fleet.tools.clock()))
        return Results(left, failed)

    def stray(self, name: str) -> tuple[Account, Resource]:
        """Return what is at a place of these units and in no state, by its id or the end of it.

        Raises NotFound, Conflict; where a place did not answer, and it is at no other, what that place said.
        """
        held, unread = self._held()
        found: dict[str, tuple[Account, Resource]] = {}
        done: dict[str, None] = {}
        failed: dict[str, McmlError] = {}
        for place in self._where():
            try:
                if place.cloud in unread:
                    raise unread[place.cloud]
                account = self.open_account(place)
                loose = residue.unmanaged(find(account, self.scope, held), held) if place.cloud != "local" else self._local(account)
            except McmlError as error:
                failed[place.name] = error
            else:
                done[place.name] = None
                found |= {one.id: (account, one) for one in loose}
        same = [id_ for id_ in found if id_ == name or id_.endswith((f"/{name}", f":{name}"))]
        if not same:
            if unseen := combined(Results(done, failed), "looked at", f"mcml infra destroy --unmanaged {name}"):
                raise unseen
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
        return self._say("settings.deletion_protection")

    def _say(self, setting: str) -> dict[str, bool]:
        """Tell of each unit whether it is a layer whose root knows a setting."""
        folders = self.fleet.folders
        return {
            unit.name: bool(unit.layer) and any(setting in path.read_text() for path in folders.work(unit).glob("*.tf"))
            for unit in self.fleet.whole.units
        }

    def _local(self, account: Account) -> tuple[Resource, ...]:
        names = [unit.name for unit in self.fleet.graph.units if unit.healed_by]
        return self.fleet.only(names).at_desk(lambda desk: desk.compare(account.inventory)).unmanaged

    def _where(self) -> tuple[Place, ...]:
        return places(self.fleet.graph.units)

    def _held(self) -> tuple[tuple[Held, ...], dict[str, McmlError]]:
        """Return what is in all states, and by cloud why that is not all."""
        states = self.fleet.held()
        return tuple(one for state in states.done.values() for one in state), unreadable(self.fleet, states)

    def _clusters(self, unit: Unit, held: Sequence[Held]) -> frozenset[str]:
        """Return the clusters whose things go with a unit: those that it holds, and, where they may be of an earlier run, our module's."""
        layers = {one.layer for one in self.fleet.graph.units if one.cloud == unit.cloud}
        ours = [one for one in held if one.unit == unit.name and unit.cloud]
        if unit.layer == "cluster" or (unit.layer == "network" and "cluster" not in layers):
            return cluster_names(unit.cloud, self.scope.project, self.scope.environment, self.scope.part, ours)
        return frozenset(one.about["name"] for one in ours if one.kind in CLUSTERS and "name" in one.about)

    def _made_by(self, unit: Unit, held: Sequence[Held], there: Mapping[str, Sequence[Resource]]) -> tuple[Made, ...]:
        """Return what the clusters of a unit made, of what was found at its place."""
        clusters = self._clusters(unit, held)
        if not clusters:
            return ()
        place = self._place(unit)
        return left_by(clusters, place, there.get(place.name, ()), [one for one in held if one.unit == unit.name])

    def _chores(self, found: Teardown, unit: Unit, when: When) -> Iterator[Chore]:
        """Yield what is to be done before a unit, or after it: its buckets are emptied, and what a cluster made goes when that is gone."""
        if when == "before":
            for store in found.full:
                if store.unit == unit.name and store.resource:
                    yield _emptying(store, self._account(unit))
        if self._clusters(unit, found.held) and when == ("before" if unit.layer == "network" else "after"):
            account = self._account(unit)
            there = {account.place.name: find(account, self.scope, found.held)}
            for one in now(self._made_by(unit, found.held, there), found.made):
                yield Chore(one.name, "removing what the cluster made", "removed", self._deletion(account, one))

    def _full(self, stores: Sequence[Store], where: Sequence[Place]) -> tuple[tuple[Store, ...], dict[str, McmlError]]:
        """Return the stores that are not empty, and the places that did not tell."""
        full: list[Store] = []
        failed: dict[str, McmlError] = {}
        for place in {place.cloud: place for place in where}.values():
            try:
                inventory = self.open_account(place).inventory
                full += [found for store in stores if store.cloud == place.cloud and (found := _blocked(store, inventory))]
            except McmlError as error:
                failed[place.name] = error
        return tuple(full), failed

    def _account(self, unit: Unit) -> Account:
        return self.open_account(self._place(unit))

    def _place(self, unit: Unit) -> Place:
        """Return where a unit is; one that does not say its region is where the others of its cloud are."""
        (said,) = places([unit])
        return said if said.region else next(place for place in self._where() if place.cloud == unit.cloud)

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


def _blocked(store: Store, inventory: Inventory) -> Store | None:
    """Return a store that holds something, with what its inventory says; where that cannot be told, as if it did."""
    if store.resource is None:
        return store
    blockers = inventory.blockers([store.resource])
    if not blockers:
        return None
    return replace(store, reason="; ".join(one.reason for one in blockers), fix="\n".join(one.fix for one in blockers))


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


def _unprotected(unit: Unit, keeping: bool) -> Unit:
    """Return a unit without protection; what its module keeps of what is protected is kept for all that, where it can be (`keeping`)."""
    settings = unit.variables.get("settings")
    if not unit.layer or not isinstance(settings, Mapping):
        return unit
    kept = {"last_copies": True} if keeping else {}
    return replace(unit, variables={**unit.variables, "settings": {**kept, **settings, "deletion_protection": False}})
