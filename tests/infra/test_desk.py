"""Plan, apply, drift and destroy on a real Terraform."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, McmlError, NotFound, PartlyDone, StillRunning
from mcml.core.process import reference
from mcml.infra.accounts import Account, Scope
from mcml.infra.states.state import read_outputs, read_state
from mcml.infra.teardown import Wrecker
from mcml.providers.api.buckets import Buckets
from mcml.providers.local.target import create_target
from mcml.providers.local.variant import Run, variant_folder, write_run
from tests.infra.rig import Project, hooked, module_copy, waiting


def no_buckets() -> Buckets:
    raise AssertionError("no bucket is emptied here")


def test_the_whole_life_of_an_environment(project: Project) -> None:
    """Apply, an empty second plan, a removed folder seen by drift, healed by apply, and everything destroyed."""
    with project.desk() as desk:
        planned = desk.plan()
        assert [(step.action, step.target) for step in planned.plan.changes] == [("create", "eu"), ("create", "us")]
        assert project.existing() == set(), "a plan makes nothing"
        applied = desk.apply(planned)
    assert project.existing() == {"eu", "us"}
    outputs = read_outputs(project.unit, project.folders)
    assert {name: (target.provider, target.region, len(target.ports)) for name, target in outputs.items()} == {
        "eu": ("local", "eu-1", 2),
        "us": ("local", "us-1", 2),
    }
    assert outputs["eu"].folder == str(project.root / "targets" / "eu")
    assert outputs["eu"].tags == {"project": "acme", "environment": "dev", "managed-by": "terraform"}
    (fact,) = project.facts
    assert (fact.kind, fact.room, fact.target) == ("infra.applied", "infra", "")
    assert fact.facts["duration_s"] == round(applied.seconds, 3)
    assert {key: fact.facts[key] for key in ("environment", "digest", "create", "update", "delete", "targets", "complete")} == {
        "environment": "dev",
        "digest": planned.plan.digest,
        "create": 2,
        "update": 0,
        "delete": 0,
        "targets": ["eu", "us"],
        "complete": True,
    }
    told = project.reporter.told
    assert {("start", "eu", "creating"), ("finish", "eu", "created"), ("start", "us", "creating"), ("finish", "us", "created")} <= set(told)

    assert project.apply() == [], "a second plan is empty"
    with project.desk() as desk:
        assert desk.drift(project.inventory).drifted == ()
    assert len(project.facts) == 1, "what changes nothing is no fact"

    subprocess.run(["rm", "-r", str(project.root / "targets" / "us")], check=True)
    create_target(project.root, "stray", "x", 1)
    assert list(read_outputs(project.unit, project.folders)) == ["eu"]
    with project.desk() as desk:
        drift = desk.drift(project.inventory)
    assert [(one.kind, one.target) for one in drift.drifted] == [("missing", "us"), ("unmanaged", "stray")]
    assert project.facts[-1].kind == "infra.drift_found"
    assert project.facts[-1].facts["missing"] == ["us"]
    assert project.facts[-1].facts["unmanaged"] == ["stray"]

    assert project.apply() == ["replace us"]
    assert project.existing() == {"eu", "us", "stray"}
    assert project.apply() == []

    with project.fleet() as fleet:
        wrecker = Wrecker(fleet, Scope("acme", "dev"), lambda place: Account(place, project.inventory, no_buckets))
        with pytest.raises(NotFound, match="stary") as refused:
            wrecker.stray("stary")
        assert refused.value.why == "did you mean 'stray'?"
        wrecker.remove(*wrecker.stray("stray"))
    with project.desk() as desk:
        desk.apply(desk.plan(destroy=True))
    assert project.existing() == set()
    assert read_outputs(project.unit, project.folders) == {}
    assert [(fact.kind, fact.facts["delete"]) for fact in project.facts[-2:]] == [("infra.destroyed", 1), ("infra.destroyed", 2)]
    with project.desk() as desk:
        assert desk.plan(destroy=True).plan.changes == ()
    assert list(project.folders.runs(project.unit).iterdir()) == [], "no plan file is left"


def test_a_changed_configuration_is_a_plan_of_its_own(project: Project) -> None:
    project.apply()
    ports = {name: target.ports for name, target in read_outputs(project.unit, project.folders).items()}
    project.targets = {"eu": "eu-2", "ap": "ap-1"}
    with project.desk() as desk:
        planned = desk.plan()
        assert [(step.action, step.target, step.reason) for step in planned.plan.changes] == [
            ("delete", "us", "no longer in the configuration"),
            ("replace", "eu", "cannot be changed in place"),
            ("create", "ap", ""),
        ]
        assert planned.plan.changes[1].values["changed"] == {
            "input.region": ["eu-1", "eu-2"],
            "triggers_replace.region": ["eu-1", "eu-2"],
        }
        desk.apply(planned)
    outputs = read_outputs(project.unit, project.folders)
    assert {name: target.region for name, target in outputs.items()} == {"eu": "eu-2", "ap": "ap-1"}
    assert not set(outputs["ap"].ports) & set(outputs["eu"].ports)
    assert ports["eu"] != ports["us"]
    facts = project.facts[-1].facts
    assert (facts["create"], facts["delete"], facts["targets"]) == (2, 2, ["us", "eu", "ap"])


def test_a_target_edited_by_hand_is_drift_and_is_healed(project: Project) -> None:
    project.apply()
    about = project.root / "targets" / "eu" / "resource.json"
    about.write_text(about.read_text().replace("eu-1", "elsewhere"))
    with project.desk() as desk:
        (found,) = desk.drift(project.inventory).drifted
    assert (found.kind, found.target, found.detail) == ("changed", "eu", "region is 'elsewhere', not 'eu-1'")
    assert project.apply() == ["replace eu"]
    assert read_outputs(project.unit, project.folders)["eu"].region == "eu-1"


def test_a_project_can_be_moved_as_a_whole(project: Project) -> None:
    project.apply()
    project.folder = project.folder.rename(project.folder.with_name("moved"))
    with project.desk() as desk:
        assert desk.drift(project.inventory).drifted == ()
        desk.apply(desk.plan(destroy=True))
    assert project.existing() == set()


def test_two_environments_have_two_states(project: Project) -> None:
    project.apply()
    project.environment = "prod"
    assert read_outputs(project.unit, project.folders) == {}
    project.targets = {"prod-1": "eu-1"}
    assert project.apply() == ["create prod-1"]
    assert list(read_outputs(project.unit, project.folders)) == ["prod-1"]
    with project.desk() as desk:
        assert desk.drift(project.inventory).drifted == (), "the other environment's targets are not ours"
        desk.apply(desk.plan(destroy=True))
    assert project.existing() == {"eu", "us"}


def test_a_variable_that_is_refused_is_told_in_terraforms_words(project: Project) -> None:
    project.targets = {"eu": "not a region"}
    with project.desk() as desk, pytest.raises(McmlError, match="Invalid value for variable") as refused:
        desk.plan()
    assert "A region is letters, digits" in refused.value.why
    assert project.facts == []
    assert ("failed", "infra dev", "no plan") in project.reporter.told


@pytest.mark.parametrize(
    ("text", "summary", "why"),
    [
        ("resource {", "Unclosed configuration block", "no closing brace"),
        ('resource "terraform_data" "x" { wrong = 1 }', "Unsupported argument", 'An argument named "wrong" is not expected here'),
        ('output "x" { value = local.nothing }', "Reference to undeclared local value", 'A local value with the name "nothing"'),
        ('resource "aws_instance" "x" {}', "", ""),
    ],
)
def test_invalid_hcl_names_the_place(project: Project, tmp_path: Path, text: str, summary: str, why: str) -> None:
    project.modules = module_copy(tmp_path)
    (project.modules / "local" / "broken.tf").write_text(text)
    project.environ = dict(project.environ) | {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    with project.desk() as desk, pytest.raises(McmlError) as refused:
        desk.plan()
    if summary:
        assert refused.value.message.startswith(f"{summary} (broken.tf:1")
        assert why in refused.value.why
    else:  # a provider that cannot be downloaded
        assert "provider" in refused.value.message
    assert project.existing() == set()


def failing(folder: Path, name: str) -> dict[str, str]:
    """An environment in which one target cannot be created, told as our own programs tell it."""
    said = f"error: no room on {name}\nwhy: it is full\ntry: make room\n"
    return hooked(folder, name, f"sys.stderr.write({said!r}); sys.stderr.flush(); os._exit(1)")


def test_an_apply_that_fails_in_the_middle_says_what_is_done_and_goes_on(project: Project, tmp_path: Path) -> None:
    project.environ = failing(tmp_path / "failing", "us")
    with pytest.raises(PartlyDone) as failed:
        project.apply()
    assert failed.value.message == "applying dev is partly done: 1 of 2 changes done; half-done: us"
    assert failed.value.why == "no room on us\nit is full"
    assert failed.value.next_step == "make room\nmcml infra apply    # continues"
    assert project.existing() == {"eu"}
    assert ("failed", "us", "creating failed") in project.reporter.told
    facts = project.facts[-1].facts
    assert (facts["create"], facts["targets"], facts["complete"]) == (1, ["eu"], False)
    assert read_state(project.unit, project.folders).made == {"eu": True, "us": False}
    project.environ = dict(os.environ)
    with project.desk() as desk:
        planned = desk.plan()
        assert [(step.action, step.target, step.reason) for step in planned.plan.changes] == [
            ("replace", "us", "half-made by an earlier run")
        ]
        desk.apply(planned)
    assert sorted(read_outputs(project.unit, project.folders)) == ["eu", "us"]


def test_an_apply_that_does_nothing_but_fail(project: Project, tmp_path: Path) -> None:
    project.targets = {"us": "us-1"}
    project.environ = failing(tmp_path / "failing", "us")
    with pytest.raises(McmlError, match="no room on us") as failed:
        project.apply()
    assert not isinstance(failed.value, PartlyDone)
    assert failed.value.next_step == "make room"


def test_a_target_in_use_is_not_destroyed(project: Project) -> None:
    project.apply()
    folder = variant_folder(project.root, "eu", "fraud", "1")
    folder.mkdir(parents=True)
    usage = project.root / "usage.jsonl"
    argv = (sys.executable, "-c", "import time; time.sleep(60)", str(usage))
    with subprocess.Popen(argv) as serving:
        try:
            process = reference(serving.pid)
            write_run(Run(folder, "1", "d", 1, usage, datetime.now(UTC), argv, process, confirmed=True))
            with project.desk() as desk, pytest.raises(PartlyDone) as refused:
                desk.apply(desk.plan(destroy=True))
        finally:
            serving.kill()
    assert refused.value.message.startswith("destroying dev is partly done: 1 of 2 changes done")
    assert refused.value.why == "cannot destroy the local target 'eu'\nmodels run there: fraud"
    assert refused.value.next_step == "mcml deploy delete fraud --target eu\nmcml infra destroy    # continues"
    assert project.existing() == {"eu"}
    with project.desk() as desk:
        desk.apply(desk.plan(destroy=True))
    assert project.existing() == set()


def test_a_plan_older_than_the_state_is_refused(project: Project) -> None:
    with project.desk() as desk:
        planned = desk.plan()
        project.apply()
        with pytest.raises(Conflict, match="the plan is older than the state: applying dev was refused"):
            desk.apply(planned)


def wait_for_lock(project: Project) -> None:
    end = time.monotonic() + 20
    while read_state(project.unit, project.folders).lock is None:
        assert time.monotonic() < end, "nobody took the lock"
        time.sleep(0.02)


def test_a_second_apply_says_who_holds_the_lock(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.infra.desk.LOCK_SECONDS", 0)
    go = tmp_path / "go"
    project.environ = waiting(tmp_path / "slow", "us", go)
    with project.desk() as desk:
        planned = desk.plan()
        first = threading.Thread(target=desk.apply, args=(planned,))
        first.start()
        try:
            wait_for_lock(project)
            other = Project(project.folder, project.targets, project.binary)
            with pytest.raises(Conflict, match=r"is changing this environment \(apply\) since \d{4}-"):
                other.apply()
            with other.desk() as looking:
                assert looking.plan(lock=False).plan.changes, "looking needs no lock"
            lock = read_state(project.unit, project.folders).lock
            assert lock
            assert (lock.operation, "@" in lock.who) == ("apply", True)
        finally:
            go.touch()
            first.join()
    assert project.existing() == {"eu", "us"}


def test_the_time_out_stops_in_order(project: Project, tmp_path: Path) -> None:
    project.environ = waiting(tmp_path / "slow", "us", tmp_path / "never")
    with project.desk() as desk:
        planned = desk.plan()
        project.time_left = 3
        with pytest.raises(StillRunning) as stopped:
            desk.apply(planned)
    assert stopped.value.message == "applying dev was stopped: --timeout ran out"
    assert re.fullmatch(r'[01] of 2 changes done; half-done: (eu, )?us; the state is saved', stopped.value.why)
    assert project.facts[-1].facts["complete"] is False
    assert read_state(project.unit, project.folders).made["us"] is False


def test_the_environment_default_is_one_like_any_other(project: Project) -> None:
    project.environment = "default"
    assert project.apply() == ["create eu", "create us"]
    assert sorted(read_outputs(project.unit, project.folders)) == ["eu", "us"]


def test_a_folder_that_cannot_be_written_is_named(project: Project) -> None:
    project.state.mkdir()
    (project.state / "infra").write_text("in the way")
    with pytest.raises(McmlError, match="cannot write the working copy"), project.fleet():
        pass


def test_init_is_done_once_and_again_when_the_module_changes(project: Project, tmp_path: Path) -> None:
    project.modules = module_copy(tmp_path)
    marker = project.folders.work(project.unit) / ".terraform" / "mcml.json"
    with project.desk() as desk:
        desk.init()
        first = marker.stat().st_mtime_ns
        desk.plan()
        assert marker.stat().st_mtime_ns == first
        desk.init()
        assert marker.stat().st_mtime_ns != first
    (project.modules / "local" / "more.tf").write_text("# more")
    before = json.loads(marker.read_text())
    with project.desk() as desk:
        desk.plan()
    assert json.loads(marker.read_text())["sources"] != before["sources"]
