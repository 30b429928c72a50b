"""Overrides of routes: one of a kind for a route and a target, whoever writes it, and none beyond its time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mcml.core.errors import InvalidRequest
from mcml.core.override import Override
from mcml.store import overrides
from mcml.store.db import Store

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
DRAIN = Override("drain", "", "eu-1", "ann", NOW, reason="a new disk", until=NOW + timedelta(minutes=30))
SET = Override("set", "fraud", "", "bob", NOW, {"score": {"latency": "0.5"}, "timeout": 10.5})


def every(store: Store) -> list[Override]:
    with store.reading() as connection:
        return overrides.every(connection)


def test_what_is_put_is_read_back(store: Store) -> None:
    with store.writing() as connection:
        assert overrides.put(connection, DRAIN) is None
        assert overrides.put(connection, SET) is None
    assert every(store) == [DRAIN, SET]


def test_one_of_a_kind_for_a_route_and_a_target(store: Store) -> None:
    later = replace(DRAIN, actor="bob", at=NOW + timedelta(minutes=1), until=None)
    elsewhere = replace(DRAIN, target="us-1")
    with store.writing() as connection:
        overrides.put(connection, DRAIN)
        assert overrides.put(connection, later) == DRAIN
        overrides.put(connection, elsewhere)
    assert every(store) == [elsewhere, later]


def test_what_is_removed_is_returned(store: Store) -> None:
    with store.writing() as connection:
        overrides.put(connection, DRAIN)
        assert overrides.remove(connection, replace(DRAIN, actor="somebody else")) == DRAIN
        assert overrides.remove(connection, DRAIN) is None
    assert every(store) == []


def test_of_two_routers_one_takes_away_what_is_over(store: Store) -> None:
    with store.writing() as connection:
        overrides.put(connection, DRAIN)
        overrides.put(connection, SET)
        assert overrides.remove_expired(connection, NOW + timedelta(minutes=29)) == []
    with store.writing() as connection:
        assert overrides.remove_expired(connection, NOW + timedelta(minutes=30)) == [DRAIN]
    with store.writing() as connection:
        assert overrides.remove_expired(connection, NOW + timedelta(minutes=31)) == []
    assert every(store) == [SET]


def test_a_text_that_no_database_keeps_is_refused(store: Store) -> None:
    with store.writing() as connection, pytest.raises(InvalidRequest, match="NUL"):
        overrides.put(connection, replace(DRAIN, reason="a\0b"))
