"""The demo as a stranger runs it: it ends well, the store holds what it showed, and nothing is left running."""

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from mcml.demo import script
from mcml.testing.cli import run
from tests.house.test_readme import processes_of


def test_setup_makes_three_targets_of_two_names(tmp_path: Path) -> None:
    made = run(script.setup("shop", 18080), cwd=tmp_path)
    assert made.code == 0, made.err
    shown = json.loads(run(["config", "show", "-o", "json"], cwd=tmp_path / "shop").out)["items"]
    regions = {item["name"]: item["value"] for item in shown if item["name"].endswith(".region")}
    assert len(regions) == len(set(regions.values())) == 3
    assert sorted(name.split(".")[1].split("-")[0] for name in regions) == ["aws", "aws", "gcp"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    result = run(["demo", "--folder", "mine"], cwd=tmp_path)
    assert result.code == 1
    assert "no demo made it" in result.err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo(tmp_path: Path) -> None:
    result = run(["demo", "--folder", "demo"], cwd=tmp_path, timeout=360)
    assert result.code == 0, result.out[-3000:] + result.err[-3000:]
    folder = tmp_path / "demo"

    rows = _journal(folder)
    by_kind = {kind: facts for _, kind, facts in rows}
    assert by_kind["route.drill_finished"]["failed"] == 0
    assert by_kind["route.drill_finished"]["requests"] >= 1000
    assert {kind for _, kind, _ in rows} >= {
        "pipeline.trained", "infra.applied", "deploy.finished", "route.started", "route.weights", "route.backend_down",
        "incident.opened", "incident.acked", "route.backend_up", "incident.recovered", "incident.resolved", "postmortem.drafted",
        "cost.ingested", "infra.destroyed",
    }  # fmt: skip
    killed = next(at for at, kind, _ in rows if kind == "route.drill_killed")
    opened = next(at for at, kind, _ in rows if kind == "incident.opened")
    assert 0 <= (opened - killed).total_seconds() < 2

    document = next((folder / "postmortems").glob("INC-1*.md")).read_text()
    for wanted in ("Timeline", "kill", script.VICTIM, "USD"):
        assert wanted in document
    assert "mcml deploy model tumor" in result.out
    assert f"rm -rf {folder.name}" in result.out
    assert processes_of(folder) == []


def _journal(folder: Path) -> list[tuple[datetime, str, dict[str, Any]]]:
    connection = sqlite3.connect(folder / ".mcml" / "mcml.db")
    try:
        rows = connection.execute("SELECT at, kind, facts FROM journal ORDER BY seq").fetchall()
    finally:
        connection.close()
    return [(datetime.fromisoformat(at), kind, json.loads(facts)) for at, kind, facts in rows]
