"""Weights: bounded, adding up, monotone, never starving a healthy backend, and honest about what is not known."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.price import STALE_AFTER, PriceInfo
from mcml.core.schema_routes import Score
from mcml.route.weights.measure import Counters, Recent
from mcml.route.weights.score import FLOOR, MIN_CHANGE, Inputs, Place, Scored, weigh, worth_changing

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
DEFAULT = Score()


def price(value: str, *, unit: str = "USD/hour", age: timedelta = timedelta(hours=1)) -> PriceInfo:
    return PriceInfo(Decimal(value), unit, unit[:3], "a test", NOW - age)


def backend(name: str, place: Place = "up", **known: object) -> Inputs:
    return Inputs(name, place, **known)  # type: ignore[arg-type]


def weights(*backends: Inputs, shares: Score = DEFAULT) -> dict[str, float]:
    return {one.backend: one.weight for one in weigh(backends, shares, NOW)}


prices = st.one_of(
    st.none(),
    st.builds(
        lambda value, unit, days: PriceInfo(value, unit, unit[:3], "a test", NOW - timedelta(days=days)),
        st.decimals(0, 100, places=4),
        st.sampled_from(["USD/hour", "EUR/hour"]),
        st.integers(0, 120),
    ),
)


@st.composite
def fleets(draw: st.DrawFn, most: int = 8) -> list[Inputs]:
    count = draw(st.integers(1, most))
    return [
        Inputs(
            f"m@t{number}",
            draw(st.sampled_from(["up", "up", "up", "trial", "out", "joining"])),
            draw(st.one_of(st.none(), st.floats(0, 60_000), st.just(math.inf))),
            draw(st.one_of(st.none(), st.floats(0, 1))),
            draw(prices),
        )
        for number in range(count)
    ]


@st.composite
def shares(draw: st.DrawFn) -> Score:
    latency = draw(st.integers(0, 100))
    cost = draw(st.integers(0, 100 - latency))
    hundred = Decimal(100)
    return Score(latency=latency / hundred, cost=cost / hundred, reliability=(100 - latency - cost) / hundred)


@given(fleets(), shares())
def test_weights_add_up_and_scores_are_bounded(fleet: list[Inputs], wanted: Score) -> None:
    scored = weigh(fleet, wanted, NOW)
    able = [one for one in scored if one.place in ("up", "trial")]
    assert sum(one.weight for one in scored) == (100 if able else 0)
    assert all(0 <= one.score <= 1 for one in scored)
    assert all(one.weight == 0 for one in scored if one.place in ("out", "joining"))
    for one in scored:
        for part in (one.latency, one.cost, one.reliability):
            assert part.score is None or 0 <= part.score <= 1
            assert part.why


@given(fleets(), shares())
def test_no_healthy_backend_starves(fleet: list[Inputs], wanted: Score) -> None:
    assert all(one.weight >= FLOOR for one in weigh(fleet, wanted, NOW) if one.place in ("up", "trial"))


@given(fleets(), shares(), st.integers(0, 25))
def test_exploration_is_the_least_that_a_healthy_backend_gets(fleet: list[Inputs], wanted: Score, exploration: int) -> None:
    scored = weigh(fleet, wanted, NOW, exploration=exploration)
    able = [one for one in scored if one.place in ("up", "trial")]
    assert sum(one.weight for one in scored) == (100 if able else 0)
    least = min(exploration, 100 // (2 * len(able))) if able else 0
    assert all(one.weight >= least for one in able)
    if any(one.place == "up" for one in able):
        assert all(one.weight == least for one in able if one.place == "trial")


@settings(max_examples=20)
@given(fleets(most=60))
def test_with_many_backends_each_keeps_a_point(fleet: list[Inputs]) -> None:
    able = [one for one in weigh(fleet, DEFAULT, NOW) if one.place in ("up", "trial")]
    assert len(able) > 50 or all(one.weight >= 1 for one in able)
    assert sum(one.weight for one in able) == (100 if able else 0)


@given(fleets(), shares(), st.data())
def test_a_better_latency_never_lowers_a_weight(fleet: list[Inputs], wanted: Score, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(fleet) - 1))
    before = fleet[index]
    if before.latency_ms is None:
        return
    better = replace(before, latency_ms=data.draw(st.floats(0, before.latency_ms)))
    after = [better if one is before else one for one in fleet]
    assert weights(*after, shares=wanted)[before.backend] >= weights(*fleet, shares=wanted)[before.backend]


@given(fleets(), shares(), st.data())
def test_fewer_errors_never_lower_a_weight(fleet: list[Inputs], wanted: Score, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(fleet) - 1))
    before = fleet[index]
    if before.error_rate is None:
        return
    better = replace(before, error_rate=data.draw(st.floats(0, before.error_rate)))
    after = [better if one is before else one for one in fleet]
    assert weights(*after, shares=wanted)[before.backend] >= weights(*fleet, shares=wanted)[before.backend]


@given(fleets(), shares(), st.data())
def test_a_lower_price_never_lowers_a_weight(fleet: list[Inputs], wanted: Score, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(fleet) - 1))
    before = fleet[index]
    if before.price is None:
        return
    cheaper = replace(before.price, value=data.draw(st.decimals(0, before.price.value, places=4)))
    after = [replace(before, price=cheaper) if one is before else one for one in fleet]
    assert weights(*after, shares=wanted)[before.backend] >= weights(*fleet, shares=wanted)[before.backend]


@given(fleets(), shares(), st.data())
def test_a_missing_price_is_neither_free_nor_dear(fleet: list[Inputs], wanted: Score, data: st.DataObject) -> None:
    """Without its price, a backend's score lies between what the best and the worst price would give it."""
    index = data.draw(st.integers(0, len(fleet) - 1))
    others = [replace(one, price=None) if position == index else one for position, one in enumerate(fleet)]
    scored = next(one for one in weigh(others, wanted, NOW) if one.backend == fleet[index].backend)
    known = [(part.share, part.score) for part in (scored.latency, scored.reliability) if part.score is not None]
    if not known or sum(share for share, _ in known) == 0:
        return
    total = sum(share for share, _ in known) + scored.cost.share
    with_worst = sum(share * score for share, score in known) / total
    with_best = with_worst + scored.cost.share / total
    assert with_worst - 1e-9 <= scored.score <= with_best + 1e-9
    assert scored.cost.score is None
    assert "no price is known" in scored.cost.why


