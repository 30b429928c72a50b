"""Documents of the shadow: what it has shown, and what a command would switch; pure functions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mcml.core.clock import parse_rfc3339
from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.core.when import span

LEAST_COMPARED = 100
"""Compared copies below which nothing is concluded."""


def report(reports: Sequence[Mapping[str, Any]], now: datetime) -> Document:
    """Show what the shadows have shown: one section for each model of a route."""
    blocks: list[Block] = [Section(f"{one['route']}: {one['model']} beside {one['shadow']}", tuple(_section(one, now))) for one in reports]
    several = {name for name, count in Counter(one["route"] for one in reports).items() if count > 1}
    names = [f"{one['route']}/{one['model']}" if one["route"] in several else one["route"] for one in reports]
    items = [{"name": name, **one} for name, one in zip(names, reports, strict=True)]
    return Document("ShadowReport", items, blocks or (Text(_NONE),))


_NONE = "no route has had a shadow yet; next: mcml route shadow ROUTE MODEL --percent 1"


def _section(one: Mapping[str, Any], now: datetime) -> Iterator[Block]:
    yield _verdict(one)
    until = parse_rfc3339(one["ended"]) if one["ended"] else now
    took = span(max(0.0, (until - parse_rfc3339(one["since"])).total_seconds()))
    yield Pairs(
        [
            ("copies", f"{one['percent']:g}% of the requests, {'ended after' if one['ended'] else 'for'} {took}"),
            ("compared", one["compared"]),
            ("same", f"{_share(one['same_share'])} (within {one['tolerance']:g})"),
            ("same choice", f"{_share(one['top1_agreement'])} of {one['rows']} rows"),
            ("largest distance", f"p50 {_number(one['max_abs']['p50'])}, p99 {_number(one['max_abs']['p99'])}, at most "
             f"{_number(one['max_abs']['max'])}"),
            ("latency ms", f"{one['model']} p50 {_number(one['model_ms']['p50'])}, p99 {_number(one['model_ms']['p99'])}; {one['shadow']} "
             f"p50 {_number(one['shadow_ms']['p50'])}, p99 {_number(one['shadow_ms']['p99'])}"),
            ("not answered", f"{one['model']} {one['model_failed']}, {one['shadow']} {one['shadow_failed']}"),
            ("dropped", f"{one['dropped']} copies that found the line full"),
        ]
    )  # fmt: skip
    yield from _counted("What cannot be compared", one["mismatches"])
    yield from _counted("Failures", one["errors"])
    if one["worst"]:
        columns = (Column("request_id", "Request"), Column("at", "When"), Column("difference", "Difference"))
        yield Section("The worst", (Table(columns, one["worst"]),))


def _verdict(one: Mapping[str, Any]) -> Status:
    share = one["same_share"]
    if one["compared"] < LEAST_COMPARED:
        return Status(State("too few", "idle"), f"{one['compared']} copies compared; say nothing before there are {LEAST_COMPARED}")
    level: Level = "ok" if share >= 0.999 and not one["shadow_failed"] else "warn" if share >= 0.95 else "bad"
    return Status(State("alike" if level == "ok" else "unlike", level), f"{_share(share)} of {one['compared']} answers are the same")


def _counted(title: str, counts: Mapping[str, int]) -> Iterator[Block]:
    if counts:
        columns = (Column("count", "Copies", "number"), Column("what", "What"))
        yield Section(title, (Table(columns, [{"count": count, "what": what} for what, count in counts.items()]),))


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"


def _number(value: float | str | None) -> str:
    return "unknown" if value is None else value if isinstance(value, str) else f"{value:.4g}"


def switched(route: str, value: Mapping[str, Any] | None, *, running: bool, until: str, dry_run: bool) -> Document:
    """Show what was switched, or would be: `value` is the shadow now (None: none)."""
    word = State("would be" if dry_run else "switched", "idle" if dry_run else "ok")
    text = f"{value['percent']}% of the requests of {route} are copied to {value['model']}" if value else f"{route} has no shadow"
    text += f" until {until}" if until else ""
    item = {"name": route, "shadow": value["model"] if value else "", "percent": value["percent"] if value else "0", "until": until}
    next_step = f"mcml route shadow {route}      # what it has shown" if running else "no router runs: it takes this up when it starts"
    return Document("ShadowSwitched", [{**item, "dry_run": dry_run}], (Status(word, text), Text(next_step)))
