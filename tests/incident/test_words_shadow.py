"""What a timeline says of a shadow: one of mcml.toml, one that a person switched, and what it has shown."""

from typing import Any

import pytest

from mcml.incident.words import say
from tests.incident.made import entry, fact

SWITCHED = {"route": "fraud", "value": {"shadow": {"model": "next", "percent": "5"}}, "reason": "try it"}


@pytest.mark.parametrize(
    ("kind", "facts", "said"),
    [
        ("route.shadow_started", SWITCHED, "copies of fraud's requests go to next (5%): try it"),
        ("route.shadow_started", {"route": "fraud", "shadow": "next", "percent": 2.0}, "copies of fraud's requests go to next (2.0%)"),
        ("route.shadow_started", {}, "copies of a route's requests go to a shadow"),
        ("route.shadow_ended", {"route": "fraud", "value": {"shadow": None}, "reason": ""}, "fraud has no shadow any more"),
        (
            "route.shadow_compared",
            {"route": "fraud", "shadow": "next", "same": 98, "compared": 100},
            "next was compared on fraud: 98 of 100 answers the same",
        ),
    ],
    ids=range(5),
)
def test_words(kind: str, facts: dict[str, Any], said: str) -> None:
    assert say(entry(1, fact(kind, **facts))) == said
