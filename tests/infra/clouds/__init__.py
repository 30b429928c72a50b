"""Plans of small clouds, good and bad: `python -m tests.infra.clouds` makes them anew with Terraform and the stub provider."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcml.infra.terraform.runner import environment
from tests.infra.rig import terraform
from tests.terraform.stub_provider import mirror

FOLDER = Path(__file__).parent
VERSIONS = {"aws": "5.100.0", "google": "6.50.0", "azurerm": "4.55.0"}
KINDS = ("good", "bad")
KEPT = ("format_version", "terraform_version", "complete", "errored", "variables", "resource_changes", "configuration")


def kept(provider: str, kind: str) -> dict[str, Any]:
    """Return the plan that is kept, as `terraform show -json` printed it, without what no test reads."""
    document: dict[str, Any] = json.loads((FOLDER / provider / f"{kind}.json").read_text())
    return document


def planned(provider: str, kind: str, folder: Path) -> dict[str, Any]:
    """Let Terraform plan one of the clouds, in a folder of its own."""
    module = folder / "module"
    others = [f"{other}.tf" for other in KINDS if other != kind]
    shutil.copytree(FOLDER / provider, module, ignore=shutil.ignore_patterns("*.json", *others))
    mirror.install(folder / "mirror", f"hashicorp/{provider}", VERSIONS[provider], FOLDER / provider / "schema.json")
    env = {**environment(dict(os.environ), "default", Path(sys.executable).parent), **mirror.environment(folder / "mirror", folder)}

    def run(*args: str) -> str:
        ended = subprocess.run([*terraform().argv, *args], cwd=module, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    run("init", "-input=false", "-no-color")
    run("plan", "-input=false", "-no-color", "-out=plan")
    document = json.loads(run("show", "-json", "plan"))
    return {key: document[key] for key in KEPT if key in document}
