"""What Prometheus reads at `/metrics` of the control port: a stable set of names, as data (METRICS), and its text (format 0.0.4). Pure.

Counters begin again at zero when Envoy is started anew, as Prometheus expects of a process that restarts.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mcml.core.clock import parse_rfc3339
from mcml.route.weights.measure import Counters, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds. Envoy times in whole milliseconds: an attempt below 1 ms counts as 0."""

FRONT_FILTER = (
    r"^(vhost\.[^.]+\.route\.[^.]+\.upstream_rq_([1-5]xx|retry|time)|http\.route\.(downstream_rq_(active|[1-5]xx)|downstream_cx_active"
    r"|ext_authz\.(ok|denied|error|failure_mode_allowed))|mcml_key\..*)$"
)
"""The statistics that are read when somebody asks for /metrics, besides those that the control loop reads anyway."""


@dataclass(frozen=True)
class Metric:
    """One name of the stable set: its labels in order, its type, and what it counts."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


_BACKEND = ("backend", "model", "target")
METRICS = (
    Metric("mcml_route_requests_total", "counter", ("route", "code"), "Requests that were for a backend, by what the "
           "client was answered: 2xx, 3xx, 4xx, 5xx."),
    Metric("mcml_route_answers_total", "counter", ("code",), "All answers to clients, of all routes, also those that the router "
           "gave itself: no key, over a limit, too large, no such route."),
    Metric("mcml_route_retries_total", "counter", ("route",), "Attempts that followed a failed one within the same request."),
    Metric("mcml_route_request_duration_seconds", "histogram", ("route",), "From the request's arrival to the whole answer, all attempts."),
    Metric("mcml_route_requests_active", "gauge", (), "Requests under way, of all routes."),
    Metric("mcml_route_connections_active", "gauge", (), "Connections of clients."),
    Metric("mcml_route_key_requests_total", "counter", ("key", "route", "code"), "Requests that an API key let in; only with router.keys."),
    Metric("mcml_route_weight", "gauge", ("route", "backend"), "Share of the route's requests in percent."),
    Metric("mcml_route_score", "gauge", ("route", "backend"), "Score from 0 to 1 that the weight was made from."),
    Metric("mcml_route_score_part", "gauge", ("route", "backend", "part"), "Its parts: latency, cost, reliability; absent: not known."),
    Metric("mcml_route_last_resort", "gauge", ("route",), "1 while every backend of the route is out and all are tried."),
    Metric("mcml_route_backend_up", "gauge", _BACKEND, "1 while the backend takes its share of the requests, 0 while out or on trial."),
    Metric("mcml_route_backend_attempts_total", "counter", (*_BACKEND, "outcome"), "Attempts by outcome: success "
           "(from the first byte of its answer on), error; one that broke off later is in both."),
    Metric("mcml_route_backend_errors_total", "counter", (*_BACKEND, "cause"), "Failed attempts, also those that a retry hid, by cause: "
           "refused, timeout, answer."),
    Metric("mcml_route_backend_retries_total", "counter", _BACKEND, "Attempts sent on to another backend because this one failed."),
    Metric("mcml_route_backend_latency_seconds", "histogram", _BACKEND, "Time of one attempt."),
    Metric("mcml_route_backend_requests_active", "gauge", _BACKEND, "Attempts under way."),
    Metric("mcml_route_backend_ejected", "gauge", _BACKEND, "Addresses that Envoy keeps away from after failures in a row."),
    Metric("mcml_route_backend_breaker_full", "gauge", _BACKEND, "1 while the backend has as many requests at once as its breaker allows."),
    Metric("mcml_route_backend_price", "gauge", (*_BACKEND, "unit", "source"), "Price that the cost score is made from."),
    Metric("mcml_route_backend_price_age_seconds", "gauge", _BACKEND, "Age of that price."),
    Metric("mcml_route_checks_total", "counter", ("result",), "Requests checked by the model's signature: ok, denied; error: let pass."),
    Metric("mcml_route_shadow_copies_total", "counter", ("route", "model", "outcome"), "Copies given to the shadow model: same, different, "
           "error, dropped."),
    Metric("mcml_route_proxy_restarts_total", "counter", (), "How often the proxy was started again since `mcml route serve` began."),
    Metric("mcml_route_status_age_seconds", "gauge", (), "Seconds since the control loop last looked; above 5 it hangs."),
)  # fmt: skip

_NAMES = {metric.name: metric for metric in METRICS}
Sample = tuple[str, tuple[str, ...], float]


@dataclass(frozen=True)
class Snapshot:
    """What the text is made from: a status, counters by backend, Envoy's statistics by name, and copies by (route, model, outcome)."""

    told: Mapping[str, Any]
    totals: Mapping[str, Counters]
    now: datetime
    values: Mapping[str, Any] = field(default_factory=dict)
    latencies: Mapping[str, Histogram] = field(default_factory=dict)
    copies: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


