"""`mcml infra apply` beside the bare Terraform: three equal units that each wait 10 s against one, and what our runner adds to one unit.

Both are measured as whole processes, as a shell sees them. What our runner adds holds the start of Python, mcml's imports, the policies,
the journal and the guard; Terraform does three things for either: plan, show, apply. The modules are compiled, as an installed mcml has
them; the first run, which compiles them, is not counted.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mcml.infra.terraform.binary import find_binary

WAIT = 10
APART, ALONE = 3, 5
"""Rounds of the two measurements."""

ROOT = """
variable "run" {}
resource "terraform_data" "x" {
  count            = 5
  triggers_replace = var.run
  provisioner "local-exec" { command = "sleep WAIT" }
}
"""


def project(folder: Path, units: int, wait: float, run: int) -> None:
    """Write a project with so many equal units; another `run` replaces what an earlier one made."""
    said = ['name = "bench"']
    for number in range(units):
        root = folder / f"unit{number}"
        root.mkdir(parents=True, exist_ok=True)
        (root / "main.tf").write_text(ROOT.replace("WAIT", str(wait)))
        said.append(f'[infra.units.unit{number}]\nmodule = "unit{number}"\nvariables = {{ run = {run} }}')
    (folder / "mcml.toml").write_text("\n".join(said) + "\n")


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(argv: list[str], folder: Path, env: dict[str, str] | None = None) -> bytes:
    """Run a command that must succeed; return what it wrote."""
    return subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


def apply(folder: Path) -> float:
    """Time `mcml infra apply`; what Python compiles is kept beside the project, whatever the shell says of it."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(folder.parent / "compiled")
    return timed(lambda: run([sys.executable, "-m", "mcml", "infra", "apply", "--yes", "-q"], folder, env))


def bare(root: Path, number: int) -> float:
    """Time what our runner does, by hand: a plan file, read by a program, applied."""
    terraform, env = list(find_binary("", root, os.environ).argv), os.environ | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}

    def work() -> None:
        run([*terraform, "plan", "-json", "-input=false", "-out=plan", f"-var=run={number}"], root, env)
        run([*terraform, "show", "-json", "plan"], root, env)
        run([*terraform, "apply", "-json", "-input=false", "plan"], root, env)

    return timed(work)


def side_by_side(folder: Path) -> None:
    """Three units against one; the first run of each, which initialises, is not counted."""
    seconds: dict[int, list[float]] = {1: [], 3: []}
    for units in seconds:
        project(folder / str(units), units, 0, -1)
        apply(folder / str(units))
    for number in range(APART):
        for units, found in seconds.items():
            project(folder / str(units), units, WAIT, number)
            found.append(apply(folder / str(units)))
    one, three = (statistics.median(found) for found in seconds.values())
    print(f"  one unit that waits {WAIT} s     {one:6.2f} s   (median of {APART} rounds)")
    print(f"  three of them              {three:6.2f} s   {three / one:5.2f} x one (at most 1.5)")


def overhead(folder: Path) -> None:
    """Our runner on one unit against Terraform's own commands on a copy of it."""
    ours, own = folder / "ours", folder / "bare"
    seconds: dict[str, list[float]] = {"mcml": [], "terraform": []}
    project(ours, 1, 0, -1)
    apply(ours)
    shutil.copytree(ours / "unit0", own, ignore=shutil.ignore_patterns("terraform.tfstate.d"))
    run([*find_binary("", own, os.environ).argv, "init", "-input=false"], own)
    bare(own, -1)
    for number in range(ALONE):
        project(ours, 1, 0, number)
        seconds["mcml"].append(apply(ours))
        seconds["terraform"].append(bare(own, number))
    ours_took, bare_took = (statistics.median(found) for found in seconds.values())
    print(f"  terraform plan, show, apply {bare_took:6.2f} s   (median of {ALONE} rounds, 5 resources)")
    print(f"  mcml infra apply            {ours_took:6.2f} s   +{ours_took - bare_took:.2f} s (at most 0.5)")


def main() -> int:
    """Print both, with the load average before and after."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        side_by_side(Path(folder) / "apart")
        overhead(Path(folder))
    print(f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
