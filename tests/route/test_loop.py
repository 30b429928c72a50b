"""When the control loop takes a turn: at once when there is news, now and then when there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import InvalidRequest, Unavailable
from mcml.core.schema_routes import Route, Router
from mcml.route.engine.seam import Desired
from mcml.route.feeds import Courier
from mcml.route.loop import TICKS_A_TURN, Loop, Sources
from mcml.route.weights.observe import Observation
from tests.route.rig import Told


class Engine:
    """A proxy that says what a test wants, and counts what it is asked."""

    def __init__(self) -> None:
        self.news = False
        self.glances = self.looks = 0
        self.on_look: Callable[[], None] = lambda: None
        self.on_apply: Callable[[], None] = lambda: None

    def alive(self) -> bool:
        return True

    def changed(self) -> bool:
        self.glances += 1
        return self.news

    def observe(self) -> Observation:
        self.looks += 1
        self.on_look()
        return Observation()

    def start(self, desired: Desired) -> None: ...

    def apply(self, desired: Desired) -> None:
        self.on_apply()

    def rewrite(self) -> None: ...
    def tidy(self) -> None: ...
    def stop(self, *, drain: float) -> None: ...

    def move(self, router: Router, desired: Desired) -> bool:
        return False

    def complaint(self) -> str:
        return ""

    def versions(self) -> dict[str, str]:
        return {}


class Beats:
    """Ends a loop after so many ticks, each as long as no time at all."""

    def __init__(self, ticks: int, each: "dict[int, object]") -> None:
        self.left, self.ticks, self.each = ticks, ticks, each

    def is_set(self) -> bool:
        return self.left <= 0

    def wait(self, _: float) -> None:
        self.left -= 1
        found = self.each.get(self.ticks - self.left)
        if callable(found):
            found()


class Case:
    def __init__(self, folder: Path, *, counted: bool = True) -> None:
        self.engine, self.told, self.changes = Engine(), Told(), 0
        self.courier = Courier(lambda _: None, self.told)
        sources = Sources(tuple, dict, changes=(lambda: self.changes) if counted else None)
        self.loop = Loop(self.engine, {"fraud": Route()}, sources, self.courier, folder=folder, reporter=self.told, clock=utc_now)

    def run(self, ticks: int, **each: object) -> int:
        """Return how many turns were taken in so many ticks; `tN` is called after tick N."""
        before = self.engine.looks
        self.loop.run(Beats(ticks, {int(name[1:]): call for name, call in each.items()}))  # type: ignore[arg-type]
        return self.engine.looks - before

    def change(self) -> None:
        self.changes += 1


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_without_news_one_tick_in_four_is_a_turn(case: Case) -> None:
    assert case.run(10 * TICKS_A_TURN) == 10
    assert case.engine.glances == 10 * (TICKS_A_TURN - 1)


def test_a_change_of_what_is_read_is_taken_up_at_the_next_tick(case: Case) -> None:
    case.run(TICKS_A_TURN)  # it has just taken one
    assert case.run(2, t1=case.change) == 1
    assert case.run(1) == 0  # and the change is not news any more


def test_a_change_of_the_proxy_is_taken_up_at_once(case: Case) -> None:
    case.run(TICKS_A_TURN)
    case.engine.news = True
    assert case.run(3) == 3


def test_where_changes_are_not_counted_each_tick_is_a_turn(tmp_path: Path) -> None:
    case = Case(tmp_path, counted=False)
    assert case.run(6) == 6
    assert case.engine.glances == 0


def test_a_look_that_fails_is_repeated_and_said_once(case: Case) -> None:
    def fail() -> None:
        raise Unavailable("gone")

    case.engine.on_look, case.engine.news = fail, True
    assert case.run(5) == 5
    assert [line for line in case.told.lines if "gone" in line] == case.told.lines[:1] != []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), InvalidRequest("it was not written", why="no time")])
def test_what_cannot_be_written_is_tried_again_and_said_once(case: Case, failure: Exception) -> None:
    """A full disk: the proxy serves on with the weights that it has, and the loop looks on."""

    def fail() -> None:
        raise failure

    case.engine.on_apply, case.engine.news = fail, True
    assert case.run(5) == 5
    assert len(said := [line for line in case.told.lines if "the weights stay" in line]) == 1, case.told.lines
    case.engine.on_apply = lambda: None
    case.run(2)
    case.engine.on_apply = fail
    case.run(2)
    assert len([line for line in case.told.lines if "the weights stay" in line]) == 2, f"it was well in between: {said}"
