"""What should become of the machines of a target: ask who is there, what they did, what they cost and what else there is, and judge."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from mcml.core import errors
from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.fanout import ask_all
from mcml.core.schema_cost import Rightsizing
from mcml.core.when import duration
from mcml.cost.meter.live import tagged
from mcml.cost.rightsize.judge import left_alone, recommend
from mcml.cost.rightsize.measure import measure, resized
from mcml.cost.rightsize.offs import Offs, of
from mcml.cost.rightsize.saving import BILLED, Rate, rate_of
from mcml.cost.rightsize.values import Recommendation, Subject, Usage
from mcml.providers.api.instances import Instance, Instances, MachinePrice
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics
from mcml.store.ledger import machines
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.machines import MachineBill, Typed

AT_ONCE = 8
"""How many machines of a target are asked about at once."""
Told = Callable[[int, int], None]
"""Told how many machines of how many are judged."""


@dataclass(frozen=True)
class Site:
    """A target: its machines, its metrics (None: it measures nothing), and by TARGET/ID when we last changed the type of which, and when we
    had turned which off."""

    target: str
    provider: str
    region: str
    instances: Instances
    metrics: Metrics | None = None
    resized: Mapping[str, datetime] = field(default_factory=dict)
    offs: Mapping[str, Offs] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A recommendation and what it was made from; `usage` is None for a machine that was not asked about."""

    recommendation: Recommendation
    usage: Usage | None
    rate: Rate


def look(site: Site, settings: Rightsizing, ledger: Ledger, now: datetime, only: str = "") -> list[Recommendation]:
    """Return what should become of each machine of a target, or of `only` one by its id. Raises as `inspect`."""
    return [seen.recommendation for seen in inspect(site, settings, ledger, now, only)]


def inspect(
    site: Site,
    settings: Rightsizing,
    ledger: Ledger,
    now: datetime,
    only: str = "",
    told: Told = lambda *_: None,
    mine: Callable[[Instance], bool] = lambda _: True,
) -> list[Seen]:
    """Return the same with what it was made from, by id, of the machines that are `mine`.

    Raises NotFound for `only`, Usage for a wrong span, what the provider raises.
    """
    _check(settings)
    known = sorted((one for one in site.instances.list() if one.state != "terminated"), key=lambda one: one.id)
    chosen = [one for one in known if only in ("", one.id) and mine(one)]
    if only and not chosen:
        raise errors.unknown("machine", only, [one.id for one in known], next_step=f"mcml cost rightsize list --target {site.target}")
    if not chosen:
        return []
    work = _prepare(site, settings, ledger, now, chosen)
    counted: list[int] = []

    def some(first: int) -> list[Seen]:
        found = []
        for one in chosen[first::AT_ONCE]:
            found.append(work.judged(one))
            counted.append(1)  # appending is atomic, adding is not
            told(len(counted), len(chosen))
        return found

    asked = ask_all({str(first): partial(some, first) for first in range(min(AT_ONCE, len(chosen)))})
    for error in asked.failed.values():
        raise error
    return sorted((seen for several in asked.given.values() for seen in several), key=lambda seen: seen.recommendation.subject.instance.id)


def once(looks: Iterable[Sequence[Seen]]) -> list[Seen]:
    """Put the targets of several looks together: two of one region, or one without any, list the same machines, and each counts once, for
    the target that its tags name, else for the first."""
    found: list[Seen] = []
    places: dict[tuple[str, str, str], list[int]] = {}
    for seen in (each for one in looks for each in one):
        subject = seen.recommendation.subject
        known = places.setdefault((subject.provider, subject.instance.account, subject.instance.id), [])
        twin = next((place for place in known if _same(found[place].recommendation.subject, subject)), None)
        if twin is None:
            known.append(len(found))
            found.append(seen)
        elif tagged(subject.instance.tags, "x_Target") == subject.target:
            found[twin] = seen
    return found


def _same(one: Subject, other: Subject) -> bool:
    """Tell whether two machines of one name are one."""
    return one.region == other.region or not (one.region and other.region)


@dataclass(frozen=True)
class _Work:
    """What is known of a target before its machines are asked about one by one."""

    site: Site
    settings: Rightsizing
    now: datetime
    catalogue: Sequence[MachinePrice]
    typed: Mapping[str, list[Typed]]
    bills: Mapping[str, list[MachineBill]]

    def judged(self, one: Instance) -> Seen:
        """Ask about one machine, unless nothing that it did would matter, and judge it."""
        subject = self._subject(one)
        rate = rate_of(self.bills.get(machines.key(one.id), []))
        left = left_alone(subject, self.settings)
        if left is not None:
            return Seen(left, None, rate)
        usage = None
        if self.site.metrics is not None:
            begin = self.now - duration(self.settings.window)
            start = max(begin, subject.resized or begin)
            names = [name for name in MACHINE_METRICS if subject.type.gpus or not name.startswith("machine.gpu")]
            usage = measure(self.site.metrics, one.id, start, self.now, names, duration(self.settings.minimum))
            usage = replace(usage, off=of(self.site.offs, subject.key).steps(usage.start, usage.end, usage.step))
        return Seen(recommend(subject, usage, self.catalogue, self.settings, rate), usage, rate)

    def _subject(self, one: Instance) -> Subject:
        type = next((price for price in self.catalogue if price.machine == one.machine), None)
        site = self.site
        subject = Subject(site.target, site.provider, site.region, one, type or _untold(one.machine, site.region, self.now))
        seen = (*self.typed.get(machines.key(one.id), ()), *of(site.offs, subject.key).typed)
        return replace(subject, resized=resized(one, site.resized.get(subject.key), seen))


def _check(settings: Rightsizing) -> None:
    if duration(settings.window) < duration(settings.minimum):
        why = f"nothing is said of less than {settings.minimum}, and only {settings.window} are looked at"
        raise errors.Usage("[cost.rightsizing] window is shorter than minimum", why=why, next_step="mcml config show")


def _prepare(site: Site, settings: Rightsizing, ledger: Ledger, now: datetime, chosen: Sequence[Instance]) -> _Work:
    typed: dict[str, list[Typed]] = {}
    bills: dict[str, list[MachineBill]] = {}
    for account in sorted({one.account for one in chosen}):
        ids = [one.id for one in chosen if one.account == account]
        for seen in machines.typed(ledger, ids, now - duration(settings.window), site.region, account):
            typed.setdefault(seen.machine, []).append(seen)
        for bill in machines.bills(ledger, ids, now - BILLED, site.region, account):
            bills.setdefault(bill.machine, []).append(bill)
    catalogue = site.instances.prices()
    known = {price.machine for price in catalogue}
    catalogue += [price for name in sorted({one.machine for one in chosen} - known) for price in _priced(site.instances, name)]
    return _Work(site, settings, now, catalogue, typed, bills)


def _priced(instances: Instances, machine: str) -> list[MachinePrice]:
    """Return what a type that is not in the list is: a custom one; nothing where its provider does not know it."""
    try:
        return instances.prices([machine])
    except (InvalidRequest, NotFound):
        return []


def _untold(machine: str, region: str, now: datetime) -> MachinePrice:
    """Return a type of which nothing is known: no CPUs mean that."""
    return MachinePrice(machine, region, Decimal(0), Decimal(0), None, None, "", now)
