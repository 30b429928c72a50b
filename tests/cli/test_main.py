"""The root command: help, version, mistakes, exit codes, and that only data reaches stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcml.cli.lazy import WORDS
from mcml.core import exits
from mcml.testing.cli import run


def test_help_lists_every_word_under_its_heading_after_the_examples(tmp_path: Path) -> None:
    result = run(["--help"], cwd=tmp_path)
    assert result.code == 0
    assert result.out.index("Examples:") < result.out.index("Usage:")
    for name, word in WORDS.items():
        assert f"\n  {name} " in result.out
        assert f"{word.heading}:" in result.out


@pytest.mark.parametrize("word", [word for word in WORDS if word != "help"])
def test_every_help_begins_with_examples(word: str, tmp_path: Path) -> None:
    result = run([word, "-h"], cwd=tmp_path)
    assert result.code == 0
    assert result.out.index("Examples:") < result.out.index(f"Usage: mcml {word}")


def test_no_word_shows_the_help_and_is_a_usage_error(tmp_path: Path) -> None:
    result = run([], cwd=tmp_path)
    assert result.code == exits.USAGE
    assert "Usage: mcml" in result.out


def test_version(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert run(["--version"], cwd=tmp_path).out == f"mcml {version('mcml')}\n"


@pytest.mark.parametrize(
    ("arguments", "said", "next_step"),
    [
        (["inra"], "Did you mean 'infra'?", "mcml --help"),
        (["deploy", "modl"], "Did you mean 'model'?", "mcml deploy --help"),
        (["plugins", "list", "--outptu", "json"], "--output", "mcml plugins list --help"),
        (["plugins", "list", "-o", "xml"], "'table', 'json', 'yaml', 'html', 'markdown', 'name'", "mcml plugins list --help"),
    ],
)
def test_a_mistake_names_the_nearest(arguments: list[str], said: str, next_step: str, tmp_path: Path) -> None:
    result = run(arguments, cwd=tmp_path)
    assert (result.code, result.out) == (exits.USAGE, "")
    assert said in result.err
    assert f"next: {next_step}" in result.err


def test_outside_a_project(tmp_path: Path) -> None:
    result = run(["config", "show"], cwd=tmp_path)
    assert result.code == exits.NOT_FOUND
    assert "no mcml.toml" in result.err
    assert "next: mcml init" in result.err


def test_exit_code_topic_is_the_table(tmp_path: Path) -> None:
    result = run(["help", "exit-codes", "-o", "json"], cwd=tmp_path)
    assert {item["code"]: item["meaning"] for item in json.loads(result.out)["items"]} == exits.MEANING


@pytest.mark.parametrize("topic", ["environment", "output"])
def test_other_topics(topic: str, tmp_path: Path) -> None:
    assert run(["help", topic], cwd=tmp_path).code == 0


def test_debug_shows_the_traceback_by_flag_and_by_variable(tmp_path: Path) -> None:
    assert "Traceback" not in run(["config", "show"], cwd=tmp_path).err
    assert "Traceback" in run(["config", "show", "--debug"], cwd=tmp_path).err
    assert "Traceback" in run(["config", "show"], cwd=tmp_path, env={"MCML_DEBUG": "1"}).err


def test_no_colour_and_ci_and_dumb_terminals(tmp_path: Path) -> None:
    assert "\x1b[" in run(["plugins", "list"], cwd=tmp_path, terminal=True, env={"NO_COLOR": ""}).out
    assert "\x1b[" not in run(["plugins", "list"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"}).out


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m mcml plugins list -o json | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "{\n", "")


def test_timeout_raises_still_running(tmp_path: Path) -> None:
    """A database that never answers: a listener that accepts and stays silent."""
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (tmp_path / "mcml.toml").write_text(f'[store]\nurl = "postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/db"\n')
        result = run(["journal", "list", "--timeout", "1.5"], cwd=tmp_path)
    assert result.code == exits.STILL_RUNNING, result.err
    assert "--timeout ran out" in result.err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (tmp_path / "mcml.toml").write_text(f'[store]\nurl = "postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/db"\n')
        child = subprocess.Popen(
            [sys.executable, "-m", "mcml", "journal", "list"], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background has it ignored
        )  # fmt: skip
        silent.settimeout(30)
        connection, _ = silent.accept()
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=30)
        connection.close()
    assert child.returncode == exits.INTERRUPTED
    assert "error: interrupted" in said


def test_a_page_shows_the_command_and_nothing_of_a_jobs_own() -> None:
    from mcml.cli.session import typed

    assert typed(["cost", "report", "--where", "team=a b"]) == "mcml cost report --where 'team=a b'"
    assert typed(["cost", "spot", "run", "x", "--", "train", "--api-key", "sk-1"]) == "mcml cost spot run x -- ..."