def render(snapshot: Snapshot) -> str:
    """Return the page: every metric of METRICS that has a value, each with its help and type."""
    lines: dict[str, list[str]] = {name: [] for name in _NAMES}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for name, labels, value in _samples(snapshot):
        if (name, labels) not in seen:  # two routes may share a backend
            seen.add((name, labels))
            lines[name].append(f"{name}{_labelled(_NAMES[name].labels, labels)} {_number(value)}")
    for name, labels, latencies in _histograms(snapshot):
        if (name, labels) not in seen:
            seen.add((name, labels))
            lines[name] += _buckets(name, labels, latencies)
    return "".join(_headed(metric, lines[metric.name]) for metric in METRICS if lines[metric.name])


def _headed(metric: Metric, lines: Sequence[str]) -> str:
    return "\n".join([f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *lines]) + "\n"


def _samples(snapshot: Snapshot) -> Iterator[Sample]:
    yield from _front(snapshot.values)
    for route in snapshot.told.get("routes", ()):
        yield "mcml_route_last_resort", (route["route"],), route["last_resort"]
        for one in route["backends"]:
            yield from _scored(route["route"], one)
            yield from _backend(route["model"], one, snapshot)
    for key, count in sorted(snapshot.copies.items()):
        yield "mcml_route_shadow_copies_total", key, count
    yield "mcml_route_proxy_restarts_total", (), snapshot.told.get("restarts", 0)
    if "at" in snapshot.told:
        yield "mcml_route_status_age_seconds", (), _age(snapshot.told["at"], snapshot.now)


_ROUTE_STAT = re.compile(r"vhost\.[^.]+\.route\.([^.]+)\.upstream_rq_([1-5]xx|retry)")
_KEY_STAT = re.compile(r"mcml_key\.requests\.key\.(.+)\.route\.([^.]+)\.code\.([1-5])\d\d")
_ANSWERS = re.compile(r"http\.route\.downstream_rq_([1-5]xx)")
_CHECKS = {"ok": "ok", "denied": "denied", "error": "error"}


def _front(values: Mapping[str, Any]) -> Iterator[Sample]:
    """Translate what Envoy counts of clients' requests."""
    by_key: Counter[tuple[str, ...]] = Counter()
    for name, value in sorted(values.items()):
        if found := _ROUTE_STAT.fullmatch(name):
            route, what = found.groups()
            yield ("mcml_route_retries_total", (route,), value) if what == "retry" else ("mcml_route_requests_total", (route, what), value)
        elif found := _KEY_STAT.fullmatch(name):
            key, route, kind = found.groups()
            by_key[key, route, f"{kind}xx"] += value
        elif found := _ANSWERS.fullmatch(name):
            yield "mcml_route_answers_total", found.groups(), value
    for labels, requests in by_key.items():
        yield "mcml_route_key_requests_total", labels, requests
    for stat, metric in (("rq", "mcml_route_requests_active"), ("cx", "mcml_route_connections_active")):
        if (active := values.get(f"http.route.downstream_{stat}_active")) is not None:
            yield metric, (), active
    for stat, result in _CHECKS.items():
        if (count := values.get(f"http.route.ext_authz.{stat}")) is not None:
            yield "mcml_route_checks_total", (result,), count


