"""The page itself: tiles, one part a route (topology, table, plots), and the last decisions; pure."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from mcml.core.clock import parse_rfc3339
from mcml.core.when import span
from mcml.route.override_views import subject
from mcml.route.overrides import from_json
from mcml.route.overrides import told as changed
from mcml.route.show.page.plots import SLOTS, Line, plot
from mcml.route.show.page.topology import MARKS, topology

OPEN_ROUTES = 6
"""Routes that are unfolded at first."""

OLD_SECONDS = 5.0
PARTS = ("latency", "cost", "reliability")
LINKS = ("/status", "/history", "/decisions", "/metrics", "/healthz")


@cache
def asset(name: str) -> str:
    """Return `style.css` or `script.js`."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def policy() -> str:
    """Return the content security policy: this page's own style and script, by their hashes, and nothing from elsewhere."""
    style, script = (b64encode(hashlib.sha256(asset(name).encode()).digest()).decode() for name in ("style.css", "script.js"))
    sources = f"style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:"
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def whole(body: str, url: str) -> str:
    """Return the document around the part that changes."""
    links = " · ".join(f'<a href="{link}">{link[1:]}</a>' for link in LINKS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mcml route</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<noscript><meta http-equiv="refresh" content="5"></noscript><style>{asset("style.css")}</style></head><body>'
        f'<header><h1>mcml route</h1><span class="soft">serving {escape(url)}</span><span class="soft">{links}</span></header>'
        f'<main>{body}</main><footer>The last 15 minutes of this router; times are UTC.</footer><script>{asset("script.js")}</script>'
        "</body></html>"
    )


