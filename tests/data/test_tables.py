"""Tables of a warehouse: what people type, what they are shown, and `mcml data load|query` on this machine's own warehouse."""

import csv
import io
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core import exits
from mcml.core.errors import Usage
from mcml.data import tables, views
from mcml.providers.api.warehouse import LoadResult, QueryResult
from mcml.store.db import Store as Journal
from mcml.testing.cli import Result, run
from mcml.ui.comma import write
from mcml.ui.render import envelope
from tests.cli.incidents import typed
from tests.data.world import project

CLICKS = 'id,name,price\n1,one,1.5\n2,"two, or so",2.25\n3,,\n'
LOAD_FIELDS = {"name", "source", "format", "replaced", "rows", "refused", "reasons"}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("a.csv", "csv"), ("gs://b/x/*.jsonl", "json"), ("a.parquet", "parquet"), ("A.CSV.GZ", "csv"), ("dir.d/a.2026.ndjson.zst", "json"),
        ("local://lake/part-*.pq", "parquet"),
    ],
)  # fmt: skip
def test_the_format_is_in_the_name(source: str, kind: str) -> None:
    assert tables.parse_load(source, "web.clicks") == tables.Load(source, "web", "clicks", kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["clicks", "a.gz", "a.csv/part", "x.txt", "gs://bucket.csv/part"])
def test_a_name_that_tells_no_format(source: str) -> None:
    with pytest.raises(Usage, match="could hold anything") as caught:
        tables.parse_load(source, "web.clicks")
    assert caught.value.next_step == "say which: --format csv|json|parquet"
    assert tables.parse_load(source, "web.clicks", "json").kind == "json"


@pytest.mark.parametrize("name", ["clicks", "web.", ".clicks", "a.b.c", ""])
def test_what_is_no_table(name: str) -> None:
    with pytest.raises(Usage, match="names no table"):
        tables.parse_load("a.csv", name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-7", -7), ("9007199254740993", 9007199254740993), ("1.10", Decimal("1.10")), ("1e3", Decimal("1e3")), ("true", True),
        ("null", None), ("one", "one"), ('"1"', "1"), ('"a\\"b"', 'a"b'), ('"', '"'), ('"a"b"', '"a"b"'), ("", ""), ("007", "007"),
        ("2026-01-31", "2026-01-31"), ("True", "True"), (" 1", " 1"), ("1_000", "1_000"), ("NaN", "NaN"), ("'x'; --", "'x'; --"),
        ("9" * 5000, Decimal("9" * 5000)),
    ],
)  # fmt: skip
def test_values_of_parameters(text: str, value: object) -> None:
    found = tables.value_of(text)
    assert (found, type(found)) == (value, type(value))


def test_parameters_are_all_named_or_all_placed() -> None:
    assert tables.parse_parameters(["a=1", "b=x=y"]) == {"a": 1, "b": "x=y"}
    assert tables.parse_parameters(["=1", "==x"]) == [1, "=x"]
    assert tables.parse_parameters([]) == {}
    for wrong in (["a"], ["1=2"], ["a=1", "=2"], ["a=1", "a=2"], ["a-b=1"]):
        with pytest.raises(Usage):
            tables.parse_parameters(wrong)


ROW = (
    1, Decimal("0.10"), "", None, b"\x00y", 0.5, float("nan"), datetime(2026, 1, 1, 2, tzinfo=UTC), datetime(2026, 1, 1), date(2026, 1, 2),
    time(1, 2), {"a": [Decimal("1.50"), None]}, [1, "x"], uuid.UUID(int=7), timedelta(hours=1), True, 2**63,
)  # fmt: skip
SHOWN = [
    1, "0.10", "", None, "AHk=", 0.5, "nan", "2026-01-01T02:00:00.000000Z", "2026-01-01T00:00:00", "2026-01-02", "01:02:00",
    {"a": ["1.50", None]}, [1, "x"], "00000000-0000-0000-0000-000000000007", "1:00:00", True, 2**63,
]  # fmt: skip


