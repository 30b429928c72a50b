"""Canonical JSON: one text for one value, and a reason for what has none."""

import hashlib
import json
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.canonical import canonical_json
from mcml.core.plan import Plan, Step
from mcml.core.secret import Secret

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, 1.5]}, '{"a":[true,null,1.5],"b":1}'),
        ({"é": "日本 \u2028 😀"}, '{"é":"日本 \u2028 😀"}'),
        ("\0\n\x7f\"\\", '"\\u0000\\n\x7f\\"\\\\"'),
        ("\udcff", '"\\udcff"'),
        (10**40, "1" + "0" * 40),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e22, "1e+22"),
        (-0.0, "-0.0"),
        (Decimal("1.10"), '"1.10"'),
        (datetime(2026, 1, 1, tzinfo=UTC), '"2026-01-01T00:00:00.000000Z"'),
        (date(2026, 1, 1), '"2026-01-01"'),
        (Path("a/b"), '"a/b"'),
        (Secret("sesame"), '"[hidden]"'),
        (MappingProxyType({"a": (1, 2)}), '{"a":[1,2]}'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_text_of_a_value(value: object, text: str) -> None:
    assert canonical_json(value) == text


@given(JSON)
def test_any_json_comes_back_and_its_text_is_stable(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    text.encode()


@given(st.text(st.characters(categories=["Cs", "L"]), max_size=8))
def test_text_with_halves_of_pairs_can_be_written_to_a_file(text: str) -> None:
    written = canonical_json(text).encode()
    assert json.loads(written).encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "Out of range float"),
        ([float("inf")], "Out of range float"),
        (datetime(2026, 1, 1), "has no time zone"),
        ({1, 2}, "a set is not a JSON value"),
        (b"x", "a bytes is not a JSON value"),
        (object(), "a object is not a JSON value"),
        ({1: "one", "2": "two"}, "not supported between"),
        ({(1, 2): "pair"}, "keys must be str"),
        (10**5000, "Exceeds the limit"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_text_is_refused(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        canonical_json(value)


def test_a_value_that_contains_itself_or_has_no_end_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for endless in (circle, deep):
        with pytest.raises(ValueError, match=r"Circular reference|recursion"):
            canonical_json(endless)


# The digest of a plan


def plan(values: dict[str, object], action: str = "create") -> Plan:
    return Plan("deploy", (Step("keep", "endpoint", "a"), Step(action, "endpoint", "fraud", "eu-1", "it is new", values)))  # type: ignore[arg-type]


@given(st.dictionaries(st.text(), JSON, max_size=6), st.randoms())
def test_a_digest_does_not_depend_on_the_order_of_keys(values: dict[str, object], chance: object) -> None:
    import random

    assert isinstance(chance, random.Random)
    shuffled = list(values.items())
    chance.shuffle(shuffled)
    assert plan(values).digest == plan(OrderedDict(shuffled)).digest


def test_a_digest_is_pinned_and_every_part_counts() -> None:
    text = (
        '[{"action":"keep","kind":"endpoint","name":"a","reason":"","target":"","values":{}},'
        '{"action":"create","kind":"endpoint","name":"fraud","reason":"it is new","target":"eu-1","values":{"port":1}}]'
    )
    assert plan({"port": 1}).digest == hashlib.sha256(text.encode()).hexdigest()
    digests = {plan({"port": 1}).digest, plan({"port": 2}).digest, plan({"port": "1"}).digest, plan({"port": 1}, "update").digest}
    assert len(digests | {Plan("deploy").digest}) == 5
    assert plan({"secret": Secret("sesame")}).digest == plan({"secret": Secret("other")}).digest


def test_only_steps_that_change_something_are_changes() -> None:
    assert [step.name for step in plan({}).changes] == ["fraud"]
    assert Plan("deploy").changes == ()


def test_a_digest_is_the_same_in_another_process() -> None:
    import subprocess
    import sys

    code = "from mcml.core.plan import *; print(Plan('x', (Step('create', 'k', 'n', values={'b': 1, 'a': [1.5, None]}),)).digest)"
    said = set()
    for seed in ("1", "2"):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        said.add(ended.stdout.strip())
    assert said == {Plan("x", (Step("create", "k", "n", values={"a": [1.5, None], "b": 1}),)).digest}
