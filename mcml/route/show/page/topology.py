"""Who sends to whom, as SVG: clients, the router, and the backends by region, each line as thick as its weight; pure."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

WIDTH = 720
ROW, GAP, HEAD = 40, 10, 22
CLIENT_X, ROUTER_X, BOX_X = 14, 190, 420
MARKS = {"up": "●", "trial": "▲", "joining": "○", "out": "✕"}


def topology(route: Mapping[str, Any], slots: Mapping[str, int]) -> str:
    """Draw one route of the status; `slots` are the colours of its backends."""
    regions: dict[str, list[Mapping[str, Any]]] = {}
    for one in sorted(route["backends"], key=lambda one: (one["region"], one["backend"])):
        regions.setdefault(one["region"] or "no region", []).append(one)
    if not regions:
        return '<p class="empty">no backend serves this route</p>'
    height = sum(HEAD + ROW * len(members) + GAP for members in regions.values()) + 4
    middle = height / 2
    parts = [*_regions(regions, slots, middle), _node(CLIENT_X, middle, "clients", ""), _node(ROUTER_X, middle, route["route"], "router")]
    inflow = f'<path class="flow" stroke-width="2" d="M{CLIENT_X + 96} {middle}H{ROUTER_X}"/>'
    spoken = f"{route['route']}: " + ", ".join(f"{one['backend']} {one['weight']} percent, {one['state']}" for one in route["backends"])
    return f'<svg class="topology" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(spoken)}">{inflow}{"".join(parts)}</svg>'


def _regions(regions: Mapping[str, Sequence[Mapping[str, Any]]], slots: Mapping[str, int], middle: float) -> Iterator[str]:
    y = 2.0
    for name, members in regions.items():
        box = HEAD + ROW * len(members)
        yield f'<rect class="region" x="{BOX_X}" y="{y:g}" width="{WIDTH - BOX_X - 4}" height="{box}" rx="6"/>'
        yield f'<text class="region-name" x="{BOX_X + 10}" y="{y + 15:g}">{escape(name)}</text>'
        for place, one in enumerate(members):
            yield _backend(one, slots.get(one["backend"], 0), y + HEAD + ROW * place + ROW / 2 - 4, middle)
        y += box + GAP


def _backend(one: Mapping[str, Any], slot: int, y: float, middle: float) -> str:
    begin, end = ROUTER_X + 116, BOX_X + 8
    bend = (begin + end) / 2
    width = 1 + one["weight"] * 0.14
    state = one["state"]
    shown = "flow" if one["weight"] else "flow none"
    curve = f'<path class="{shown} s{slot}" stroke-width="{width:.1f}" d="M{begin} {middle}C{bend} {middle} {bend} {y} {end} {y}"/>'
    latency = f"p99 {one['p99_ms']:g} ms" if one["p99_ms"] is not None else "no request now"
    about = f"{state}, {one['rps']:g} req/s, {latency}"
    return (
        f'{curve}<text class="mark {state}" x="{end + 6}" y="{y + 4:g}">{MARKS.get(state, "")}</text>'
        f'<text class="name" x="{end + 24}" y="{y:g}">{escape(one["target"])}</text>'
        f'<text class="about" x="{end + 24}" y="{y + 14:g}">{escape(about)}</text>'
        f'<text class="weight" x="{WIDTH - 16}" y="{y + 5:g}" text-anchor="end">{one["weight"]}%</text>'
    )


def _node(x: int, middle: float, name: str, below: str) -> str:
    width = 116 if below else 96
    small = f'<text class="about" x="{x + width / 2:g}" y="{middle + 13:g}" text-anchor="middle">{below}</text>' if below else ""
    shown = name if len(name) <= 16 else f"{name[:15]}…"
    return (
        f'<rect class="node" x="{x}" y="{middle - 20:g}" width="{width}" height="40" rx="6"/>'
        f'<text class="name" x="{x + width / 2:g}" y="{middle + (-2 if below else 4):g}" text-anchor="middle">{escape(shown)}</text>{small}'
    )
