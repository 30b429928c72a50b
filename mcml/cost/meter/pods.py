"""Pods as a part of the meter: what they request of their node is their part of its price, and the rest stays the node's. Pure.

The price of a node is split over CPU, memory and accelerators by what these cost beside each other, and a pod pays its share of each: the
model of OpenCost (https://opencost.io/docs/specification) with its base prices (`configs/default.json`), whose ratio is held while their
sum is made the node's price (https://docs.kubecost.com/architecture/node-pricing). It comes to one fraction: what the pod requests over
what the node has to give, both at base prices. Two things differ. A request counts, use does not: requests are what a node is bought for.
And the whole price falls on what pods can be given (allocatable), for nothing else of a node can be used.

The rest of a node is what nobody requests, and what runs for the node or the cluster itself: pods of DaemonSets, static pods, and those of
the namespaces that Kubernetes keeps for itself (`kube-`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from mcml.core.errors import McmlError, said
from mcml.cost.meter.live import GIB, Held, Place, Share, tagged
from mcml.kube.pods import Amounts, Node, Pod, Running
from mcml.store.ledger.exact import apportion, plain, quotient, tidy, total
from mcml.store.ledger.schema import DIMENSIONS

CPU_HOUR, GIB_HOUR, GPU_HOUR = Fraction("0.031611"), Fraction("0.004237"), Fraction("0.95")
"""Base prices in USD of a core, a GiB and an accelerator for an hour, by OpenCost; only how they stand to each other counts."""
SYSTEM_NAMESPACES = "kube-"
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/: the prefix is reserved."""
SYSTEM_OWNERS = ("DaemonSet", "Node")
NO_REQUESTS = "they request nothing, so the rest of their nodes bears them"
PART_PLACES = 3


def look(place: Place, ask: Callable[[], Running]) -> list[Held]:
    """Return the pods of a place's cluster, not priced yet. A cluster that cannot be asked is one thing that says so: nodes count whole."""
    try:
        running = ask()
    except McmlError as failed:
        return [_untold(place, 0, f"its pods cannot be read, so its nodes count whole: {said(failed)}")]
    nodes = {each.name: each for each in running.nodes}
    mine = [each for each in running.pods if not _of_the_system(each)]
    asking = [each for each in mine if each.requests != Amounts()]
    parts = _parts([(nodes[each.node], each) for each in asking if each.node in nodes])
    found = [_held(place, node, pod, part) for node, pod, part in parts]
    silent = [_untold(place, len(mine) - len(asking), NO_REQUESTS)] if len(mine) > len(asking) else []
    return [*found, *silent]


def split(everything: Sequence[Held]) -> list[Held]:
    """Give each pod its part of the price of the machine that is its node, and leave the rest to the machine.

    The machine is found by its id; where it is not listed, it is one of a group or a pool of its type. A machine's hour and those of its
    pods add up to its price to the last digit. Pods that cannot be priced are one line a cluster and reason.
    """
    others = {index: each for index, each in enumerate(everything) if each.share is None}
    free = {index: each.count for index, each in others.items()}
    nodes: dict[tuple[Place, str], list[Held]] = defaultdict(list)
    for each in everything:
        if each.share is not None:
            nodes[each.place, each.share.node].append(each)
    priced, untold = [], []
    for pods in (nodes[key] for key in sorted(nodes, key=str)):
        at = _host(pods[0], others, free)
        host = others[at] if at is not None else None
        if at is None or host is None or host.price is None:
            untold += [replace(each, why=host.why if host else _nowhere(each)) for each in pods]
            continue
        free[at] -= 1
        paid = _paid(host, pods)
        others[at] = replace(host, given=total((host.given, *(each.price.price for each in paid if each.price))))
        priced += paid
    return [*others.values(), *priced, *_folded(untold)]


def _host(pod: Held, others: Mapping[int, Held], free: Mapping[int, int]) -> int | None:
    """Return the index of what stands for the node of a pod: its machine, else the group or pool of its type that is most like it."""
    near = [index for index, each in others.items() if _region(each) == _region(pod) and free[index] > 0]
    for index in near:
        if others[index].kind == "machine" and _is(others[index].name, pod):
            return index
    alike = [index for index in near if others[index].machine == pod.machine and _may_be(others[index], pod)]
    return max(alike, key=lambda index: (others[index].kind == "pool", others[index].spot == pod.spot, -index), default=None)


