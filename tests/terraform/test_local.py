"""The module `terraform/local`: what a reviewer would check by hand, run by the Terraform of this machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcml.core.paths import shipped
from mcml.infra.terraform.runner import environment
from tests.infra.rig import terraform
from tests.terraform import docs

MODULE = shipped("terraform") / "local"
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
GOOD = {"project": "acme", "environment": "dev", "root": "/nowhere", "targets": {"eu": {}}}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy: Terraform writes into the folder in which it runs."""
    return Path(shutil.copytree(MODULE, tmp_path / "local"))


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = environment(dict(os.environ) | OFFLINE, "default", Path(sys.executable).parent)
    argv = [*terraform().argv, *args]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def planned(folder: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    (folder / "case.tfvars.json").write_text(json.dumps(GOOD | variables))
    return run(folder, "plan", "-no-color", "-input=false", "-var-file=case.tfvars.json")


def test_it_is_formatted_and_the_check_can_fail(module: Path) -> None:
    assert run(module, "fmt", "-check", "-recursive").returncode == 0
    (module / "ugly.tf").write_text("locals {\nx=1\n}\n")
    assert run(module, "fmt", "-check", "-recursive").returncode == 3


def test_init_needs_no_network_and_writes_no_lock_file(module: Path) -> None:
    done = run(module, "init", "-input=false")
    assert done.returncode == 0, done.stderr
    assert not (module / ".terraform.lock.hcl").exists()
    assert not (module / ".terraform" / "providers").exists()


def test_it_is_valid_with_its_example_and_the_check_can_fail(module: Path) -> None:
    example = module / "examples" / "two-regions"
    assert run(example, "init", "-input=false").returncode == 0
    for folder in (module, example):
        assert json.loads(run(folder, "validate", "-json").stdout)["valid"] is True
    main = module / "main.tf"
    main.write_text(main.read_text().replace("root   = var.root", "root   = var.rooot", 1))
    refused = json.loads(run(module, "validate", "-json").stdout)
    assert refused["valid"] is False
    assert refused["diagnostics"][0]["summary"] == "Reference to undeclared input variable"


def test_its_own_tests_pass(module: Path, tmp_path: Path) -> None:
    done = run(module, "test", "-no-color", f"-var=root={tmp_path / 'root'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed, 0 failed" in done.stdout
    assert list((tmp_path / "root" / "targets").iterdir()) == [], "the tests destroy what they made"


def test_a_plan_from_the_defaults(module: Path) -> None:
    done = planned(module)
    assert done.returncode == 0, done.stderr
    assert "1 to add, 0 to change, 0 to destroy" in done.stdout


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"project": "Not A Name"}, "A project is lower-case letters"),
        ({"environment": "-dev"}, "An environment is lower-case letters"),
        ({"root": " "}, "The root must be named"),
        ({"targets": {"-x": {}}}, "The name of a target is lower-case"),
        ({"targets": {"eu": {"region": "--root=/"}}}, "A region is letters"),
        ({"targets": {"eu": {"ports": 0}}}, "A target leases 1 to 1024 ports"),
        ({"targets": {"eu": {"ports": 1.5}}}, "A target leases 1 to 1024 ports"),
        ({"targets": {"eu": {"tags": {"a=b": "c"}}}}, "The key of a tag"),
        ({"tags": {"": "x"}}, "The key of a tag"),
        ({"targets": {"eu": {"ports": "many"}}}, "a number is required"),
        ({"targets": None}, "may not be set to null"),
    ],
)
def test_a_wrong_variable_is_refused_before_anything_is_made(module: Path, variables: dict[str, Any], message: str) -> None:
    refused = planned(module, **variables)
    assert refused.returncode == 1
    assert message in " ".join(refused.stderr.replace("│", " ").split())


def test_the_readme_has_the_tables_of_today() -> None:
    assert (MODULE / "README.md").read_text() == docs.filled(MODULE), "run: python -m tests.terraform.docs"
