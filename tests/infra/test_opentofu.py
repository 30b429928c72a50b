"""OpenTofu through the same road: a program named tofu that says it is OpenTofu, writes down what it is asked, and lets Terraform do it.

What it is asked is held against the options that OpenTofu documents: https://opentofu.org/docs/cli/commands/ (1.10), by command.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mcml.infra.terraform.binary import find_binary
from tests.infra import stores
from tests.infra.rig import Project
from tests.infra.stores import Stores
from tests.infra.test_baddays import FINE, mcml, write
from tests.infra.test_fleet import own

ANSWER = {"terraform_version": "1.10.6", "platform": "linux_amd64", "provider_selections": {}}
"""What `tofu version -json` says: https://opentofu.org/docs/cli/commands/version/."""

PROGRAM = """#!{python}
import json, os, sys
asked = sys.argv[1:]
with open({seen!r}, "a") as seen:
    seen.write(json.dumps(asked) + "\\n")
if asked == ["version", "-json"]:
    print({answer!r})
    raise SystemExit
os.execv({real!r}, [{real!r}, *asked])
"""

OPTIONS = {
    "init": {"-json", "-input", "-reconfigure"},
    "plan": {"-json", "-input", "-var-file", "-out", "-lock", "-lock-timeout", "-destroy", "-refresh-only", "-replace"},
    "show": {"-json"},
    "apply": {"-json", "-input", "-lock-timeout"},
    "state pull": set(),
    "state push": {"-no-color", "-lock-timeout"},
    "taint": {"-no-color", "-allow-missing", "-lock-timeout"},
    "force-unlock": {"-no-color", "-force"},
    "version": {"-json"},
}
OUTPUT = 'output "greeting" {\n  value = "hello"\n}\n'


class Tofu:
    """The program, and what it was asked."""

    def __init__(self, folder: Path, real: str) -> None:
        folder.mkdir()
        self.program, self.seen = folder / "tofu", folder / "seen.jsonl"
        text = PROGRAM.format(python=sys.executable, seen=str(self.seen), answer=json.dumps(ANSWER), real=real)
        self.program.write_text(text)
        self.program.chmod(0o755)

    def asked(self) -> list[list[str]]:
        """Everything since the last time, without what is another in each run."""
        lines = self.seen.read_text().splitlines() if self.seen.exists() else []
        self.seen.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@pytest.fixture
def tofu(project: Project, tmp_path: Path) -> Tofu:
    real = shutil.which("terraform")
    if real is None:
        pytest.skip("no terraform on PATH that could do what tofu is asked")
    made = Tofu(tmp_path / "bin", real)
    project.binary = find_binary(str(made.program), project.folder, project.environ)
    made.asked()
    return made


def short(asked: list[str]) -> str:
    """One line, with file names for paths."""
    return " ".join(f"{name}={Path(value).name}" if value else Path(name).name for name, _, value in (one.partition("=") for one in asked))


def check_known(asked: list[list[str]]) -> None:
    """OpenTofu documents every option."""
    for one in asked:
        command = " ".join(one[:2]) if one[0] == "state" else one[0]
        given = {part.partition("=")[0] for part in one[1:] if part.startswith("-")}
        assert given <= OPTIONS[command], one


def typed(project: Project, tofu: Tofu, *args: str, code: int = 0) -> list[str]:
    ended, out, err = mcml(project, *args)
    assert ended == code, out + err
    asked = tofu.asked()
    check_known(asked)
    return [short(one) for one in asked]


VERSION, INIT, PULL, SHOW = "version -json", "init -json -input=false", "state pull", "show -json plan"
PLAN = "plan -json -input=false -var-file=plan.tfvars.json -out=plan"
APPLY = "apply -json -input=false -lock-timeout=10s plan"


