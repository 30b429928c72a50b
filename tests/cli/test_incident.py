"""`mcml incident` as a person types it, on a terminal and in a pipe; and that every command of the runbooks exists."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from mcml.cli.main import app
from mcml.core import exits
from mcml.core.paths import shipped
from mcml.incident.runbooks import parse, steps_for
from mcml.store.journal import Query
from mcml.testing.cli import run
from tests.cli.incidents import opened, project, typed
from tests.incident.made import incident

ADA, BOB = {"MCML_ACTOR": "ada"}, {"MCML_ACTOR": "bob"}


def test_the_word_alone_says_what_is_on_fire(tmp_path: Path) -> None:
    project(tmp_path)
    piped = run(["incident"], cwd=tmp_path)
    assert (piped.code, piped.err) == (0, "")
    lines = piped.out.splitlines()
    assert lines[0] == "CRITICAL\tINC-1  fraud@eu-2 is down"
    assert lines[-1] == "next: mcml incident ack INC-1"
    seen = run(["incident"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"})
    assert seen.out.splitlines()[0] == "CRITICAL  INC-1  fraud@eu-2 is down"
    assert "deployed fraud version 2 to eu-2 (changed" in seen.out
    items = json.loads(typed(["incident", "-o", "json"], cwd=tmp_path).out)["items"]
    assert [(item["name"], item["changed_before"]) for item in items] == [("INC-1", "deployed fraud version 2 to eu-2")]


def test_nothing_on_fire(tmp_path: Path) -> None:
    result = typed(["incident"], cwd=project(tmp_path, burning=False))
    assert (result.code, result.out) == (0, "ok\tnothing is on fire\n")


def test_its_help_is_the_groups(tmp_path: Path) -> None:
    assert "Usage: mcml incident [OPTIONS] COMMAND" in typed(["incident", "--help"], cwd=tmp_path).out
    assert "Did you mean 'list'?" in typed(["incident", "lst"], cwd=tmp_path).err


def test_the_list_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    project(tmp_path)
    name, severity, state, title, at, who = typed(["incident", "list"], cwd=tmp_path).out.rstrip("\n").split("\t")
    assert (name, severity, state, title, who) == ("INC-1", "critical", "open", "fraud@eu-2 is down", "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at)
    seen = run(["incident", "list"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out.splitlines()
    assert seen[0].split() == ["Incident", "Severity", "State", "What", "Opened", "Who", "has", "it"]
    assert seen[1].split()[:3] == ["INC-1", "critical", "open"]
    assert typed(["incident", "list", "--state", "acked"], cwd=tmp_path).out == ""
    assert typed(["incident", "list", "-o", "name"], cwd=tmp_path).out == "INC-1\n"


def test_from_ack_to_resolve(tmp_path: Path) -> None:
    project(tmp_path)
    acked = typed(["incident", "ack", "INC-1"], cwd=tmp_path, env=ADA)
    assert acked.out == "acked\tINC-1 fraud@eu-2 is down: ada has it\nnext: mcml incident show INC-1\n"
    refused = typed(["incident", "ack", "1"], cwd=tmp_path, env=BOB)
    assert (refused.code, refused.out) == (exits.FAILED, "")
    assert "error: INC-1 is acknowledged by ada" in refused.err
    assert "next: mcml incident ack INC-1 --take-over" in refused.err
    assert typed(["incident", "ack", "1", "--take-over"], cwd=tmp_path, env=BOB).code == 0
    assert typed(["incident", "note", "1", "disk full"], cwd=tmp_path, env=BOB).code == 0
    resolved = json.loads(typed(["incident", "resolve", "inc-1", "--note", "cleaned", "-o", "json"], cwd=tmp_path, env=BOB).out)["items"][0]
    assert (resolved["state"], resolved["resolved_by"], resolved["next"]) == ("resolved", "bob", "mcml postmortem draft INC-1")
    assert typed(["incident", "resolve", "1"], cwd=tmp_path).code == exits.FAILED
    with opened(tmp_path) as store:
        told = [(entry.kind, entry.actor) for entry in store.entries(Query(kinds=("incident.",)))]
    assert told == [
        ("incident.opened", "mcml"), ("incident.acked", "ada"), ("incident.acked", "bob"), ("incident.noted", "bob"),
        ("incident.resolved", "bob"),
    ]  # fmt: skip


def test_show_has_the_story_and_the_runbook(tmp_path: Path) -> None:
    project(tmp_path)
    seen = run(["incident", "show", "1"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out
    assert "fraud@eu-2 is down: connection refused" in seen
    assert "<-- changed" in seen
    assert "mcml deploy model fraud --target eu-2" in seen
    item = json.loads(typed(["incident", "show", "1", "-o", "json"], cwd=tmp_path).out)["items"][0]
    assert [moment["kind"] for moment in item["moments"]] == ["deploy.finished", "route.backend_down", "incident.opened"]
    assert item["runbook"] == str(shipped("runbooks") / "backend-down.md")


@pytest.mark.parametrize(
    ("arguments", "code", "next_step"),
    [
        (["show", "INC-7"], exits.NOT_FOUND, "mcml incident list --all"),
        (["ack", "seven"], exits.USAGE, "mcml incident list --all"),
        (["note", "1", " "], exits.USAGE, "mcml incident note INC-1"),
    ],
)
def test_mistakes_say_what_to_try(arguments: list[str], code: int, next_step: str, tmp_path: Path) -> None:
    result = typed(["incident", *arguments], cwd=project(tmp_path))
    assert (result.code, result.out) == (code, "")
    assert f"next: {next_step}" in result.err


@pytest.mark.parametrize("path", sorted(shipped("runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_every_command_of_a_shipped_runbook_can_be_typed(path: Path) -> None:
    body = steps_for(parse(path.read_text(), str(path)), incident())
    commands = re.findall(r"^\s+(mcml .*)$", body, re.MULTILINE)
    assert len(commands) >= 5
    for line in commands:
        understood(shlex.split(line)[1:])


def understood(arguments: list[str]) -> None:
    """Parse a command line as far as its last word without running it; a wrong word or option raises."""
    command = get_command(app)
    context = command.make_context("mcml", list(arguments))
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        context = found.make_context(name, rest, parent=context)
        command = found
