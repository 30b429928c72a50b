"""A project with a journal in which a backend went down, for the tests of incident, journal and postmortem."""

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from mcml.cli.main import main
from mcml.core.fact import Fact
from mcml.incident import desk
from mcml.store.db import Store
from mcml.testing.cli import Result

SETTINGS = """
name = "acme"
[targets.eu-2]
provider = "local"
[models.fraud]
source = "models/fraud"
targets = ["eu-2"]
"""


def project(folder: Path, *, burning: bool = True) -> Path:
    """Make the project; `burning`: with a deploy and an incident about fraud@eu-2."""
    (folder / "mcml.toml").write_text(SETTINGS)
    with opened(folder) as store:
        store.entries()
        if burning:
            desk.record(store, Fact("deploy.finished", "deploy", "eu-2", {"model": "fraud", "version": "2"}, actor="ada"))
            about = {"route": "fraud", "model": "fraud", "backend": "fraud@eu-2", "reason": "connection refused", "serving": 0}
            desk.record(store, Fact("route.backend_down", "route", "eu-2", about, actor="router"))
    return folder


def opened(folder: Path) -> Store:
    """Open the project's store."""
    return Store(f"sqlite:///{folder / '.mcml' / 'mcml.db'}")


def typed(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Result:
    """Run `mcml ARGUMENTS` as `mcml.testing.cli.run` does with pipes, but in this process: twenty times as fast."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err), patch.dict(os.environ, env or {}):
        code = main(arguments)
    return Result(code, out.getvalue(), err.getvalue())