def test_every_value_can_be_shown_and_none_is_rounded() -> None:
    document = views.query_document(QueryResult(tuple(f"c{number}" for number in range(len(ROW))), (ROW,)))
    (item,) = json.loads(json.dumps(envelope(document), allow_nan=False))["items"]
    assert list(item.values()) == SHOWN
    (line,) = csv.DictReader(io.StringIO(write(document)))
    assert (line["c1"], line["c11"], line["c15"], line["c16"]) == ("0.10", '{"a": ["1.50", null]}', "true", str(2**63))
    assert ',"",,' in write(document)


def test_columns_of_one_name() -> None:
    document = views.query_document(QueryResult(("a", "a", "a_2", "a"), ((1, 2, 3, 4),)))
    assert document.items == [{"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}]


def test_csv_of_no_rows_has_its_heading() -> None:
    assert write(views.query_document(QueryResult(("a", "b c"), ()))) == "a,b c\n"


@given(st.lists(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=9), min_size=2, max_size=2)))
def test_csv_is_read_back_as_it_was(rows: list[list[str]]) -> None:
    text = write(views.query_document(QueryResult(("a", "b"), tuple(map(tuple, rows)))))
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "b"], *rows]


def test_what_came_and_what_was_read() -> None:
    assert views.query_note(QueryResult(("a",), ((1,),))) == "1 row"
    assert views.query_note(QueryResult(("a",), (), 5 << 20)) == "0 rows; 5.0 MiB read"


