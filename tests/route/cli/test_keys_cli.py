"""`mcml route keys` and `mcml route logs` as a person types them."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.core.clock import rfc3339, utc_now
from mcml.core.process import free_port
from mcml.route.front.keys import KeyDesk, Wanted
from mcml.store.db import Store
from mcml.testing.cli import Result, run
from tests.route.authority import Authority
from tests.route.rig import until

TOML = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu"
[models.fraud]
source = "models/fraud"
targets = ["eu-1"]
[routes.fraud]
[routes.spam]
model = "fraud"
[router]
keys = {keys}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text(TOML.format(keys="true"))
    return tmp_path


def keys(project: Path, *arguments: str) -> Result:
    return run(["route", "keys", *arguments], cwd=project)


def items(result: Result) -> list[dict[str, object]]:
    assert result.code == 0, result.err
    return list(json.loads(result.out)["items"])


def kinds(project: Path) -> list[str]:
    return [str(entry["kind"]) for entry in items(run(["journal", "list", "-o", "json"], cwd=project))]


def test_a_key_is_shown_once_and_kept_hashed(project: Path) -> None:
    made = items(keys(project, "add", "web-shop", "--model", "fraud", "--limit", "20/s", "--expires", "90d", "-o", "json"))[0]
    text = str(made["text"])
    assert re.fullmatch(r"mcml_[A-Za-z0-9_-]{43}", text)
    assert (made["models"], made["limit"]) == (["fraud"], {"requests": 20, "per_s": 1.0})
    listed = items(keys(project, "list", "-o", "json"))[0]
    assert (listed["name"], listed["state"], listed["hint"]) == ("web-shop", "valid", text[-4:])
    assert text not in keys(project, "list").out + run(["journal", "list", "-o", "json"], cwd=project).out
    holding = [path for path in project.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
    assert [path.name for path in holding] == ["keys.json"]
    assert holding[0].stat().st_mode & 0o777 == 0o600
    assert kinds(project) == ["route.key_added"]


def test_a_key_that_would_hold_for_no_time_or_too_long_is_not_made(project: Path) -> None:
    assert [keys(project, "add", "web", f"--expires={span}").code for span in ("0d", "99999999d")] == [2, 2]
    assert items(keys(project, "list", "--all", "-o", "json")) == []


def test_of_two_that_change_a_key_at_once_the_second_sees_what_the_first_did(project: Path) -> None:
    with Store(f"sqlite:///{project}/store.db") as store:

        def desk() -> KeyDesk:
            return KeyDesk(store, project / ".mcml" / "route", ("fraud",), actor="ann", now=utc_now())

        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(desk().add, Wanted("web", ("fraud",))) for _ in range(4)]
            assert sorted(type(one.exception()).__name__ for one in made) == ["Conflict"] * 3 + ["NoneType"]
            turned = [pool.submit(desk().rotate, "web", timedelta()) for _ in range(4)]
            assert [one.exception() for one in turned] == [None] * 4
        assert len(desk().require("web")) == 1
        desk().revoke("web")
        assert len(desk().every()) == 5
        assert not desk().here()


def test_the_text_alone_for_a_file(project: Path) -> None:
    assert re.fullmatch(r"mcml_\S{43}\n", keys(project, "add", "ci", "-o", "name").out)
    shown = keys(project, "add", "person").out
    assert "mcml_" in shown
    assert "not shown again" in shown


def test_a_rotation_and_a_revocation(project: Path) -> None:
    old = keys(project, "add", "web", "--model", "fraud", "-o", "name").out.strip()
    new = items(keys(project, "rotate", "web", "--overlap", "2h", "-o", "json"))[0]
    assert new["text"] != old
    assert new["models"] == ["fraud"]
    first, second = items(keys(project, "list", "-o", "json"))
    assert (first["state"], second["state"]) == ("valid", "valid")
    assert first["expires_at"] is not None
    assert second["expires_at"] is None
    assert len(items(keys(project, "revoke", "web", "--yes", "-o", "json"))) == 2
    assert items(keys(project, "list", "-o", "json")) == []
    assert [one["state"] for one in items(keys(project, "list", "--all", "-o", "json"))] == ["revoked", "revoked"]
    assert kinds(project) == ["route.key_added", "route.key_rotated", "route.key_revoked"]
    assert keys(project, "add", "web").code == 0  # the name is free again


def test_dry_runs_change_nothing(project: Path) -> None:
    assert "would add the key web for fraud" in keys(project, "add", "web", "--model", "fraud", "--dry-run").out
    keys(project, "add", "web")
    assert "would rotate the key web" in keys(project, "rotate", "web", "--dry-run").out
    assert "would revoke the key web" in keys(project, "revoke", "web", "--dry-run").out
    assert len(items(keys(project, "list", "-o", "json"))) == 1
    assert kinds(project) == ["route.key_added"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "Web Shop"], 2, "small letters"),
        (["add", "web", "--model", "frud"], 5, "did you mean 'fraud'?"),
        (["add", "web", "--limit", "many"], 2, "write 10/s, 600/m or 5/10s"),
        (["add", "web", "--limit", "10/2d"], 2, "not between 50ms and 1d"),
        (["add", "web", "--expires", "soon"], 2, "no span of time"),
        (["rotate", "web"], 5, "mcml route keys list"),
        (["revoke", "web", "--yes"], 5, "mcml route keys list"),
    ],
)
def test_what_cannot_be_done_says_what_can(project: Path, arguments: list[str], code: int, said: str) -> None:
    result = keys(project, *arguments)
    assert (result.code, said in result.err) == (code, True), result.err


def test_a_name_in_use_is_not_taken_twice(project: Path) -> None:
    keys(project, "add", "web")
    again = keys(project, "add", "web")
    assert again.code == 1
    assert "mcml route keys rotate web" in again.err


def test_where_nobody_is_asked_that_is_said(project: Path) -> None:
    (project / "mcml.toml").write_text(TOML.format(keys="false"))
    assert "keys = true under [router]" in keys(project, "add", "web").err


def test_a_key_of_another_machine_is_taken_in(project: Path) -> None:
    text = keys(project, "add", "far", "-o", "name").out
    (project / ".mcml" / "route" / "keys.json").unlink()
    listed = keys(project, "list")
    assert "not here" in listed.out
    assert "mcml route keys import" in listed.out

    def take_in(given: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "mcml", "route", "keys", "import"]
        return subprocess.run(argv, cwd=project, input=given, capture_output=True, text=True, check=False)

    assert take_in("mcml_somebody-elses\n").returncode == 5
    assert take_in("").returncode == 5
    assert take_in(text).returncode == 0
    assert items(keys(project, "list", "-o", "json"))[0]["state"] == "valid"


def entry(number: int, **about: object) -> str:
    who = {"at": rfc3339(utc_now()), "request_id": f"r{number}", "route": "fraud", "key": "web", "backend": "fraud@eu-1"}
    what = {"method": "POST", "path": "/v2/models/fraud/infer", "status": 200, "ms": 3, "attempts": 1, "details": "via_upstream"}
    return json.dumps({**who, **what, **about}) + "\n"


def test_the_access_log_is_shown(project: Path) -> None:
    assert run(["route", "logs"], cwd=project).code == 5
    folder = project / ".mcml" / "route"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "access.log").write_text(entry(1) + entry(2, status=503, key="other", details="no_healthy_upstream") + entry(3, route="spam"))
    shown = run(["route", "logs"], cwd=project).out
    assert "no_healthy_upstream" in shown
    assert "via_upstream" not in shown

    def found(*arguments: str) -> list[object]:
        return [one["request_id"] for one in items(run(["route", "logs", *arguments, "-o", "json"], cwd=project))]

    assert found() == ["r1", "r2", "r3"]
    assert found("--errors") == ["r2"]
    assert found("--key", "web") == ["r1", "r3"]
    assert found("spam") == ["r3"]
    assert found("-n", "1") == ["r3"]
    assert found("--since", "1h") == ["r1", "r2", "r3"]
    assert run(["route", "logs", "frud"], cwd=project).code == 5


def test_the_access_log_is_followed_by_a_running_router_only(project: Path) -> None:
    assert run(["route", "logs", "-f", "--timeout", "1"], cwd=project).code == 5


def test_what_has_an_end_only_is_not_followed(project: Path) -> None:
    assert run(["route", "logs", "-f", "-o", "yaml", "--timeout", "1"], cwd=project).code == 2


@contextmanager
def following(argv: list[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that goes on until Ctrl-C, which a suite in the background has ignored; nothing of it stays."""
    follower = subprocess.Popen(
        argv, cwd=folder, stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    try:
        yield follower
    finally:
        follower.kill()
        follower.communicate()


@pytest.mark.slow
def test_a_detached_router_over_tls_asks_for_the_keys_of_the_store(project: Path) -> None:
    """Everything by command, as a person does it: certificate beside mcml.toml, a key made while it serves, its rotation, its end."""
    authority = Authority(project / "tls")
    authority.issue("router")
    text = TOML.format(keys="true") + f'port = {free_port()}\n[router.tls]\ncertificate = "tls/router.pem"\nkey = "tls/router.key"\n'
    (project / "mcml.toml").write_text(text)
    url = str(items(run(["route", "serve", "--detach", "-o", "json"], cwd=project))[0]["url"])
    try:
        assert url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(authority.certificate))

        def status(key: str) -> int:
            request = urllib.request.Request(f"{url}/v2", headers={"authorization": f"Bearer {key}"})
            try:
                with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code

        assert status("mcml_guess") == 401
        old = keys(project, "add", "web", "-o", "name").out.strip()
        until(lambda: status(old) == 200, 20, "the new key is not taken")
        new = keys(project, "rotate", "web", "-o", "name").out.strip()
        until(lambda: status(new) == 200, 20, "the rotated key is not taken")
        assert status(old) == 200
        argv = [sys.executable, "-m", "mcml", "route", "logs", "-f", "-o", "json"]
        with following(argv, project) as follower:
            assert follower.stdout is not None
            os.set_blocking(follower.stdout.fileno(), False)
            read = follower.stdout.read
            seen: list[object] = []

            def keys_seen() -> bool:
                seen.extend(json.loads(line).get("key") for line in ((status(new) == 200 and read()) or b"").splitlines())
                return "web" in seen

            until(keys_seen, 30, "the log is not followed")
            follower.send_signal(signal.SIGINT)
            assert follower.wait(20) == 0
        assert keys(project, "revoke", "web", "--yes").code == 0
        until(lambda: status(new) == 401, 20, "the revoked key is still taken")
        logged = items(run(["route", "logs", "--errors", "-o", "json"], cwd=project))
        # for a moment the route refuses what the filter still knows
        assert {entry["status"] for entry in logged} <= {401, 403}
    finally:
        assert run(["route", "stop"], cwd=project).code == 0