@given(fleets(), shares())
def test_the_order_of_the_backends_does_not_matter(fleet: list[Inputs], wanted: Score) -> None:
    assert weigh(fleet, wanted, NOW) == weigh(fleet[::-1], wanted, NOW)


def test_the_arithmetic_by_hand() -> None:
    """a: 15 ms, 1 USD, no errors; b: 35 ms a good answer, 5 % errors, 2 USD: 1 and 0.4 x 20/40 + 0.3 x 1/2 + 0.3 x 1/2."""
    scored = weigh(
        (
            backend("m@a", latency_ms=15.0, error_rate=0.0, price=price("1")),
            backend("m@b", latency_ms=35.0, error_rate=0.05, price=price("2")),
        ),
        DEFAULT,
        NOW,
    )
    assert [round(one.score, 6) for one in scored] == [1.0, 0.5]
    assert [one.weight for one in scored] == [78, 22]  # 5 each, then 90 points as 1 to 0.5 x 0.5 x 0.95
    assert [one.latency.why for one in scored] == ["15.0 ms, best 15.0 ms", "35.0 ms a good answer, best 15.0 ms"]
    assert scored[1].cost.why == "2 USD/hour (a test, 1 h old), cheapest 1"


class Traffic:
    """So many requests a second over three backends; `m@a` refuses, in a millisecond, what is above its limit."""

    def __init__(self, rate: int, milliseconds: float, shares: Score) -> None:
        self.rate, self.milliseconds, self.wanted = rate, milliseconds, shares
        self.recent = dict.fromkeys(("m@a", "m@b", "m@c"), Recent())
        self.due = {(name, good): 0.0 for name in self.recent for good in (True, False)}
        self.now = self._proposed()
        self.second = self.changed = 0

    def share(self) -> float:
        return self.now[0].weight

    def after(self, seconds: int, *, limit: float = 100.0) -> list[float]:
        """Let so many seconds pass with a limit in percent of the rate; return the share of `m@a` after each."""
        return [self._second(limit) for _ in range(seconds)]

    def silent(self, seconds: int) -> list[float]:
        """Let so many seconds pass without a request; return the share of `m@a` after them."""
        self.recent = {name: recent.after(seconds, Counters()) for name, recent in self.recent.items()}
        return [self._decided(seconds)]

    def _second(self, limit: float) -> float:
        for one in self.now:
            most = limit if one.backend == "m@a" else 100.0
            good = self._whole(one.backend, min(one.weight, most), good=True)
            refused = self._whole(one.backend, max(0.0, one.weight - most), good=False)
            seen = {self.milliseconds: (0.0, good), 1.0: (0.0, refused)}
            seen = {value: (width, count) for value, (width, count) in seen.items() if count}
            added = Counters(good + refused, good, refused, latencies=seen)
            self.recent[one.backend] = self.recent[one.backend].after(1.0, added)
        return self._decided(1)

    def _decided(self, seconds: int) -> float:
        self.second += seconds
        proposed = self._proposed()
        if worth_changing(self.now, proposed, self.second - self.changed):
            self.now, self.changed = proposed, self.second
        return self.share()

    def _whole(self, name: str, percent: float, *, good: bool) -> int:
        """Return whole requests; the fraction is kept for the next second."""
        whole, self.due[name, good] = divmod(self.due[name, good] + self.rate * percent / 100, 1)
        return int(whole)

    def _proposed(self) -> tuple[Scored, ...]:
        inputs = [Inputs(name, "up", recent.answer_ms, recent.error_rate) for name, recent in self.recent.items()]
        return weigh(inputs, self.wanted, NOW)


