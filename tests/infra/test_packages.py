"""What init downloads is kept once for all units: two at once, a kill in the middle, a cache of the user's own, packages that differ."""

import json
import os
import re
import signal
import zipfile
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.infra.packages import FOLDER, LOCK, MARK, checksum, names_a_cache
from mcml.infra.units.units import Unit
from tests.infra.rig import Project
from tests.infra.test_baddays import begin, mcml, until, write
from tests.infra.test_fleet import own
from tests.terraform.stub_provider import mirror
from tests.terraform.test_stub_provider import SCHEMA

NEEDS = 'terraform {\n  required_providers {\n    acme = { source = "hashicorp/acme" }\n  }\n}\nprovider "acme" {}\n'
MADE = 'resource "acme_cluster" "one" {\n  name = "one"\n}\n'
ROOT = NEEDS + MADE
WHERE = Path("registry.terraform.io/hashicorp/acme/1.0.0") / mirror.PLATFORM


def packed(tmp_path: Path, megabytes: int = 0) -> dict[str, str]:
    """A mirror whose package Terraform has to unpack, as it does what it downloads; the environment that takes it from there."""
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    mirror.install(tmp_path / "plain", "hashicorp/acme", "1.0.0", tmp_path / "schema.json")
    program = next((tmp_path / "plain").rglob("terraform-provider-acme*"))
    place = tmp_path / "packed" / "registry.terraform.io" / "hashicorp" / "acme"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / f"terraform-provider-acme_1.0.0_{mirror.PLATFORM}.zip", "w") as made:
        made.write(program, program.name)
        for number in range(megabytes):
            made.writestr(f"weight{number}", os.urandom(1 << 20))
    return {**os.environ, **mirror.environment(tmp_path / "packed", tmp_path)}


def packages(project: Project) -> Path:
    return project.folders.infra / FOLDER


def link(project: Project, name: str) -> Path:
    """Where Terraform finds the package for one unit."""
    return project.folders.infra / "own" / name / ".terraform" / "providers" / WHERE


def check_one_whole_package(project: Project, *units: str) -> None:
    """There is one package, every unit has it, and it is the one that Terraform has checked."""
    (kept,) = packages(project).glob("*/*/*/*/*" + mirror.PLATFORM)
    assert kept == packages(project) / WHERE
    assert {link(project, name).resolve() for name in units} == {kept.resolve()}
    mark = kept.with_name(kept.name + MARK).read_text()
    assert mark == checksum(kept)
    for name in units:
        locked = (project.folder / "roots" / name / ".terraform.lock.hcl").read_text()
        assert re.findall(r'"(h1:\S+)"', locked) == [mark], "reckoned as Terraform does"
    assert [path.name for path in packages(project).glob(".*")] == [LOCK], "nothing half-done is left"


@pytest.mark.slow
def test_two_units_share_one_package_and_plan_with_it(project: Project, tmp_path: Path) -> None:
    project.environ = packed(tmp_path)
    write(project, a=ROOT, b=ROOT)
    code, out, err = mcml(project, "apply", "--yes")
    assert code == 0, err
    check_one_whole_package(project, "a", "b")
    packages(project).joinpath(WHERE).rename(tmp_path / "lost")
    code, out, err = mcml(project, "plan", "--detailed-exitcode")
    assert code == 0, f"what is lost is prepared again: {out}{err}"
    check_one_whole_package(project, "a", "b")


@pytest.mark.slow
def test_two_processes_at_once(project: Project, tmp_path: Path) -> None:
    project.environ = packed(tmp_path, megabytes=40)
    write(project, a=ROOT, b=ROOT, c=ROOT)
    running = [begin(project, "init", name) for name in "abc"]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    check_one_whole_package(project, "a", "b", "c")
    assert mcml(project, "plan")[0] == 0


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_no_broken_package(project: Project, tmp_path: Path) -> None:
    project.environ = packed(tmp_path, megabytes=300)
    write(project, a=ROOT, b=ROOT)
    process = begin(project, "init", "a")
    try:
        until(lambda: len(list(packages(project).rglob("weight*"))) > 5)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert not (packages(project) / WHERE).exists()
    finally:
        process.kill()
    for name in "ba":
        code, _, err = mcml(project, "init", name)
        assert code == 0, err
    check_one_whole_package(project, "a", "b")


