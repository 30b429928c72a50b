"""Each kind of fact that the rooms of cost and routes write to the journal has a sentence of its own: a timeline shows no raw keys."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from mcml.cost.rightsize.change import ENDED
from mcml.incident.words import say
from mcml.store.journal import Entry

ROOT = Path(__file__).parents[2] / "mcml"
ROOMS = ("cost", "route", "cli/cost", "cli/route")
KIND = re.compile(r"(?:cost|route)\.[a-z_]+")
ABOUT = {"spot": "tell", "rightsize": "fact"}
"""Whose kinds are put together from a word: the method that is told the word."""
DOCUMENTS = {
    "cost.anomaly", "cost.budget", "cost.feedback", "cost.rightsize", "cost.spot", "cost.stopped",
}  # fmt: skip
"""Kinds of documents of the store, and no facts."""


@cache
def trees() -> dict[str, ast.Module]:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in files}


def written() -> Iterator[str]:
    """Yield each kind that stands in the source, and those that are put together."""
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KIND.fullmatch(node.value) and node.value[-1] != "_":
                yield node.value
    for word, method in ABOUT.items():
        yield from (f"cost.{word}_{event}" for event in told(f"cost/{word}/", method))
    yield from (f"cost.rightsize_{stage.replace(' ', '_')}" for stage in ENDED)


def told(folder: str, method: str) -> Iterator[str]:
    """Yield the words that a method is called with in the files of a folder."""
    for path, tree in trees().items():
        for node in ast.walk(tree) if path.startswith(folder) else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield from (each.value for each in node.args[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str))


KINDS = sorted(set(written()) - DOCUMENTS)


def test_the_kinds_are_found() -> None:
    spot, resizes = {"cost.spot_deleted", "cost.spot_ended"}, {"cost.rightsize_rolled_back", "cost.rightsize_watched"}
    assert {*spot, *resizes, "cost.ingested", "route.weights"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_a_sentence_with_and_without_its_facts(kind: str) -> None:
    money = {"cost": "1.50", "currency": "USD"}
    for facts in ({}, {"reason": "why", "route": "fraud", "job": "train", "place": "eu-1/m5", "key": ["web"], **money}):
        entry = Entry(1, datetime(2026, 5, 1, tzinfo=UTC), "ada", kind.partition(".")[0], "eu-1", kind, facts, "", "")
        assert kind not in say(entry), "a kind without words is shown raw"
        assert "{}" not in say(entry)


@pytest.mark.parametrize(
    ("kind", "facts", "sentence"),
    [
        (
            "cost.spot_deleted",
            {"job": "train", "target": "eu-1", "id": "i-1"},
            "the spot job train is rid of a machine and its disks: eu-1 i-1",
        ),
        (
            "cost.spot_moved",
            {"job": "train", "place": "eu-1/m5", "market": "spot", "instance": "i-1"},
            "the spot job train moved to spot eu-1/m5 i-1",
        ),
        (
            "cost.spot_ended",
            {"job": "train", "state": "done", "cost": "1.5", "saved": "3", "currency": "USD", "late": False},
            "the spot job train has ended: done, cost 1.5 USD, saved 3 USD",
        ),
        ("cost.rightsize_watched", {"from": "m4", "to": "m2", "well": False, "reason": "full"}, "x is not well from m4 to m2: full"),
        ("cost.ingested", {"rows": 3, "provider": "aws", "billed": "7.1", "currency": "EUR"}, "3 rows of cost of aws read, 7.1 EUR billed"),
        ("cost.anomaly_marked", {"key": ["web"], "verdict": "expected"}, "the anomaly of web was called expected"),
        ("cost.released", {"key": "eu-1/instance/i-1", "schedule": "office"}, "eu-1/instance/i-1 is left to its schedule again, office"),
    ],
)
def test_the_sentences_of_cost(kind: str, facts: dict[str, object], sentence: str) -> None:
    assert say(Entry(1, datetime(2026, 5, 1, tzinfo=UTC), "ada", "cost", "x", kind, facts, "", "")) == sentence
