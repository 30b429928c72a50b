"""Who gets what: the pattern of a route as shares of its backends, and as the order in which the attempts of a request go; pure values.

    active-active, latency-first   all compete
    active-passive, burst          the first tier of `tiers` that has a backend up; the next ones wait
    cost-tiers                     the same; without `tiers` the prices make them, the cheapest first
    residency                      the backends of each data region compete among themselves, and nobody else is asked
    split                          each model gets its share, and within it the pattern holds

A cell is a set of backends that share requests: one of a route, or one for each model of a split and each data region.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route, Score
from mcml.route.config.values import Choice, Overflow, Region, RoutePlan
from mcml.route.weights.layout import Pool, first_choices, lay_out
from mcml.route.weights.patience import HURRIED
from mcml.route.weights.score import Inputs, Scored, compared, weigh

LATENCY_ONLY = Score(latency=Decimal(1), cost=Decimal(0), reliability=Decimal(0))
SAME_PRICE = Decimal("1.05")
"""Backends whose prices differ by less than this factor are of one tier where prices make the tiers: they would change places all day."""


@dataclass(frozen=True)
class Place:
    """Where a backend is: its model, target and region, and whether somebody drained it (empty: nobody)."""

    model: str
    target: str
    region: str
    drained: str = ""


@dataclass(frozen=True)
class Cell:
    """Backends that share requests: their region (empty: none asked), model and share in percent.

    `ranks` holds weights by backend name that add up to 100, the rank that serves first; `down` those that cannot serve now, and
    `unheard` those of them that nobody has heard of yet.
    """

    region: str
    model: str
    share: int
    ranks: tuple[Pool, ...]
    down: tuple[str, ...]
    unheard: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """What a pattern makes of the backends of a route: every backend's weight and reasons, and the cells."""

    scored: tuple[Scored, ...]
    cells: tuple[Cell, ...]

    @property
    def last_resort(self) -> bool:
        """Whether there is a backend, and none that may take traffic."""
        return not any(cell.ranks for cell in self.cells) and any(cell.down for cell in self.cells)


def rank(
    name: str,
    route: Route,
    inputs: Sequence[Inputs],
    places: Mapping[str, Place],
    now: datetime,
    *,
    pinned: str = "",
) -> Ranking:
    """Share out a route. `name` is the route's; `pinned` a target that gets everything while it is up."""
    shares = dict(route.split) or {route.model or name: 100}
    regions = dict(route.regions) if route.pattern == "residency" else {"": ()}
    scored: dict[str, Scored] = {}
    cells = []
    for region, targets in regions.items():
        for model, share in shares.items():
            members = [
                one for one in inputs if places[one.backend].model == model and (not region or places[one.backend].target in targets)
            ]
            cell, found = _cell(region, model, share, route, members, places, now, pinned)
            cells.append(cell)
            scored = {**{one.backend: one for one in found}, **scored}  # a target of two regions stands for the first
    rest = [one for one in inputs if one.backend not in scored]
    why = "in no data region of the route" if route.pattern == "residency" else "no share of the split"
    for one in weigh(rest, _shares(route), now, exploration=route.exploration):
        scored[one.backend] = replace(one, weight=0, held=places[one.backend].drained or why)
    _spread(cells, scored)
    return Ranking(tuple(scored[key] for key in sorted(scored)), tuple(cells))


def _spread(cells: Sequence[Cell], scored: dict[str, Scored]) -> None:
    """Turn weights within a cell into percent of the route. A model that has no backend up leaves its share to the others."""
    for region in {cell.region for cell in cells}:
        mine = [cell for cell in cells if cell.region == region]
        if len(mine) == 1:
            continue
        total = sum(cell.share for cell in mine if cell.ranks)
        for cell in mine:
            for backend, weight in (cell.ranks[0] if cell.ranks else {}).items():
                if total and region == _first_region(cells, backend):
                    percent = round(weight * cell.share / total, 2)
                    scored[backend] = replace(scored[backend], weight=int(percent) if percent == int(percent) else percent)


def _first_region(cells: Sequence[Cell], backend: str) -> str:
    return next(cell.region for cell in cells if any(backend in pool for pool in cell.ranks))


def _shares(route: Route) -> Score:
    return LATENCY_ONLY if route.pattern == "latency-first" else route.score


