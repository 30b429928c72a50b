"""Where the attempts of one request go, laid out beforehand: Envoy takes one random number a request and uses it for every attempt.

Each attempt has its own list of backends with weights, all with the same total. A request falls on the same point of every list, so that
the second list can be made such that it names another backend there than the first, the third another than both, and so on.
"""

from collections.abc import Mapping, Sequence

from mcml.route.config.values import Attempt

MOST_ATTEMPTS = 4
"""Backends that one request may try."""

Pool = Mapping[str, int]
First = tuple[str, int, tuple[Pool, ...]]
"""A backend, its units of the first attempt, and the pools from which the next attempts are taken, the preferred first."""


def first_choices(cells: Sequence[tuple[int, tuple[Pool, ...]]]) -> list[First]:
    """Return the first attempt over cells, each with its share in percent and its ranks of weights that add up to 100.

    The next attempts come from the rest of the cell, then from its lower ranks, then from the other cells. Units of a model are in one
    piece and in order, so that a request that is kept in place by the hash of a header keeps its model when weights within one change.
    """
    serving = [(share, ranks) for share, ranks in cells if ranks and share]
    alone = len(cells) == 1
    found = []
    for number, (share, ranks) in enumerate(serving):
        others = tuple(pool for other, (_, pools) in enumerate(serving) if other != number for pool in pools)
        for name in sorted(ranks[0]):
            found.append((name, ranks[0][name] * (1 if alone else share), (*ranks, *others)))
    return found


def lay_out(firsts: Sequence[First]) -> tuple[Attempt, ...]:
    """Return one list of backends with weights for each attempt; no request meets a backend twice before it has met all."""
    leaves = [leaf for name, units, pools in firsts if units for leaf in _orders(name, units, pools)]
    length = min(MOST_ATTEMPTS, max((len(order) for _, order in leaves), default=0))
    return tuple(_merged([(order[attempt % len(order)], units) for units, order in leaves]) for attempt in range(length))


def _orders(name: str, units: int, pools: Sequence[Pool]) -> list[tuple[int, tuple[str, ...]]]:
    """Return the orders in which the requests go that try `name` first, with the units of each.

    The second attempt is spread over the first pool that has another backend, by its weights; the further ones go on from there.
    """
    left = [pool for pool in ({one: weight for one, weight in pool.items() if one != name} for pool in pools) if pool]
    if not left:
        return [(units, (name,))]
    found = []
    for second, part in _parts(units, left[0]).items():
        names = sorted(left[0])
        turn = names.index(second)
        rest = [one for pool in ([*names[turn:], *names[:turn]], *(sorted(pool) for pool in left[1:])) for one in pool]
        found.append((part, tuple(dict.fromkeys((name, *rest)))[:MOST_ATTEMPTS]))
    return found


def _parts(units: int, pool: Pool) -> dict[str, int]:
    """Share out units by weight, in whole numbers by largest remainders; names that get none are left out. Without a weight: evenly."""
    pool = pool if any(pool.values()) else dict.fromkeys(pool, 1)
    total = sum(pool.values())
    parts = {name: units * weight // total for name, weight in pool.items()}
    order = sorted(pool, key=lambda name: (-(units * pool[name] % total), name))
    for name in order[: units - sum(parts.values())]:
        parts[name] += 1
    return {name: part for name, part in sorted(parts.items()) if part}


def _merged(pieces: Sequence[tuple[str, int]]) -> Attempt:
    found: list[tuple[str, int]] = []
    for name, units in pieces:
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + units)
        else:
            found.append((name, units))
    return tuple(found)
