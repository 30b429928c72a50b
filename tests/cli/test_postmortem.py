"""`mcml postmortem draft` as a person types it."""

import json
from pathlib import Path

from mcml.core import exits
from mcml.testing.cli import run
from tests.cli.incidents import opened, project, typed

DEFAULT = "postmortems/INC-1-fraud-eu-2-is-down.md"


def test_a_draft_is_written_once_and_never_over_what_is_there(tmp_path: Path) -> None:
    (project(tmp_path) / "deeper").mkdir()
    result = typed(["postmortem", "draft", "1"], cwd=tmp_path / "deeper")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0] == f"drafted\t{tmp_path / DEFAULT}"
    assert "INC-1 is not resolved yet" in result.out
    text = (tmp_path / DEFAULT).read_text()
    assert text.startswith("# INC-1: fraud@eu-2 is down\n")
    assert "not known: the cost ledger has no row for this time" in text
    again = typed(["postmortem", "draft", "1"], cwd=tmp_path)
    assert (again.code, again.out) == (exits.FAILED, "")
    assert "or --force to replace it" in again.err
    seen = run(["postmortem", "draft", "1", "--force"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out
    assert seen.startswith("drafted  ")
    with opened(tmp_path) as store:
        assert [entry.facts["path"] for entry in store.entries() if entry.kind == "postmortem.drafted"] == [DEFAULT, DEFAULT]


def test_out_is_relative_to_where_one_stands(tmp_path: Path) -> None:
    (project(tmp_path) / "deeper").mkdir()
    result = typed(["postmortem", "draft", "INC-1", "--out", "mine.md", "-o", "name"], cwd=tmp_path / "deeper")
    assert result.out == f"{tmp_path / 'deeper' / 'mine.md'}\n"
    assert (tmp_path / "deeper" / "mine.md").is_file()


def test_a_dry_run_prints_it_and_leaves_nothing(tmp_path: Path) -> None:
    project(tmp_path)
    result = typed(["postmortem", "draft", "1", "--dry-run"], cwd=tmp_path)
    assert result.code == 0
    assert result.out.startswith("# INC-1: fraud@eu-2 is down\n")
    assert not (tmp_path / "postmortems").exists()
    with opened(tmp_path) as store:
        assert store.entries()[-1].kind == "incident.opened"


def test_a_ledger_that_cannot_be_read_costs_only_the_money(tmp_path: Path) -> None:
    ledger = project(tmp_path) / ".mcml" / "cost"
    ledger.mkdir()
    (ledger / "manifest.json").write_text("{")
    result = typed(["postmortem", "draft", "1", "-o", "json"], cwd=tmp_path)
    assert result.code == 0
    assert json.loads(result.out)["items"][0]["journal_ok"] is True
    assert "without cost: " in result.err


def test_an_unknown_incident(tmp_path: Path) -> None:
    result = typed(["postmortem", "draft", "7"], cwd=project(tmp_path))
    assert result.code == exits.NOT_FOUND
    assert "next: mcml incident list --all" in result.err
