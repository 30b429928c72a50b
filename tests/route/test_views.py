"""What a person and a program read: the state of the router, its reasons."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.backend import Backend
from mcml.core.price import PriceInfo
from mcml.core.process import ProcessRef
from mcml.core.schema_routes import Route
from mcml.core.view import Document, State, Status, Table, Text
from mcml.route import views
from mcml.route.records import Running, decision_json
from mcml.route.status import status
from mcml.route.weights.decide import Decision, Tracked
from mcml.route.weights.decide import State as LoopState
from mcml.route.weights.health import Health
from mcml.route.weights.measure import Counters, Window
from mcml.route.weights.score import Inputs, weigh

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
PRICE = PriceInfo(Decimal("0.045"), "USD/hour", "USD", "the catalogue", NOW - timedelta(hours=2))
RUNNING = Running(ProcessRef(123, 1.0), "127.0.0.1", 8080, 9901, ("fraud",))
EU, US = (Backend(target, "fraud", "127.0.0.1", 9000, "local", "nowhere", version="7") for target in ("eu-1", "us-1"))


def decision() -> Decision:
    inputs = (Inputs("fraud@eu-1", "up", 3.0, 0.0, PRICE), Inputs("fraud@us-1", "out", 4.0, 0.5))
    return Decision(NOW, "fraud", "fraud", "fraud@us-1 is out", {"fraud@eu-1": 50, "fraud@us-1": 50}, weigh(inputs, Route().score, NOW))


def told(at: datetime = NOW) -> dict[str, Any]:
    window = Window(((0.0, Counters()), (10.0, Counters(200, 198, 2, latencies={1.0: (0.1, 100), 9.0: (0.1, 100)}))))
    tracked = {
        "fraud@eu-1": Tracked(Health("up"), window=window),
        "fraud@us-1": Tracked(Health("out", reason="its health check fails")),
    }
    state = LoopState(tracked, {"fraud": decision()}, {"fraud": 1.0}, 10.0)
    backends = {"fraud@eu-1": [EU], "fraud@us-1": [US]}
    return status(state, {"fraud": Route()}, backends, {"fraud@eu-1": PRICE}, at)


def first(document: Document, kind: type) -> Any:
    return next(block for block in document.blocks if isinstance(block, kind))


def test_the_rows_of_the_status() -> None:
    rows = views.status(told(), RUNNING, None, NOW + timedelta(seconds=1)).items
    assert rows[0] == {
        "name": "fraud@eu-1",
        "route": "fraud",
        "model": "fraud",
        "target": "eu-1",
        "region": "nowhere",
        "provider": "local",
        "version": "7",
        "weight": 100,
        "state": State("up", "ok"),
        "rps": 20.0,
        "p50_ms": 1.1,
        "p99_ms": 9.1,
        "errors": 2,
        "score": 1.0,
        "active": 0,
        "retries": 0,
        "breaker": "closed",
        "auth": "none",
        "credential_age_s": None,
        "credential_ends_in_s": None,
        "credential_failing": "",
        "price": "0.045 USD/hour",
        "price_source": "the catalogue",
        "price_age_s": 7201,
        "addresses": ["127.0.0.1:9000"],
        "reason": "",
    }
    assert (rows[1]["weight"], rows[1]["state"], rows[1]["reason"]) == (0, State("out", "bad"), "its health check fails")
    assert (rows[1]["price"], rows[1]["price_age_s"], rows[1]["p50_ms"]) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("running", "proxy", "age", "word"),
    [(RUNNING, None, 1, "serving"), (RUNNING, None, 30, "late"), (None, ProcessRef(5, 1.0), 30, "alone"), (None, None, 30, "stopped")],
)
def test_the_headline_of_the_status(running: Running | None, proxy: ProcessRef | None, age: int, word: str) -> None:
    document = views.status(told(), running, proxy, NOW + timedelta(seconds=age))
    assert first(document, Status).state.text == word


def test_a_route_without_a_backend_names_the_next_step() -> None:
    empty = told()
    empty["routes"][0]["backends"] = []
    empty["routes"].append({**empty["routes"][0], "route": "public"})
    said = [block.text for block in views.status(empty, RUNNING, None, NOW).blocks if isinstance(block, Text)]
    assert said == ["no backend serves fraud; next: mcml deploy model fraud"]


def test_an_explanation_names_every_part_and_what_is_missing() -> None:
    document = views.explain([decision_json(decision())], NOW + timedelta(seconds=90))
    section = document.blocks[0]
    text, table, how = section.blocks  # type: ignore[union-attr]
    assert "square of the score" in how.text  # type: ignore[union-attr]
    assert text.text == "fraud@us-1 is out (90 s ago): fraud@eu-1 50 -> 100, fraud@us-1 50 -> 0"  # type: ignore[union-attr]
    assert [column.title for column in table.columns] == [  # type: ignore[union-attr]
        "Backend",
        "Weight",
        "Score",
        "State",
        "Latency (40%)",
        "Cost (30%)",
        "Reliability (30%)",
    ]
    assert table.rows[0]["cost"] == "1.00: 0.045 USD/hour (the catalogue, 2 h old), cheapest 0.045"  # type: ignore[union-attr]
    assert table.rows[1]["cost"] == "-: no price is known: left out"  # type: ignore[union-attr]
    assert table.rows[1]["reliability"] == "0.00: 50.00% of attempts failed"  # type: ignore[union-attr]
    assert document.items[0]["because"] == "fraud@us-1 is out"
    assert document.items[0]["weight"] == 100


def test_an_outage_is_said() -> None:
    document = views.explain([decision_json(replace(decision(), last_resort=True))], NOW)
    assert any(isinstance(block, Status) and "every backend is out" in block.text for block in document.blocks[0].blocks)  # type: ignore[union-attr]


def test_nothing_to_explain_yet() -> None:
    assert re.match("no decision was made yet", first(views.explain([], NOW), Text).text)


def test_plans() -> None:
    plan = views.plan(None, {"fraud": ["fraud@eu-1"], "empty": []}, "127.0.0.1:8080")
    assert [item["name"] for item in plan.items] == ["empty", "fraud"]
    assert first(plan, Table).rows[0]["backends"] == "none yet"
    assert "a router runs already" in first(views.plan(RUNNING, {}, ""), Text).text
    assert views.serving(RUNNING).items[0]["url"] == "http://127.0.0.1:8080"
    assert views.stopped(ProcessRef(5, 1.0)).items[0] == {"name": "5", "pid": 5, "stopped": True}
