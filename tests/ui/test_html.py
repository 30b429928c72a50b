"""A document as an HTML page: whole in itself, well-formed, everything in it escaped, numbers exact where one points."""

from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.view import Block, Column, Document, Pairs, Section, Series, State, Status, Table, Text, Tree
from mcml.ui.html import write

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
VOID = {"meta", "br"}
COLUMNS = (Column("name", "Name"), Column("cost", "Cost", "money"), Column("share", "Share", "percent"), Column("days", "Days", "spark"))


class Page(HTMLParser):
    """The tags of a page in order, its text, and whether each tag that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*blocks: Block) -> Page:
    found = Page(write(Document("CostReport", [], blocks), NOW))
    assert found.open == []
    return found


def test_a_page_needs_nothing_from_elsewhere() -> None:
    text = write(Document("CostReport", [], [Section("Costs", [Series("days", [1, 2])])]), NOW)
    assert text.startswith("<!doctype html>")
    assert "<title>Cost report, 2026-11-22 09:30 UTC</title>" in text
    assert not {"script", "link", "img", "iframe"} & set(Page(text).tags)
    assert "://" not in text
    assert "prefers-color-scheme:dark" in text and "@media print" in text


def test_a_page_says_what_was_typed() -> None:
    text = write(Document("CostReport", []), NOW, "mcml cost report --where 'service~<b>*'")
    assert "<code>mcml cost report --where &#x27;service~&lt;b&gt;*&#x27;</code>" in text
    assert "<code>" not in write(Document("CostReport", []), NOW)


def test_a_table_shows_rounded_money_and_holds_it_exactly() -> None:
    row = {"name": "a<b", "cost": Decimal("1234.567890123456789012"), "share": Decimal("42"), "days": [1.0, None, 3.0]}
    found = page(Table(COLUMNS, [row, {"name": "", "cost": None}], title="By team"))
    assert "1,234.57" in found.text and "a<b" in found.text and "By team" in found.text
    assert ("title", "1234.567890123456789012") in found.attributes
    assert ("style", "--p:42.0%") in found.attributes
    assert ("class", "spark") in found.attributes
    assert found.tags.count("tr") == 3


def test_an_empty_table_says_so() -> None:
    assert "no costs yet" in page(Table(COLUMNS, [], empty="no costs yet")).text


def test_every_kind_of_block_is_drawn() -> None:
    blocks: list[Block] = [
        Section("Outer", [Section("Inner", [Text("a paragraph"), Text("mcml cost why", verbatim=True)])]),
        Pairs([("at", NOW), ("state", State("down", "bad"))]),
        Status(State("quarantine", "warn"), "3 rows wait"),
        Tree("root", [Tree("leaf", state=State("up", "ok"))]),
    ]
    found = page(*blocks)
    for text in ("Outer", "Inner", "a paragraph", "mcml cost why", "2026-11-22 09:30", "down", "3 rows wait", "leaf", "up"):
        assert text in found.text
    assert [tag for tag in found.tags if tag in ("h2", "h3", "pre", "dl", "ul")] == ["h2", "h3", "pre", "dl", "ul", "ul"]
    assert {("class", "state bad"), ("class", "state warn"), ("class", "state ok")} <= set(found.attributes)


@pytest.mark.parametrize(
    ("points", "columns", "spoken"),
    [
        ([1.0, None, 3.0], 2, "cost: 1 to 3 USD"),
        ([-1.0, 2.0], 2, "cost: -1 to 2 USD"),
        ([0.0, 0.0], 2, "cost: 0 to 0 USD"),
    ],
)
def test_columns_over_time(points: list[float | None], columns: int, spoken: str) -> None:
    found = page(Series("cost", points, "USD"))
    assert found.tags.count("rect") == columns
    assert ("aria-label", spoken) in found.attributes


def test_nothing_measured_is_said() -> None:
    assert "nothing measured" in page(Series("cost", [None, None])).text


@given(st.text(), st.text(), st.lists(st.none() | st.floats(-1e12, 1e12), max_size=5))
def test_no_text_breaks_out(name: str, value: str, points: list[float | None]) -> None:
    blocks: list[Block] = [
        Section(name, [Table((Column("a", name),), [{"a": value}], title=name), Status(State(value), name), Series(name, points, value)]),
        Tree(name, [Tree(value)]),
        Pairs([(name, value)]),
        Text(value),
    ]
    assert not {"script", "img", "b", "i"} & set(page(*blocks).tags)
