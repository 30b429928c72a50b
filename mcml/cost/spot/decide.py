"""What a running job should do next, from its record and the time: pure, and the same policy that `simulate` grades."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from mcml.cost.spot.job import Choice, Seen
from mcml.cost.spot.market import Memory
from mcml.cost.spot.order import Planning, Record
from mcml.cost.spot.policy import Planned, expected_ticks
from mcml.store.ledger.exact import product, quotient, total

PACE_WEIGHT = 0.3
PLACES = 12


def choose(record: Record, now: datetime, spot: Decimal, *, up: bool) -> Choice:
    """Return where the job should run for the next tick, when spot is to be had (`up`) at that price, or is not.

    After the deadline, and when no whole tick is left before it, on demand.
    """
    job = record.order.job(spot, record.on_demand)
    seen = seen_at(record, now, up=up)
    if seen.tick >= job.ticks:
        return Choice.ON_DEMAND
    policy = Planned(history=record.history)
    policy.begin(job, 1)
    return Choice(int(policy.choose(seen)[0]))


def planning(record: Record, spot: Decimal, first: Choice, places: Sequence[tuple[str, Decimal, Memory]]) -> Planning:
    """Return the plan of a job that is not begun, its expected cost the mean over the regimes of the market."""
    job = record.order.job(spot, record.on_demand)
    hours = float(expected_ticks(job, up=bool(places))) * job.tick / 3600
    expected = quotient(product(record.on_demand, Decimal(repr(hours))), 1, places=PLACES)
    dear = quotient(product(record.on_demand, job.needed_ticks * job.tick), 3600, places=PLACES)
    return Planning(tuple(places), first.name.lower().replace("_", "-"), min(expected, dear), dear, record.on_demand, record.currency)


def seen_at(record: Record, now: datetime, *, up: bool) -> Seen:
    """Return what a policy sees: work not saved yet counts as done so long as its machine runs, but never more than a checkpoint's.

    A machine that is to be taken away counts as gone.
    """
    order, place = record.order, record.place if record.place and not record.place.noticed else None
    left = math.floor((record.due - now).total_seconds() / order.tick)
    remaining = (1 - record.saved) * order.work * max(1.0, record.pace)
    pending = 0.0
    if place is not None:
        ready = place.since + timedelta(seconds=order.restart)
        pending = min(max(0.0, (ready - now).total_seconds()), float(order.restart))  # the clock may be set back
        since = max(ready, record.saved_at) if record.saved_at else ready
        unsaved = min(max(0.0, (now - since).total_seconds()), float(order.checkpoint))
        remaining = max(1.0, remaining - unsaved)
    tick = max(0, order.deadline // order.tick - left)
    running = place.choice if place is not None else Choice.WAIT
    numbers = (np.full(1, value, np.int64) for value in (running, math.ceil(remaining), math.ceil(pending)))
    return Seen(tick, np.array([up]), *numbers)


def account(record: Record, now: datetime) -> Record:
    """Return the record with the time since the last look paid at its place's price."""
    seconds, place = max(0.0, (now - record.looked).total_seconds()), record.place
    if place is None:
        return replace(record, looked=now)
    paid = quotient(product(place.price, Decimal(repr(seconds))), 3600, places=PLACES)
    spent = replace(record, looked=now, cost=total([record.cost, paid]))
    if place.choice == Choice.SPOT:
        return replace(spent, spot_seconds=spent.spot_seconds + seconds)
    return replace(spent, on_demand_seconds=spent.on_demand_seconds + seconds)


def advanced(record: Record, saved: float, now: datetime) -> Record:
    """Return the record with what the job has saved by now; progress never goes back. The pace is measured between two checkpoints of one
    machine."""
    if saved <= record.saved:
        return record
    pace, place = record.pace, record.place
    if place is not None and record.saved_at is not None and record.saved_at > place.since:
        measured = max(0.0, (now - record.saved_at).total_seconds()) / ((saved - record.saved) * record.order.work)
        pace += PACE_WEIGHT * (measured - pace)
    return replace(record, saved=min(saved, 1.0), saved_at=now, pace=pace, failures=0)


def on_demand_cost(record: Record) -> Decimal:
    """Return what the work that it has saved would have cost on demand, with one start and no interruption; nothing when it saved none."""
    done = record.saved - record.found
    if done <= 0:
        return Decimal(0)
    seconds = Decimal(repr(round(done * record.order.work + record.order.restart, 3)))
    return quotient(product(record.on_demand, seconds), 3600, places=PLACES)
