"""A file-system mirror with the stub in a provider's place, and the environment in which Terraform uses it and nothing else."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PLATFORM = "linux_amd64"


def install(mirror: Path, provider: str, version: str, schema: Path, more: Path | None = None) -> None:
    """Put a stub of `hashicorp/NAME` at a version into a mirror."""
    folder = mirror / "registry.terraform.io" / provider / version / PLATFORM
    folder.mkdir(parents=True)
    name = provider.rpartition("/")[2]
    program = folder / f"terraform-provider-{name}_v{version}"
    argv = [sys.executable, "-m", "tests.terraform.stub_provider", str(schema), *([str(more)] if more else [])]
    program.write_text(f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.join(argv)}\n")
    program.chmod(0o755)


def environment(mirror: Path, folder: Path) -> Mapping[str, str]:
    """Return the variables that let Terraform take its providers from a mirror only; its configuration is written into `folder`."""
    config = folder / "terraform.rc"
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    return {"TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