def test_shipped_roots_take_what_is_there_without_asking_the_mirror_again(project: Project, tmp_path: Path) -> None:
    project.environ, project.modules = packed(tmp_path), tmp_path / "modules"
    units = [Unit(name, "dev", module=f"root/{name}") for name in ("x", "y")]
    for unit in units:
        (project.modules / unit.module).mkdir(parents=True)
        (project.modules / unit.module / "main.tf").write_text(NEEDS)
    with project.fleet(*units) as fleet:
        assert fleet.only(["x"]).init().failed == {}
        next((tmp_path / "packed").rglob("*.zip")).write_bytes(b"no longer a package")
        assert fleet.only(["y"]).init().failed == {}
    where = [project.folders.data(unit) / "providers" / WHERE for unit in units]
    assert {found.resolve() for found in where} == {packages(project).resolve() / WHERE}


@pytest.mark.slow
def test_a_cache_of_the_users_own_is_the_one(project: Project, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    project.environ = packed(tmp_path) | {"TF_PLUGIN_CACHE_DIR": str(theirs)}
    write(project, a=ROOT, b=ROOT)
    assert mcml(project, "init")[0] == 0
    assert {link(project, name).resolve() for name in "ab"} == {theirs / WHERE}
    assert [path.name for path in packages(project).iterdir()] == [LOCK]


def test_a_package_that_is_not_the_one_of_the_lock_file_is_not_given_to_it(project: Project, tmp_path: Path) -> None:
    """Terraform would write its own into it, under the feet of whoever runs it."""
    project.environ = packed(tmp_path)
    first, second = own(project, "first", ROOT), own(project, "second", ROOT)
    with project.fleet(first, second) as fleet:
        assert fleet.only(["first"]).init().failed == {}
        kept = packages(project) / WHERE
        (kept / "more").write_text("not in the package of the mirror")
        kept.with_name(kept.name + MARK).write_text(checksum(kept))
        before = sorted(path.name for path in kept.iterdir())
        lock_file = project.folder / "first" / ".terraform.lock.hcl"
        (Path(second.module) / ".terraform.lock.hcl").write_text((Path(first.module) / lock_file.name).read_text())
        assert fleet.only(["second"]).init().failed == {}
    assert sorted(path.name for path in kept.iterdir()) == before
    private = link(project, "second")
    assert private.is_dir()
    assert not private.is_symlink()
    assert [path.name for path in private.iterdir()] == ["terraform-provider-acme_v1.0.0"]


def test_what_failed_is_not_kept(project: Project, tmp_path: Path) -> None:
    project.environ = packed(tmp_path)
    broken = own(project, "broken", ROOT.replace("hashicorp/acme", "hashicorp/nobody"))
    with project.fleet(broken) as fleet:
        (error,) = fleet.init().failed.values()
    assert isinstance(error, McmlError)
    assert [path.name for path in packages(project).iterdir()] == [LOCK]


@pytest.mark.parametrize(
    ("variable", "config", "named"),
    [("", "", False), ("/cache", "", True), ("", 'plugin_cache_dir = "$HOME/x"\n', True), ("", '# plugin_cache_dir = "x"\n', False)],
)
def test_whether_the_user_has_named_a_cache(tmp_path: Path, variable: str, config: str, named: bool) -> None:
    environ = {"HOME": str(tmp_path), "TF_PLUGIN_CACHE_DIR": variable}
    assert names_a_cache(environ) is bool(variable)
    (tmp_path / ".terraformrc").write_text(config)
    assert names_a_cache(environ) is named
    (tmp_path / "other").write_text(config)
    assert names_a_cache({"HOME": "/nowhere", "TF_CLI_CONFIG_FILE": str(tmp_path / "other")}) is bool(config.startswith("plugin"))
