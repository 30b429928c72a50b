"""Conditions on dimensions: read from text, and the rows that they leave."""

import fnmatch
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.dimensions import Filter, condition, parse
from mcml.store.ledger.engine import connected
from mcml.store.ledger.intake import Intake
from tests.cost.focus import row

ROWS = {"1": ("risk", "web-1"), "10": ("risk", None), "100": ("ads", "web-2"), "1000": (None, "db")}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder: Path = tmp_path_factory.mktemp("dimensions")
    tags = {cost: json.dumps({'App "x"': app}) if app else None for cost, (_, app) in ROWS.items()}
    rows = [row(cost, x_Team=team, Tags=tags[cost]) for cost, (team, _) in ROWS.items()]
    Intake(folder, clock=lambda: datetime(2026, 10, 6, tzinfo=UTC)).rows(rows, origin="acme")
    return Ledger(folder)


@pytest.mark.parametrize(
    ("texts", "cost"),
    [
        ([], 1111),
        (["team=risk"], 11),
        (["team = risk,ads"], 111),
        (["team="], 1000),
        (["team=,ads"], 1100),
        (["team!=risk"], 1100),
        (["team!=risk,"], 100),
        (["team!="], 111),
        (["team~r*"], 11),
        (["team!~r*"], 1100),
        (['tag:App "x"=web-1'], 1),
        (['tag:App "x"~web-?'], 101),
        (['tag:App "x"!~web-*', "team=risk"], 10),
        (["team=it's"], 0),
    ],
)
def test_conditions_choose_rows(ledger: Ledger, texts: list[str], cost: int) -> None:
    groups = ledger.totals((), Scope(filters=tuple(parse(text) for text in texts)))
    assert sum(int(group.billed) for group in groups) == cost


def test_a_tag_is_a_dimension(ledger: Ledger) -> None:
    assert {group.key[0]: int(group.billed) for group in ledger.totals(['tag:App "x"'])} == {"web-1": 1, "web-2": 100, "db": 1000, None: 10}


@pytest.mark.parametrize("text", ["team", "=risk", "", "tag:=x", "teem=risk", "team>risk"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse(text)


@given(st.sampled_from(["=", "!=", "~", "!~"]), st.lists(st.text("ab*?,=!~ ").map(str.strip), min_size=1))
def test_a_condition_is_read_back_from_its_text(operator: str, values: list[str]) -> None:
    wanted = Filter("team", operator, tuple(",".join(values).split(",")))  # type: ignore[arg-type]
    stripped = Filter("team", wanted.operator, tuple(value.strip() for value in wanted.values))
    if not stripped.values[0].startswith(("=", "~")):
        assert parse(str(stripped)) == stripped


@settings(max_examples=60)
@given(st.text("ab.*?[]!^\n", min_size=1), st.text("ab.[]^\n"))
def test_patterns_match_as_in_a_shell(pattern: str, said: str) -> None:
    text, values = condition([Filter("team", "~", (pattern,))])
    with connected("cannot ask") as connection:
        (found,) = connection.execute(f"SELECT coalesce({text}, false) FROM (SELECT ?::VARCHAR AS x_Team)", [*values, said]).fetchone()
    assert found == fnmatch.fnmatchcase(said, pattern)


@settings(max_examples=30)
@given(
    st.sampled_from(["=", "!=", "~", "!~"]),
    st.lists(st.text("ab*?[]!", max_size=3), min_size=1, max_size=3),
    st.none() | st.text("ab*", min_size=1, max_size=3),
)
def test_a_condition_holds_in_python_where_it_holds_in_sql(operator: str, values: list[str], said: str | None) -> None:
    wanted = Filter("team", operator, tuple(values))  # type: ignore[arg-type]
    text, parameters = condition([wanted])
    with connected("cannot ask") as connection:
        (found,) = connection.execute(f"SELECT coalesce({text}, false) FROM (SELECT ?::VARCHAR AS x_Team)", [*parameters, said]).fetchone()
    assert found == wanted.holds(said)


def test_a_comma_within_a_value() -> None:
    assert parse(r"service=Lambda\, Edge,S3") == Filter("service", "=", ("Lambda, Edge", "S3"))
    assert str(Filter("service", "=", ("Lambda, Edge", "S3"))) == r"service=Lambda\, Edge,S3"
