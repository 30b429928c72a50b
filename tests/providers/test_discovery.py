"""Providers come in through entry points; one that is broken is named and hides no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcml.core import exits
from mcml.core.errors import NotFound
from mcml.providers import discovery

LIST = """
from mcml.core.errors import McmlError
from mcml.providers import discovery
for name, found in discovery.specs():
    print(name, "|", f"{found.message} | {found.why} | {found.next_step}" if isinstance(found, McmlError) else found.summary)
"""


def install(folder: Path, package: str, code: str, points: str) -> None:
    """Put a distribution with entry points into a folder, as pip would."""
    (folder / f"{package}.py").write_text(code)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[mcml.providers]\n{points}\n")


def listed(folder: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, timeout=60, env=environment, check=True)
    return dict(line.split(" | ", 1) for line in done.stdout.splitlines())


def test_the_built_in_providers_are_found_by_name() -> None:
    assert {"aws", "azure", "gcp", "local"} <= set(discovery.names())
    assert discovery.spec("local").name == "local"
    assert dict(discovery.specs())["local"] is discovery.spec("local")


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound) as unknown:
        discovery.spec("locale")
    assert unknown.value.message == "no provider named 'locale'"
    assert unknown.value.why == "did you mean 'local'?"
    assert unknown.value.next_step == "mcml plugins list"
    assert unknown.value.exit_code == exits.NOT_FOUND


def test_a_plugin_comes_in_by_the_same_door_as_the_built_in(tmp_path: Path) -> None:
    code = "from mcml.providers.api.spec import ProviderSpec\nspec = ProviderSpec('acme', 'Acme cloud', '', 'builtins:object')\n"
    install(tmp_path, "mcml_acme", code, "acme = mcml_acme:spec")
    found = listed(tmp_path)
    assert found["acme"] == "Acme cloud"
    assert {"acme", "aws", "azure", "gcp", "local"} <= set(found)


def test_a_broken_plugin_is_named_and_hides_no_other(tmp_path: Path) -> None:
    points = "\n".join(("raises = mcml_bad:spec", "nothing = mcml_bad:not_there", "gone = no_such_module:spec", "wrong = mcml_worse:spec"))
    install(tmp_path, "mcml_bad", "raise RuntimeError('half an update')", points)
    install(tmp_path, "mcml_worse", "spec = 'a string'", "")
    found = listed(tmp_path)
    assert found["raises"] == (
        "the provider 'raises' is installed but does not load | mcml_bad:spec: RuntimeError: half an update"
        " | pip install --force-reinstall mcml-bad"
    )
    assert "ModuleNotFoundError: No module named 'no_such_module'" in found["gone"]
    assert found["nothing"].startswith("the provider 'nothing' is installed but does not load")
    assert found["wrong"].startswith("the provider 'wrong' is installed but broken | mcml_worse:spec is not a ProviderSpec")
    assert found["local"] == discovery.spec("local").summary
    assert {"aws", "azure", "gcp"} <= set(found)
