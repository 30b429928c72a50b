"""Who gets what, for every pattern: shares that add up, tiers that wait, regions that stay apart, attempts that never repeat themselves."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.config.values import Choice, RoutePlan
from mcml.route.weights.layout import first_choices, lay_out
from mcml.route.weights.patterns import Place, Ranking, by_price, plan, rank
from mcml.route.weights.score import Inputs
from mcml.route.weights.score import Place as State

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
TIERS = (("eu-1", "eu-2"), ("us-1",), ("ap-1",))
TARGETS = ("eu-1", "eu-2", "us-1", "ap-1")
REGIONS = {"eu": ("eu-1", "eu-2"), "us": ("us-1",)}


def price(value: str, *, unit: str = "USD/hour", age: timedelta = timedelta()) -> PriceInfo:
    return PriceInfo(Decimal(value), unit, "USD", "a test", NOW - age)


def one(target: str, state: State = "up", *, model: str = "fraud", **known: Any) -> Inputs:
    return Inputs(f"{model}@{target}", state, **known)


class Case:
    """A route, its backends, and what becomes of them."""

    def __init__(self, route: Route, *inputs: Inputs, drained: dict[str, str] | None = None, pinned: str = "") -> None:
        self.route = route
        self.inputs = inputs
        self.places = {each.backend: self.place(each.backend, drained or {}) for each in inputs}
        self.ranking: Ranking = rank("fraud", route, inputs, self.places, NOW, pinned=pinned)

    @staticmethod
    def place(backend: str, drained: dict[str, str]) -> Place:
        model, _, target = backend.partition("@")
        return Place(model, target, target[:2], drained.get(target, ""))

    @property
    def weights(self) -> dict[str, float]:
        return {each.backend.partition("@")[2]: each.weight for each in self.ranking.scored}

    @property
    def held(self) -> dict[str, str]:
        return {each.backend.partition("@")[2]: each.held for each in self.ranking.scored if each.held}

    def plan(self, **options: Any) -> RoutePlan:
        return plan("fraud", self.route, self.ranking, self.places, self.places, per_try_timeout=2.0, **options)


def all_up(**states: State) -> list[Inputs]:
    return [one(target, states.get(target.replace("-", "_"), "up")) for target in TARGETS]


def shares(choice: Choice | RoutePlan) -> dict[str, int]:
    return {name: weight for name, weight in choice.weights.items() if weight}


def order(choice: Choice | RoutePlan, point: int) -> list[str]:
    """Return the targets on which the attempts of a request go that falls on a point."""
    return [name.partition("@")[2] for name in backends(choice, point)]


def backends(choice: Choice | RoutePlan, point: int) -> list[str]:
    """Return the backends to which the attempts go."""
    found = []
    for attempt in choice.attempts:
        left = point % sum(weight for _, weight in attempt)
        for name, weight in attempt:
            left -= weight
            if left < 0:
                found.append(name)
                break
    return found


def test_tiers_wait_while_a_better_one_is_up() -> None:
    case = Case(Route(pattern="active-passive", tiers=TIERS), *all_up())
    assert case.weights == {"ap-1": 0, "eu-1": 50, "eu-2": 50, "us-1": 0}
    assert case.held == {"us-1": "tier 2 waits while tier 1 is up", "ap-1": "tier 3 waits while tier 1 is up"}
    assert shares(case.plan()) == {"fraud@eu-1": 50, "fraud@eu-2": 50}
    assert order(case.plan(), 0) == ["eu-1", "eu-2", "us-1", "ap-1"]
    assert order(case.plan(), 99) == ["eu-2", "eu-1", "us-1", "ap-1"]


def test_a_request_that_fails_on_the_only_backend_of_a_tier_goes_to_the_next() -> None:
    case = Case(Route(pattern="active-passive", tiers=(("eu-1",), ("us-1",))), one("eu-1"), one("us-1"))
    assert {tuple(order(case.plan(), point)) for point in range(100)} == {("eu-1", "us-1")}


def test_the_next_tier_takes_over_and_gives_back() -> None:
    route = Route(pattern="active-passive", tiers=TIERS)
    assert Case(route, *all_up(eu_1="out", eu_2="out")).weights == {"eu-1": 0, "eu-2": 0, "us-1": 100, "ap-1": 0}
    back = Case(route, *all_up(eu_1="trial", eu_2="out"))
    assert back.weights == {"eu-1": 5, "eu-2": 0, "us-1": 95, "ap-1": 0}, "it proves itself on a small share before it has all again"
    assert Case(route, *all_up(eu_2="out")).weights == {"eu-1": 100, "eu-2": 0, "us-1": 0, "ap-1": 0}


def test_when_all_tiers_are_out_all_are_tried() -> None:
    case = Case(Route(pattern="active-passive", tiers=TIERS), *all_up(eu_1="out", eu_2="out", us_1="out", ap_1="out"))
    assert case.ranking.last_resort
    assert (len(case.plan().weights), case.plan().last_resort, case.plan().hurried) == (4, True, True)


def test_a_target_in_no_tier_gets_nothing_not_even_as_the_last_resort() -> None:
    case = Case(Route(pattern="active-passive", tiers=(("eu-1",), ("us-1",))), *all_up(eu_1="out", us_1="out"))
    assert case.weights == dict.fromkeys(TARGETS, 0)
    assert case.held == {"eu-2": "in no tier of the route", "ap-1": "in no tier of the route"}
    assert set(case.plan().weights) == {"fraud@eu-1", "fraud@us-1"}


def test_prices_make_the_tiers_where_none_are_given() -> None:
    prices = {"eu-1": price("3"), "eu-2": price("1"), "us-1": price("1.02"), "ap-1": price("0.1", age=timedelta(days=400))}
    members = [one(target, price=prices[target]) for target in TARGETS]
    assert [[each.backend[6:] for each in tier] for tier in by_price(members, NOW)] == [["eu-2", "us-1"], ["eu-1"], ["ap-1"]]
    case = Case(Route(pattern="cost-tiers"), *members)
    assert (case.weights["eu-1"], case.weights["ap-1"]) == (0, 0)
    assert case.held["ap-1"] == "price tier 3 waits while price tier 1 is up", "a stale price is not the lowest"
    assert order(case.plan(), 0)[2:] == ["eu-1", "ap-1"]


def test_latency_first_looks_at_nothing_else() -> None:
    slow_and_cheap = one("eu-1", latency_ms=95.0, price=price("1"))
    quick_and_dear = one("us-1", latency_ms=5.0, price=price("50"))
    case = Case(Route(pattern="latency-first"), slow_and_cheap, quick_and_dear)
    assert case.weights == {"eu-1": 6, "us-1": 94}
    assert all((each.cost.share, each.reliability.share) == (0, 0) for each in case.ranking.scored)


def test_a_region_has_only_its_own_targets() -> None:
    case = Case(Route(pattern="residency", regions=REGIONS, home="eu"), *all_up())
    made = case.plan()
    assert {region: set(found.choice.weights) for region, found in made.regions.items()} == {
        "eu": {"fraud@eu-1", "fraud@eu-2"},
        "us": {"fraud@us-1"},
    }
    assert set(made.regions["eu"].targets) == {"eu-1", "eu-2"}
    assert case.held == {"ap-1": "in no data region of the route"}


@pytest.mark.parametrize("state", ["out", "joining"])
def test_a_region_that_is_down_gets_nobody_elses_backend(state: State) -> None:
    made = Case(Route(pattern="residency", regions=REGIONS), *all_up(us_1=state)).plan()
    assert (dict(made.regions["us"].choice.weights), made.regions["us"].choice.last_resort) == ({"fraud@us-1": 1}, True)
    without = Case(Route(pattern="residency", regions=REGIONS), one("eu-1")).plan()
    assert without.regions["us"].choice == Choice({}, empty="no backend serves the model fraud in the region us")


def test_a_split_holds_to_the_unit_whatever_the_scores() -> None:
    members = [one("eu-1"), one("eu-2", latency_ms=30.0), one("us-1", latency_ms=3.0), one("eu-1", model="next"), one("us-1", model="next")]
    made = Case(Route(split={"fraud": 90, "next": 10}), *members).plan()
    by_model = {model: sum(weight for name, weight in made.weights.items() if name.startswith(model)) for model in ("fraud", "next")}
    assert by_model == {"fraud": 9000, "next": 1000}
    assert made.split
    models = ["fraud", "next"]
    assert [name.partition("@")[0] for name, _ in made.attempts[0]] == sorted(
        (name.partition("@")[0] for name, _ in made.attempts[0]), key=models.index
    ), "a model is one piece of the line, so that a user keeps it when weights within it move"


def test_a_model_of_a_split_that_is_out_leaves_its_share_to_the_other() -> None:
    case = Case(Route(split={"fraud": 90, "next": 10}), one("eu-1"), one("eu-1", "out", model="next"))
    assert shares(case.plan()) == {"fraud@eu-1": 9000}
    assert [(each.backend, each.weight) for each in case.ranking.scored] == [("fraud@eu-1", 100), ("next@eu-1", 0)]


def test_a_retry_of_a_split_stays_with_its_model_while_it_can() -> None:
    members = [one("eu-1"), one("us-1"), one("eu-1", model="next")]
    made = Case(Route(split={"fraud": 50, "next": 50}), *members).plan()
    assert made.attempts[0][0][0].startswith("fraud@")
    assert made.attempts[1][0][0].startswith("fraud@")


def test_a_share_of_nought_is_said() -> None:
    case = Case(Route(split={"fraud": 100, "next": 0}), one("eu-1"), one("us-1", model="next"))
    assert case.held == {"us-1": "its model has 0 % of the split"}
    assert set(case.plan().weights) == {"fraud@eu-1"}


def burst(ceiling: str | None = None) -> Route:
    return Route.model_validate({"pattern": "burst", "tiers": [["eu-1"], ["us-1"]], "burst": {"concurrency": 8, "ceiling": ceiling}})


def test_a_burst_leaves_the_first_tier_beyond_its_number() -> None:
    made = Case(burst(), one("eu-1"), one("us-1")).plan()
    assert made.overflow is not None
    assert (made.overflow.limit, made.overflow.first) == (8, ("fraud@eu-1",))
    assert [attempt[0][0] for attempt in made.overflow.attempts] == ["fraud@us-1", "fraud@eu-1"]
    assert order(made, 0) == ["eu-1", "us-1"]


def test_with_a_ceiling_reached_nothing_leaves_the_first_tier_unless_it_is_out() -> None:
    made = Case(burst("5"), one("eu-1"), one("us-1")).plan(no_burst=True)
    assert (made.overflow, set(shares(made)), {name for attempt in made.attempts for name, _ in attempt}) == (
        None,
        {"fraud@eu-1"},
        {"fraud@eu-1"},
    )
    out = Case(burst("5"), one("eu-1", "out"), one("us-1")).plan(no_burst=True)
    assert set(shares(out)) == {"fraud@us-1"}


@pytest.mark.parametrize(("eu", "us"), [("out", "up"), ("up", "out")])
def test_without_two_tiers_there_is_no_burst(eu: State, us: State) -> None:
    assert Case(burst(), one("eu-1", eu), one("us-1", us)).plan().overflow is None


def test_a_drained_target_gets_nothing_and_says_why() -> None:
    case = Case(Route(), *all_up(), drained={"eu-1": "drained by ann: a new disk"})
    assert case.weights["eu-1"] == 0
    assert case.held == {"eu-1": "drained by ann: a new disk"}
    assert "fraud@eu-1" not in case.plan().weights, "not even a retry may go there"
    assert case.plan().targets["eu-1"] == Choice({}, empty="the target eu-1 is drained by ann: a new disk")


def test_a_route_whose_backends_are_all_drained_tries_none_of_them() -> None:
    made = Case(Route(), one("eu-1"), one("us-1", "out"), drained={"eu-1": "drained by ann", "us-1": "drained by ann"}).plan()
    assert (made.weights, made.last_resort, made.empty) == ({}, False, "every backend of fraud is drained (eu-1, us-1)")


def test_a_pinned_target_gets_everything_while_it_is_up() -> None:
    case = Case(Route(), *all_up(), pinned="us-1")
    assert case.weights == {"eu-1": 0, "eu-2": 0, "us-1": 100, "ap-1": 0}
    assert case.held["eu-1"] == "the rest waits while the pinned target us-1 is up"
    assert order(case.plan(), 5)[0] == "us-1"
    assert len(set(order(case.plan(), 5))) == 4, "and a request that fails there is answered by another"
    assert Case(Route(), *all_up(us_1="out"), pinned="us-1").weights["us-1"] == 0
    assert Case(Route(), *all_up(), pinned="elsewhere").weights == Case(Route(), *all_up()).weights


def test_without_exploration_the_best_may_get_all() -> None:
    good, bad = one("eu-1", error_rate=0.0, latency_ms=1.0), one("us-1", error_rate=0.5, latency_ms=60_000.0)
    route = Route.model_validate({"exploration": 0, "score": {"latency": 0.5, "cost": 0, "reliability": 0.5}})
    case = Case(route, good, bad)
    assert case.weights == {"eu-1": 100, "us-1": 0}
    assert set(case.plan().targets) == {"eu-1", "us-1"}, "it may still be asked by name"
    assert case.plan().weights == {"fraud@eu-1": 100, "fraud@us-1": 0}, "and by a second attempt"
    assert Case(Route(exploration=20), good, bad).weights["us-1"] >= 20


# --- properties

UP: State = "up"
states: st.SearchStrategy[State] = st.sampled_from([UP, UP, UP, "trial", "out", "joining"])
ROUTES = [
    Route(),
    Route(pattern="latency-first", exploration=0),
    Route(pattern="active-passive", tiers=TIERS),
    Route(pattern="cost-tiers"),
    Route(pattern="residency", regions=REGIONS, home="eu"),
    Route(split={"fraud": 70, "next": 30}),
    Route(pattern="active-passive", tiers=TIERS, split={"fraud": 99, "next": 1}, exploration=25),
    Route.model_validate({"pattern": "burst", "tiers": TIERS, "burst": {"concurrency": 4}}),
]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    route = draw(st.sampled_from(ROUTES))
    inputs = []
    for model in route.split or ("fraud",):
        for target in draw(st.sets(st.sampled_from(TARGETS))):
            known = st.one_of(st.none(), st.floats(0, 1000))
            money = st.one_of(st.none(), st.integers(0, 9).map(lambda value: price(str(value))))
            inputs.append(one(target, draw(states), model=model, latency_ms=draw(known), price=draw(money)))
    drained = dict.fromkeys(draw(st.sets(st.sampled_from(TARGETS), max_size=2)), "drained by ann")
    return Case(route, *inputs, drained=drained, pinned=draw(st.sampled_from(["", "", "eu-1"])))


def choices(made: RoutePlan) -> list[Choice]:
    found = [made.choice, *made.targets.values()]
    found += [each for region in made.regions.values() for each in (region.choice, *region.targets.values())]
    return found + ([Choice({"": 1}, made.overflow.attempts)] if made.overflow else [])


@given(cases())
def test_weights_add_up_and_nobody_that_is_out_or_drained_has_one(case: Case) -> None:
    able = {each.backend for each in case.inputs if each.place in ("up", "trial") and not case.places[each.backend].drained}
    assert all(0 <= each.weight <= 100 for each in case.ranking.scored)
    assert all(each.backend in able for each in case.ranking.scored if each.weight)
    assert {each.backend for each in case.ranking.scored} == {each.backend for each in case.inputs}
    if case.route.pattern != "residency":
        total = sum(each.weight for each in case.ranking.scored)
        assert total == pytest.approx(100, abs=0.05) if any(cell.ranks for cell in case.ranking.cells) else total == 0


@given(cases())
def test_whoever_is_up_and_has_no_weight_is_told_why(case: Case) -> None:
    if case.route.exploration:
        up = {each.backend for each in case.inputs if each.place == "up"}
        assert all(each.held for each in case.ranking.scored if not each.weight and each.backend in up)


@given(cases())
def test_every_attempt_of_a_request_goes_elsewhere(case: Case) -> None:
    for choice in choices(case.plan()):
        totals = {sum(weight for _, weight in attempt) for attempt in choice.attempts}
        assert len(totals) <= 1, "a request falls on the same point of every list only if they are of one length"
        for point in range(0, max(totals, default=0), 37 if totals == {10_000} else 3):
            tried = backends(choice, point)
            assert len(set(tried)) == len(tried)


@given(cases())
def test_no_plan_names_a_drained_backend_or_one_of_another_region(case: Case) -> None:
    made = case.plan()
    for choice in choices(made):
        named = {*choice.weights, *(name for attempt in choice.attempts for name, _ in attempt)} - {""}
        assert not any(case.places[name].drained for name in named)
    for region, found in made.regions.items():
        inside = {f"fraud@{target}" for target in REGIONS[region]}
        for choice in (found.choice, *found.targets.values()):
            assert {*choice.weights, *(name for attempt in choice.attempts for name, _ in attempt)} <= inside


pools = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 60), min_size=1, max_size=6)


@given(st.lists(pools, min_size=1, max_size=3))
def test_the_layout_keeps_the_shares_of_the_first_attempt_and_never_repeats(ranks: list[dict[str, int]]) -> None:
    seen: set[str] = set()
    for pool in ranks:
        for name in seen & set(pool):
            del pool[name]
        seen |= set(pool)
    ranks = [pool for pool in ranks if pool]
    ranks[0][min(ranks[0])] += 1  # the first rank serves, so it has a weight
    attempts = lay_out(first_choices([(100, tuple(ranks))]))
    assert len(attempts) == min(4, len(seen))
    got: dict[str, int] = {}
    for name, weight in attempts[0]:
        got[name] = got.get(name, 0) + weight
    assert got == {name: weight for name, weight in ranks[0].items() if weight}
    choice = Choice(got, tuple(tuple((f"m@{name}", weight) for name, weight in attempt) for attempt in attempts))
    for point in range(sum(got.values())):
        tried = order(choice, point)
        assert len(set(tried)) == len(tried)
        ranked = [next(number for number, pool in enumerate(ranks) if name in pool) for name in tried]
        assert ranked == sorted(ranked), "a lower tier only after all of the one before it"
