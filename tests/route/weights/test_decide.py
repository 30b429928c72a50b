"""One turn of the loop at a time: readings in, weights and facts out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mcml.core.backend import Backend
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.weights.decide import FIRST_SIGHT, Outcome, Reading, State, turn
from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Endpoint, Observation, Seen

BEGIN = datetime(2026, 11, 21, 9, tzinfo=UTC)
ROUTES = {"fraud": Route()}


def backend(target: str, port: int = 9000, *, model: str = "fraud", host: str = "127.0.0.1") -> Backend:
    return Backend(target, model, host, port, "local", "nowhere", version="7")


def seen(
    port: int = 9000, *, host: str = "127.0.0.1", failing: bool = False, ejected: bool = False, counters: Counters | None = None
) -> Seen:
    return Seen((Endpoint(f"{host}:{port}", False, failing, ejected),), counters or Counters())


class Loop:
    """A loop with a clock of its own."""

    def __init__(self, *backends: Backend, routes: dict[str, Route] | None = None) -> None:
        self.routes = routes or ROUTES
        self.backends = backends
        self.prices: dict[str, PriceInfo] = {}
        self.overrides: tuple[Override, ...] = ()
        self.state = State()
        self.now = 100.0

    def turn(self, observed: dict[str, Seen] | None, *, after: float = 0.2) -> Outcome:
        self.now += after
        at = BEGIN + timedelta(seconds=self.now)
        observation = None if observed is None else Observation(observed)
        reading = Reading(self.now, at, observation, tuple(self.backends), self.prices, self.overrides)
        self.state, outcome = turn(self.state, self.routes, reading)
        return outcome


EU, US = backend("eu-1"), backend("us-1")
BOTH = {"fraud@eu-1": seen(), "fraud@us-1": seen()}


def kinds(outcome: Outcome) -> list[str]:
    return [fact.kind for fact in outcome.facts]


def test_before_the_proxy_runs_it_gets_every_backend() -> None:
    plan = Loop(EU, US).turn(None).plans[0]
    assert (dict(plan.weights), plan.last_resort, plan.hurried) == ({"fraud@eu-1": 1, "fraud@us-1": 1}, True, False)


def test_the_first_reading_weighs_and_says_so() -> None:
    loop = Loop(EU, US)
    loop.turn(None)
    loop.state = State()
    outcome = loop.turn(BOTH)
    assert dict(outcome.plans[0].weights) == {"fraud@eu-1": 50, "fraud@us-1": 50}
    assert outcome.ready
    assert kinds(outcome) == ["route.backend_up", "route.backend_up", "route.weights"]
    assert all(fact.facts[FIRST_SIGHT] for fact in outcome.facts[:2]), "news only to an incident that an earlier router opened"
    told = outcome.facts[2].facts
    assert {key: told[key] for key in ("route", "model", "weights", "previous", "reason", "last_resort", "overrides")} == {
        "route": "fraud",
        "model": "fraud",
        "weights": {"fraud@eu-1": 50, "fraud@us-1": 50},
        "previous": {},
        "reason": "the route starts",
        "last_resort": False,
        "overrides": [],
    }
    assert [one["backend"] for one in told["backends"]] == ["fraud@eu-1", "fraud@us-1"]  # type: ignore[attr-defined]


def test_nothing_new_is_no_fact() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    for _ in range(10):
        outcome = loop.turn(BOTH)
        assert outcome.facts == ()
        assert outcome.decisions == ()
        assert dict(outcome.plans[0].weights) == {"fraud@eu-1": 50, "fraud@us-1": 50}


def test_a_backend_goes_out_and_comes_back() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    dead = {**BOTH, "fraud@eu-1": seen(failing=True, counters=Counters(9, 0, 9, refused=9))}
    outcome = loop.turn(dead)
    down, weights = outcome.facts
    assert (down.kind, down.target, down.room) == ("route.backend_down", "eu-1", "route")
    assert down.facts == {
        "route": "fraud",
        "routes": ["fraud"],
        "model": "fraud",
        "backend": "fraud@eu-1",
        "version": "7",
        "serving": 1,
        "reason": "its health check fails (9 refused connections)",
    }
    assert weights.facts["weights"] == {"fraud@eu-1": 0, "fraud@us-1": 100}
    assert weights.facts["reason"] == "fraud@eu-1 is out"
    assert dict(outcome.plans[0].weights) == {"fraud@eu-1": 0, "fraud@us-1": 100}
    back = {**BOTH, "fraud@eu-1": seen(counters=Counters(9, 0, 9, refused=9))}
    assert loop.turn(back, after=60.0).decisions[0].reason == "fraud@eu-1 is back, on trial"
    assert loop.turn(back, after=1.0).facts == ()
    up = loop.turn(back, after=1.5)
    assert kinds(up) == ["route.backend_up", "route.weights"]
    assert up.facts[0].facts["down_s"] == 62.5
    assert up.facts[1].facts["weights"] == {"fraud@eu-1": 47, "fraud@us-1": 53}  # the errors are nearly forgotten


def test_the_attempts_of_an_outage_are_not_held_against_the_latency_of_later() -> None:
    """Without traffic nothing would ever show that a good answer is quick again."""
    loop = Loop(EU, US)
    loop.turn(BOTH)
    loop.turn({**BOTH, "fraud@eu-1": seen(failing=True, counters=Counters(9, 0, 9, refused=9))})
    back = {**BOTH, "fraud@eu-1": seen(counters=Counters(9, 0, 9, refused=9))}
    for seconds in (5.0, 1.0, 1.5):
        found = loop.turn(back, after=seconds)
    eu = next(one for one in found.decisions[0].backends if one.backend == "fraud@eu-1")
    assert (eu.place, eu.latency.score) == ("up", None)


def test_two_routes_share_a_model_and_one_fact() -> None:
    loop = Loop(EU, US, routes={"fraud": Route(), "public": Route(model="fraud")})
    loop.turn(BOTH)
    outcome = loop.turn({**BOTH, "fraud@eu-1": seen(failing=True)})
    assert kinds(outcome) == ["route.backend_down", "route.weights", "route.weights"]
    assert outcome.facts[0].facts["routes"] == ["fraud", "public"]
    assert [plan.model for plan in outcome.plans] == ["fraud", "fraud"]


def test_when_all_are_out_all_are_tried_and_the_router_is_not_ready() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    outcome = loop.turn({"fraud@eu-1": seen(failing=True), "fraud@us-1": seen(ejected=True)})
    plan = outcome.plans[0]
    assert (dict(plan.weights), plan.last_resort, plan.hurried) == ({"fraud@eu-1": 1, "fraud@us-1": 1}, True, True)
    assert not outcome.ready
    assert outcome.decisions[0].last_resort
    assert outcome.decisions[0].weights == {"fraud@eu-1": 0, "fraud@us-1": 0}
    assert [fact.facts["serving"] for fact in outcome.facts if fact.kind == "route.backend_down"] == [0, 0]


def test_a_new_backend_gets_traffic_when_the_proxy_has_it() -> None:
    loop = Loop(EU)
    loop.turn({"fraud@eu-1": seen()})
    loop.backends = (EU, US)
    waiting = loop.turn({"fraud@eu-1": seen()})
    assert dict(waiting.plans[0].weights) == {"fraud@eu-1": 100}
    assert waiting.decisions[0].reason == "fraud@us-1 is being added"
    joined = loop.turn(BOTH)
    assert dict(joined.plans[0].weights) == {"fraud@eu-1": 50, "fraud@us-1": 50}
    assert joined.decisions[0].reason == "fraud@us-1 is up"


def test_a_deleted_backend_leaves_at_once_and_is_no_outage() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    loop.backends = (EU,)
    outcome = loop.turn({**BOTH, "fraud@us-1": seen(failing=True)})
    assert kinds(outcome) == ["route.weights"]
    assert dict(outcome.plans[0].weights) == {"fraud@eu-1": 100}
    assert outcome.decisions[0].reason == "fraud@us-1 was removed"


def test_what_an_old_address_does_is_no_news_of_the_backend() -> None:
    """The model moved to another port; until the proxy has that, the old one may die in peace."""
    loop = Loop(EU, US)
    loop.turn(BOTH)
    loop.backends = (backend("eu-1", 9005), US)
    dying = {**BOTH, "fraud@eu-1": seen(failing=True, ejected=True)}
    assert loop.turn(dying).facts == ()
    assert loop.turn({**BOTH, "fraud@eu-1": seen(9005)}).facts == ()
    assert kinds(loop.turn({**BOTH, "fraud@eu-1": seen(9005, failing=True)})) == ["route.backend_down", "route.weights"]


def test_a_host_given_by_name_is_compared_by_its_port() -> None:
    loop = Loop(backend("eu-1", host="models.example.com"))
    assert dict(loop.turn({"fraud@eu-1": seen(host="192.0.2.7")}).plans[0].weights) == {"fraud@eu-1": 100}
    loop = Loop(EU)
    assert dict(loop.turn({"fraud@eu-1": seen(host="192.0.2.7")}).decisions[0].weights) == {"fraud@eu-1": 0}


def test_a_backend_of_another_model_is_none_of_our_business() -> None:
    loop = Loop(EU, backend("eu-1", model="churn"))
    outcome = loop.turn({"fraud@eu-1": seen()})
    assert outcome.plans[0].weights == {"fraud@eu-1": 100}
    assert set(loop.state.tracked) == {"fraud@eu-1"}


def test_a_route_without_a_backend() -> None:
    outcome = Loop().turn({})
    assert outcome.plans[0].weights == {}
    assert not outcome.ready


@pytest.mark.parametrize("seconds", [1.0, 6.0])
def test_a_price_moves_weights_only_after_a_pause(seconds: float) -> None:
    loop = Loop(EU, US)
    for name, value in (("fraud@eu-1", "1"), ("fraud@us-1", "1")):
        loop.prices[name] = PriceInfo(Decimal(value), "USD/hour", "USD", "a test", BEGIN)
    loop.turn(BOTH)
    loop.prices["fraud@us-1"] = replace(loop.prices["fraud@us-1"], value=Decimal(4))
    outcome = loop.turn(BOTH, after=seconds)
    assert len(outcome.decisions) == (1 if seconds > 5 else 0)
    if outcome.decisions:
        assert outcome.decisions[0].reason == "the scores moved"
        assert outcome.decisions[0].weights == {"fraud@eu-1": 70, "fraud@us-1": 30}


def test_noise_in_the_latency_does_not_flap_the_weights() -> None:
    """Two equal places, 200 requests a second each, 3 or 4 ms: ten minutes without a change."""
    loop = Loop(EU, US)
    loop.turn(BOTH)
    totals = {name: Counters() for name in BOTH}
    changes = 0
    for tick in range(3000):
        for number, name in enumerate(BOTH):
            latency = 3.0 + (tick * 7 + number * 3) % 5 / 4
            width, count = dict(totals[name].latencies).get(latency, (0.0, 0))
            attempts = totals[name].attempts + 40
            totals[name] = Counters(attempts, attempts, latencies={**totals[name].latencies, latency: (width, count + 40)})
        changes += len(loop.turn({name: seen(counters=totals[name]) for name in BOTH}).decisions)
    assert changes == 0


DEAD = {**BOTH, "fraud@eu-1": seen(failing=True)}


def drain(route: str = "") -> Override:
    return Override("drain", route, "eu-1", "ann", BEGIN, reason="a new disk")


def test_what_a_person_changes_counts_at_once_and_is_said() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    loop.overrides = (drain(),)
    outcome = loop.turn(BOTH)
    assert dict(outcome.plans[0].weights) == {"fraud@us-1": 100}
    assert kinds(outcome) == ["route.weights"]
    assert outcome.facts[0].facts["reason"] == "eu-1 was drained by ann: a new disk"
    assert outcome.decisions[0].backends[0].held == "drained by ann: a new disk"
    assert loop.turn(BOTH).decisions == ()
    loop.overrides = ()
    assert loop.turn(BOTH).decisions[0].reason == "eu-1 is no longer drained"


def test_a_drained_backend_may_fail_in_peace_and_is_an_outage_once_it_is_wanted() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    loop.overrides = (drain(),)
    assert kinds(loop.turn(BOTH)) == ["route.weights"]
    assert "route.backend_down" not in kinds(loop.turn(DEAD))
    loop.overrides = ()
    assert kinds(loop.turn(DEAD)) == ["route.backend_down", "route.weights"]


def test_one_drained_on_one_route_of_two_is_still_an_outage() -> None:
    loop = Loop(EU, US, routes={"fraud": Route(), "public": Route(model="fraud")})
    loop.turn(BOTH)
    loop.overrides = (drain("public"),)
    loop.turn(BOTH)
    assert "route.backend_down" in kinds(loop.turn(DEAD))


def test_one_that_was_down_before_it_was_drained_is_told_to_be_back() -> None:
    loop = Loop(EU, US)
    loop.turn(BOTH)
    assert "route.backend_down" in kinds(loop.turn(DEAD))
    loop.overrides = (drain(),)
    loop.turn(DEAD)
    loop.turn(BOTH, after=30)
    assert "route.backend_up" in kinds(loop.turn(BOTH, after=3))
