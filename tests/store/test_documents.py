"""Small documents: what is kept comes back, the newest holds, and nobody overwrites what he has not read."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mcml.core.errors import Conflict, InvalidRequest
from mcml.store import documents
from mcml.store.db import Store

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
STATE = {"state": "over", "spent": "12.5", "since": "2026-11-01"}


def test_a_document_comes_back_and_its_revision_counts(store: Store) -> None:
    with store.writing() as connection:
        assert documents.get(connection, "cost.budget", "ml") is None
        first = documents.put(connection, "cost.budget", "ml", STATE, NOW)
        second = documents.put(connection, "cost.budget", "ml", {"spent": Decimal("13.10")}, NOW + timedelta(hours=1))
    with store.reading() as connection:
        assert documents.get(connection, "cost.budget", "ml") == second
    assert (first.revision, first.content) == (1, STATE)
    assert (second.revision, second.content, second.changed_at) == (2, {"spent": "13.10"}, NOW + timedelta(hours=1))


def test_kinds_are_apart_and_listed_by_key(store: Store) -> None:
    with store.writing() as connection:
        for kind, key in (("cost.budget", "b"), ("cost.schedule", "a"), ("cost.budget", "a")):
            documents.put(connection, kind, key, {"is": kind + key}, NOW)
        assert [kept.content["is"] for kept in documents.every(connection, "cost.budget")] == ["cost.budgeta", "cost.budgetb"]
        assert documents.remove(connection, "cost.budget", "a")
        assert not documents.remove(connection, "cost.budget", "a")
        assert [kept.key for kept in documents.every(connection, "cost.schedule")] == ["a"]


@pytest.mark.parametrize(("after", "written"), [(None, True), (1, True), (0, False), (2, False)])
def test_nobody_overwrites_what_he_has_not_read(store: Store, after: int | None, written: bool) -> None:
    with store.writing() as connection:
        documents.put(connection, "cost.budget", "ml", STATE, NOW, after=0)
    with store.writing() as connection:
        if written:
            documents.put(connection, "cost.budget", "ml", {}, NOW, after=after)
        else:
            with pytest.raises(Conflict, match="was changed meanwhile"):
                documents.put(connection, "cost.budget", "ml", {}, NOW, after=after)
        kept = documents.get(connection, "cost.budget", "ml")
    assert kept and (kept.content == {}) == written


@pytest.mark.parametrize(("key", "content"), [("a\0b", {}), ("a", {"text": "x\0"})])
def test_what_no_database_keeps_is_refused(store: Store, key: str, content: dict[str, object]) -> None:
    with store.writing() as connection, pytest.raises(InvalidRequest, match="NUL"):
        documents.put(connection, "cost.budget", key, content, NOW)
