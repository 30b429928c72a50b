"""A security scan of all of `terraform/`: what checkov finds is repaired, or accepted in place with a reason.

It runs offline, from an environment of its own (its pins clash with ours; `checkov/requirements.in` says the version), on a copy of the
`.tf` files alone: no configuration elsewhere can switch a check off.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcml.core.paths import shipped
from tests.pinned_environment import CannotInstall, installed

PINS = Path(__file__).parent / "checkov" / "requirements.txt"
TERRAFORM = shipped("terraform")
ACCEPTED = re.compile(r"^ *# checkov:skip=(?P<check>CKV2?_[A-Z]+_\d+): (?P<reason>.+)$")
ANY_SCANNERS = re.compile(r"(checkov|bridgecrew|cortex|tfsec|trivy|terrascan|kics)\S*[:-](skip|ignore|scan)", re.IGNORECASE)


@dataclass(frozen=True)
class Acceptance:
    """A finding that is accepted: where the comment stands, which check it is, and why."""

    file: str
    line: int
    check: str
    reason: str


def sources() -> list[Path]:
    """Return all files of Terraform, but those that it fetched."""
    found = (path.relative_to(TERRAFORM) for path in TERRAFORM.rglob("*.tf"))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def acceptances() -> Iterator[Acceptance]:
    for path in sources():
        for number, line in enumerate((TERRAFORM / path).read_text().splitlines(), 1):
            if match := ACCEPTED.match(line):
                yield Acceptance(f"/{path}", number, match["check"], match["reason"])


def copied(to: Path) -> Path:
    for path in sources():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_bytes((TERRAFORM / path).read_bytes())
    return to


@pytest.fixture(scope="module")
def checkov() -> Path:
    try:
        return installed("checkov", PINS, wait=400) / "checkov"
    except CannotInstall as missing:
        pytest.skip(str(missing))


def scanned(checkov: Path, folder: Path) -> dict[str, Any]:
    """Return checkov's report on a folder; whatever it wanted from the network would fail."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "HOME": str(folder.parent)}
    argv = [str(checkov), "--directory", str(folder), "--framework", "terraform", "--skip-download", "--output", "json"]
    env = {"PATH": os.environ["PATH"], **nowhere}
    done = subprocess.run(argv, cwd=folder.parent, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.stderr
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    assert results["parsing_errors"] == []
    return results


def test_every_acceptance_has_a_reason() -> None:
    lines = [(path, line) for path in sources() for line in (TERRAFORM / path).read_text().splitlines() if ANY_SCANNERS.search(line)]
    assert [(str(path), line) for path, line in lines if not ACCEPTED.match(line)] == []
    assert [one for one in acceptances() if len(one.reason.split()) < 4] == []
    assert len(lines) == len(list(acceptances())) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_finds_nothing_but_what_is_accepted(checkov: Path, tmp_path: Path) -> None:
    found = scanned(checkov, copied(tmp_path / "terraform"))
    assert [f"{one['check_id']} {one['check_name']}: {one['resource']} in {one['file_path']}" for one in found["failed_checks"]] == []
    assert {(one["file_path"], one["check_id"]) for one in found["skipped_checks"]} == {(one.file, one.check) for one in acceptances()}


WORSE = {
    "aws/data/postgres.tf": ("publicly_accessible    = false", "publicly_accessible = true", "CKV_AWS_17"),
    "gcp/data/buckets.tf": ('public_access_prevention    = "enforced"', 'public_access_prevention = "inherited"', "CKV_GCP_114"),
    "azure/data/storage.tf": ("min_tls_version ", "min_tls_version_is ", "CKV_AZURE_44"),
}
"""What is made worse in a module of each cloud, and the check that says so."""
PLANTED = 'resource "aws_sns_topic" "planted" {\n  name = "not-encrypted"\n}\n'


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_finds_what_is_accepted_and_what_is_planted(checkov: Path, tmp_path: Path) -> None:
    """Without the comments it finds what they accept, so none is stale; and in every folder what is planted there, so it reads them all."""
    folder = copied(tmp_path / "terraform")
    for path in sources():
        bare = (folder / path).read_text().replace("checkov:skip=", "checkov:was=")
        good, bad, _ = WORSE.get(str(path), ("", "", ""))
        assert good in bare
        (folder / path).write_text(bare.replace(good, bad, 1))
        (folder / path).with_name("planted.tf").write_text(PLANTED)
    found, accepted = scanned(checkov, folder)["failed_checks"], list(acceptances())
    assert [one for one in accepted if not any(_accepts(one, other) for other in found)] == [], "these accept nothing: take them out"
    new = {(one["file_path"], one["check_id"]) for one in found if not any(_accepts(other, one) for other in accepted)}
    planted = {(f"/{path.with_name('planted.tf')}", "CKV_AWS_26") for path in sources()}
    assert new == planted | {(f"/{path}", check) for path, (_, _, check) in WORSE.items()}


def _accepts(one: Acceptance, found: dict[str, Any]) -> bool:
    first, last = found["file_line_range"]
    return (one.file, one.check) == (found["file_path"], found["check_id"]) and first <= one.line <= last


@pytest.mark.slow
def test_where_it_cannot_be_installed_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in unreachable.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CannotInstall, match=r"(?s)checkov cannot be installed: .*No matching distribution found"):
        installed("checkov", PINS, cache=tmp_path)
    with pytest.raises(CannotInstall, match="installing checkov failed a moment ago: "):
        installed("checkov", PINS, cache=tmp_path)
    assert list(tmp_path.rglob("installed")) == []
