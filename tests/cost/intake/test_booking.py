"""Several deliveries of one command: what would replace a piece of a bill stops no other, and no lock waits for a person."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.providers.api.object_store import ObjectStore
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.bill_files import write
from tests.cost.focus import csv_text, text_row, write_csv
from tests.cost.intake.test_bills import aws
from tests.data import world
from tests.store.test_ledger_losses import billed, week


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the first week of October in its ledger; the second lies there."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    Intake(tmp_path / ".mcml" / "cost").files([week(tmp_path / "w1.csv", 1, "10")])
    week(tmp_path / "w2.csv", 8, "20")
    return tmp_path


def test_what_is_refused_or_denied_stops_nothing_else(project: Path) -> None:
    """Two formats are two deliveries. What was booked is shown, and nobody says that nothing was changed."""
    write(project / "cur.csv", [aws("Usage", "3")])
    words = ["cost", "ingest", "w2.csv", "cur.csv", "--sample"]
    denied = run(words, cwd=project, terminal=True, stdin="n\n")
    said = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", denied.out.split("[y/N]")[1]).split())
    assert (denied.code, "nothing was changed" in said) == (130, False), denied.out
    for part in ("cur.csv AWS", "FOCUS sample", "not booked: w2.csv would replace another part of the bill of 2026-10 of account acct"):
        assert part in said, denied.out
    write(project / "cur2.csv", [aws("Usage", "4")])
    refused = run(["cost", "ingest", "w2.csv", "cur2.csv", "--provider", "nobody", "-q", "-o", "json"], cwd=project)
    assert [item["origin"] for item in json.loads(refused.out)["items"]] == ["cur2.csv"]
    for part in ("part of the bill of 2026-10 of account acct", "mcml cost ingest w1.csv w2.csv", "nobody"):
        assert part in refused.err, part
    assert refused.code == 1


def bring(store: ObjectStore, month: int, version: int, day: int) -> None:
    """A version of a month of an AWS Data Export, with its manifest."""
    period = {"BillingPeriodStart": f"2026-{month}-01T00:00:00Z", "BillingPeriodEnd": f"2026-{month}-28T00:00:00Z"}
    charge = {"ChargePeriodStart": f"2026-{month}-{day:02}T10:00:00Z", "ChargePeriodEnd": f"2026-{month}-{day:02}T11:00:00Z"}
    key = f"data/{month}/{version}/a.csv"
    store.write("bills", f"x/{key}", [csv_text([text_row(**period, **charge)]).encode()])
    told = json.dumps({"dataFiles": [f"s3://bills/x/{key}"]}).encode()
    store.write("bills", f"x/metadata/BILLING_PERIOD=2026-{month}/x-Manifest.json", [told])


def test_a_month_of_a_bucket_that_is_refused_stops_no_later_one(tmp_path: Path) -> None:
    store, folder = world.project(tmp_path, "bills"), tmp_path / ".mcml" / "cost"
    words = ["cost", "ingest", "local://bills/x/", "-q", "-o", "json"]
    bring(store, 10, 1, day=2)
    assert run(words, cwd=tmp_path).code == 0
    bring(store, 10, 2, day=20)
    bring(store, 11, 1, day=2)
    refused = run(words, cwd=tmp_path)
    (item,) = json.loads(refused.out)["items"]
    assert (refused.code, "BILLING_PERIOD=2026-11" in item["origin"], item["rows"]) == (1, True, 1), refused.err
    assert "part of the bill of 2026-10 of account acct" in refused.err
    assert "in one command; or replace it with --yes" in refused.err, "the same command would be refused again"
    with Ledger(folder).opened("the months") as connection:
        assert connection.execute("SELECT day(ChargePeriodStart), month(ChargePeriodStart) FROM cost ORDER BY 2").fetchall() == [
            (2, 10),
            (2, 11),
        ]


def asked(ours: int, out: str = "") -> str:
    """Read from a terminal until the question is asked."""
    end = time.monotonic() + 60
    while "[y/N]" not in out:
        assert time.monotonic() < end, out
        if select.select([ours], [], [], 1)[0]:
            out += os.read(ours, 65536).decode()
    return out


def test_the_ledger_is_free_while_a_person_thinks(project: Path) -> None:
    """Who agrees has agreed to what was asked: when something else came meanwhile, it is asked for."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "mcml", "cost", "ingest", "w2.csv"]
    child = subprocess.Popen(words, cwd=project, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    folder = project / ".mcml" / "cost"
    try:
        assert "2026-10-02, and these are of 2026-10-09" in " ".join(asked(ours).split())
        day_more = {"ChargePeriodStart": "2026-10-03T10:00:00Z", "ChargePeriodEnd": "2026-10-03T11:00:00Z"}
        two = [text_row(ChargePeriodStart="2026-10-02T10:00:00Z", ChargePeriodEnd="2026-10-02T11:00:00Z"), text_row(**day_more)]
        Intake(folder, lock_seconds=0).files([write_csv(project / "meanwhile.csv", two)])
        os.write(ours, b"y\n")
        assert "2026-10-02 to 2026-10-03, and these are of 2026-10-09" in " ".join(asked(ours).split())
        assert billed(folder) == 3, "the first answer was about another version"
        os.write(ours, b"y\n")
        assert (child.wait(60), billed(folder)) == (0, Decimal(20))
    finally:
        child.kill()
        child.wait()
        os.close(ours)
