"""The Grafana dashboard: it names what is exposed and nothing else, and any Grafana can import it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from mcml.cli.main import main
from mcml.cost.grafana import ROWS, dashboard
from mcml.route.show.metrics import METRICS
from mcml.serving.metrics import Metrics

LABELS_OF_ALL = {"job", "instance", "le"}
"""Prometheus gives every series the first two, and a histogram the last."""
UNITS = {"s", "percentunit", "percent", "reqps", "bytes", "none", "suffix:/h"}


def exposed() -> dict[str, set[str]]:
    """Every series that a scrape can find, with its labels: what the router documents, and what a model server renders."""
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        found |= {metric.name + suffix: {*metric.labels} for suffix in suffixes}
    for line in Metrics({"name": "fraud", "version": "1", "digest": "d"}).render().decode().splitlines():
        if series := re.match(r"([a-z_]+)(?:\{(.*)\})? ", line):
            found.setdefault(series[1], set()).update(re.findall(r'(\w+)="', series[2] or ""))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


@pytest.mark.parametrize("number", range(len(expressions())))
def test_every_expression_names_series_and_labels_that_exist(number: int) -> None:
    expression, known = expressions()[number], exposed()
    names = set(re.findall(r"\b(?:mcml|process)_[a-z0-9_]+", expression))
    assert names
    assert names <= set(known)
    labels = set(re.findall(r'(\w+)=~?"', expression))
    labels |= {label for text in re.findall(r"\b(?:by|on|group_left) \(([^)]+)\)", expression) for label in text.split(", ")}
    made = {"currency"} if "label_replace" in expression else set()
    assert labels <= set().union(*(known[name] for name in names)) | LABELS_OF_ALL | made
    for name in names & {metric.name for metric in METRICS if metric.kind == "counter"} | {name for name in names if "_bucket" in name}:
        uses = len(re.findall(rf"\b{name}\b", expression))
        assert len(re.findall(rf"rate\({name}(?:{{[^}}]*}})?\[\$__rate_interval\]\)", expression)) == uses, "a counter is only ever a rate"


def test_variables_ask_for_labels_that_exist() -> None:
    source, *queries = dashboard()["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    for variable in queries:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        assert label == variable["name"]
        assert label in exposed()[metric]
    used = set(re.findall(r"\$(\w+)", " ".join(expressions()))) - {"__rate_interval", "1"}
    assert used == {variable["name"] for variable in queries}


def sources(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]
        for inner in value.values():
            yield from sources(inner)
    if isinstance(value, list):
        for inner in value:
            yield from sources(inner)


def test_it_belongs_to_no_grafana_of_its_own() -> None:
    made = dashboard()
    assert list(sources(made)), "each panel and each query says where it asks"
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources(made))
    assert "id" not in made, "Grafana gives it one"
    assert made["uid"] == "mcml-cost"
    assert made["schemaVersion"] >= 39, "Grafana 11"


def test_panels_have_ids_of_their_own_units_and_a_place() -> None:
    made = dashboard()["panels"]
    ids = [panel["id"] for panel in made]
    assert len(set(ids)) == len(ids) == sum(len(row) for _, row in ROWS) + len(ROWS)
    taken: set[tuple[int, int]] = set()
    for panel in made:
        place = panel["gridPos"]
        squares = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not squares & taken
        assert max(x for x, _ in squares) < 24
        taken |= squares
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["description"]
        assert [target["refId"] for target in panel["targets"]] == ["A", "B"][: len(panel["targets"])]


@pytest.mark.parametrize(
    ("pattern", "unit"),
    [(r"histogram_quantile", "s"), (r"_age_seconds", "s"), (r"_resident_memory_bytes", "bytes"), (r"label_replace", "suffix:/h"),
     (r"^\(sum by \(route\).* / sum by \(route\)", "percentunit"), (r"mcml_route_weight", "percent"), (r"errors_total", "reqps")],
)  # fmt: skip
def test_what_is_asked_has_its_unit(pattern: str, unit: str) -> None:
    asked = [panel for panel in panels() if any(re.search(pattern, target["expr"]) for target in panel["targets"])]
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in asked} == {unit}


def test_grafanas_own_types_read_it_without_loss() -> None:
    register_default_plugins()
    made = dashboard()
    read = Dashboard.from_json(made)
    assert [panel.title for panel in read.panels or ()] == [panel["title"] for panel in made["panels"]]
    assert len(read.templating.list_val or ()) == 3


def test_the_command_writes_what_grafana_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["cost", "dashboard"]) == 0
    assert json.loads(capsys.readouterr().out) == dashboard() == dashboard()
    assert main(["cost", "dashboard", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["items"]) == ("GrafanaDashboard", [dashboard()])
    assert main(["cost", "dashboard", "-o", "name"]) == 0
    assert capsys.readouterr().out == "mcml-cost\n"
