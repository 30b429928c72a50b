"""The live view as a document: what fits on a terminal, what a pipe gets, and the same data as the status."""

from datetime import timedelta
from typing import Any

import pytest

from mcml.core.process import ProcessRef
from mcml.core.view import Table
from mcml.route import views
from mcml.route.records import Running
from mcml.route.show.history import History
from mcml.ui.piped import write
from mcml.ui.terminal import draw
from tests.route.seen import NOW, backend, status

RUNNING = Running(ProcessRef(123, 1.0), "127.0.0.1", 8080, 9901, ("fraud",), 9902)
TOLD = status(backend("eu-1", weight=70), backend("us-1", weight=0, state="out", reason="its health check fails", breaker="ejected"))


def history() -> dict[str, Any]:
    found = History()
    for number in range(40):
        found.add(status(backend("eu-1", rps=float(number)), at=NOW + timedelta(seconds=3 * number)))
    return found.json()


def drawn(width: int) -> str:
    return draw(views.top(TOLD, history(), RUNNING, None, NOW, width=width).blocks, width=width, colour=False, now=NOW)


def test_it_is_the_data_of_the_status() -> None:
    top, plain = views.top(TOLD, history(), RUNNING, None, NOW, width=150), views.status(TOLD, RUNNING, None, NOW)
    assert (top.kind, list(top.items)) == (plain.kind, list(plain.items))


@pytest.mark.parametrize(("width", "points"), [(104, 0), (113, 0), (114, 5), (150, 23), (300, 30)])
def test_sparklines_take_the_room_that_is_left(width: int, points: int) -> None:
    document = views.top(TOLD, history(), RUNNING, None, NOW, width=width)
    table = next(block for block in document.blocks if isinstance(block, Table))
    sparks = [column.key for column in table.columns if column.kind == "spark"]
    assert sparks == (["rps_line", "p99_line"] if points else [])
    if points:
        line = table.rows[0]["rps_line"]
        assert isinstance(line, list)
        assert (len(line), line[-1]) == (points, 39.0)
        assert table.rows[1]["rps_line"] == [], "nothing is known of it"


@pytest.mark.parametrize("width", [104, 120, 150, 200])
def test_a_row_stays_on_its_line(width: int) -> None:
    lines = drawn(width).splitlines()
    assert max(map(len, lines)) <= width
    assert next(line for line in lines if "eu-1" in line).rstrip().endswith("USD/hour")
    assert any("fraud@us-1: its health check fails" in line for line in lines)
    assert ("█" in drawn(width)) == (width >= 114)


def test_a_pipe_gets_everything() -> None:
    text = write(views.top(TOLD, history(), RUNNING, None, NOW, width=200).blocks)
    assert "40 attempts/s, 10 failed in 10 s" in text
    assert "10.0,11.0,12.0" in text
    assert "ejected" in text


def test_without_a_history() -> None:
    assert "eu-1" in write(views.top(TOLD, {"routes": {}}, None, None, NOW, width=200).blocks)