def body(told: Mapping[str, Any], history: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """Return what changes: `told` is the status, `history` the points, `decisions` the newest last."""
    if not told:
        return '<p class="empty">The control loop has not looked yet.</p>'
    routes = [_route(route, history, now, unfolded=place < OPEN_ROUTES) for place, route in enumerate(told["routes"])]
    return "".join([*_tiles(told, now), *routes, _decisions(decisions, now)])


def _tiles(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    backends = list({one["backend"]: one for route in told["routes"] for one in route["backends"]}.values())
    slowest = max((one["p99_ms"] for one in backends if one["p99_ms"] is not None), default=None)
    up = sum(one["state"] == "up" for one in backends)
    errors = sum(one["errors"] / one["window_s"] for one in backends if one["window_s"])
    age = (now - parse_rfc3339(told["at"])).total_seconds()
    if age > OLD_SECONDS:
        yield f'<p class="banner">The control loop has not looked for {age:.0f} s; the proxy serves on with its last weights.</p>'
    level = "ok" if up == len(backends) else "bad" if not up else "warn"
    yield '<div class="tiles">'
    yield f'<div class="tile"><span class="soft">attempts per second</span><b>{sum(one["rps"] for one in backends):,.4g}</b></div>'
    yield f'<div class="tile"><span class="soft">slowest p99</span><b>{"-" if slowest is None else f"{slowest:,.4g} ms"}</b></div>'
    yield f'<div class="tile"><span class="soft">failed attempts per second</span><b>{errors:,.3g}</b></div>'
    yield f'<div class="tile"><span class="soft">backends up</span><b class="state {level}">{up} of {len(backends)}</b></div></div>'


def _route(route: Mapping[str, Any], history: Mapping[str, Any], now: datetime, *, unfolded: bool) -> str:
    slots = {one["backend"]: min(place, SLOTS - 1) for place, one in enumerate(sorted(route["backends"], key=lambda one: one["backend"]))}
    name = route["route"]
    last_resort = '<p class="banner">Every backend is out: all are tried, so that the first to recover serves again.</p>'
    about = f"{route['pattern']}, model {route['model']}: {route['reason']}"
    return (
        f'<details class="route" id="route-{escape(name)}"{" open" if unfolded else ""}>'
        f'<summary><h2>{escape(name)}</h2><span class="soft">{escape(about)}</span></summary>'
        f"{last_resort if route['last_resort'] else ''}{_changes(route, now)}{topology(route, slots)}{_table(route)}"
        f'<div class="plots">{"".join(_plots(history["at"], history["routes"].get(name, {}), slots))}</div></details>'
    )


def _changes(route: Mapping[str, Any], now: datetime) -> str:
    """Say what people changed on the route, and why nothing may burst."""
    overrides = [from_json(one) for one in route.get("overrides", ())]
    said = [f"{subject(one)}: {changed(one, now)}" for one in overrides] + ([route["ceiling"]] if route.get("ceiling") else [])
    return "".join(f'<p class="state warn">{escape(text)}</p>' for text in said)


def _plots(at: Sequence[float], backends: Mapping[str, Any], slots: Mapping[str, int]) -> Iterator[str]:
    shown = {name: backends[name] for name in sorted(backends) if name in slots}

    def lines(field: str, suffix: str = "", *, second: bool = False) -> list[Line]:
        return [Line(f"{_place(name)}{suffix}", slots[name], values[field], second) for name, values in shown.items()]

    yield plot("Weight", "%", at, lines("weight"), top=100.0)
    yield plot("Latency of an attempt", "ms", at, [*lines("p99_ms", " p99"), *lines("p50_ms", " p50", second=True)])
    yield plot("Failed attempts", "per s", at, lines("errors_per_s"))


def _place(backend: str) -> str:
    return backend.partition("@")[2] or backend


def _table(route: Mapping[str, Any]) -> str:
    heads = ["Backend", "State", "Weight", "Score", *(part.title() for part in PARTS)]
    heads += ["Req/s", "p50 ms", "p99 ms", "Errors", "Breaker", "Price"]
    numbers = {"Weight", "Score", "Req/s", "p50 ms", "p99 ms", "Errors"}
    head = "".join(f'<th scope="col"{" class=n" if name in numbers else ""}>{name}</th>' for name in heads)
    rows = "".join(f"<tr>{''.join(_cells(one))}</tr>" for one in route["backends"])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>' if rows else ""


def _cells(one: Mapping[str, Any]) -> Iterator[str]:
    where = ", ".join(filter(None, [one["provider"], one["region"], one["version"]]))
    state = one["state"]
    yield f"<td>{escape(one['backend'])}<small>{escape(where)}</small></td>"
    yield f'<td><span class="state {state}">{MARKS.get(state, "")} {state}</span><small>{escape(one["reason"])}</small></td>'
    yield f'<td class="n">{one["weight"]}</td><td class="n">{one["score"]:.3f}</td>'
    for part in PARTS:
        about = one["parts"][part]
        score = "-" if about["score"] is None else f"{about['score']:.2f}"
        yield f"<td>{score}<small>{escape(about['why'])}</small></td>"
    for key in ("rps", "p50_ms", "p99_ms", "errors"):
        yield f'<td class="n">{"-" if one[key] is None else f"{one[key]:,g}"}</td>'
    price = "{value} {unit}".format(**one["price"]) if one["price"] else "unknown"
    yield f"<td>{escape(one['breaker'])}</td><td>{escape(price)}</td>"


def _decisions(decisions: Sequence[Mapping[str, Any]], now: datetime) -> str:
    rows = "".join(_decision(one, now) for one in reversed(decisions))
    head = "".join(f'<th scope="col">{name}</th>' for name in ("When", "Route", "Why", "Weights"))
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f'<section class="card"><h2>Last decisions</h2>{table if rows else "<p class=empty>none yet</p>"}</section>'


def _decision(one: Mapping[str, Any], now: datetime) -> str:
    at = parse_rfc3339(one["at"])
    moved = ", ".join(f"{_place(name)} {_from(one, name)}{weight}" for name, weight in sorted(one["weights"].items()))
    when = f'<time datetime="{escape(one["at"])}">{at:%H:%M:%S}</time><small>{span(max(0.0, (now - at).total_seconds()))} ago</small>'
    return f"<tr><td>{when}</td><td>{escape(one['route'])}</td><td>{escape(one['reason'])}</td><td>{escape(moved)}</td></tr>"


def _from(one: Mapping[str, Any], name: str) -> str:
    before = one["previous"].get(name)
    return f"{before} → " if before is not None and before != one["weights"][name] else ""
