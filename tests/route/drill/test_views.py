"""What a person and a program read of a drill: what it would do, and what came of it."""

from typing import Any

from mcml.core.view import Document, State, Status, Table, Text
from mcml.route.drill import views
from mcml.route.drill.plan import Drill
from mcml.route.drill.result import DrillResult, Limits, Phase


def first(document: Document, kind: type) -> Any:
    return next(block for block in document.blocks if isinstance(block, kind))


def test_a_drill() -> None:
    before = (Phase("before", 50, 0, 1.0, 2.0),)
    result = DrillResult(
        "fraud", "eu-1", "fraud@eu-1", 100, 2, 5, 2.0, before, {"fraud@us-1": 98}, 0.1, None, None, "kill", {"503: x": 2}
    )
    document = views.result(result, Limits().broken(result))
    assert first(document, Status).state == State("failed", "bad")
    assert first(views.result(result, Limits(2).broken(result)), Status).state == State("passed", "ok")
    assert document.items[0]["passed"] is False
    assert document.items[0]["seconds_to_zero"] is None
    pairs = dict(document.blocks[1].pairs)  # type: ignore[union-attr]
    assert pairs["seconds until eu-1 had weight 0"] == "not within the drill"
    assert pairs["requests per second"] == 50
    assert first(document, Table).rows[0]["name"] == "before"
    assert document.blocks[-2:] == [Text("2 x 503: x"), Text("to bring the backend back: mcml deploy model fraud")]


def test_what_it_would_do() -> None:
    assert "the backend on eu-1 is killed" in first(views.plan(Drill("fraud", "eu-1", 10, 2), "http://x"), Text).text
    assert "no backend fails" in first(views.plan(Drill("fraud", "", 10, 2), "http://x"), Text).text
