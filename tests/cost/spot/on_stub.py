"""A job on the stub of a cloud: time moves when somebody sleeps, and a machine that runs there works on the job."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mcml.core.report import Silent
from mcml.cost.spot.order import Candidate, Fallback, Order, Record
from mcml.cost.spot.site import TAG, Site
from mcml.cost.spot.supervise import Supervisor
from mcml.providers.api.instances import Instance, Instances
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN

COMMAND = ("python", "train.py")
RESTART, TICK, WORK = 60, 600, 3600


@dataclass
class Job:
    """`machine` is launched on demand when spot, which ends after `until` minutes (`end` is told of the machine), is not to be had."""

    instances: Instances
    machine: str
    end: Callable[[Instance], None]
    until: int = 20
    now: datetime = BEGAN
    saved: float = 0.0
    busy: dict[str, int] = field(default_factory=dict)

    def mine(self, *, running: bool = True) -> list[Instance]:
        """The machines of the job."""
        return [one for one in self.instances.list({TAG: "train"}) if one.state in ("running", "pending") or not running]

    def sleep(self, seconds: float) -> None:
        """Let the machines work, or be taken away."""
        self.now += timedelta(seconds=seconds)
        for one in self.mine():
            if one.spot and self.now >= BEGAN + timedelta(minutes=self.until):
                self.end(one)
                continue
            worked = min(seconds, self.busy.setdefault(one.id, -RESTART) + seconds)
            self.busy[one.id] += round(seconds)
            self.saved = min(1.0, self.saved + max(0.0, worked) / WORK)

    def run(self, store: Store) -> Record:
        """Run it to its end."""
        places = Candidate("here", self.machine), Fallback("here", machine=self.machine)
        order = Order(COMMAND, places[:1], places[1], WORK, 2 * WORK, RESTART, 120, TICK, "progress")
        site = Site(self.instances, "local", "r")
        at_work = Supervisor(store, {"here": site}, lambda: self.saved, lambda: self.now, Silent(), self.sleep)
        return at_work.run(at_work.begin("train", order))


def check(job: Job, store: Store) -> None:
    """It was on spot, was taken away, went on by a machine on demand that was launched for it, is done in time, and nothing runs."""
    record = job.run(store)
    assert (record.state, record.late, record.interruptions) == ("done", False, 1)
    assert job.mine() == []
    machines = job.mine(running=False)
    assert {one.machine for one in machines} == {job.machine}
    (spot,), on_demand = [one.id for one in machines if one.spot], [one.id for one in machines if not one.spot]
    assert set(job.busy) == {spot, *on_demand}
    left = WORK - job.busy[spot]
    assert left <= record.on_demand_seconds - RESTART * len(on_demand) < left + TICK
    told = [(entry.kind.removeprefix("cost.spot_"), entry.facts.get("market")) for entry in store.entries()]
    fallen_back = [("moved", "on-demand")] * len(on_demand)
    assert told == [("started", None), ("moved", "spot"), ("interrupted", None), *fallen_back, ("ended", None)]
