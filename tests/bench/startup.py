"""Wall time of `mcml --help` beside `python -c pass`, and beside `aws --version` and `gcloud --version` where those exist."""

import os
import shutil
import statistics
import subprocess
import sys
import time

ROUNDS = 7


def commands() -> dict[str, list[str]]:
    """Return what is timed: always ours and the bare interpreter, the peers where they are installed."""
    found = {"python -c pass": [sys.executable, "-c", "pass"], "mcml --help": [sys.executable, "-m", "mcml", "--help"]}
    found |= {f"{name} --version": [path, "--version"] for name in ("aws", "gcloud", "kubectl") if (path := shutil.which(name))}
    return found


def timed(argv: list[str]) -> float:
    """Return the seconds one run takes."""
    began = time.perf_counter()
    subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    """Print medians of interleaved rounds, with the load average before and after."""
    wanted = commands()
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    before = os.getloadavg()[0]
    for argv in wanted.values():
        timed(argv)
    for _ in range(ROUNDS):
        for name, argv in wanted.items():
            seconds[name].append(timed(argv))
    bare = statistics.median(seconds["python -c pass"])
    print(f"median of {ROUNDS} interleaved rounds; load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = f"(min {min(values) * 1000:.0f}, max {max(values) * 1000:.0f})"
        print(f"  {name:<20} {middle * 1000:7.0f} ms   {middle / bare:6.1f} x python   {spread}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
