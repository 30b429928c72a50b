"""What a cloud's own interface does while units are destroyed, before one or after it: told and written down as Terraform's steps are."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mcml.infra import outcome
from mcml.infra.desk import Desk
from mcml.infra.units.units import Unit

When = Literal["before", "after"]


@dataclass(frozen=True)
class Chore:
    """One thing to do: its name, the words while and when it is done, and the work, which gives the facts for the journal (None: none)."""

    name: str
    doing: str
    did: str
    work: Callable[[], Mapping[str, object] | None]


Around = Callable[[Unit, When], Iterable[Chore]]


async def see_to(around: Around | None, when: When, desk: Desk) -> None:
    """Do one chore after the other, each in a thread, so that other units go on. Raises what the first that fails raises."""
    if around is None:
        return
    for chore in await asyncio.to_thread(lambda: tuple(around(desk.unit, when))):
        if desk.control.reason:
            raise outcome.stopped(desk.control.reason, f"{chore.name} was not begun", "", "run the same command again")
        reporter, name = desk.tools.reporter, f"{desk.label}{chore.name}"
        reporter.start(name, chore.doing)
        try:
            facts = await asyncio.to_thread(chore.work)
        except BaseException:
            reporter.finish(name, f"{chore.doing} failed", ok=False)
            raise
        reporter.finish(name, chore.did)
        if facts is not None:
            desk.record("infra.destroyed", facts)
