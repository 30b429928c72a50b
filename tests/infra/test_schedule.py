"""Units as soon as those before them have ended: order, overlap, failures, and bugs that are not hidden."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict
from mcml.infra.units.graph import Graph
from mcml.infra.units.schedule import Results, each
from mcml.infra.units.units import Unit
from tests.infra.test_graph import graphs


def diamond() -> Graph:
    names = {"top": (), "left": ("top",), "right": ("top",), "bottom": ("left", "right"), "alone": ()}
    return Graph(tuple(Unit(name, "dev", after=needs) for name, needs in names.items()))


def run(
    graph: Graph, failing: set[str], *, at_once: int = 8, backwards: bool = False, independent: bool = False
) -> tuple[Results[str], list[str]]:
    log: list[str] = []

    async def work(unit: Unit, before: Mapping[str, str]) -> str:
        log.append(f"+{unit.name}")
        if not (backwards or independent):
            assert set(unit.needs) <= set(before), "it is given what those before it gave"
        await asyncio.sleep(0)
        log.append(f"-{unit.name}")
        if unit.name in failing:
            raise Conflict(unit.name)
        return unit.name.upper()

    return asyncio.run(each(graph, work, at_once=at_once, backwards=backwards, independent=independent)), log


def test_a_failure_stops_only_what_needs_it() -> None:
    results, log = run(diamond(), {"left"})
    assert results.done == {"top": "TOP", "right": "RIGHT", "alone": "ALONE"}
    assert list(results.failed) == ["left"]
    assert results.skipped == {"bottom": ("left",)}
    assert "+bottom" not in log
    assert log.index("+right") < log.index("-left"), "units that do not need each other overlap"


def test_what_is_skipped_names_the_root_of_it() -> None:
    assert run(diamond(), {"top"})[0].skipped == {"left": ("top",), "right": ("top",), "bottom": ("top",)}


def test_backwards_and_independent() -> None:
    _, log = run(diamond(), set(), backwards=True)
    assert log.index("-bottom") < log.index("+left")
    assert log.index("-right") < log.index("+top")
    assert run(diamond(), {"top"}, independent=True)[0].skipped == {}


def test_no_more_than_so_many_at_once() -> None:
    _, log = run(diamond(), set(), at_once=1)
    assert [entry[0] for entry in log] == ["+", "-"] * 5


def test_a_bug_is_not_an_error_of_a_unit() -> None:
    async def work(unit: Unit, _: Mapping[str, str]) -> str:
        if unit.name == "left":
            raise KeyError("bug")
        return ""

    with pytest.raises(KeyError, match="bug"):
        asyncio.run(each(diamond(), work))


@given(graphs(), st.sets(st.sampled_from([f"u{number}" for number in range(8)])), st.integers(1, 3), st.booleans())
def test_every_unit_ends_in_exactly_one_way(graph: Graph, failing: set[str], at_once: int, backwards: bool) -> None:
    results, log = run(graph, failing, at_once=at_once, backwards=backwards)
    names = {unit.name for unit in graph.units}
    assert {*results.done, *results.failed, *results.skipped} == names
    assert len(results.done) + len(results.failed) + len(results.skipped) == len(names)
    for unit in graph.units:
        before = graph.needing(unit.name) if backwards else graph.needed_by(unit.name)
        assert (unit.name in results.skipped) == bool(before & set(results.failed))
        if f"+{unit.name}" in log:
            assert all(log.index(f"-{other}") < log.index(f"+{unit.name}") for other in before)
