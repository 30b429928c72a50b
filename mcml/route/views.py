"""Documents of the route room: pure functions from what the status and decision files hold."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.view import Block, Column, Document, Level, Pairs, Section, State, Status, Table, Text
from mcml.route.override_views import subject
from mcml.route.overrides import from_json
from mcml.route.overrides import told as said_at

if TYPE_CHECKING:
    from mcml.core.process import ProcessRef
    from mcml.route.records import Running

OLD_SECONDS = 5.0
"""A status older than this is not the present."""

LEVELS: Mapping[str, Level] = {"up": "ok", "trial": "warn", "joining": "idle", "out": "bad"}
PARTS = ("latency", "cost", "reliability")


def status(told: Mapping[str, Any], running: "Running | None", proxy: "ProcessRef | None", now: datetime) -> Document:
    """Show every backend of every route with its weight, state, traffic, price and the price's age."""
    rows = [_row(route, backend, now) for route in told["routes"] for backend in route["backends"]]
    columns = (
        Column("route", "Route"),
        Column("target", "Target"),
        Column("weight", "Weight", "number"),
        Column("state", "State", "state"),
        Column("rps", "Req/s", "number"),
        Column("p50_ms", "p50 ms", "number"),
        Column("p99_ms", "p99 ms", "number"),
        Column("errors", "Errors", "number"),
        Column("price", "Price"),
        Column("price_age_s", "Age", "seconds"),
        Column("reason", "Why"),
    )
    blocks: list[Block] = [_headline(told, running, proxy, now), Table(columns, rows, empty="no route has a backend yet")]
    blocks += _changes(told, now)
    idle = dict.fromkeys(route["model"] for route in told["routes"] if not route["backends"])
    blocks += [Text(f"no backend serves {model}; next: mcml deploy model {model}") for model in idle]
    return Document("RouteStatus", rows, blocks)


def _changes(told: Mapping[str, Any], now: datetime) -> list[Block]:
    """Say what people changed and what the routes that burst have spent."""
    overrides = {one.key: one for route in told["routes"] for one in (from_json(each) for each in route.get("overrides", ()))}
    blocks: list[Block] = [Text(f"{subject(one)}: {said_at(one, now)}") for one in overrides.values()]
    for route in told["routes"]:
        if route.get("ceiling"):
            blocks.append(Status(State("ceiling", "warn"), f"{route['route']}: {route['ceiling']}"))
    return blocks


def _headline(told: Mapping[str, Any], running: "Running | None", proxy: "ProcessRef | None", now: datetime) -> Status:
    age = (now - parse_rfc3339(told["at"])).total_seconds()
    if running is None and proxy is None:
        return Status(State("stopped", "idle"), f"no router runs; this is how it stood {age:.0f} s ago")
    if running is None:
        text = f"the control loop has died {age:.0f} s ago; the proxy serves on with its last weights; next: mcml route serve"
        return Status(State("alone", "bad"), text)
    if age > OLD_SECONDS:
        return Status(State("late", "warn"), f"serving on {running.url}, but the last status is {age:.0f} s old")
    return Status(State("serving"), f"{running.url} (pid {running.process.pid})")


def _credential(backend: Mapping[str, Any], now: datetime) -> dict[str, object]:
    """Say how the router authenticates at a backend, how old its credential is, when it ends, and why there is no newer one."""
    held = backend.get("credential") or {}
    since, expires = (parse_rfc3339(held[key]) if held.get(key) else None for key in ("since", "expires"))
    return {
        "auth": backend.get("auth", "none"),
        "credential_age_s": round((now - since).total_seconds()) if since else None,
        "credential_ends_in_s": round((expires - now).total_seconds()) if expires else None,
        "credential_failing": held.get("failing", ""),
    }


def _row(route: Mapping[str, Any], backend: Mapping[str, Any], now: datetime) -> dict[str, object]:
    price = backend["price"]
    return {
        "name": backend["backend"],
        "route": route["route"],
        "model": route["model"],
        **{key: backend[key] for key in ("target", "region", "provider", "version", "weight")},
        "state": State(backend["state"], LEVELS.get(backend["state"], "idle")),
        **{key: backend[key] for key in ("rps", "p50_ms", "p99_ms", "errors", "score", "active", "retries", "breaker")},
        **_credential(backend, now),
        "price": f"{price['value']} {price['unit']}" if price else "unknown",
        "price_source": price["source"] if price else "",
        "price_age_s": round((now - parse_rfc3339(price["as_of"])).total_seconds()) if price else None,
        "addresses": backend["addresses"],
        "reason": backend["reason"],
    }


TOP_COLUMNS = (
    Column("route", "Route"),
    Column("target", "Target"),
    Column("state", "State", "state"),
    Column("weight", "Weight", "number"),
    Column("rps", "Req/s", "number"),
    Column("rps_line", "", "spark"),
    Column("p50_ms", "p50 ms", "number"),
    Column("p99_ms", "p99 ms", "number"),
    Column("p99_line", "", "spark"),
    Column("errors", "Errors", "number"),
    Column("active", "Active", "number"),
    Column("breaker", "Breaker", "state"),
    Column("price", "Price"),
)
BREAKERS: Mapping[str, Level] = {"closed": "ok", "ejected": "bad", "full": "warn"}
TOP_WIDTH = 104
"""Columns of a terminal that the table needs without its sparklines."""


