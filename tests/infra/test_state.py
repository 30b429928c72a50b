"""Reading Terraform's state: what is applied, what is half-made, and who holds the lock."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import McmlError
from mcml.infra.states.state import Lock, read_outputs, read_state
from mcml.infra.units.units import Folders, Unit

HOLD = """import fcntl, sys
with open(sys.argv[1], "r+b") as state:
    fcntl.lockf(state, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""
UNIT = Unit("local", "dev", ("eu",), healed_by="terraform_data.target")


def write(state: Path, document: Any) -> Path:
    path = Folders(state).tfstate(UNIT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def document(folder: Path, **more: Any) -> dict[str, Any]:
    eu = {"provider": "local", "region": "eu-1", "folder": str(folder), "ports": [1, 2], "tags": {"project": "acme"}}
    instances = [{"index_key": "eu"}, {"index_key": "us", "status": "tainted"}]
    resources = [{"mode": "managed", "type": "terraform_data", "name": "target", "instances": instances}]
    secret = {"value": "hunter2", "sensitive": True}
    return {"version": 4, "outputs": {"targets": {"value": {"eu": eu, "us": None}}, "key": secret}, "resources": resources} | more


def test_before_the_first_apply(tmp_path: Path) -> None:
    assert read_outputs(UNIT, Folders(tmp_path)) == {}
    assert read_state(UNIT, Folders(tmp_path)).made == {}


def test_what_is_applied(tmp_path: Path) -> None:
    write(tmp_path, document(tmp_path))
    found = read_outputs(UNIT, Folders(tmp_path))
    assert list(found) == ["eu"]
    eu = found["eu"]
    assert (eu.provider, eu.region, eu.folder, eu.ports, eu.tags) == ("local", "eu-1", str(tmp_path), (1, 2), {"project": "acme"})


def test_a_target_whose_folder_is_gone_is_not_applied(tmp_path: Path) -> None:
    write(tmp_path, document(tmp_path / "gone"))
    assert read_outputs(UNIT, Folders(tmp_path)) == {}


def test_the_state_tells_whole_from_half_made_and_keeps_secrets(tmp_path: Path) -> None:
    write(tmp_path, document(tmp_path))
    state = read_state(UNIT, Folders(tmp_path))
    assert state.made == {"eu": True, "us": False}
    assert state.sensitive == ("key",)
    assert "hunter2" not in repr(state)


@pytest.mark.parametrize("text", ["{", '{"version": 3}', "[]", "7"])
def test_a_broken_state_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(McmlError) as broken:
        read_outputs(UNIT, Folders(tmp_path))
    assert str(path) in broken.value.message
    assert "backup" in broken.value.next_step


def test_a_lock_counts_while_somebody_holds_it(tmp_path: Path) -> None:
    path = write(tmp_path, document(tmp_path))
    note = {"Who": "ann@build-7", "Operation": "OperationTypeApply", "Created": "2026-11-21T21:57:12Z"}
    path.with_name(f".{path.name}.lock.info").write_text(json.dumps(note))
    assert read_state(UNIT, Folders(tmp_path)).lock is None, "a note that a killed Terraform left behind"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert read_state(UNIT, Folders(tmp_path)).lock == Lock("ann@build-7", "apply", "2026-11-21T21:57:12Z")
        holder.stdin.close()
    assert read_state(UNIT, Folders(tmp_path)).lock is None
