import errno
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core import exits
from mcml.core.errors import McmlError
from mcml.core.view import Column, Document, Pairs, Section, Series, State, Status, Table, Text, Tree, listing
from mcml.ui import markdown, render, terminal
from mcml.ui.values import money
from tests.ui.streams import out_of, streams

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS = [
    {"name": "a@eu-1", "state": State("ready"), "cost": Decimal("0.00012345"), "since": NOW - timedelta(minutes=5), "hidden": 1},
    {"name": "b@us-1", "state": State("failed", "bad"), "cost": None, "since": NOW - timedelta(days=100), "hidden": 2},
]
COLUMNS = [Column("name", "Name"), Column("state", "State", "state"), Column("cost", "Cost", "money"), Column("since", "Since", "time")]
LIST = listing("ThingList", COLUMNS, ROWS, empty="no things; next: mcml things make")


def shown(document: Document, output: str = "table", *, terminal: bool = False, colour: bool = False) -> str:
    made = streams(terminal=terminal, colour=colour)
    render.show(document, output, made, NOW)
    return out_of(made)


def test_json_is_the_envelope_with_every_field_exact() -> None:
    value = json.loads(shown(LIST, "json"))
    assert (value["kind"], value["version"]) == ("ThingList", 1)
    assert value["items"][0] == {
        "name": "a@eu-1", "state": "ready", "cost": "0.00012345", "since": "2026-01-02T02:59:05.000000Z", "hidden": 1,
    }  # fmt: skip


def test_yaml_is_the_same_data() -> None:
    assert yaml.safe_load(shown(LIST, "yaml")) == json.loads(shown(LIST, "json"))


def test_names_one_a_line() -> None:
    assert shown(LIST, "name") == "a@eu-1\nb@us-1\n"


def test_a_pipe_gets_tabs_exact_values_and_no_heading() -> None:
    assert shown(LIST) == (
        "a@eu-1\tready\t0.00012345\t2026-01-02T02:59:05.000000Z\nb@us-1\tfailed\t\t2025-09-24T03:04:05.000000Z\n"
    )


def test_a_terminal_gets_a_heading_ages_and_rounded_money() -> None:
    lines = [line.split() for line in shown(LIST, terminal=True).splitlines()]
    assert lines[0] == ["Name", "State", "Cost", "Since"]
    assert lines[1] == ["a@eu-1", "ready", "0.0001234", "5m", "ago"]
    assert lines[2] == ["b@us-1", "failed", "-", "2025-09-24"]


def test_colour_only_when_wanted() -> None:
    assert "\x1b[" not in shown(LIST, terminal=True)
    assert "\x1b[1;31mfailed" in shown(LIST, terminal=True, colour=True)


def test_an_empty_list_says_what_to_do_on_a_terminal_and_nothing_into_a_pipe() -> None:
    empty = listing("ThingList", COLUMNS, [], empty="no things; next: mcml things make")
    assert shown(empty, terminal=True) == "no things; next: mcml things make\n"
    assert shown(empty) == ""
    assert json.loads(shown(empty, "json"))["items"] == []


MIXED = Document(
    "Mixed",
    [],
    (
        Section("Story", (Text("a line"), Pairs((("who", "me"), ("when", NOW))), Status(State("open", "bad"), "it burns"))),
        Tree("root", (Tree("leaf", state=State("ok")),)),
        Series("rps", [1, None, 3], "1/s"),
        Table([Column("a", "A|B")], [{"a": "x|y"}]),
        Text("keep\n  this", verbatim=True),
    ),
)


def test_every_block_into_a_pipe() -> None:
    assert shown(MIXED) == (
        "# Story\na line\nwho\tme\nwhen\t2026-01-02T03:04:05.000000Z\nopen\tit burns\n"
        "root\n  leaf\tok\nrps\t1\t\t3\nx|y\nkeep\n  this\n"
    )


