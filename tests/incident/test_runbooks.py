"""Runbooks: what is in a file, and which one is found."""

from pathlib import Path

import pytest

from mcml.core.errors import InvalidRequest
from mcml.core.paths import shipped
from mcml.incident.react import signals
from mcml.incident.runbooks import alert_of, find, folders, look_up, parse, steps_for
from tests.incident.made import down, fact, incident

GOOD = """---
alert: backend_down
severity: error
summary: it is down
---
1. Look at {model} on {target}: `mcml incident show {incident}` {unknown}
"""


def test_a_runbook_is_front_matter_and_a_body() -> None:
    runbook = parse(GOOD, "a.md")
    assert (runbook.alert, runbook.severity, runbook.summary) == ("backend_down", "error", "it is down")
    assert steps_for(runbook, incident()) == "1. Look at fraud on eu-2: `mcml incident show INC-1` {unknown}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with front matter"),
        ("# no front matter", "does not begin with front matter"),
        ("---\nalert: x\n", "does not begin with front matter"),
        ("---\n: [\n---\n", "while parsing"),
        ("---\n- a list\n---\n", "is no mapping"),
        ("---\nalert: x\n---\n", "lacks severity, summary"),
        ("---\nalert: 7\nseverity: error\nsummary: ' '\n---\n", "lacks alert, summary"),
        (GOOD.replace("error", "terrible"), "'terrible' is none of critical, error, warning, info"),
        ("---\n!!python/object/apply:os.getcwd []\n---\n", "could not determine a constructor"),
    ],
)
def test_a_broken_runbook_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(text, "a.md")
    assert "a.md" in refused.value.message
    assert why in refused.value.why


def test_a_projects_own_runbook_comes_first(tmp_path: Path) -> None:
    own = tmp_path / "runbooks"
    own.mkdir()
    places = folders(tmp_path)
    assert places == [own, shipped("runbooks")]
    theirs = find("backend_down", places)
    assert theirs is not None
    assert theirs.source == str(shipped("runbooks") / "backend-down.md")
    (own / "ours.md").write_text(GOOD)
    ours = find("backend_down", places)
    assert ours is not None
    assert ours.source == str(own / "ours.md")


def test_a_broken_file_hides_no_other_and_is_named_when_it_is_the_one(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("nonsense")
    (tmp_path / "backend-down.md").write_bytes(b"---\nalert: \xff\n---\n")
    (tmp_path / "z.md").write_text(GOOD)
    assert find("backend_down", [tmp_path]) is not None
    (tmp_path / "z.md").unlink()
    runbook, trouble = look_up(incident(), [tmp_path])
    assert runbook is None
    assert "backend-down.md cannot be read: it is not UTF-8 text" in trouble
    assert find("something_else", [tmp_path, tmp_path / "missing"]) is None


def test_no_runbook_says_where_to_write_one(tmp_path: Path) -> None:
    runbook, trouble = look_up(incident(key="gpu_hot:fraud@eu-2"), [tmp_path])
    assert runbook is None
    assert trouble == "there is none for 'gpu_hot' yet: write runbooks/gpu-hot.md in your project"


def test_every_alert_that_we_raise_has_a_shipped_runbook() -> None:
    raised = {signal.key.partition(":")[0] for told in (down(), fact("deploy.failed")) for signal in signals(told)}
    assert raised == {"backend_down", "deploy_failed"}
    for alert in raised:
        runbook = find(alert, [shipped("runbooks")])
        assert runbook is not None
        assert alert_of(incident(key=f"{alert}:x")) == runbook.alert


@pytest.mark.parametrize("path", sorted(shipped("runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_a_shipped_runbook_fits_a_small_screen(path: Path) -> None:
    assert max(map(len, path.read_text().splitlines())) <= 78, "80 columns, two of them for the indentation of `mcml incident show`"
