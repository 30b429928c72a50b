"""`make bench`: every benchmark in turn, each with its peer in the same run. Name some to run only those.

`python -m tests.bench.route_soak` takes 20 minutes and is only run by name.
"""

import sys
from importlib import import_module

ALL = (
    "startup", "serving", "objects", "copying", "units", "route", "route_changes", "route_flood", "route_options", "ledger", "nab", "spot",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; the exit code is that of the worst."""
    worst = 0
    for name in names or ALL:
        print(f"\n== {name}", flush=True)
        worst = max(worst, import_module(f"tests.bench.{name}").main())
    return worst


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