def _cell(
    region: str,
    model: str,
    share: int,
    route: Route,
    members: Sequence[Inputs],
    places: Mapping[str, Place],
    now: datetime,
    pinned: str,
) -> tuple[Cell, list[Scored]]:
    """Weigh a cell: its tiers one by one. A backend on trial joins the tier that serves until it has proved itself."""
    tiers = _tiers(route, [one for one in members if not places[one.backend].drained], places, now)
    if pinned:
        tiers = _with_pin(tiers, pinned, places)
    served = _serving(tiers)
    ranks = []
    scored: dict[str, Scored] = {}
    for number, (title, tier) in enumerate(tiers):
        trying = [one for _, earlier in tiers[:number] for one in earlier if one.place == "trial"] if number == served else []
        weighed = weigh([*tier, *trying], _shares(route), now, exploration=route.exploration)
        for one in weighed:
            why = "its model has 0 % of the split" if not share else f"{title} waits while {tiers[served][0]} is up"
            scored[one.backend] = one if number == served and share else _held(one, why)
        ranks.append({one.backend: int(one.weight) for one in weighed if one.place in ("up", "trial")})
    order = [ranks[served], *ranks[:served], *ranks[served + 1 :]] if ranks and share else []
    tiered = [one for _, tier in tiers for one in tier]
    rest = weigh([one for one in members if one.backend not in scored], _shares(route), now)
    idle = [_held(one, places[one.backend].drained or "in no tier of the route", always=True) for one in rest]
    down = tuple(one.backend for one in tiered if one.place not in ("up", "trial") and share)
    unheard = tuple(one.backend for one in tiered if one.place == "joining")
    return Cell(region, model, share, tuple(pool for pool in order if pool), down, unheard), [*scored.values(), *idle]


def _with_pin(tiers: Sequence[tuple[str, list[Inputs]]], target: str, places: Mapping[str, Place]) -> list[tuple[str, list[Inputs]]]:
    """Put the backends on a target before all others, which serve when it is out."""
    first = [one for _, tier in tiers for one in tier if places[one.backend].target == target]
    rest = [(title or "the rest", [one for one in tier if one not in first]) for title, tier in tiers]
    return [(f"the pinned target {target}", first), *rest] if first else list(tiers)


def _serving(tiers: Sequence[tuple[str, Sequence[Inputs]]]) -> int:
    """Return the number of the tier that serves: the first with a backend that is up; else with one on trial; else the first."""
    for wanted in ("up", "trial"):
        for number, (_, tier) in enumerate(tiers):
            if any(one.place == wanted for one in tier):
                return number
    return 0


def _held(one: Scored, why: str, *, always: bool = False) -> Scored:
    """Take a backend's weight; the reason is told where it would serve otherwise."""
    return replace(one, weight=0, held=why if always or one.place in ("up", "trial") else "")


def _tiers(
    route: Route, members: Sequence[Inputs], places: Mapping[str, Place], now: datetime
) -> list[tuple[str, list[Inputs]]]:
    """Return the tiers of a cell with their names, the preferred first; one tier where all compete."""
    if route.pattern not in ("active-passive", "burst", "cost-tiers"):
        return [("", list(members))]
    if route.tiers:
        found = [[one for one in members if places[one.backend].target in tier] for tier in route.tiers]
        return [(f"tier {number}", tier) for number, tier in enumerate(found, 1)]
    return [(f"price tier {number}", tier) for number, tier in enumerate(by_price(members, now), 1)]


def by_price(members: Sequence[Inputs], now: datetime) -> list[list[Inputs]]:
    """Return backends in tiers by price, the cheapest first; those whose price is missing, stale or of another unit come last."""
    prices = {one.backend: compared(one, members, now) for one in members}
    tiers: list[list[Inputs]] = []
    least = Decimal(0)
    for one in sorted(members, key=lambda one: (prices[one.backend] is None, prices[one.backend] or Decimal(0), one.backend)):
        price = prices[one.backend]
        same = bool(tiers) and ((price is None) == (prices[tiers[-1][0].backend] is None))
        if same and (price is None or price <= least * SAME_PRICE):
            tiers[-1].append(one)
        else:
            tiers.append([one])
            least = price or Decimal(0)
    return tiers