LATENCY_FIRST = Score(latency=Decimal(1), cost=Decimal(0), reliability=Decimal(0))


@pytest.mark.parametrize("limit", [0, 5, 10, 20, 30])
@pytest.mark.parametrize("milliseconds", [2.0, 200.0])
def test_a_backend_over_its_limit_shrinks_to_about_what_it_takes_and_grows_again(limit: int, milliseconds: float) -> None:
    """A hundred requests a second: a refusal is no quick answer."""
    traffic = Traffic(100, milliseconds, DEFAULT)
    assert traffic.after(9)[-1] == 34
    shares = traffic.after(60, limit=limit)
    assert all(limit - MIN_CHANGE <= share <= limit + 6 + MIN_CHANGE for share in shares[30:]), shares  # 6: what exploration comes to
    assert traffic.after(81)[-1] >= 34 - MIN_CHANGE


@pytest.mark.parametrize("limit", [0, 20])
@pytest.mark.parametrize("milliseconds", [2.0, 200.0])
@pytest.mark.parametrize("rate", [1, 5, 100])
@pytest.mark.parametrize("wanted", [DEFAULT, LATENCY_FIRST], ids=["default", "latency-first"])
@pytest.mark.parametrize("good", [0, 10])
def test_refusals_draw_no_traffic_at_any_rate(limit: int, milliseconds: float, rate: int, wanted: Score, good: int) -> None:
    """Also of one that never gave a good answer, and after a silence that forgives errors while the latency stays."""
    traffic = Traffic(rate, milliseconds, wanted)
    traffic.after(good)
    equal = traffic.share()
    shares = traffic.after(60, limit=limit) + traffic.silent(300) + traffic.after(60, limit=limit)
    assert max(shares) <= equal + MIN_CHANGE, shares


