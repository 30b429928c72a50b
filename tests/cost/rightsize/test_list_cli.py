"""`mcml cost rightsize list` and `explain` on real processes of this machine, with a day of measurements behind them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.cli.session import Common, Session
from mcml.core.clock import rfc3339
from mcml.providers.api.instances import MachineRequest
from mcml.providers.local.instances import LocalInstances, read_slot, write_slot
from mcml.providers.local.layout import root_of
from mcml.providers.local.runner import USAGE_FILE
from mcml.testing.cli import run

SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[providers.local]
vcpu_quota = 4
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
gib_hour = 0.01
[cost.rightsizing]
window = "1d"
minimum = "12h"
"""
LIST_FIELDS = [
    "name", "target", "provider", "region", "id", "action", "machine", "proposed", "architecture", "risk", "saving", "list_saving",
    "currency", "reason", "reasons",
]  # fmt: skip
EXPLAIN_FIELDS = [
    *LIST_FIELDS, "resized", "since", "until", "step_seconds", "usage", "fits", "rejected", "rate", "types", "queries",
]  # fmt: skip
GIB = 1 << 30


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A project with two machines: one that did little for a day, and one that was started now."""
    folder = tmp_path_factory.mktemp("rightsize")
    (folder / "mcml.toml").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        session = Session(Common())
        ctx = session.context("local", "eu-1")
    instances = LocalInstances(ctx)
    old, new = (instances.request(MachineRequest("local-2x4", token, spot=False)).id for token in ("old", "new"))
    home = root_of(ctx) / "instances" / old
    slot, now = read_slot(home), session.clock()
    assert slot is not None
    write_slot(home, replace(slot, launched=rfc3339(now - timedelta(days=30))))
    begun = (now - timedelta(days=2)).timestamp()
    with (home / USAGE_FILE).open("a") as out:
        for number in range(1, 12 * 48):
            about = {"at": begun + 300 * number, "started": begun, "pid": 7, "vcpus": 2, "memory_bytes": 4 * GIB}
            out.write("\n" + json.dumps(about | {"cpu_seconds": 60.0 * number, "peak_cpus": 0.5, "rss_bytes": GIB, "peak_rss_bytes": GIB}))
        out.write("\n")
    yield folder, old, new
    for one in (old, new):
        instances.terminate(one)
    session.close()


def test_list(project: tuple[Path, str, str]) -> None:
    folder, old, new = project
    shown = run(["cost", "rightsize", "list", "-o", "json"], cwd=folder)
    assert shown.code == 0, shown.err
    document = json.loads(shown.out)
    assert (document["kind"], document["version"]) == ("CostRightsizing", 1)
    first, second = document["items"]
    assert list(first) == list(second) == LIST_FIELDS
    assert (first["name"], first["action"], first["machine"], first["proposed"]) == (f"eu-1/{old}", "shrink", "local-2x4", "local-1x2")
    assert (first["saving"], first["list_saving"], first["currency"]) == ("51.1", "51.1", "USD"), "0.07 an hour x 730"
    assert [reason["code"] for reason in first["reasons"]] == ["CPUOverprovisioned", "MemoryOverprovisioned", "ListPrice"]
    assert (second["name"], second["action"], second["proposed"], second["saving"]) == (f"eu-1/{new}", "unknown", None, None)
    assert second["reasons"][0]["code"] in ("NotMeasured", "RecentlyResized")


def test_list_for_people_and_for_pipes(project: tuple[Path, str, str]) -> None:
    folder, old, new = project
    shown = run(["cost", "rightsize", "list"], cwd=folder, terminal=True)
    assert shown.code == 0, shown.out
    assert "1 to change save 51.10 USD a month" in shown.out
    assert "local-1x2" in shown.out
    piped = run(["cost", "rightsize", "list", "--action", "shrink", "-o", "name"], cwd=folder)
    assert piped.out.split() == [f"eu-1/{old}"]
    assert new in run(["cost", "rightsize", "list", "--action", "unknown"], cwd=folder).out


def test_a_target_that_does_not_answer_hides_no_other(project: tuple[Path, str, str]) -> None:
    folder, old, _ = project
    path = folder / "mcml.toml"
    before = path.read_text()
    path.write_text(before + '[targets.far]\nprovider = "azure"\nregion = "westeurope"\n')
    try:
        shown = run(["cost", "rightsize", "list"], cwd=folder)
    finally:
        path.write_text(before)
    assert shown.code == 7, shown.err
    assert old in shown.out
    assert "far" in shown.err


def test_explain(project: tuple[Path, str, str]) -> None:
    folder, old, _ = project
    shown = run(["cost", "rightsize", "explain", f"eu-1/{old}", "-o", "json"], cwd=folder)
    assert shown.code == 0, shown.err
    (item,) = json.loads(shown.out)["items"]
    assert list(item) == EXPLAIN_FIELDS
    cpu, memory = item["usage"]
    assert (cpu["measure"], cpu["used"], cpu["highest"], cpu["needed"], cpu["has"]) == ("CPU", 0.2, 0.5, 0.25, 2.0)
    assert (memory["measure"], memory["highest"], memory["needed"], memory["has"]) == ("memory", 1.0, 1.25, 4.0)
    assert cpu["known_percent"] > 95
    assert [(fit["measure"], fit["has"], fit["fits"]) for fit in item["fits"]] == [("CPU", 1.0, True), ("memory", 2.0, True)]
    assert item["rejected"] == {"local-1x1": "memory: 1.25 GiB are needed, it has 1 GiB"}
    assert item["rate"]["source"] == "list"
    told = run(["cost", "rightsize", "explain", f"eu-1/{old}"], cwd=folder, terminal=True)
    assert told.code == 0, told.out
    assert "x 730 h = 51.1 USD a month" in told.out
    assert "local-1x1" in told.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["explain", "eu-1"], 2, "TARGET/ID"),
        (["explain", "eu-1/nobody"], 5, "mcml cost rightsize list --target eu-1"),
        (["explain", "us-1/nobody"], 5, "us-1"),
        (["list", "--target", "us-1"], 5, "mcml config show"),
        (["list", "--action", "melt"], 2, "melt"),
    ],
)
def test_what_is_not_there(project: tuple[Path, str, str], arguments: list[str], code: int, said: str) -> None:
    shown = run(["cost", "rightsize", *arguments], cwd=project[0])
    assert (shown.code, said in shown.err) == (code, True), shown.err
