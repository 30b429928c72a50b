"""`mcml doctor`: what is right passes, what is wrong fails with its fix, and the exit code says which."""

import json
import socket
from pathlib import Path
from typing import Any

from mcml.core import exits
from mcml.core.process import free_port
from mcml.testing.cli import Result, run

PROJECT = """
[targets.eu-1]
provider = "local"
[router]
port = {port}
[infra]
binary = "{binary}"
"""


def examined(folder: Path, *, port: int, binary: str = "") -> tuple[Result, dict[str, dict[str, Any]]]:
    (folder / "mcml.toml").write_text(PROJECT.format(port=port, binary=binary))
    result = run(["doctor", "-o", "json"], cwd=folder)
    return result, {item["name"]: item for item in json.loads(result.out)["items"]}


def test_a_sound_project_passes_every_check(tmp_path: Path) -> None:
    result, checks = examined(tmp_path, port=free_port())
    assert result.code == exits.DONE, result.out
    assert {"python", "envoy", "configuration", "terraform", "provider local", "store", "router port"} <= set(checks)
    assert all(check["ok"] for check in checks.values())
    assert set(checks["store"]) == {"name", "state", "ok", "detail", "fix"}


def test_a_taken_port_and_a_missing_binary_fail_with_their_fix(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        result, checks = examined(tmp_path, port=stranger.getsockname()[1], binary="no-such-terraform")
    assert result.code == exits.FAILED
    failed = {name: check["fix"] for name, check in checks.items() if not check["ok"]}
    assert set(failed) == {"terraform", "router port"}
    assert "set router.port in mcml.toml" in failed["router port"]
    assert "pip install 'mcml[terraform]'" in failed["terraform"]


def test_a_broken_journal_fails(tmp_path: Path) -> None:
    (tmp_path / ".mcml" / "mcml.db").parent.mkdir()
    (tmp_path / ".mcml" / "mcml.db").write_text("this is no database" * 100)
    result, checks = examined(tmp_path, port=free_port())
    assert result.code == exits.FAILED
    assert not checks["store"]["ok"]
    assert checks["store"]["fix"]


def test_a_wrong_configuration_is_a_failed_check_and_not_a_crash(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text("targts = 1\n")
    result = run(["doctor"], cwd=tmp_path)
    assert result.code == exits.FAILED
    assert "unknown key 'targts' (did you mean 'targets'?)" in result.out


def test_outside_a_project_it_says_what_it_did_not_look_at(tmp_path: Path) -> None:
    result = run(["doctor"], cwd=tmp_path, terminal=True, env={"NO_COLOR": "1"})
    assert result.code == exits.DONE
    assert "no mcml.toml here or above" in " ".join(result.out.split())