def _scored(route: str, one: Mapping[str, Any]) -> Iterator[Sample]:
    labels = (route, one["backend"])
    yield "mcml_route_weight", labels, one["weight"]
    yield "mcml_route_score", labels, one["score"]
    for part, about in one["parts"].items():
        if about["score"] is not None:
            yield "mcml_route_score_part", (*labels, part), about["score"]


def _backend(model: str, one: Mapping[str, Any], snapshot: Snapshot) -> Iterator[Sample]:
    labels = _labels(model, one)
    yield "mcml_route_backend_up", labels, one["state"] == "up"
    yield "mcml_route_backend_requests_active", labels, one["active"]
    yield "mcml_route_backend_ejected", labels, one["ejected"]
    yield "mcml_route_backend_breaker_full", labels, one["breaker"] == "full"
    yield "mcml_route_backend_retries_total", labels, one["retries"]
    if price := one["price"]:
        yield "mcml_route_backend_price", (*labels, price["unit"], price["source"]), float(price["value"])
        yield "mcml_route_backend_price_age_seconds", labels, _age(price["as_of"], snapshot.now)
    if (totals := snapshot.totals.get(one["backend"])) is not None:
        yield from _attempts(labels, totals)


def _attempts(labels: tuple[str, ...], totals: Counters) -> Iterator[Sample]:
    # one that broke off was a success until then, and a counter never goes back
    yield "mcml_route_backend_attempts_total", (*labels, "success"), totals.succeeded + totals.broken
    yield "mcml_route_backend_attempts_total", (*labels, "error"), totals.failed
    answered = max(0, totals.failed - totals.refused - totals.timed_out)
    for cause, count in (("refused", totals.refused), ("timeout", totals.timed_out), ("answer", answered)):
        yield "mcml_route_backend_errors_total", (*labels, cause), count


def _labels(model: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["backend"], one["backend"].partition("@")[0] or model, one["target"]


def _histograms(snapshot: Snapshot) -> Iterator[tuple[str, tuple[str, ...], Histogram]]:
    for name, latencies in sorted(snapshot.latencies.items()):
        if found := re.fullmatch(r"vhost\.[^.]+\.route\.([^.]+)", name):
            yield "mcml_route_request_duration_seconds", (found.group(1),), latencies
    for route in snapshot.told.get("routes", ()):
        for one in route["backends"]:
            if (totals := snapshot.totals.get(one["backend"])) is not None:
                yield "mcml_route_backend_latency_seconds", _labels(route["model"], one), totals.latencies


def _buckets(name: str, labels: tuple[str, ...], latencies: Histogram) -> Iterator[str]:
    """Write one histogram; Envoy's own buckets are finer, each counts where it lies as a whole. The sum takes a bucket at its middle."""
    uppers = sorted((lower + width, count, lower + width / 2) for lower, (width, count) in latencies.items())
    names = _NAMES[name].labels
    for bound in BUCKETS:
        count = sum(count for upper, count, _ in uppers if upper <= bound * 1000 * (1 + 1e-9))
        yield f"{name}_bucket{_labelled((*names, 'le'), (*labels, _number(bound)))} {count}"
    total = sum(count for _, count, _ in uppers)
    yield f"{name}_bucket{_labelled((*names, 'le'), (*labels, '+Inf'))} {total}"
    yield f"{name}_sum{_labelled(names, labels)} {_number(sum(count * middle for _, count, middle in uppers) / 1000)}"
    yield f"{name}_count{_labelled(names, labels)} {total}"


def _age(at: str, now: datetime) -> float:
    return max(0.0, round((now - parse_rfc3339(at)).total_seconds(), 3))


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    value = float(value)
    return str(int(value)) if value.is_integer() else repr(value)


def table() -> str:
    """Return METRICS as a Markdown table, for the documentation."""
    rows = [f"| `{one.name}` | {one.kind} | {', '.join(f'`{name}`' for name in one.labels) or '-'} | {one.help} |" for one in METRICS]
    return "\n".join(["| Metric | Type | Labels | Meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"
