"""`mcml data load|query` on BigQuery, as a person types them, against the emulator."""

import json
import uuid
from pathlib import Path

import pytest

from mcml.core import exits
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.object_store import open_object_store
from tests.cli.incidents import typed
from tests.providers.gcp.conftest import PROJECT

CSV = b"id,name,price\n1,one,1.5\n2,,2.25\n"


@pytest.fixture
def folder(tmp_path: Path, bigquery: ProviderContext) -> Path:
    settings = f'[providers.gcp]\nproject = "{PROJECT}"\n[targets.eu]\nprovider = "gcp"\nregion = "EU"\n'
    (tmp_path / "mcml.toml").write_text(f'name = "acme"\n{settings}')
    (tmp_path / "clicks.csv").write_bytes(CSV)
    return tmp_path


@pytest.fixture
def table() -> str:
    return f"web_{uuid.uuid4().hex[:8]}.clicks"


def test_from_a_bucket_and_asked_with_parameters(folder: Path, table: str, bigquery: ProviderContext) -> None:
    bucket = f"lake-{uuid.uuid4().hex[:8]}"
    open_buckets(bigquery).create(bucket)
    for number in (1, 2):
        open_object_store(bigquery).write(bucket, f"in/{number}.csv", [CSV])
    loaded = typed(["data", "load", f"gs://{bucket}/in/*.csv", table, "--provider", "gcp"], cwd=folder)
    assert (loaded.code, loaded.out) == (exits.DONE, f"{table}\t4\t0\tgs://{bucket}/in/*.csv\n")
    sql = f"select id, name, price from {table} where id > @least order by id, name"
    asked = typed(["data", "query", sql, "--param", "least=1", "--provider", "gcp", "-o", "csv"], cwd=folder)
    assert asked.out == "id,name,price\n2,,2.25\n2,,2.25\n"
    found = typed(["data", "query", f"select name from {table} where id = ?", "--param", "=2", "--target", "eu", "-o", "json"], cwd=folder)
    assert json.loads(found.out)["items"] == [{"name": None}, {"name": None}]


def test_from_a_file_with_nested_and_exact_values(folder: Path, table: str) -> None:
    (folder / "t.json").write_text('{"id": 1, "tags": [{"key": "a", "value": "b"}]}\n')
    assert typed(["data", "load", "t.json", table, "--provider", "gcp"], cwd=folder).code == exits.DONE
    sql = f"select id, tags, @exact as exact, date '2026-01-31' as day from {table}"
    asked = typed(["data", "query", sql, "--param", "exact=1.10", "--provider", "gcp", "-o", "json"], cwd=folder)
    assert json.loads(asked.out)["items"] == [{"id": 1, "tags": [{"key": "a", "value": "b"}], "exact": "1.10", "day": "2026-01-31"}]


def test_errors_name_the_next_step(folder: Path, table: str) -> None:
    (folder / "part-1.csv").write_bytes(CSV)
    (folder / "part-2.csv").write_bytes(CSV)
    several = typed(["data", "load", "part-*.csv", table, "--provider", "gcp"], cwd=folder)
    assert (several.code, "next: mcml data cp -r . gs://BUCKET/PREFIX/" in several.err) == (exits.FAILED, True)
    written = typed(["data", "query", f"drop table {table}", "--provider", "gcp"], cwd=folder)
    assert (written.code, "error: DROP_TABLE is not for a query" in written.err) == (exits.FAILED, True)
    typed(["data", "load", "clicks.csv", table, "--provider", "gcp"], cwd=folder)
    missing = typed(["data", "query", f"select 1 from {table}_never", "--provider", "gcp"], cwd=folder)
    assert (missing.code, "was not found" in missing.err) == (exits.NOT_FOUND, True)
    assert "Job ID" not in missing.err
