"""`mcml journal` as a person types it."""

import json
from pathlib import Path

import pytest

from mcml.core import exits
from mcml.core.fact import Fact
from mcml.testing.cli import run
from tests.cli.incidents import opened, project, typed
from tests.store.vandal import vandalise

FIELDS = {"seq", "at", "actor", "room", "target", "kind", "facts", "prev_hash", "hash", "text"}


def test_the_list_in_a_pipe_and_on_a_terminal(tmp_path: Path) -> None:
    project(tmp_path)
    rows = [line.split("\t") for line in typed(["journal", "list"], cwd=tmp_path).out.splitlines()]
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        ("1", "ada", "deploy.finished", "deployed fraud version 2 to eu-2"),
        ("2", "router", "route.backend_down", "fraud@eu-2 is down: connection refused"),
        ("3", "mcml", "incident.opened", "INC-1 opened (critical): fraud@eu-2 is down"),
    ]
    seen = run(["journal", "list"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out.splitlines()
    assert seen[0].split() == ["Row", "When", "Who", "Kind", "What"]
    assert " ago " in seen[1] or " now " in seen[1]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["--kind", "route"], [2]),
        (["--kind", "route.", "--kind", "incident.opened"], [2, 3]),
        (["--target", "us-1"], []),
        (["--since", "1h", "--limit", "2"], [2, 3]),
        (["--until", "1h"], []),
    ],
)
def test_the_list_is_cut_down(arguments: list[str], rows: list[int], tmp_path: Path) -> None:
    result = typed(["journal", "list", *arguments, "-o", "json"], cwd=project(tmp_path))
    value = json.loads(result.out)
    assert (value["kind"], [item["seq"] for item in value["items"]]) == ("JournalEntryList", rows)
    assert all(set(item) == FIELDS for item in value["items"])


def test_without_a_limit_the_newest_fifty(tmp_path: Path) -> None:
    project(tmp_path)
    with opened(tmp_path) as store:
        store.append(*(Fact("deploy.started", "deploy", "eu-2", {"model": "fraud"}) for _ in range(60)))
    assert typed(["journal", "list", "-o", "name"], cwd=tmp_path).out.split() == [str(row) for row in range(14, 64)]
    assert len(typed(["journal", "list", "--since", "1h", "-o", "name"], cwd=tmp_path).out.split()) == 63


def test_one_row(tmp_path: Path) -> None:
    project(tmp_path)
    shown = typed(["journal", "show", "2"], cwd=tmp_path).out
    assert "reason\tconnection refused" in shown
    item = json.loads(typed(["journal", "show", "2", "-o", "json"], cwd=tmp_path).out)["items"][0]
    assert set(item) == FIELDS
    assert f"hash\t{item['hash']}" in shown
    missing = typed(["journal", "show", "9"], cwd=tmp_path)
    assert (missing.code, missing.out) == (exits.NOT_FOUND, "")
    assert "the journal has no row 9" in missing.err


def test_a_wrong_time_says_what_is_right(tmp_path: Path) -> None:
    result = typed(["journal", "list", "--since", "3 moons"], cwd=project(tmp_path))
    assert result.code == exits.USAGE
    assert "next: write a span like 30m, 2h or 7d" in result.err


def test_verify_names_the_broken_row(tmp_path: Path) -> None:
    project(tmp_path)
    good = typed(["journal", "verify", "-o", "json"], cwd=tmp_path)
    item = json.loads(good.out)["items"][0]
    assert (good.code, item["ok"], item["rows"], item["broken_at"]) == (0, True, 3, 0)
    with opened(tmp_path) as store, store.writing() as connection:
        vandalise(connection, "UPDATE journal SET facts = '{}' WHERE seq = 2")
    broken = typed(["journal", "verify"], cwd=tmp_path)
    assert broken.code == exits.FAILED
    assert broken.out.splitlines() == [
        "broken\trow 2 was changed after it was written",
        "Rows 1 to 1 hold. Compare row 2 with a backup: mcml journal show 2",
    ]
    item = json.loads(typed(["journal", "verify", "-o", "json"], cwd=tmp_path).out)["items"][0]
    assert set(item) == {"ok", "rows", "head", "broken_at", "reason"}
    assert (item["ok"], item["broken_at"]) == (False, 2)