def _may_be(several: Held, pod: Held) -> bool:
    """Tell whether a pod's node may be one of several machines: of any group, of a pool of its own cluster."""
    return several.kind == "group" or (several.kind == "pool" and several.name.startswith(f"{pod.place.cluster}/"))


def _is(name: str, pod: Held) -> bool:
    """Tell whether a machine is a pod's node: its id is how the cluster's own ends (Azure writes it in another case)."""
    return pod.share is not None and f"/{pod.share.provider_id}".lower().endswith(f"/{name.lstrip('/')}".lower())


def _region(held: Held) -> tuple[str, str]:
    return held.place.provider, held.place.region


def _paid(host: Held, pods: Sequence[Held]) -> list[Held]:
    """Return the pods of one machine with their price; `host` has one."""
    price = host.price
    if price is None:
        raise ValueError(f"{host.name} has no price")
    parts = [each.share.part if each.share else Fraction(0) for each in pods]
    *amounts, _ = apportion([Fraction(price.price) * part for part in (*parts, 1 - sum(parts))])
    found = []
    for each, part, amount in zip(pods, parts, amounts, strict=True):
        shown = plain(quotient(Decimal(part.numerator), Decimal(part.denominator), places=PART_PLACES))
        source = f"{shown} of {host.sku} {plain(price.price)} {price.currency}/h, {price.source}"
        own = replace(price, price=tidy(amount), source=source)
        like = replace(each, machine=host.machine, spot=host.spot, zone=host.zone or each.zone, tags=_tags(host.tags, each.tags))
        found.append(replace(like, price=own, host=host.name))
    return found


def _tags(host: Mapping[str, str], pod: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a pod: its labels, and what its machine's tags say of what they leave open."""
    known = [column for column in DIMENSIONS if tagged(pod, column)]
    left = {key: value for key, value in host.items() if not any(tagged({key: value}, column) for column in known)}
    return {**left, **pod}


def _parts(placed: Iterable[tuple[Node, Pod]]) -> list[tuple[Node, Pod, Fraction]]:
    """Return each pod's part of its node. Parts that come to more than the node (it shrank, or a pod was resized) are made to fill it."""
    by_node: dict[str, list[tuple[Node, Pod, Fraction]]] = defaultdict(list)
    for node, pod in placed:
        has = _worth(node.allocatable)
        by_node[node.name].append((node, pod, _worth(pod.requests) / has if has else Fraction(0)))
    found = []
    for several in by_node.values():
        whole = max(Fraction(1), sum((part for _, _, part in several), Fraction(0)))
        found += [(node, pod, part / whole) for node, pod, part in several]
    return found


def _worth(amounts: Amounts) -> Fraction:
    return CPU_HOUR * Fraction(amounts.cpus) + GIB_HOUR * Fraction(amounts.memory) / GIB + GPU_HOUR * Fraction(amounts.gpus)


def _held(place: Place, node: Node, pod: Pod, part: Fraction) -> Held:
    name, share = f"{place.cluster}/{pod.namespace}/{pod.name}", Share(node.name, node.provider_id, part)
    return Held(place, "pod", name, node.machine, spot=node.spot, zone=node.zone, since=pod.since, tags=pod.labels, share=share)


def _untold(place: Place, count: int, why: str) -> Held:
    return Held(place, "pod", f"{place.cluster}/*", count=count, why=why)


def _folded(untold: Iterable[Held]) -> list[Held]:
    """Return one line for all pods of a cluster that have no price for the same reason."""
    counts: dict[tuple[Place, str], int] = defaultdict(int)
    for each in untold:
        counts[each.place, each.why] += 1
    return [_untold(place, count, why) for (place, why), count in counts.items()]


def _nowhere(pod: Held) -> str:
    return f"their nodes are no machine, group or pool that {pod.place.provider} lists"


def _of_the_system(pod: Pod) -> bool:
    return pod.namespace.startswith(SYSTEM_NAMESPACES) or pod.owner in SYSTEM_OWNERS
