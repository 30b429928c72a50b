"""Targets: leases, the commands that Terraform runs, and kill -9 at every file they touch."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import InvalidRequest, McmlError, QuotaExceeded
from mcml.core.process import reference
from mcml.providers.local import target as target_module
from mcml.providers.local.layout import read_resources
from mcml.providers.local.target import create_target, destroy_target, list_targets, read_target
from mcml.providers.local.variant import Run, variant_folder, write_run

KILL_AT = """
import os, signal, sys
from pathlib import Path
from mcml.providers.local.target import create_target
root, nth, region = sys.argv[1], int(sys.argv[2]), sys.argv[3]
seen = 0
def watch(event, arguments):
    global seen
    if event in ("open", "os.mkdir", "os.rename", "os.chmod") and str(arguments[0]).startswith(root):
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
create_target(Path(root), "eu-1", region, 2)
"""


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    verb, *rest = words
    argv = [sys.executable, "-m", "mcml.providers.local.target", verb, "--root", str(root), *rest]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_create_and_destroy_as_terraform_does(root: Path) -> None:
    create = ("create", "--name", "eu-1", "--region", "eu-west-1", "--ports", "3", "--tag", "env=dev", "--tag", "note=a=b")
    done = run(root, *create)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    made = read_target(root, "eu-1")
    assert made is not None
    assert (made.region, len(set(made.ports)), made.tags) == ("eu-west-1", 3, {"env": "dev", "note": "a=b"})
    assert all(20_000 <= port < 32_768 for port in made.ports)

    assert run(root, *create).returncode == 0
    assert read_target(root, "eu-1") == made

    assert run(root, "destroy", "--name", "eu-1").returncode == 0
    assert read_target(root, "eu-1") is None
    assert run(root, "destroy", "--name", "eu-1").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--name", "../x"), "no name for a target"),
        (("create", "--name", "a", "--tag", "novalue"), "is no tag"),
        (("create", "--name", "a", "--tag", "=v"), "is no tag"),
        (("create", "--name", "a", "--ports", "0"), "cannot lease 0 ports"),
        (("destroy", "--name", ""), "no name for a target"),
    ],
)
def test_a_wrong_request_is_told_in_words(root: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, *rest = words
    assert target_module.main([verb, "--root", str(root), *rest]) == 1
    assert said in capsys.readouterr().err
    assert list_targets(root) == []


def test_leases_never_overlap_and_are_kept(root: Path) -> None:
    first = create_target(root, "a", "eu", 4)
    second = create_target(root, "b", "us", 4)
    assert set(first.ports).isdisjoint(second.ports)
    more = create_target(root, "a", "eu-2", 6, {"env": "prod"})
    assert (more.ports[:4], len(set(more.ports)), more.region, more.created) == (first.ports, 6, "eu-2", first.created)
    assert set(more.ports).isdisjoint(second.ports)
    assert list_targets(root) == [more, second]
    assert create_target(root, "a", "eu-2", 2).ports == first.ports[:2]


def test_a_port_in_use_is_not_leased(root: Path) -> None:
    (probe,) = create_target(root, "a", "eu", 1).ports
    destroy_target(root, "a")
    with socket.create_server(("127.0.0.1", probe)):
        assert probe not in create_target(root, "a", "eu", 1).ports


def test_no_port_left_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_module, "LAST_PORT", target_module.FIRST_PORT + 2)
    create_target(root, "a", "eu", 2)
    with pytest.raises(QuotaExceeded, match="cannot lease 2"):
        create_target(root, "b", "eu", 2)
    with pytest.raises(InvalidRequest, match="cannot lease 1025"):
        create_target(root, "b", "eu", 1025)
    assert [target.name for target in list_targets(root)] == ["a"]


def test_targets_made_at_once_share_no_port(root: Path) -> None:
    argv = [sys.executable, "-m", "mcml.providers.local.target", "create", "--root", str(root), "--ports", "3", "--name"]
    children = [subprocess.Popen([*argv, f"t{number}"]) for number in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    ports = [port for target in list_targets(root) for port in target.ports]
    assert len(ports) == len(set(ports)) == 12


def test_killed_at_any_moment_it_is_whole_or_not_there(root: Path) -> None:
    whole = None
    for nth in range(1, 40):
        child = subprocess.run([sys.executable, "-c", KILL_AT, str(root), str(nth), "eu"], capture_output=True, timeout=60)
        found = read_target(root, "eu-1")
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, child.stderr
        assert found is None or (found.region, len(found.ports)) == ("eu", 2)
        whole = whole or found
    else:
        pytest.fail("it never got to its end")
    assert nth > 5
    assert found is not None
    assert whole in (None, found)
    assert [path.name for path in (root / "targets").iterdir()] == ["eu-1"]


def test_a_folder_without_its_files_is_made_again(root: Path) -> None:
    made = create_target(root, "eu-1", "eu", 2)
    (root / "targets/eu-1/target.json").unlink()
    assert read_target(root, "eu-1") is None
    assert len(create_target(root, "eu-1", "eu", 2).ports) == len(made.ports)
    assert [found.id for found in read_resources(root, "target")] == ["eu-1"]


def test_a_broken_file_is_named_with_the_way_out(root: Path) -> None:
    create_target(root, "eu-1", "eu", 2)
    (root / "targets/eu-1/target.json").write_text('{"ports": ["x"]}')
    with pytest.raises(McmlError, match="eu-1") as broken:
        read_target(root, "eu-1")
    assert "mcml infra apply" in broken.value.next_step


def test_destroy_refuses_while_a_model_runs_there(root: Path) -> None:
    create_target(root, "eu-1", "eu", 2)
    usage = root / "usage/eu-1/fraud/1/run.jsonl"
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(usage)])
    try:
        made = reference(sleeper.pid)
        assert made is not None
        folder = variant_folder(root, "eu-1", "fraud", "1")
        write_run(Run(folder, "1", "d", 20_000, usage, utc_now(), (), made, confirmed=True))
        refused = run(root, "destroy", "--name", "eu-1")
        assert refused.returncode == 1
        assert "mcml deploy delete fraud --target eu-1" in refused.stderr
        assert read_target(root, "eu-1") is not None
    finally:
        sleeper.kill()
        sleeper.wait()
    assert run(root, "destroy", "--name", "eu-1").returncode == 0
    assert read_target(root, "eu-1") is None
    assert not (root / "endpoints/eu-1").exists()


def test_what_is_written_is_json_that_others_can_read(root: Path) -> None:
    made = create_target(root, "eu-1", "eu", 2, {"env": "dev"})
    lease = json.loads((root / "targets/eu-1/target.json").read_text())
    assert lease == {"ports": list(made.ports)}
