"""What tests of changes share: a change that is planned, a store, and changes that are carried to their end."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.report import Silent
from mcml.core.schema_cost import HealthSignal
from mcml.cost.rightsize.apply import Work
from mcml.cost.rightsize.change import (
    Change,
    identified,
    latest,
)
from mcml.cost.rightsize.planned import Planned
from mcml.cost.rightsize.steps import Site
from mcml.store.db import Store
from mcml.store.journal import Query
from tests.cost.rightsize.cloud import BEGAN, MACHINE, Cloud, Disks, Killed, Meter

KEY = "eu-1/i-1"

PLANNED = replace(
    Change(identified(KEY, BEGAN), KEY, "eu-1", "i-1", "m4", "m2", "m4", BEGAN, disks=MACHINE.disks),
    watch=1800.0,
    saving=Decimal("1460"),
    currency="USD",
)

SHORT = replace(PLANNED, watch=20.0)

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

"""A change writes its state down at each step, each with fsync."""

WELL = ["planned", "snapshot", "snapshot", "resized", "watched", "done"]


@pytest.fixture
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        yield store


def work(store: Store, cloud: Cloud, health: tuple[HealthSignal, ...] = ()) -> Work:
    return Work(store, Site(cloud, Disks(cloud), Meter(cloud)), health, cloud.clock, Silent(), cloud.sleep)


def finished(store: Store, cloud: Cloud, planned: Change = PLANNED) -> Change:
    """Run a change to its end, by as many mcml as it takes."""
    for _ in range(5):
        at_work = work(store, cloud)
        try:
            found, _ = latest(store, planned.key)
            return at_work.run(at_work.resume(planned.key) if found else at_work.begin(Planned(planned)))
        except Killed:
            cloud.sleep(30)
    raise AssertionError("it never ends")


def events(store: Store, key: str = KEY) -> list[str]:
    return [entry.kind.removeprefix("cost.rightsize_") for entry in store.entries(Query(target=key))]


def facts(store: Store, event: str) -> dict[str, object]:
    return next(dict(entry.facts) for entry in store.entries()[::-1] if entry.kind == f"cost.rightsize_{event}")


def full(machine: str, _: object) -> float:
    """Memory that m2 does not hold."""
    return 0.99 if machine == "m2" else 0.5
