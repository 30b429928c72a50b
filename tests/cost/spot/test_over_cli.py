"""What a person is told of a job that has ended while a machine of it may still run."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from mcml.core.clock import utc_now
from mcml.cost.spot.job import Choice
from mcml.cost.spot.order import KIND, Candidate, Fallback, Order, Place, Record
from mcml.store import documents
from mcml.store.db import Store
from mcml.testing.cli import run

ORDER = Order(
    ("true",), (Candidate("eu-1", "local-1x1"),), Fallback("eu-1", machine="local-1x2"), 3600, 7200, 60, 120, 60, "/nowhere/progress"
)


def test_it_is_told_until_its_cloud_has_listed_it_or_it_cannot_come_any_more(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text('name = "acme"\n[targets.eu-1]\nprovider = "local"\nregion = "eu"\n')
    now = utc_now()
    unheard = Place(Choice.SPOT, "eu-1", "local-1x1", "", "train-1", Decimal(1), now)
    record = Record("train", ORDER, now, now, state="done", leaving=(unheard,), run="train-1", ended=now)
    with Store(f"sqlite:///{tmp_path}/.mcml/mcml.db") as store:

        def keep(record: Record) -> None:
            with store.writing() as connection:
                documents.put(connection, KIND, "train", record.document, now)

        keep(record)
        told = run(["cost", "spot", "status"], cwd=tmp_path)
        assert told.code == 0
        assert "train has ended, and its cloud has not stopped eu-1/local-1x1: mcml cost spot stop train" in told.err
        left = run(["cost", "spot", "stop", "train"], cwd=tmp_path)
        assert (left.code, "a machine of it may still run" in left.err) == (7, True)
        keep(replace(record, leaving=(replace(unheard, since=now - timedelta(hours=1)),)))
        assert run(["cost", "spot", "stop", "train"], cwd=tmp_path).code == 0
        assert "may still run" not in run(["cost", "spot", "status"], cwd=tmp_path).err
