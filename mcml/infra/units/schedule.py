"""Work on a graph of units: each begins as soon as those before it have ended, and a failure stops only what needs it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mcml.core.errors import McmlError
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Unit

T = TypeVar("T")


@dataclass(frozen=True)
class Results(Generic[T]):
    """How the work on each unit ended, by name: what it gave, its error, or the units without which it was not begun."""

    done: Mapping[str, T] = field(default_factory=dict)
    failed: Mapping[str, McmlError] = field(default_factory=dict)
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


async def each(
    graph: Graph,
    work: Callable[[Unit, Mapping[str, T]], Awaitable[T]],
    *,
    at_once: int = 8,
    backwards: bool = False,
    independent: bool = False,
) -> Results[T]:
    """Work on every unit, at most `at_once` at a time; `work` is given what the units before it gave, by name.

    `backwards` is for a destroy: a unit waits for those that need it; `independent` units wait for none. An exception that is no McmlError
    goes on as it is, when all that was begun has ended.
    """
    done: dict[str, T] = {}
    failed: dict[str, McmlError] = {}
    skipped: dict[str, tuple[str, ...]] = {}
    names = [unit.name for unit in graph.units]
    before = {} if independent else _before(graph, backwards=backwards)
    turn = asyncio.Semaphore(at_once)
    ended = {name: asyncio.Event() for name in names}

    async def run(name: str) -> None:
        try:
            for needed in before.get(name, ()):
                await ended[needed].wait()
            missing = [needed for needed in names if needed in before.get(name, ()) and needed not in done]
            if missing:
                roots = [root for needed in missing for root in skipped.get(needed, (needed,))]
                skipped[name] = tuple(dict.fromkeys(roots))
                return
            async with turn:
                done[name] = await work(graph[name], {needed: done[needed] for needed in before.get(name, ())})
        except McmlError as error:
            failed[name] = error
        finally:
            ended[name].set()

    found = await asyncio.gather(*(run(name) for name in names), return_exceptions=True)
    for bug in found:
        if isinstance(bug, BaseException):
            raise bug
    return Results(
        {name: done[name] for name in names if name in done},
        {name: failed[name] for name in names if name in failed},
        {name: skipped[name] for name in names if name in skipped},
    )


def _before(graph: Graph, *, backwards: bool) -> dict[str, set[str]]:
    """Return what each unit waits for."""
    names = {unit.name for unit in graph.units}
    if backwards:
        return {unit.name: {other.name for other in graph.units if unit.name in other.needs} for unit in graph.units}
    return {unit.name: names.intersection(unit.needs) for unit in graph.units}
