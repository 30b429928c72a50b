"""`mcml cost schedule` as a person and cron run it, on a group and its members that are real processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcml.cli.session import Common, Session
from mcml.providers.local.groups import define_group, delete_group, open_groups
from mcml.testing.cli import run

SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
gib_hour = 0.01
[cost.schedules.never]
hours = ["mon 00:00-00:01"]
zone = "Europe/Berlin"
match = { environment = "dev" }
[cost.schedules.always]
hours = ["daily 00:00-24:00"]
zone = "UTC"
match = { environment = "prod" }
"""
LIST_FIELDS = ["name", "now", "why", "next_change", "hours", "zone", "holidays", "match", "off", "kept_until"]
PASS_FIELDS = [
    "name", "schedule", "what", "target", "kind", "id", "size", "machine_hours", "saved", "currency", "reason", "next_step",
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with two groups of one machine each."""
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    session = Session(Common())
    ctx = session.context("local", "eu-1")
    for name, environment in (("workers", "dev"), ("servers", "prod")):
        define_group(ctx, name, "local-1x1", minimum=0, maximum=2, desired=1, tags={"environment": environment})
    yield tmp_path
    for name in ("workers", "servers"):
        delete_group(ctx, name)
    session.close()


def sizes() -> dict[str, int]:
    session = Session(Common())
    try:
        return {group.name: group.running for group in open_groups(session.context("local", "eu-1")).list()}
    finally:
        session.close()


@pytest.mark.slow
def test_off_kept_on_and_back_again(project: Path) -> None:
    shown = run(["cost", "schedule", "run", "--dry-run"], cwd=project)
    assert shown.code == 0, shown.err
    assert "1 to change, 1 left as they are" in shown.out
    assert sizes() == {"workers": 1, "servers": 1}, "a dry run changes nothing"

    refused = run(["cost", "schedule", "run"], cwd=project)
    assert (refused.code, sizes()["workers"]) == (2, 1)
    assert "Turn 1 off?" in refused.err

    done = run(["cost", "schedule", "run", "--yes", "-o", "json"], cwd=project)
    assert done.code == 0, done.err
    items = json.loads(done.out)["items"]
    assert [list(item) for item in items] == [PASS_FIELDS] * 2
    assert [(item["id"], item["what"], item["size"]) for item in items] == [("workers", "turned off", "1 -> 0"), ("servers", "leave", "")]
    assert sizes() == {"workers": 0, "servers": 1}

    listed = run(["cost", "schedule", "list", "-o", "json"], cwd=project)
    items = json.loads(listed.out)["items"]
    assert [list(item) for item in items] == [LIST_FIELDS] * 2
    assert [(item["name"], item["now"], item["off"]) for item in items] == [("never", "off", 1), ("always", "on", 0)]

    kept = run(["cost", "schedule", "keep", "never", "--for", "2h", "--reason", "release"], cwd=project)
    assert kept.code == 0, kept.err
    again = run(["cost", "schedule", "run", "--yes"], cwd=project, terminal=True)
    assert "turned on" in again.out, again.out
    assert sizes() == {"workers": 1, "servers": 1}
    told = json.loads(run(["journal", "list", "-o", "json"], cwd=project).out)["items"]
    assert [entry["kind"] for entry in told] == ["cost.turned_off", "cost.kept_on", "cost.turned_on"]
    assert told[-1]["facts"]["reason"].endswith(": release")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('hours = ["mon-fry 08:00-18:00"]', "no day"),
        ('zone = "CET"', "time zone"),
        ('holidays = "XX"', "the schedule office: no public holidays are known"),
        ('targets = ["eu-2"]', "cost.schedules.office.targets names the target 'eu-2', which is not defined"),
    ],
)
def test_a_schedule_that_nobody_understands_is_refused(tmp_path: Path, line: str, why: str) -> None:
    said = {"hours": 'hours = ["daily 08:00-18:00"]', "zone": 'zone = "UTC"', "match": 'match = { environment = "dev" }'}
    said[line.split()[0]] = line
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[cost.schedules.office]\n' + "\n".join(said.values()))
    refused = run(["cost", "schedule", "list"], cwd=tmp_path)
    assert refused.code == 2
    assert why in refused.err


def test_an_unknown_schedule_is_named(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    refused = run(["cost", "schedule", "keep", "offce", "--for", "1h"], cwd=tmp_path)
    assert (refused.code, "schedule" in refused.err) == (5, True)
    empty = run(["cost", "schedule", "list"], cwd=tmp_path, terminal=True)
    assert (empty.code, "no schedules; write one" in empty.out) == (0, True)