def test_every_block_on_a_terminal() -> None:
    text = shown(MIXED, terminal=True)
    for wanted in ("Story", "a line", "open  it burns", "└── ok  leaf", "rps  ▁ █  1 .. 3 1/s", "keep\n  this"):
        assert wanted in text


def test_markdown_escapes_what_would_break_a_table() -> None:
    text = markdown.render(MIXED.blocks)
    assert "# Story\n\na line\n\n- **who**: me\n- **when**: 2026-01-02T03:04:05.000000Z\n\n**open** it burns" in text
    assert "| A\\|B |\n| --- |\n| x\\|y |" in text
    assert "```\nkeep\n  this\n```" in text


@pytest.mark.parametrize("output", render.FORMATS)
def test_every_format_ends_with_one_newline(output: str) -> None:
    text = shown(LIST, output)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


WIDE = [Column("name", "Name"), Column("path", "Path"), *(Column(f"cost_{at}", f"Cost of the part {at}", "money") for at in range(9))]
AMOUNT = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.lists(AMOUNT, min_size=9, max_size=9), min_size=1, max_size=3), st.integers(1, 9), st.integers(24, 200))
def test_no_number_is_cut_however_narrow_the_terminal_is(amounts: list[list[Decimal]], columns: int, width: int) -> None:
    """Broken titles, folded ids, rows one below the other: each amount is there in full, and no line is longer than the terminal."""
    rows = [
        {"name": "compute", "path": "/subscriptions/8d8e1a2b/resourceGroups/ml", **{f"cost_{at}": each for at, each in enumerate(row)}}
        for row in amounts
    ]
    blocks = [Section("Costs", (Section("Of them", (Table(WIDE[: columns + 2], rows),)),))]
    drawn = terminal.draw(blocks, width=width, colour=False, now=NOW)
    words = drawn.split()
    assert all(words.count(money(each)) >= 1 for row in amounts for each in row[:columns])
    assert max(map(len, drawn.splitlines())) <= width


def test_shares_have_bars_where_there_is_something_to_compare_and_room() -> None:
    columns = [Column("name", "Name"), Column("share", "Share", "share"), Column("rows", "Rows", "number")]
    shares = (("a", Decimal("75.0"), 3), ("b", Decimal("-2.5"), 11), ("all", None, 14))
    rows = [{"name": name, "share": share, "rows": count} for name, share, count in shares]
    wide = terminal.draw([Table(columns, rows)], width=40, colour=False, now=NOW).splitlines()
    assert [line.rstrip() for line in wide] == [
        "Name  Share             Rows",
        "a       75% ███████▌       3",
        "b     -2.5%               11",
        "all       -               14",
    ]
    narrow = terminal.draw([Table(columns, rows)], width=24, colour=False, now=NOW).splitlines()
    assert [line.rstrip() for line in narrow[:2]] == ["Name  Share  Rows", "a       75%     3"]
    one = terminal.draw([Table(columns, rows[:1])], width=40, colour=False, now=NOW)
    assert "█" not in one


def test_rows_of_a_wide_table_stand_below_each_other_where_there_is_no_room() -> None:
    row = {"name": "Virtual-Machines", "cost_0": Decimal("1367.71"), "cost_1": None, "cost_2": Decimal("-16.85"), "cost_3": Decimal(20000)}
    drawn = terminal.draw([Table([WIDE[0], *WIDE[2:6]], [row])], width=40, colour=False, now=NOW)
    assert [line.rstrip() for line in drawn.splitlines()] == [
        "Virtual-Machines",
        "  Cost of the part 0 1,367.71",
        "  Cost of the part 2 -16.85",
        "  Cost of the part 3 20,000.00",
    ]


class Full(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_answer_that_cannot_be_written_is_said_and_is_no_bug() -> None:
    with pytest.raises(McmlError, match="cannot write the answer") as caught:
        render.show(LIST, "json", replace(streams(), out=Full()), NOW)
    assert (caught.value.why, caught.value.exit_code) == ("No space left on device", exits.FAILED)
