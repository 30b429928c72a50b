"""Documents of a drill: what it would do, and what the clients saw of it."""

from collections.abc import Sequence
from dataclasses import asdict

from mcml.core.view import Block, Column, Document, Pairs, State, Status, Table, Text
from mcml.route.drill.modes import WORDS
from mcml.route.drill.plan import Drill
from mcml.route.drill.result import DrillResult


def plan(drill: Drill, url: str) -> Document:
    """Show what a drill would do."""
    breaking = f"from halfway on the backend on {drill.target} is {WORDS[drill.mode]}" if drill.target else "no backend fails"
    what = "requests" if drill.protocol == "http" else "gRPC calls"
    text = f"would send {drill.requests} {what} to {drill.route} at {url}, {drill.concurrency} at once; {breaking}"
    return Document("DrillPlan", [{"name": drill.route, "url": url, **_public(drill)}], (Text(text),))


def _public(drill: Drill) -> dict[str, object]:
    return {key: value for key, value in asdict(drill).items() if key not in ("headers", "authority", "identity")}


def result(found: DrillResult, broken: Sequence[str]) -> Document:
    """Show what the clients saw of a drill; `broken` are the limits that it went past, in words."""
    facts: list[tuple[str, object]] = [
        ("requests sent", found.requests),
        ("failed", found.failed),
        ("answered by a second backend", found.retried),
        ("requests per second", round(found.requests / found.seconds) if found.seconds else 0),
    ]
    if found.target:
        facts.append((f"seconds until {found.target} had no traffic", _seconds(found.seconds_to_silence)))
        facts.append((f"seconds until {found.target} had weight 0", _seconds(found.seconds_to_zero)))
    if found.target and found.mode != "kill":
        facts.append((f"seconds until {found.target} served again", _seconds(found.seconds_to_recover)))
    facts += [(f"served by {name}", count) for name, count in found.served.items()]
    columns = (
        Column("name", "Phase"),
        Column("requests", "Requests", "number"),
        Column("failed", "Failed", "number"),
        Column("p50_ms", "p50 ms", "number"),
        Column("p99_ms", "p99 ms", "number"),
    )
    state = State("failed", "bad") if broken else State("passed")
    blocks: list[Block] = [
        Status(state, "; ".join(broken) or f"{found.failed} requests failed"),
        Pairs(facts),
        Table(columns, [asdict(phase) for phase in found.phases]),
    ]
    blocks += [Text(f"{count} x {error}") for error, count in found.errors.items()]
    if found.target and found.mode == "kill":
        blocks.append(Text(f"to bring the backend back: mcml deploy model {found.backend.partition('@')[0]}"))
    return Document("DrillResult", [{"name": found.route, "passed": not broken, "broken": list(broken), **asdict(found)}], blocks)


def _seconds(value: float | None) -> str:
    return "not within the drill" if value is None else f"{value:.2f}"