@pytest.mark.slow
def test_what_each_verb_asks(project: Project, tofu: Tofu) -> None:
    write(project, a=FINE + OUTPUT)
    settings = project.folder / "mcml.toml"
    settings.write_text(settings.read_text().replace('name = "acme"', f'name = "acme"\n[infra]\nbinary = "{tofu.program}"'))
    assert typed(project, tofu, "plan") == [VERSION, INIT, f"{PLAN} -lock=false", SHOW]
    assert typed(project, tofu, "apply", "--yes") == [VERSION, f"{PLAN} -lock-timeout=10s", SHOW, APPLY]
    assert typed(project, tofu, "output") == [VERSION, PULL]
    assert typed(project, tofu, "status") == [VERSION, PULL]
    assert typed(project, tofu, "drift") == [VERSION, PULL, f"{PLAN} -refresh-only -lock=false", SHOW]
    assert typed(project, tofu, "unlock", "a") == [VERSION, "taint -no-color -allow-missing -lock-timeout=0s mcml.none"]
    changes = [asked for asked in typed(project, tofu, "destroy", "--yes") if asked != PULL]
    assert changes == [VERSION, f"{PLAN} -destroy -lock-timeout=10s", SHOW, APPLY]
    assert typed(project, tofu, "init") == [VERSION, INIT]
    write(project, a=FINE.replace('"x"', '"y"') + FINE)
    settings.write_text(settings.read_text().replace('name = "acme"', f'name = "acme"\n[infra]\nbinary = "{tofu.program}"'))
    identifier = "0b5dbb4c-6ed5-4a0a-8b8e-0d0f8a6a7c6f"
    asked = typed(project, tofu, "import", "a", "terraform_data.y", identifier, "--yes")
    assert asked[-3:] == [f"{PLAN} -lock-timeout=10s", SHOW, APPLY]


@pytest.mark.slow
def test_a_state_is_written_back_and_a_lock_is_broken(project: Project, tofu: Tofu, tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    with stores.running(tmp_path / "stores") as both:
        _in_a_store(project, tofu, tmp_path, both)


def _in_a_store(project: Project, tofu: Tofu, tmp_path: Path, both: Stores) -> None:
    (tmp_path / "more").mkdir()
    made = stores.project(tmp_path / "more")
    made.binary = project.binary
    backend = both.backend("s3")
    one = stores.unit(backend)
    stores.apply(made, one)
    assert [short(asked) for asked in tofu.asked()][:2] == ["init -json -input=false -reconfigure", INIT]
    state: dict[str, Any] = stores.pulled(made, one)
    with made.fleet(one) as fleet:
        fleet.at_desk(lambda desk: desk.restore(state, "1"))
    assert "state push -no-color -lock-timeout=10s push.tfstate" in [short(asked) for asked in tofu.asked()]
    lock = {"ID": "7c3a", "Operation": "OperationTypeApply", "Who": "ann@elsewhere", "Created": "2026-01-01T00:00:00Z", "Path": "x"}
    stores.s3(both.s3).put_object(Bucket=backend.bucket, Key=f"{backend.key('dev')}.tflock", Body=json.dumps(lock).encode())
    with made.fleet(one) as fleet:
        held = fleet.at_desk(lambda desk: desk.lock())
        assert held
        assert held.who == "ann@elsewhere"
        fleet.at_desk(lambda desk: desk.unlock(held))
    asked = tofu.asked()
    check_known(asked)
    assert "force-unlock -no-color -force 7c3a" in [short(one) for one in asked]


def test_what_is_gone_is_replaced_by_name(project: Project, tofu: Tofu) -> None:
    unit = own(project, "a", FINE)
    with project.fleet(unit) as fleet:
        assert fleet.apply(fleet.plan()).failed == {}
    tofu.asked()
    with project.desk() as desk:
        desk.apply(desk.plan())
        for target in ("eu",):
            shutil.rmtree(project.root / "targets" / target)
        desk.plan()
    asked = tofu.asked()
    check_known(asked)
    assert any(part.startswith("-replace=") for one in asked for part in one)
