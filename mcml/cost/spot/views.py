"""What spot looks like: values of this folder in, documents out."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Section, State, Status, Table, listing
from mcml.core.when import span
from mcml.cost.spot.checkpoint import Interval
from mcml.cost.spot.contest import Contest
from mcml.cost.spot.decide import on_demand_cost
from mcml.cost.spot.disks import Left
from mcml.cost.spot.market import Memory
from mcml.cost.spot.order import Planning, Record
from mcml.cost.spot.watch import Watch
from mcml.store.ledger.exact import percent, tidy, total

CONTEST = (
    Column("policy", "Policy"),
    Column("score", "Score", "number"),
    Column("mean_cost", "Mean cost", "money"),
    Column("saving_percent", "Saving", "percent"),
    Column("late", "Late", "number"),
    Column("spot_hours", "Spot h", "number"),
    Column("on_demand_hours", "On demand h", "number"),
    Column("starts", "Starts", "number"),
    Column("interruptions", "Interruptions", "number"),
)


def contests(held: Sequence[Contest]) -> Document:
    """Show a table a series; hours, starts and interruptions are means of a run."""
    items = [row for contest in held for row in _rows(contest)]
    blocks = [_section(contest) for contest in held]
    return Document("SpotSimulation", items, blocks, name_key="name")


def _section(contest: Contest) -> Section:
    title = f"{contest.series}: {contest.windows} windows, spot was to be had {contest.spot_share:.0%} of the time"
    planned = contest.graded["planned"]
    never = Status(State("late", "bad"), f"{planned.late} jobs missed the deadline") if planned.late else None
    return Section(title, [Table(CONTEST, _rows(contest)), *([never] if never else [])])


def _rows(contest: Contest) -> list[dict[str, object]]:
    rows = []
    for policy, graded in contest.graded.items():
        dear = graded.uninterrupted(graded.job.on_demand)
        hours = graded.job.tick / 3600
        rows.append(
            {
                "name": f"{contest.series}/{policy}",
                "series": contest.series,
                "policy": policy,
                "windows": contest.windows,
                "score": round(float(graded.score), 1),
                "mean_cost": graded.mean_cost,
                "on_demand_cost": dear,
                "saving_percent": percent(dear - graded.mean_cost, dear),
                "late": graded.late,
                "spot_hours": round(float(graded.spot.mean()) * hours, 1),
                "on_demand_hours": round(float(graded.on_demand.mean()) * hours, 1),
                "starts": round(float(graded.starts.mean()), 1),
                "interruptions": round(float(graded.interruptions.mean()), 1),
            }
        )
    return rows


def checkpoint(advised: Interval, costs: Sequence[float], between: float) -> Document:
    """Show when to checkpoint."""
    row: dict[str, object] = {
        "name": span(advised.every),
        "every_seconds": round(advised.every, 3),
        "lost_percent": round(100 * advised.overhead, 1),
        "checkpoint_seconds": round(sum(costs) / len(costs), 3),
        "between_interruptions_seconds": between,
    }
    columns = (
        Column("every_seconds", "Checkpoint every", "seconds"),
        Column("lost_percent", "Time lost", "percent"),
        Column("checkpoint_seconds", "A checkpoint takes", "seconds"),
        Column("between_interruptions_seconds", "Between interruptions", "seconds"),
    )
    return listing("SpotCheckpoint", columns, [row])


JOBS = (
    Column("name", "Job"),
    Column("state", "State", "state"),
    Column("place", "Runs on"),
    Column("done_percent", "Done", "percent"),
    Column("due_at", "Due", "time"),
    Column("cost", "Cost", "money"),
    Column("saved", "Saved", "money"),
    Column("currency", "In"),
    Column("interruptions", "Taken away", "number"),
    Column("looked_after", "Supervisor"),
)
PLACES = (
    Column("place", "Place"),
    Column("price", "Spot price", "money"),
    Column("price_since", "Since", "time"),
    Column("hours", "Hours", "number"),
    Column("interruptions", "Taken away", "number"),
    Column("refusals", "Refused", "number"),
    Column("between_interruptions_seconds", "Mean time", "seconds"),
)


def jobs(records: Sequence[Record], places: Mapping[str, Memory], watches: Mapping[str, Watch | None]) -> Document:
    """Show the jobs, and how the places have been. `saved` is against the same work on demand without an interruption; `supervisor` is
    the process on this machine that looks after a job."""
    items = [_job(record, watches.get(record.name)) for record in records]
    rows = [{**item, "looked_after": _looked_after(record, watches.get(record.name))} for item, record in zip(items, records, strict=True)]
    blocks: list[Block] = [Table(JOBS, rows, empty="no spot job yet: mcml cost spot run --help")]
    if places:
        blocks.append(Section("Places", [Table(PLACES, [_place(name, memory) for name, memory in places.items()])]))
    return Document("SpotJobs", items, blocks)


def not_over(record: Record) -> str:
    """Say of a job that has ended which machines of it may still run; empty for none."""
    left = ", ".join(f"{one.name} {one.instance}".strip() for one in record.leaving)
    return f"its cloud has not stopped {left}" if left and record.state != "running" else ""


def _looked_after(record: Record, watch: Watch | None) -> str:
    if watch is not None:
        return f"pid {watch.process.pid}"
    return "nobody here" if record.state == "running" else ""


def _job(record: Record, watch: Watch | None) -> dict[str, object]:
    dear, place = on_demand_cost(record), record.place
    levels = {"running": "ok", "done": "ok", "stopped": "idle", "failed": "bad"}
    return {
        "name": record.name,
        "state": State(record.state, "bad" if record.late or not_over(record) else levels[record.state]),  # type: ignore[arg-type]
        "late": record.late,
        "place": f"{place.word} {place.name}" if place else "",
        "instance": place.instance if place else "",
        "done_percent": Decimal(repr(round(100 * record.saved, 1))),
        "started_at": record.started,
        "due_at": record.due,
        "ended_at": record.ended,
        "cost": tidy(record.cost),
        "on_demand_cost": tidy(dear),
        "saved": tidy(total([dear, -record.cost])),
        "currency": record.currency,
        "spot_seconds": round(record.spot_seconds, 3),
        "on_demand_seconds": round(record.on_demand_seconds, 3),
        "interruptions": record.interruptions,
        "switches": record.switches,
        "noticed_at": place.noticed if place else None,
        "leaving": [f"{one.name} {one.instance}".strip() for one in record.leaving],
        "supervisor": {"pid": watch.process.pid, "since": watch.since, "log": watch.log} if watch else None,
    }


def places(known: Mapping[str, Memory]) -> Document:
    """Show how the places have been; the items hold each change of price and each interruption that is remembered."""
    items = [_place(name, memory) for name, memory in known.items()]
    columns = (*PLACES, Column("price_history", "History", "spark"))
    drawn = [[float(price) for _, price in memory.prices] for memory in known.values()]
    rows = [{**item, "price_history": points} for item, points in zip(items, drawn, strict=True)]
    return Document("SpotPlaces", items, [Table(columns, rows, empty="no place was asked for spot yet: mcml cost spot run --help")])


def _place(name: str, memory: Memory) -> dict[str, object]:
    since, price = memory.prices[-1] if memory.prices else (None, None)
    return {
        "name": name,
        "place": name,
        "price": price,
        "price_since": since,
        "hours": round(memory.seconds / 3600, 2),
        "interruptions": memory.interrupted,
        "refusals": memory.refused,
        "between_interruptions_seconds": round(memory.between, 1),
        "prices": [{"at": at, "price": paid} for at, paid in memory.prices],
        "interrupted_at": list(memory.interruptions),
    }


LEFT = (
    Column("name", "Machine"),
    Column("machine", "Type"),
    Column("state", "State"),
    Column("disks", "Disks", "number"),
    Column("since", "Started", "time"),
)


def left(found: Sequence[Left]) -> Document:
    """Show the machines of a job that are stopped, or were deleted."""
    rows = []
    for one in found:
        about = {"machine": one.instance.machine, "state": one.instance.state, "disks": len(one.instance.disks)}
        rows.append({"name": one.name, **about, "since": one.since})
    return listing("SpotMachinesLeft", LEFT, rows, empty="no stopped machine is left of it")


PLAN = (
    Column("order", "Asked", "number"),
    Column("place", "Place"),
    Column("spot_price", "Spot price", "money"),
    Column("on_demand_price", "On demand", "money"),
    Column("between_interruptions_seconds", "Mean time to an interruption", "seconds"),
)


def plan(name: str, planned: Planning) -> Document:
    """Show where a job would run and what it is expected to cost."""
    rows = [
        {
            "name": place,
            "order": number,
            "place": place,
            "spot_price": price,
            "on_demand_price": planned.on_demand,
            "between_interruptions_seconds": round(memory.between, 1),
        }
        for number, (place, price, memory) in enumerate(planned.places, 1)
    ]
    price = f"{planned.expected:.6g} {planned.currency}, on demand {planned.dear:.6g}"
    expected = f"{name}: expected to cost {price}; it starts with {planned.first}"
    return Document("SpotPlan", rows, [Table(PLAN, rows), Status(State("plan"), expected)])
