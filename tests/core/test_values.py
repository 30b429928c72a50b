"""The small values: a fact and its actor, a backend's name, where things lie, what a screen is made of, the silent reporter."""

import dataclasses
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.core import paths
from mcml.core.backend import Backend
from mcml.core.fact import Fact, current_actor
from mcml.core.report import Reporter, Silent
from mcml.core.sizes import counted, size_text
from mcml.core.view import Column, Document, Pairs, Section, Series, State, Status, Table, Text, Tree, listing


def test_a_fact_knows_when_and_who() -> None:
    fact = Fact("deploy.finished", "deploy")
    assert datetime.now(UTC) - fact.at < timedelta(seconds=5)
    assert fact.at.tzinfo is UTC
    assert (fact.actor, fact.target, fact.facts) == (current_actor(), "", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.kind = "other"  # type: ignore[misc]


def test_the_actor_is_named_or_user_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LOGNAME", "mira")
    assert current_actor() == f"mira@{socket.gethostname()}"
    monkeypatch.setenv("MCML_ACTOR", "ci/42")
    assert current_actor() == "ci/42"
    monkeypatch.setenv("MCML_ACTOR", "")
    assert current_actor() == f"mira@{socket.gethostname()}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the identity of a user without a name")
def test_the_actor_of_a_container_user_without_a_name() -> None:
    import subprocess
    import sys

    code = "from mcml.core.fact import current_actor; import os; os.setuid(54321); print(current_actor())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    assert said.stdout.strip() == f"54321@{socket.gethostname()}"


def test_a_backend_is_named_model_at_target() -> None:
    assert Backend("eu-1", "fraud", "127.0.0.1", 9000, "local", "eu").name == "fraud@eu-1"


def test_the_folders_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mcml.toml").mkdir()
    assert paths.find_project(tmp_path) is None, "a folder of that name is no configuration"
    (tmp_path / "mcml.toml").rmdir()
    (tmp_path / "mcml.toml").write_text("")
    assert paths.find_project(tmp_path / "not" / "there") == tmp_path
    assert paths.state_folder(tmp_path) == tmp_path / ".mcml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg")
    assert paths.user_config() == Path("/etc/xdg/mcml/config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", "/home/mira")
    assert paths.user_config() == Path("/home/mira/.config/mcml/config.toml")


@pytest.mark.parametrize("name", ["terraform", "runbooks", "policies", "completions"])
def test_what_ships_beside_the_package_is_found(name: str) -> None:
    assert paths.shipped(name).is_dir()


def test_what_does_not_ship_is_missing() -> None:
    with pytest.raises(FileNotFoundError, match="secrets is missing from this installation of mcml"):
        paths.shipped("secrets")


def test_a_listing_is_items_and_one_table_of_them() -> None:
    columns, rows = (Column("name", "Name"), Column("cost", "Cost", "money")), ({"name": "fraud", "cost": 1, "hidden": 2},)
    document = listing("model", columns, rows, name_key="name", empty="no model")
    assert document == Document("model", rows, (Table(columns, rows, empty="no model"),))
    assert (document.version, document.name_key, listing("x", (), ()).items) == (1, "name", ())


def test_a_document_is_a_value() -> None:
    def build() -> Document:
        blocks = (
            Section("Targets", (Tree("eu-1", (Tree("fraud", state=State("up")),)), Series("latency", (1.0, None), "ms"))),
            Pairs((("name", "fraud"),)),
            Text("$ mcml deploy", verbatim=True),
            Status(State("down", "bad"), "eu-1"),
        )
        return Document("status", ({"name": "fraud"},), blocks)

    assert build() == build()
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().kind = "other"  # type: ignore[misc]


def test_the_silent_reporter_takes_everything_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reporter: Reporter = Silent()
    reporter.start("eu-1", "starts")
    reporter.update("eu-1", "half")
    reporter.finish("eu-1", "done", ok=False)
    reporter.note("a sentence")
    assert capfd.readouterr() == ("", "")


def test_sizes_are_binary() -> None:
    assert [size_text(count) for count in (0, 12, 1536, 5 * 1024**6)] == ["0 B", "12 B", "1.5 KiB", "5120.0 PiB"]
    assert [counted(number, "item") for number in (0, 1, 1200)] == ["0 items", "1 item", "1,200 items"]
