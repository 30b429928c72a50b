"""What the tests of every cloud's modules share: a copy of a module that Terraform can run in, on stubs of its providers or on a mirror.

    CLOUD = Cloud("aws", {"hashicorp/aws": "5.100.0"})
    module = prepared(CLOUD, "network", tmp_path)
    module.run("validate"); module.run("plan", at=module.example)
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcml.core.paths import shipped
from mcml.infra.terraform.runner import environment
from tests.infra.rig import terraform
from tests.terraform.stub_provider import attached, mirror
from tests.terraform.stub_provider.provider import read

SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class Cloud:
    """A folder of modules, one a layer, and the providers that they use: `hashicorp/NAME` and the version whose schema we keep.

    `prefix` is what the names of its files in `schemas` begin with, where modules of several folders use one provider.
    """

    name: str
    providers: Mapping[str, str]
    prefix: str = ""
    schemas: Path = SCHEMAS

    @property
    def folder(self) -> Path:
        return shipped("terraform") / self.name

    @property
    def layers(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("*/versions.tf"))


@dataclass(frozen=True)
class Module:
    """A copy of a module, and the environment in which Terraform finds its providers and nothing else."""

    folder: Path
    environ: Mapping[str, str] = field(repr=False)

    @property
    def examples(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob("examples/*/main.tf"))

    @property
    def example(self) -> Path:
        return self.examples[0]

    def run(self, *args: str, at: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform in the module, or `at` one of its examples; `variables` go by the environment, so they are in no file."""
        env = {**self.environ, **{f"TF_VAR_{name}": value for name, value in variables.items()}}
        if args[0] == "init":
            env.pop("TF_REATTACH_PROVIDERS", None)
        argv = [*terraform().argv, *args]
        at = at or self.folder
        return subprocess.run(argv, cwd=at, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def init(self, at: Path | None = None) -> None:
        """Initialise it, without the network."""
        done = self.run("init", "-input=false", "-no-color", at=at)
        assert done.returncode == 0, done.stderr

    def complaints(self, at: Path | None = None) -> list[str]:
        """Validate it; return what Terraform says against it, a line each: severity, summary, detail."""
        said = json.loads(self.run("validate", "-json", at=at).stdout)["diagnostics"]
        return [" ".join(f"{one['severity']}: {one['summary']}: {one.get('detail', '')}".split()) for one in said]

    def edit(self, file: str, good: str, bad: str) -> None:
        """Replace the first `good` in one of its files, which must be there."""
        path = self.folder / file
        text = path.read_text()
        assert good in text, f"{file} has no {good!r}: nothing would be broken"
        path.write_text(text.replace(good, bad, 1))


def prepared(cloud: Cloud, layer: str, tmp_path: Path, *, real: Path | None = None, environ: Mapping[str, str] | None = None) -> Module:
    """Return a copy of a module, not initialised: with stubs of its providers, or with the `real` ones of a mirror."""
    return Module(copied(cloud.folder / layer, tmp_path / layer), {**surroundings(cloud, tmp_path, real), **(environ or {})})


def copied(folder: Path, to: Path) -> Path:
    """Copy a folder without what Terraform left in it."""
    return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")))


def surroundings(cloud: Cloud, tmp_path: Path, real: Path | None = None) -> dict[str, str]:
    """Return the environment in which Terraform finds a cloud's providers: the `real` ones of a mirror, or stubs.

    A stub serves `NAME.json` of its schemas with the answers of `NAME.more.json`, where there is one. `init` finds it in a mirror, so the
    versions that a module asks for are looked at; what comes after is served by this process.
    """
    providers = real or tmp_path / "mirror"
    served: dict[str, Any] = {}
    for source, version in {} if real else cloud.providers.items():
        name = cloud.prefix + source.rpartition("/")[2]
        more = cloud.schemas / f"{name}.more.json"
        stub = (source, cloud.schemas / f"{name}.json", more if more.exists() else None)
        mirror.install(providers, source, version, *stub[1:])
        served |= attached.reattach(*stub)
    env = environment(dict(os.environ), "default", Path(sys.executable).parent)
    told = {"TF_REATTACH_PROVIDERS": json.dumps(served)} if served else {}
    return {**env, **mirror.environment(providers, tmp_path), **told}


def kept_types(*names: str) -> dict[str, set[str]]:
    """Return the types in `schemas/NAME.json` by the schema's own word for their kind, as `subset.used` does for modules."""
    found: dict[str, set[str]] = {}
    for name in names:
        for kind, types in read(SCHEMAS / f"{name}.json").items():
            if kind.endswith("_schemas"):
                found.setdefault(kind, set()).update(types)
    return found


def check_its_life(module: Module, secrets: Sequence[str] = (), at: Path | None = None, **variables: str) -> dict[str, Any]:
    """Apply the first example (or `at`), plan again (nothing to do), look for secrets in the state, destroy; return the outputs by name."""
    at, quiet = at or module.example, ("-no-color", "-input=false")
    applied = module.run("apply", "-auto-approve", *quiet, at=at, **variables)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    outputs = json.loads(module.run("output", "-json", at=at).stdout)
    again = module.run("plan", "-detailed-exitcode", *quiet, at=at, **variables)
    assert again.returncode == 0, again.stdout + again.stderr
    state = (at / "terraform.tfstate").read_text()
    assert [secret for secret in secrets if secret in state] == []
    destroyed = module.run("destroy", "-auto-approve", *quiet, at=at, **variables)
    assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
    assert json.loads((at / "terraform.tfstate").read_text())["resources"] == []
    return {name: found["value"] for name, found in outputs.items()}


def check_the_format(cloud: Cloud, layer: str, tmp_path: Path) -> None:
    """Check that a cloud's files are formatted, and on a copy of a layer that `fmt` would say so if they were not."""
    module = prepared(cloud, layer, tmp_path)
    assert module.run("fmt", "-check", "-recursive", at=cloud.folder).returncode == 0
    module.edit("outputs.tf", "  description", " description")
    assert module.run("fmt", "-check", "-recursive").returncode == 3


def check_its_own_tests(module: Module) -> int:
    """Run its `.tftest.hcl` files; return how many runs passed, all of them."""
    done = module.run("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed, 0 failed\.", done.stdout)
    assert found, done.stdout
    return int(found[1])


def refusals(module: Module, **variables: Any) -> set[str]:
    """Plan the module itself with wrong variables; return the messages of its own validations."""
    (module.folder / "wrong.auto.tfvars.json").write_text(json.dumps(variables))
    told = [json.loads(line).get("diagnostic", {}) for line in module.run("plan", "-json", "-input=false").stdout.splitlines()]
    return {one["detail"].partition("\n\nThis was checked by")[0] for one in told if one.get("summary") == "Invalid value for variable"}


def promised(module: Module) -> set[str]:
    """Return the messages of all validations of a module's variables."""
    return set(re.findall(r'^    error_message = "(.*)"$', (module.folder / "variables.tf").read_text(), re.MULTILINE))