def top(
    told: Mapping[str, Any],
    history: Mapping[str, Any],
    running: "Running | None",
    proxy: "ProcessRef | None",
    now: datetime,
    *,
    width: int,
) -> Document:
    """Show every backend on one screen of `width` columns, with the `history` of the control port as sparklines where they fit."""
    items = [_row(route, backend, now) for route in told["routes"] for backend in route["backends"]]
    room = min(30, (width - TOP_WIDTH) // 2)
    columns = [column for column in TOP_COLUMNS if column.kind != "spark" or room >= 5]
    rows = []
    for item in items:
        lines = history["routes"].get(item["route"], {}).get(item["name"], {})
        breaker = State(str(item["breaker"]), BREAKERS.get(str(item["breaker"]), "idle"))
        sparks = {f"{key}_line": lines.get(field, [])[-max(room, 0) :] for key, field in (("rps", "rps"), ("p99", "p99_ms"))}
        rows.append({**item, "breaker": breaker, **sparks})
    busy = {str(item["name"]): item for item in items}.values()
    total = f"{sum(_float(item['rps']) for item in busy):,.4g} attempts/s, {sum(_float(item['errors']) for item in busy):g} failed in 10 s"
    blocks: list[Block] = [_headline(told, running, proxy, now), Text(total), Table(columns, rows, empty="no route has a backend yet")]
    blocks += [Text(f"{item['name']}: {item['reason']}") for item in busy if item["reason"]]
    return Document("RouteStatus", items, blocks)


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def explain(decisions: Sequence[Mapping[str, Any]], now: datetime, until: datetime | None = None) -> Document:
    """Show why each backend has its weight, or had it at `until`: one decision a route."""
    items = [_explained(decision, backend) for decision in decisions for backend in decision["backends"]]
    blocks = [Section(f"{decision['route']} at {decision['at']}", tuple(_why(decision, now))) for decision in decisions]
    when = f"before {rfc3339(until)}" if until else "yet; next: mcml route serve"
    return Document("RouteExplanation", items, blocks or (Text(f"no decision was made {when}"),))


def _explained(decision: Mapping[str, Any], backend: Mapping[str, Any]) -> dict[str, object]:
    return {"name": backend["backend"], "route": decision["route"], "at": decision["at"], "because": decision["reason"], **backend}


def _why(decision: Mapping[str, Any], now: datetime) -> Iterator[Block]:
    age = (now - parse_rfc3339(decision["at"])).total_seconds()
    moved = ", ".join(
        f"{name} {decision['previous'].get(name, 0)} -> {weight}" for name, weight in sorted(decision["weights"].items())
    )
    yield Text(f"{decision['reason']} ({age:.0f} s ago): {moved or 'no backend'}")
    for each in (from_json(one) for one in decision.get("overrides", ())):
        yield Text(f"{subject(each)}: {said_at(each, now)}")
    if decision["last_resort"]:
        yield Status(State("outage", "bad"), "every backend is out: all are tried, so that the first to recover serves again")
    columns = [Column("backend", "Backend"), Column("weight", "Weight", "number"), Column("score", "Score", "number")]
    columns += [Column("place", "State")] + [Column(part, f"{part.title()} ({_share(decision, part)})") for part in PARTS]
    if any(backend.get("held") for backend in decision["backends"]):
        columns.append(Column("held", "Why it waits"))
    yield Table(columns, [_scored(backend) for backend in decision["backends"]], empty="no backend")
    yield Text("weight: `exploration` for each that is up, the rest by the square of the score times the share of attempts that succeeded")


def _share(decision: Mapping[str, Any], part: str) -> str:
    return next((f"{backend[part]['share']:.0%}" for backend in decision["backends"]), "")


def _scored(backend: Mapping[str, Any]) -> dict[str, object]:
    row: dict[str, object] = {key: backend[key] for key in ("backend", "weight", "place")}
    row["score"] = round(backend["score"], 3)
    row["held"] = backend.get("held", "")
    for part in PARTS:
        score = backend[part]["score"]
        row[part] = f"{'-' if score is None else format(score, '.2f')}: {backend[part]['why']}"
    return row


def serving(running: "Running") -> Document:
    """Show that a router serves, and how to use it."""
    item = {"name": ",".join(running.routes), "url": running.url, "pid": running.process.pid, "routes": list(running.routes)}
    calls = "\n".join(f"curl {running.url}/v2/models/{route}" for route in running.routes)
    pages = [("API", f"{running.url}/v2/docs"), ("status page", running.control_url or "none")]
    blocks = (Status(State("serving"), f"{running.url} (pid {running.process.pid})"), Text(calls, verbatim=True), Pairs(pages))
    return Document("Router", [{**item, "control": running.control_url}], blocks)


def plan(running: "Running | None", routes: Mapping[str, Sequence[str]], listen: str) -> Document:
    """Show what `serve` would do: `routes` maps each route to the names of its backends."""
    items = [{"name": name, "backends": list(backends), "listen": listen} for name, backends in sorted(routes.items())]
    columns = (Column("name", "Route"), Column("listen", "Listens on"), Column("backends", "Backends"))
    rows = [{**item, "backends": ", ".join(routes[str(item["name"])]) or "none yet"} for item in items]
    verdict = f"a router runs already: {running.url} (pid {running.process.pid})" if running else f"would serve {len(items)} route(s)"
    return Document("RoutePlan", items, (Table(columns, rows), Text(verdict)))


def stopped(ended: "ProcessRef", *, dry_run: bool = False) -> Document:
    """Show that the router has ended, or would."""
    word = State("would stop" if dry_run else "stopped", "idle")
    item = {"name": str(ended.pid), "pid": ended.pid, "stopped": not dry_run}
    return Document("RouterStopped", [item], (Status(word, f"pid {ended.pid}"),))
