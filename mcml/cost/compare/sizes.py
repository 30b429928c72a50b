"""The sizes that a model could have instead of those it holds: the one that right-sizing proposes, and the cheapest type of each other
provider that has what is needed. Pure.

What is needed of another provider's type is what the machine was measured to use, with the headroom, and of what was not measured as much
as its type has; a GPU of the same model, the same instruction set, and no CPU that only bursts where the present one lasts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcml.core.schema_cost import Rightsizing
from mcml.cost.compare.places import Everywhere, Here, Holding, Size, holdings
from mcml.cost.meter.live import Held
from mcml.cost.rightsize.fit import architecture, fits
from mcml.cost.rightsize.judge import needs
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.model import Advice
from mcml.cost.rightsize.values import Need
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.instances import Architecture, MachinePrice
from mcml.providers.api.metrics import MachineMetric
from mcml.store.ledger.exact import product, tidy, total

MACHINE = tuple[str, str, str]
"""Provider, region and id of a machine."""
LIKELY: Architecture = "x86_64"
NOT_JUDGED: Mapping[str, str] = {
    "group": "the template of its group decides its type",
    "pool": "the template of its node pool decides its type",
}


@dataclass(frozen=True)
class Judged:
    """What right-sizing says of a model's machines, by provider, region and id, why it says nothing of those of a target, and what it says
    of the model where its replicas have machines of their own, by target."""

    machines: Mapping[MACHINE, Seen]
    failed: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, Advice] = field(default_factory=dict)


def proposed(held: Sequence[Held], judged: Judged) -> tuple[list[Held], str]:
    """Return what would be held at the proposed size, and why nothing is proposed for some of it (empty: there is a proposal for all)."""
    found, unsaid = [], ""
    for each in held:
        seen = judged.machines.get((each.place.provider, each.place.region, each.name))
        if each.kind == "endpoint":
            advice = judged.endpoints.get(each.place.target)
            found.append(_served(each, advice))
            unsaid = unsaid or _why_served(each, advice, judged)
        elif seen is None:
            found.append(each)
            unsaid = unsaid or NOT_JUDGED.get(each.kind) or judged.failed.get(each.place.target) or "nothing is known of its use"
        else:
            found.append(_resized(each, seen))
            unsaid = unsaid or (seen.recommendation.reasons[0].said if seen.recommendation.action == "unknown" else "")
    return found, unsaid


def _served(held: Held, advice: Advice | None) -> Held:
    return replace(held, machine=advice.machine, price=advice.price) if advice is not None and advice.machine else held


def _why_served(held: Held, advice: Advice | None, judged: Judged) -> str:
    """Return why nothing is proposed for an endpoint; what is paid by its use is as it should be."""
    if held.use:
        return ""
    if advice is None:
        return judged.failed.get(held.place.target) or held.why or "nothing is known of its use"
    return advice.reasons[0].said if advice.action == "unknown" else ""


def _resized(held: Held, seen: Seen) -> Held:
    type = seen.recommendation.proposed
    if type is None:
        return held
    price = None
    if held.price is not None and type.on_demand is not None:
        price = replace(held.price, sku=type.machine, price=type.on_demand, currency=type.currency, as_of=type.as_of)
    return replace(held, machine=type.machine, price=price)


def with_proposals(lines: Iterable[Here], held: Sequence[Held], judged: Judged) -> list[Here]:
    """Add to each line what its target would hold at the proposed size."""
    found = []
    for line in lines:
        mine = [each for each in held if each.target == line.target]
        others, unsaid = proposed(mine, judged)
        if not mine or unsaid:
            found.append(replace(line, unproposed=unsaid))
            continue
        sizes = holdings(others)
        priced = [each for each in others if each.price and each.price.currency == line.currency]
        hourly = tidy(total(each.hourly for each in priced if each.hourly is not None)) if len(priced) == len(others) else None
        found.append(replace(line, proposed=", ".join(sorted(str(each.size) for each in sizes)), proposed_hourly=hourly))
    return found


def instead(held: Sequence[Held], judged: Judged, catalogues: Mapping[str, Sequence[MachinePrice]], rules: Rightsizing) -> list[Holding]:
    """Return the sizes that the machines held could have instead: by type what is proposed, and what comes nearest to it elsewhere.

    `catalogues` are the machine types of each provider, in one of its regions each; the price there decides which type is cheapest.
    """
    found: dict[tuple[object, ...], Holding] = {}
    for each in held:
        seen = judged.machines.get((each.place.provider, each.place.region, each.name))
        if seen is None or each.spot:
            continue
        for one in _instead(each, seen, catalogues, rules):
            one = replace(one, instead_of=Size(each.sku, each.count))
            key = (one.basis, one.size.sku, one.provider, each.sku, one.assumed, one.currency)
            before = found.get(key)
            found[key] = one if before is None else _both(before, one)
    return list(found.values())


def _both(one: Holding, other: Holding) -> Holding:
    """Add up two that have another type instead of the same one."""
    before = total((one.before, other.before)) if one.before is not None and other.before is not None else None
    mine, others = (each.instead_of or each.size for each in (one, other))
    replaced = replace(mine, count=mine.count + others.count)
    return replace(one, size=replace(one.size, count=one.size.count + other.size.count), instead_of=replaced, before=before)


def _instead(held: Held, seen: Seen, catalogues: Mapping[str, Sequence[MachinePrice]], rules: Rightsizing) -> Iterable[Holding]:
    before, currency = held.hourly, held.price.currency if held.price else ""
    type = seen.recommendation.proposed
    if type is not None:
        hourly = tidy(product(type.on_demand, held.count)) if type.on_demand is not None else None
        yield Holding(Size(type.machine, held.count), hourly, currency, "proposed", before=before, provider=held.place.provider)
    for provider, catalogue in sorted(catalogues.items()):
        if provider != held.place.provider:
            near, assumed = nearest_to(seen, catalogue, rules)
            if near is not None:
                yield Holding(Size(near.machine, held.count), None, currency, "nearest", before=before, provider=provider, assumed=assumed)


def named(machine: str, catalogues: Mapping[str, Sequence[MachinePrice]]) -> list[Holding]:
    """Return one machine of a type that somebody names, and what comes nearest to it on the other providers of the catalogues."""
    present = {provider: type for provider, several in catalogues.items() for type in several if type.machine == machine}
    found = [Holding(Size(machine))]
    for provider, catalogue in sorted(catalogues.items()):
        for type in [] if provider in present else [*present.values()][:1]:
            near, assumed = nearest(type, {}, catalogue, type.architecture)
            if near is not None and type.on_demand is not None:
                one = Holding(Size(near.machine), None, type.currency, "nearest", Size(machine), type.on_demand, provider, assumed)
                found.append(one)
    return found


def nearest_to(seen: Seen, catalogue: Iterable[MachinePrice], rules: Rightsizing) -> tuple[MachinePrice | None, str]:
    """Return the cheapest type of another provider that has what a machine needs (None: there is none), and what was assumed."""
    subject = seen.recommendation.subject
    measured = needs(seen.usage, rules) if seen.usage is not None and seen.recommendation.action != "unknown" else {}
    return nearest(subject.type, measured, catalogue, architecture(subject))


def nearest(
    present: MachinePrice, measured: Mapping[MachineMetric, Need], catalogue: Iterable[MachinePrice], runs_on: Architecture
) -> tuple[MachinePrice | None, str]:
    """Return the cheapest type that has what is needed instead of `present`, and what was assumed."""
    if present.vcpus <= 0:  # nothing is known of it
        return None, ""
    possible = (type for type in catalogue if type.on_demand is not None and _alike(present, type, runs_on or LIKELY))
    ordered = sorted(possible, key=lambda type: (type.on_demand or 0, type.machine))
    found = next((type for type in ordered if _fits(present, measured, type)), None)
    if found is None:
        return None, ""
    by = f"that fits the use of {present.machine}" if measured else f"with at least what {present.machine} has"
    told = "" if runs_on else f"; {LIKELY}, as nobody tells what its image runs on"
    return found, f"the cheapest in {found.region} {by}{told}"


def with_listed(everywhere: Everywhere, judged: Judged, catalogues: Mapping[str, Sequence[MachinePrice]]) -> Everywhere:
    """Return what knows the prices that the providers told just now, too, where the catalogue has none."""
    listed = {(provider, type) for provider, several in catalogues.items() for type in several}
    for (provider, _, _), seen in judged.machines.items():
        mine = (seen.recommendation.subject.type, seen.recommendation.proposed)
        listed |= {(provider, type) for type in mine if type is not None}

    def prices(sku: str) -> list[tuple[str, UnitPrice]]:
        found = {(provider, price.region): price for provider, price in everywhere(sku)}
        for provider, type in sorted((each for each in listed if each[1].machine == sku), key=lambda each: (each[0], each[1].region)):
            if type.on_demand is not None:
                price = UnitPrice(sku, type.region, "h", type.on_demand, type.currency, f"{provider}, asked", type.as_of)
                found.setdefault((provider, type.region), price)
        return [(provider, price) for (provider, _), price in found.items()]

    return prices


def _alike(present: MachinePrice, type: MachinePrice, runs_on: Architecture) -> bool:
    return type.architecture == runs_on and (present.burstable or not type.burstable) and gpu_model(present) == gpu_model(type)


def _fits(present: MachinePrice, measured: Mapping[MachineMetric, Need], type: MachinePrice) -> bool:
    """The network counts where both providers tell it."""
    known = present.network_gbps is not None and type.network_gbps is not None
    # The names of one GPU differ from provider to provider; that they mean the same was looked at before.
    judged = fits(present, measured, replace(type, gpu=present.gpu))
    return all(fit.fits for fit in judged if known or fit.measure != "machine.network")


def gpu_model(type: MachinePrice) -> frozenset[str]:
    """Return what a provider's name of a GPU has in common with those of others: "nvidia-tesla-t4" and "NVIDIA T4" are {"t4"}."""
    if not type.gpus:
        return frozenset()
    words = re.findall(r"[a-z0-9]+", type.gpu.lower())
    return frozenset(word for word in words if word not in ("nvidia", "tesla") and not re.fullmatch(r"\d+gb", word)) or frozenset(["?"])