def test_one_that_only_fails_has_the_worst_latency_and_one_that_nobody_asked_has_none() -> None:
    failing = backend("m@a", latency_ms=math.inf, error_rate=0.01)
    scored = weigh((failing, backend("m@b", latency_ms=9.0), backend("m@c")), LATENCY_FIRST, NOW)
    assert [one.latency.score for one in scored] == [0.0, 1.0, None]
    assert [one.latency.why for one in scored][::2] == ["no good answer: its attempts fail", "no good answer measured yet: left out"]
    assert [one.weight for one in scored] == [5, 73, 22]  # 5 each, then 85 points as 0 to 1 to 0.5 x 0.5
    assert weights(backend("m@a", latency_ms=math.inf), backend("m@b", latency_ms=math.inf), shares=LATENCY_FIRST) == {"m@a": 50, "m@b": 50}


def test_equals_share_equally_and_the_remainder_goes_by_name() -> None:
    assert weights(backend("m@a"), backend("m@b"), backend("m@c")) == {"m@a": 34, "m@b": 33, "m@c": 33}


def test_a_backend_that_is_out_gets_nothing_and_the_others_everything() -> None:
    assert weights(backend("m@a", "out"), backend("m@b"), backend("m@c", "joining")) == {"m@a": 0, "m@b": 100, "m@c": 0}


def test_a_backend_on_trial_gets_the_smallest_share() -> None:
    assert weights(backend("m@a", "trial"), backend("m@b"), backend("m@c")) == {"m@a": 5, "m@b": 48, "m@c": 47}


def test_backends_on_trial_share_when_nothing_else_is_up() -> None:
    assert weights(backend("m@a", "trial"), backend("m@b", "out"), backend("m@c", "trial")) == {"m@a": 50, "m@b": 0, "m@c": 50}


def test_nothing_is_up() -> None:
    assert weights(backend("m@a", "out"), backend("m@b", "out")) == {"m@a": 0, "m@b": 0}
    assert weights() == {}


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "no price is known: left out"),
        (price("3", age=STALE_AFTER + timedelta(days=1)), "3 USD/hour (a test, 91 d old) is stale: left out"),
        (price("3", unit="EUR/hour"), "3 EUR/hour (a test, 1 h old) cannot be compared with the others' prices (USD/hour): left out"),
    ],
)
def test_a_price_that_cannot_be_used_is_said(known: PriceInfo | None, said: str) -> None:
    scored = weigh((backend("m@a", price=known), backend("m@b", price=price("1")), backend("m@c", price=price("2"))), DEFAULT, NOW)
    assert scored[0].cost.score is None
    assert scored[0].cost.why == said
    assert scored[0].weight > 0


def test_a_price_of_zero_is_a_price() -> None:
    scored = weigh((backend("m@a", price=price("0")), backend("m@b", price=price("1"))), DEFAULT, NOW)
    assert [one.cost.score for one in scored] == [1.0, 0.0]


def test_the_price_of_a_backend_that_is_out_is_no_measure_for_the_others() -> None:
    scored = weigh((backend("m@a", "out", price=price("0.01")), backend("m@b", price=price("1"))), DEFAULT, NOW)
    assert scored[1].cost.score == 1.0


def scored_at(*given: tuple[str, Place, int]) -> tuple[Scored, ...]:
    part = weigh((backend("m@a"),), DEFAULT, NOW)[0]
    return tuple(replace(part, backend=name, place=place, weight=weight) for name, place, weight in given)


def test_small_or_hasty_moves_of_the_score_are_not_worth_a_change() -> None:
    even = scored_at(("m@a", "up", 50), ("m@b", "up", 50))
    assert not worth_changing(even, scored_at(("m@a", "up", 54), ("m@b", "up", 46)), 60.0)
    assert not worth_changing(even, scored_at(("m@a", "up", 60), ("m@b", "up", 40)), 4.9)
    assert worth_changing(even, scored_at(("m@a", "up", 55), ("m@b", "up", 45)), 5.0)


@pytest.mark.parametrize("place", ["out", "trial", "joining"])
def test_a_change_of_health_counts_at_once(place: Place) -> None:
    even = scored_at(("m@a", "up", 50), ("m@b", "up", 50))
    assert worth_changing(even, scored_at(("m@a", place, 50), ("m@b", "up", 50)), 0.0)
    assert worth_changing(even, scored_at(("m@a", "up", 100)), 0.0)
    assert not worth_changing(even, even, 1000.0)
