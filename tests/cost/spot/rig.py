"""What tests of supervised jobs share: an order, a store, and jobs that are run to their end in a cloud by script."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.report import Silent
from mcml.cost.spot.order import Candidate, Fallback, Order, Record
from mcml.cost.spot.site import Site
from mcml.cost.spot.supervise import Supervisor
from mcml.store.db import Store
from tests.cost.spot.cloud import FALLBACK, Cloud, Killed

PLACES = (Candidate("eu-1", "m1"), Candidate("eu-1", "m2"))

ORDER = Order(("train",), PLACES, Fallback("eu-1", FALLBACK), 3600, 7200, 60, 120, 60, "progress")

LAUNCHED = replace(ORDER, fallback=Fallback("eu-1", machine="m1"))

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

"""A job writes its state down hundreds of times, each with fsync."""


@pytest.fixture
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        yield store


def cloud(up: list[bool], order: Order = ORDER, launch: int = 0, **calls: Any) -> Cloud:
    return Cloud(up, order.work, order.restart - launch, order.checkpoint, launch=launch, **calls)


def supervisor(store: Store, place: Cloud) -> Supervisor:
    return Supervisor(store, {"eu-1": Site(place, "local", "r")}, lambda: place.saved, place.clock, Silent(), place.sleep)


def finished(store: Store, place: Cloud, order: Order = ORDER) -> Record:
    """Run a job to its end, by as many mcml as are killed on the way; a minute passes until somebody starts the next one."""
    begun = False
    for _ in range(100):
        at_work = supervisor(store, place)
        try:
            if not begun:
                at_work.begin("train", order)
                begun = True
            return at_work.run(at_work.resume("train"))
        except Killed:
            place.sleep(60)
    raise AssertionError("it never ends")


def events(store: Store) -> list[str]:
    return [entry.kind.removeprefix("cost.spot_") for entry in store.entries()]


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def note(self, text: str) -> None:
        """Keep it."""
        self._told.append(text)