def test_refused_rows_are_told() -> None:
    done = LoadResult(2, 1, ("a.csv, line 3: \x1b[31mno number",))
    document = views.load_document(tables.Load("a.csv", "web", "clicks", "csv"), done)
    assert set(document.items[0]) == LOAD_FIELDS
    assert document.items[0]["reasons"] == ["a.csv, line 3: \x1b[31mno number"]
    assert "\x1b" not in repr(document.blocks[1]).replace("\\x1b", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project(tmp_path, "lake")
    (tmp_path / "clicks.csv").write_text(CLICKS)
    return tmp_path


def test_load_and_query(folder: Path) -> None:
    loaded = typed(["data", "load", "clicks.csv", "web.clicks"], cwd=folder)
    assert (loaded.code, loaded.out) == (exits.DONE, "web.clicks\t3\t0\tclicks.csv\n")
    asked = typed(["data", "query", "select * from web.clicks order by id"], cwd=folder)
    assert asked.out == "1\tone\t1.5\n2\ttwo, or so\t2.25\n3\t\t\n"
    assert asked.err == "3 rows\n"
    assert typed(["data", "query", "select * from web.clicks order by id", "-o", "csv", "-q"], cwd=folder) == Result(0, CLICKS, "")
    named = typed(["data", "query", "select name from web.clicks where id = $id", "--param", "id=3", "-o", "json"], cwd=folder)
    assert json.loads(named.out) == {"kind": "DataQuery", "version": 1, "items": [{"name": None}]}
    placed = typed(
        ["data", "query", "select id from web.clicks where name = ? and id < ?", "--param", "=one", "--param", "=9", "-o", "name"],
        cwd=folder,
    )
    assert placed.out == "1\n"
    seen = run(["data", "query", "select id, name from web.clicks order by id", "-q"], cwd=folder, terminal=True, env={"NO_COLOR": "1"}).out
    assert [line.split() for line in seen.splitlines()[:4]] == [["id", "name"], ["1", "one"], ["2", "two,", "or", "so"], ["3", "-"]]


def test_exact_numbers(folder: Path) -> None:
    sql = "select cast('0.1' as decimal(38, 20)) + cast('0.2' as decimal(38, 20)) as x, 9007199254740993 as y"
    assert json.loads(typed(["data", "query", sql, "-o", "json"], cwd=folder).out)["items"] == [
        {"x": "0.30000000000000000000", "y": 9007199254740993}
    ]


def test_a_target_names_the_warehouse_too(folder: Path) -> None:
    assert typed(["data", "query", "select 1 as a", "--target", "eu-1"], cwd=folder).out == "1\n"
    assert typed(["data", "query", "select 1 as a", "--target", "eu-9"], cwd=folder).code == exits.NOT_FOUND
    both = typed(["data", "query", "select 1 as a", "--target", "eu-1", "--provider", "local"], cwd=folder)
    assert (both.code, "two answers" in both.err) == (exits.USAGE, True)


def test_a_dry_run_says_what_would_happen_and_replace_asks(folder: Path) -> None:
    def planned(*more: str) -> str:
        action, *rest = typed(["data", "load", "clicks.csv", "web.clicks", "--dry-run", *more], cwd=folder).out.split("\t")
        assert rest == ["web.clicks", "clicks.csv", "csv", "1", f"{len(CLICKS)}\n"]
        return action

    assert planned() == planned("--replace") == "create"
    assert typed(["data", "query", "select 1 as a from web.clicks"], cwd=folder).code == exits.NOT_FOUND
    typed(["data", "load", "clicks.csv", "web.clicks"], cwd=folder)
    assert (planned(), planned("--replace")) == ("append", "replace")
    assert typed(["data", "load", "clicks.csv", "WEB.Clicks", "--replace"], cwd=folder).code == exits.USAGE, "the same table"
    asked = typed(["data", "load", "clicks.csv", "web.clicks", "--replace"], cwd=folder)
    assert (asked.code, "Replace all rows of web.clicks?" in asked.err) == (exits.USAGE, True)
    assert typed(["data", "load", "clicks.csv", "web.clicks", "--replace", "--yes"], cwd=folder).code == exits.DONE
    assert typed(["data", "query", "select count(*) from web.clicks"], cwd=folder).out == "3\n"


def test_loads_are_in_the_journal_and_failed_ones_are_not(folder: Path) -> None:
    typed(["data", "load", "clicks.csv", "web.clicks"], cwd=folder)
    (folder / "bad.parquet").write_text("no parquet")
    failed = typed(["data", "load", "bad.parquet", "web.clicks"], cwd=folder)
    assert failed.code == exits.FAILED
    assert "error: cannot load bad.parquet into web.clicks" in failed.err
    with Journal(f"sqlite:///{folder}/.mcml/mcml.db") as journal:
        (entry,) = [entry for entry in journal.entries() if entry.kind == "data.loaded"]
    said = {"source": "clicks.csv", "table": "web.clicks", "format": "csv", "replace": False, "rows": 3, "refused": 0}
    assert entry.facts == said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["load", "never.csv", "web.clicks"], exits.NOT_FOUND, "never.csv"),
        (["load", "never.csv", "web.clicks", "--dry-run"], exits.NOT_FOUND, "never.csv"),
        (["load", "local://never/a.csv", "web.clicks", "--dry-run"], exits.NOT_FOUND, "never"),
        (["load", "clicks.csv", "clicks"], exits.USAGE, "a table is DATASET.TABLE"),
        (["load", "clicks", "web.clicks"], exits.USAGE, "--format csv|json|parquet"),
        (["query", "drop table web.clicks"], exits.FAILED, "a query only reads"),
        (["query", ""], exits.FAILED, "a query is one statement"),
        (["query", "selec 1"], exits.FAILED, "the query failed"),
        (["query", "select * from web.never"], exits.NOT_FOUND, "information_schema.tables"),
        (["query", "select 1", "--param", "x"], exits.USAGE, "NAME=VALUE"),
        (["query", "select 1", "--provider", "loca"], exits.NOT_FOUND, "did you mean 'local'?"),
    ],
)
def test_what_goes_wrong_says_what_to_do(folder: Path, arguments: list[str], code: int, said: str) -> None:
    found = typed(["data", *arguments], cwd=folder)
    assert (found.code, found.out) == (code, "")
    assert said in found.err
    assert "\n  next: " in found.err


def test_csv_is_an_output_of_rows_only(folder: Path) -> None:
    assert typed(["data", "ls", ".", "-o", "csv"], cwd=folder).code == exits.USAGE
