"""A Grafana dashboard as code: what requests cost while they run, beside their latency and errors, from what routers and servers count.

The panels are data (ROWS); the JSON model of Grafana 11 is written by Grafana's own library, which needs no network. Data source and
prices' currencies are no part of it: the first is a variable, the second stand in the legends, as in the labels of the prices.

Burn is what the router's spend ceiling counts (`mcml.route.weights.spend`): attempts times the price of one, where the price is for
1,000 requests; the time that attempts took times the price of an hour, where it is for an hour. It is an estimate; the bill is in
`mcml cost report`.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import common as layout
from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

UID, TITLE = "mcml-cost", "mcml: cost of requests"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8

_MODEL, _ROUTE = 'model=~"$model"', 'route=~"$route"'
_OVER = "[$__rate_interval]"
_PRICE = f"max by (backend, unit) (mcml_route_backend_price{{{_MODEL}}})"
_ATTEMPTS = f"sum by (backend) (rate(mcml_route_backend_attempts_total{{{_MODEL}}}{_OVER}))"
_FAILED = f'sum by (backend) (rate(mcml_route_backend_attempts_total{{{_MODEL}, outcome="error"}}{_OVER}))'
_BUSY = f"sum by (backend) (rate(mcml_route_backend_latency_seconds_sum{{{_MODEL}}}{_OVER}))"
_ANSWERED = f"sum by (route) (rate(mcml_route_requests_total{{{_ROUTE}}}{_OVER}))"
_OF_MODEL = f"(rate(mcml_route_backend_attempts_total{{{_MODEL}}}{_OVER}))"
_SHARE = f"sum by (backend, model) {_OF_MODEL} / on (model) group_left () sum by (model) {_OF_MODEL}"


def _priced(counted: str, unit: str, factor: str = "") -> str:
    """Return a rate by backend times its price of that unit, with the currency of the price as a label."""
    price = f'max by (backend, unit) (mcml_route_backend_price{{{_MODEL}, unit=~".+/{unit}"}})'
    return f'label_replace({counted} * on (backend) group_right () {price}{factor}, "currency", "$1", "unit", "([^/]+)/.*")'


_PER_REQUEST = _priced(_ATTEMPTS, "1000 requests", " * 3.6")  # a second's to an hour's, a thousand's to one's
BURN = f'({_PER_REQUEST} or {_priced(_BUSY, "hour")})'
"""What each backend's requests cost an hour, by `backend`, `unit` and `currency`."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel: `unit` is Grafana's name of one (`percentunit` is 0 to 1, `percent` 0 to 100), `width` of 24."""

    title: str
    help: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 12
    kind: Literal["lines", "stacked", "number", "table"] = "lines"
    units: tuple[tuple[str, str], ...] = ()
    """Of a table: the units of its columns, by name."""


def _p99(metric: str, by: str, only: str) -> str:
    return f"histogram_quantile(0.99, sum by (le, {by}) (rate({metric}_bucket{{{only}}}{_OVER})))"


_OF_A_SERVER = "on (job, instance) group_left (name, version) mcml_serving_model_info"
COST = (
    Panel(
        "Burn now", "What the requests of now cost an hour, by currency. An estimate: mcml cost report has the bill.", "suffix:/h",
        (Query(f"sum by (currency) {BURN}", "{{currency}}"),), 4, "number",
    ),
    Panel(
        "Spent on failed attempts", "What attempts that failed cost an hour, where a price per request is known.", "suffix:/h",
        (Query(f'sum by (currency) ({_priced(_FAILED, "1000 requests", " * 3.6")})', "{{currency}}"),), 4, "number",
    ),
    Panel(
        "Oldest price", "The age of the oldest price that the cost score is made from.", "s",
        (Query(f"max(mcml_route_backend_price_age_seconds{{{_MODEL}}})"),), 4, "number",
    ),
    Panel(
        "Requests by price", "The share of its model's attempts that each backend takes, beside its price.", "none",
        (Query(_PRICE, "price"), Query(_SHARE, "share")), 12, "table", (("share", "percentunit"),),
    ),
    Panel("Burn by backend", "What each backend's requests cost an hour.", "suffix:/h",
          (Query(f"sum by (backend, currency) {BURN}", "{{backend}} {{currency}}"),), kind="stacked"),
    Panel("Price by backend", "What the cost score is made from: all backends of a model in one unit.", "none",
          (Query(_PRICE, "{{backend}} {{unit}}"),)),
    Panel("Share of attempts", "Where the requests of each model go.", "percentunit",
          (Query(_SHARE, "{{backend}}"),), kind="stacked"),
    Panel("Weight and cost score", "The weight in percent, and the cost score (times 100) that is a part of what makes it.", "percent",
          (Query(f"mcml_route_weight{{{_ROUTE}}}", "{{route}} {{backend}} weight"),
           Query(f'mcml_route_score_part{{{_ROUTE}, part="cost"}} * 100', "{{route}} {{backend}} cost score"))),
)  # fmt: skip
QUALITY = (
    Panel("p99 by route", "From the request's arrival to the whole answer, all attempts.", "s",
          (Query(_p99("mcml_route_request_duration_seconds", "route", _ROUTE), "{{route}}"),)),
    Panel("p99 by backend", "Of one attempt: what a cheaper backend costs in time.", "s",
          (Query(_p99("mcml_route_backend_latency_seconds", "backend", _MODEL), "{{backend}}"),)),
    Panel("Errors by route", "The share of requests that clients were answered 5xx.", "percentunit",
          (Query(f'(sum by (route) (rate(mcml_route_requests_total{{{_ROUTE}, code="5xx"}}{_OVER})) or 0 * {_ANSWERED}) / {_ANSWERED}',
                 "{{route}}"),)),
    Panel("Failed attempts by cause", "Also those that a retry hid.", "reqps",
          (Query(f"sum by (backend, cause) (rate(mcml_route_backend_errors_total{{{_MODEL}}}{_OVER}))", "{{backend}} {{cause}}"),)),
)  # fmt: skip
SERVERS = (
    Panel("Requests by outcome", "What the model servers answered.", "reqps",
          (Query(f"sum by (outcome) (rate(mcml_serving_requests_total{_OVER}))", "{{outcome}}"),), 8, "stacked"),
    Panel("CPU by model", "What a local target is billed by: cores that the servers of a model use.", "none",
          (Query(f"sum by (name, version) (rate(process_cpu_seconds_total{_OVER}) * {_OF_A_SERVER})", "{{name}} {{version}}"),), 8),
    Panel("Memory by model", "What is held while nobody asks, too.", "bytes",
          (Query(f"sum by (name, version) (process_resident_memory_bytes * {_OF_A_SERVER})", "{{name}} {{version}}"),), 8),
)  # fmt: skip
ROWS = (("Cost", COST), ("Latency and errors", QUALITY), ("Model servers", SERVERS))


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it, the same each time."""
    made = (
        Dashboard(TITLE)
        .uid(UID)
        .tags(["mcml", "cost"])
        .refresh("1m")
        .time("now-24h", "now")
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_values("model", "mcml_route_backend_attempts_total"))
        .with_variable(_values("route", "mcml_route_weight"))
    )
    number = 0
    for title, panels in ROWS:
        number += 1
        made.with_row(Row(title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(_built(panel).id(number))
    found: dict[str, Any] = json.loads(JSONEncoder().encode(made.build()))
    return found


def _values(label: str, metric: str) -> QueryVariable:
    """Return a variable with the values of a label, all of them chosen."""
    variable = QueryVariable(label).label(label.capitalize()).query(f"label_values({metric}, {label})").datasource(SOURCE)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value(".*")


def _built(panel: Panel) -> stat.Panel | table.Panel | timeseries.Panel:
    made = stat.Panel() if panel.kind == "number" else _table(panel) if panel.kind == "table" else _lines(panel)
    made.title(panel.title).description(panel.help).unit(panel.unit).span(panel.width).height(HEIGHT).datasource(SOURCE)
    for place, query in enumerate(panel.queries):
        target = Dataquery().expr(query.expression).ref_id(_letter(place)).datasource(SOURCE)
        if panel.kind == "table":
            target.instant().format(PromQueryFormat.TABLE)
        elif query.legend:
            target.legend_format(query.legend)
        made.with_target(target)
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().min(0).legend(layout.VizLegendOptions().calcs(["lastNotNull", "max"]).show_legend(True))
    return made.stacking(layout.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30) if panel.kind == "stacked" else made


def _table(panel: Panel) -> table.Panel:
    """Return a table of one row a backend: each query is a column, under the name of its legend, dearest first."""
    names = {f"Value #{_letter(place)}": query.legend for place, query in enumerate(panel.queries)}
    made = table.Panel().with_transformation(DataTransformerConfig("merge", options={}))
    made.with_transformation(DataTransformerConfig("organize", options={"excludeByName": {"Time": True}, "renameByName": names}))
    for name, unit in panel.units:
        made.override_by_name(name, [DynamicConfigValue("unit", unit)])
    return made.sort_by([layout.TableSortByFieldState().display_name(panel.queries[0].legend).desc(True)])


def _letter(place: int) -> str:
    return chr(ord("A") + place)