def plan(
    name: str,
    route: Route,
    ranking: Ranking,
    places: Mapping[str, Place],
    known: Iterable[str],
    *,
    per_try_timeout: float,
    no_burst: bool = False,
    hurry: float = HURRIED,
) -> RoutePlan:
    """Turn a ranking into what Envoy is told. `known`: the backends that Envoy has; it would refuse another name."""
    have = frozenset(known)
    cells = [_known(cell, have) for cell in ranking.cells]
    regions = list(dict.fromkeys(cell.region for cell in cells))
    model = route.model or name
    by_region = {
        region: Region(
            choose(name, [cell for cell in cells if cell.region == region], places, no_burst=no_burst),
            _by_target([cell for cell in cells if cell.region == region], places),
        )
        for region in regions
    }
    main = by_region[regions[0]]
    if route.pattern == "residency":
        main = by_region.get(route.home, main)
    return RoutePlan(
        name,
        model,
        main.choice.weights,
        route.timeout,
        per_try_timeout,
        main.choice.last_resort if route.pattern != "residency" else any(one.choice.last_resort for one in by_region.values()),
        attempts=main.choice.attempts,
        empty=main.choice.empty,
        overflow=_overflow(route, cells, places) if route.burst and not no_burst else None,
        targets={} if route.pattern == "residency" else main.targets,
        regions=by_region if route.pattern == "residency" else {},
        home=route.home,
        sticky=route.sticky,
        idempotent=route.idempotent,
        split=bool(route.split),
        protocol=route.protocol,
        bursts=route.burst is not None,
        hurried=main.choice.hurried,
        hurry=hurry,
    )


def _known(cell: Cell, known: frozenset[str]) -> Cell:
    ranks = ({name: weight for name, weight in pool.items() if name in known} for pool in cell.ranks)
    return replace(cell, ranks=tuple(pool for pool in ranks if pool), down=tuple(name for name in cell.down if name in known))


def choose(name: str, cells: Sequence[Cell], places: Mapping[str, Place], *, no_burst: bool = False) -> Choice:
    """Return where the requests of one region go, or of a route that knows none."""
    down = {backend: 0 for cell in cells for backend in cell.down}
    if not any(cell.ranks for cell in cells):
        if down:
            heard = not any(set(cell.down) & set(cell.unheard) for cell in cells)
            return Choice(dict.fromkeys(sorted(down), 1), last_resort=True, hurried=heard)
        return Choice({}, empty=_empty(name, cells, places))
    firsts = first_choices([(cell.share, cell.ranks) for cell in cells])
    weights: dict[str, int] = dict(down)
    for backend, units, _ in firsts:
        weights[backend] = weights.get(backend, 0) + units
    if len(cells) == 1 and len(cells[0].ranks) == 1:
        return Choice(weights)
    if no_burst:
        firsts = [(backend, units, pools[:1]) for backend, units, pools in firsts]
    return Choice(weights, lay_out(firsts))


def _empty(name: str, cells: Sequence[Cell], places: Mapping[str, Place]) -> str:
    models = {cell.model for cell in cells}
    drained = sorted({place.target for place in places.values() if place.model in models and place.drained})
    if drained:
        return f"every backend of {name} is drained ({', '.join(drained)})"
    regions = {cell.region for cell in cells if cell.region}
    return f"no backend serves the model {', '.join(sorted(models))}" + (f" in the region {', '.join(sorted(regions))}" if regions else "")


def _by_target(cells: Sequence[Cell], places: Mapping[str, Place]) -> dict[str, Choice]:
    """Return where a request goes that names a target: there, whatever its weight; nowhere when it is drained."""
    found: dict[str, dict[str, int]] = {}
    out = {backend for cell in cells for backend in cell.down}
    heard = out - {backend for cell in cells for backend in cell.unheard}
    for cell in cells:
        for backend in (*(name for pool in cell.ranks for name in pool), *cell.down):
            found.setdefault(places[backend].target, {})[backend] = cell.share
    choices = {
        target: Choice(weights, last_resort=set(weights) <= out, hurried=set(weights) <= heard) for target, weights in found.items()
    }
    models = {cell.model for cell in cells}
    for place in places.values():
        if place.drained and place.model in models and place.target not in choices:
            choices[place.target] = Choice({}, empty=f"the target {place.target} is {place.drained}")
    return choices


def _overflow(route: Route, cells: Sequence[Cell], places: Mapping[str, Place]) -> Overflow | None:
    """Return when requests leave the first tier: not while it is out itself, nor when there is nowhere to go."""
    ranks = cells[0].ranks if cells else ()
    first = set(route.tiers[0]) if route.tiers else set()
    if route.burst is None or len(ranks) < 2 or not all(places[backend].target in first for backend in ranks[0]):
        return None
    away = first_choices([(100, (*ranks[1:], ranks[0]))])
    return Overflow(route.burst.concurrency, tuple(sorted(ranks[0])), lay_out(away))


def spent_on(route: Route, places: Mapping[str, Place], prices: Mapping[str, PriceInfo]) -> dict[str, PriceInfo | None]:
    """Return the backends that cost what a spend ceiling limits, those of the next tiers, with their prices."""
    later = {target for tier in route.tiers[1:] for target in tier}
    return {backend: prices.get(backend) for backend, place in places.items() if place.target in later}
