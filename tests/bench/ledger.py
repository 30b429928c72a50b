"""The cost ledger at size, beside pandas and SQLite on the same rows: python -m tests.bench.ledger (add --rows 200000 to try it).

Rows of `ledger_rows`, made once below .bench/ledger (10 million take 2 GB of disk with their ledger).
The question is the cost by day, service and team: both amounts, the rows, the first and the last moment, by currency. Each answer comes
from a fresh process, rounds interleaved; the peak is the kernel's high-water
mark of the whole process. Seconds count from before the engine is imported, ratios after it, on both sides. pandas reads only the columns
it needs, and DECIMAL, as every exact reader of Parquet gives it; SQLite has an index on the day, and sums REAL, which is not exact.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.ledger_rows import export

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".bench" / "ledger"
PINS = ("pandas==3.1.1", "pyarrow==26.0.1")
LARGE, SMALL = 10_000_000, 1_000_000
ROUNDS = 3
SECONDS, MEGABYTES, FIRST_REPORT, RATE, PANDAS, SQLITE = 1.5, 200.0, 1.0, 100_000, 30.0, 10.0
BY = ("day", "service", "team")

PANDAS_CHILD = """
import glob, json, sys, time
import pandas, pyarrow.parquet
began, cpu = time.perf_counter(), time.process_time()
files = sorted(glob.glob(sys.argv[1] + "/focus/*/*/*.parquet"))
columns = ["BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ServiceName", "x_Team", "BilledCost", "EffectiveCost"]
rows = pandas.concat([pandas.read_parquet(file, columns=columns) for file in files])
groups = rows.groupby(["BillingCurrency", rows.ChargePeriodStart.dt.date.rename("day"), "ServiceName", "x_Team"]).agg(
    billed=("BilledCost", "sum"), effective=("EffectiveCost", "sum"), rows=("ServiceName", "size"),
    first=("ChargePeriodStart", "min"), last=("ChargePeriodEnd", "max"),
)
took = {"question": time.perf_counter() - began, "cpu": time.process_time() - cpu}
print(json.dumps(took | {"groups": len(groups), "total": str(sum(groups.effective))}))
"""


def main(argv: Sequence[str] = ()) -> int:
    """Measure, print, and return 0 when every target is met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=LARGE, help="How many in the large ledger; the small one has a tenth.")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child[0]](Path(arguments.child[1]))))
        return 0
    print(f"load average before: {_load()}")
    small = min(SMALL, max(1, arguments.rows // 10))
    large_folder, _ = ledger(arguments.rows)
    small_folder, ingest = ledger(small, anew=True)
    missed = [verdict("ingest with validation, rows/s", ingest["rate"], RATE, least=True)]
    print(f"ingest of {small} rows: peak {ingest['megabytes']:.0f} MB")
    missed += question(large_folder, arguments.rows) + first_question(small_folder, small) + cold(small_folder, small)
    print(f"load average after:  {_load()}")
    return int(any(missed))


def verdict(what: str, found: float, target: float, *, least: bool = False) -> bool:
    """Print a figure beside its target; return whether it is missed."""
    missed = found < target if least else found > target
    print(f"{what:48} {found:12,.2f}   target {'>=' if least else '<='} {target:,g}{'   MISSED' if missed else ''}", flush=True)
    return missed


def ledger(rows: int, *, anew: bool = False) -> tuple[Path, dict[str, float]]:
    """Return the folder of a project whose ledger has `rows`, ingested from Parquet in a process of its own, and what that took."""
    folder, said = HOME / f"ledger-{rows}", HOME / f"ledger-{rows}.json"
    if anew or not said.is_file():
        files = export(HOME / f"rows-{rows}", rows)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "mcml.toml").write_text('name = "bench"\n')
        (folder / "files.json").write_text(json.dumps([str(path) for path in files]))
        said.write_text(json.dumps(child("ingest", folder)))
    took: dict[str, float] = json.loads(said.read_text())
    return folder, took


def question(folder: Path, rows: int) -> list[bool]:
    """Ask the large ledger, and pandas with the same rows, interleaved."""
    python = pandas_python()
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(child("ask", folder))
        if python:
            theirs.append(run([python, "-c", PANDAS_CHILD, str(folder / ".mcml" / "cost")]))
    for one in theirs:
        assert one["groups"] == ours[0]["groups"]
        assert float(one["total"]) == float(ours[0]["total"])
    print(f"{rows} rows by {' x '.join(BY)}: {ours[0]['groups']} groups")
    rounds("mcml", ours)
    missed = [verdict("seconds", median(one["seconds"] for one in ours), SECONDS)]
    missed.append(verdict("peak MB", max(one["megabytes"] for one in ours), MEGABYTES))
    if theirs:
        rounds("pandas", theirs)
        ratio = median(b["question"] / a["question"] for a, b in zip(ours, theirs, strict=True))
        missed.append(verdict("pandas/mcml", ratio, PANDAS, least=True))
    return missed


def first_question(folder: Path, rows: int) -> list[bool]:
    """Ask the small ledger, and SQLite with the same rows, interleaved."""
    fill_sqlite(folder)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(child("ask", folder))
        theirs.append(child("sqlite", folder))
    assert {one["groups"] for one in (*ours, *theirs)} == {ours[0]["groups"]}
    print(f"{rows} rows by {' x '.join(BY)}: {ours[0]['groups']} groups")
    rounds("mcml", ours)
    rounds("SQLite", theirs)
    return [verdict("SQLite/mcml", median(b["question"] / a["question"] for a, b in zip(ours, theirs, strict=True)), SQLITE, least=True)]


def rounds(name: str, took: Sequence[dict[str, Any]]) -> None:
    """Print the wall and CPU seconds of one side's rounds."""
    for kind in ("question", "cpu"):
        print(f"  {name:6} {kind:8} " + " ".join(f"{one[kind]:.2f}" for one in took), flush=True)


def cold(folder: Path, rows: int) -> list[bool]:
    """Run `mcml cost report` as a person does, from its start to its end."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        argv = [sys.executable, "-m", "mcml", "cost", "report", "-q"]
        subprocess.run(argv, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - began)
    print(f"mcml cost report on {rows} rows: rounds " + " ".join(f"{seconds:.2f}" for seconds in took))
    return [verdict("seconds of the first report", median(took), FIRST_REPORT)]


# In a process of its own


def ingest(folder: Path) -> dict[str, Any]:
    """Book the files of a project, and say how many rows a second that was."""
    from mcml.store.ledger.intake import Intake

    files = [Path(name) for name in json.loads((folder / "files.json").read_text())]
    began, cpu = time.perf_counter(), time.process_time()
    delivery = Intake(folder / ".mcml" / "cost").files(files).delivery
    seconds = time.perf_counter() - began
    assert not delivery.quarantined
    return {"rate": delivery.rows / seconds, "seconds": seconds, "cpu": time.process_time() - cpu, "megabytes": _peak()}


def ask(folder: Path) -> dict[str, Any]:
    """Ask the ledger."""
    began = time.perf_counter()
    import duckdb  # noqa: F401  # what the ledger imports on use

    from mcml.store.ledger.book import Ledger

    asked, cpu = time.perf_counter(), time.process_time()
    groups = Ledger(folder / ".mcml" / "cost").totals(BY)
    ended = time.perf_counter()
    took = {"seconds": ended - began, "question": ended - asked, "cpu": time.process_time() - cpu}
    return took | {"groups": len(groups), "total": str(sum(group.effective for group in groups)), "megabytes": _peak()}


def sqlite(folder: Path) -> dict[str, Any]:
    """Ask SQLite."""
    began, cpu = time.perf_counter(), time.process_time()
    with sqlite3.connect(folder / "rows.sqlite") as connection:
        keys = "day, ServiceName, x_Team, BillingCurrency"
        sums = "sum(BilledCost), sum(EffectiveCost), count(*), min(ChargePeriodStart), max(ChargePeriodEnd)"
        query = f"SELECT {keys}, {sums} FROM cost GROUP BY {keys}"
        groups = connection.execute(query).fetchall()
    return {"question": time.perf_counter() - began, "cpu": time.process_time() - cpu, "groups": len(groups)}


CHILDREN: dict[str, Callable[[Path], dict[str, Any]]] = {"ingest": ingest, "ask": ask, "sqlite": sqlite}


def child(what: str, folder: Path) -> Any:
    """Run one of CHILDREN in a fresh interpreter and return what it says."""
    return run([sys.executable, "-m", "tests.bench.ledger", "--child", what, str(folder)])


def run(argv: Sequence[str]) -> Any:
    """Run a program and return the JSON that it prints."""
    return json.loads(subprocess.run(argv, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True, check=True).stdout)


# The peers


def pandas_python() -> str:
    """Return the interpreter of an environment with pandas; empty, with a word about it, where it cannot be made."""
    home = HOME / "pandas"
    said = home / "pins.txt"
    if not said.is_file() or said.read_text().split("\n") != list(PINS):
        venv.create(home, clear=True, with_pip=True)
        argv = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"pandas is left out, it cannot be installed here: {done.stderr.strip().splitlines()[-1][:200]}")
            return ""
        said.write_text("\n".join(PINS))
    return str(home / "bin" / "python")


def fill_sqlite(folder: Path) -> None:
    """Copy the ledger's rows, all columns that hold something, into an SQLite table with an index on the day."""
    from mcml.store.ledger.book import Ledger
    from mcml.store.ledger.engine import identifier

    path = folder / "rows.sqlite"
    if path.is_file():
        return
    with Ledger(folder / ".mcml" / "cost").opened("cannot copy the rows") as source, sqlite3.connect(path) as target:
        columns = [name for name, kind, *_ in source.execute("DESCRIBE cost").fetchall()]
        counts = ", ".join(f"count({identifier(name)})" for name in columns)
        filled = source.execute(f"SELECT {counts} FROM cost").fetchone()
        columns = [name for name, count in zip(columns, filled, strict=True) if count]
        kinds = [f"{identifier(name)} {'REAL' if name.endswith(('Cost', 'Price', 'Quantity')) else 'TEXT'}" for name in columns]
        target.execute(f"CREATE TABLE cost (day TEXT, {', '.join(kinds)})")
        said = ", ".join(f"{name}::{'DOUBLE' if kind == 'REAL' else 'VARCHAR'}" for name, kind in (text.rsplit(" ", 1) for text in kinds))
        found = source.execute(f"SELECT strftime(ChargePeriodStart, '%Y-%m-%d'), {said} FROM cost")
        while some := found.fetchmany(10_000):
            target.executemany(f"INSERT INTO cost VALUES (?{', ?' * len(columns)})", some)
        target.execute("CREATE INDEX by_day ON cost (day)")


def _peak() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
