"""What is refused for now: in force from its time until its time, one of a kind for whoever refuses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mcml.store.db import Store
from mcml.store.refusals import GPU_DEPLOYS, Refusal, in_force, put, remove

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
SPENT = Refusal(GPU_DEPLOYS, "budget:risk", "104% is spent", "mcml cost budgets lift risk", NOW, NOW + timedelta(days=9), ("team=risk",))


def test_it_holds_for_its_time_and_is_read_back_as_it_was(store: Store) -> None:
    with store.writing() as connection:
        put(connection, SPENT)
    with store.reading() as connection:
        for offset, holds in ((-1, False), (0, True), (8, True), (9, False)):
            assert in_force(connection, GPU_DEPLOYS, NOW + timedelta(days=offset)) == ([SPENT] if holds else [])
        assert in_force(connection, "something else", NOW) == []


def test_one_for_each_who_refuses(store: Store) -> None:
    other, later = replace(SPENT, by="budget:ads"), replace(SPENT, why="110% is spent")
    with store.writing() as connection:
        for refusal in (SPENT, other, later):
            put(connection, refusal)
        assert in_force(connection, GPU_DEPLOYS, NOW) == [other, later]
        assert remove(connection, GPU_DEPLOYS, "budget:risk")
        assert not remove(connection, GPU_DEPLOYS, "budget:risk")
        assert in_force(connection, GPU_DEPLOYS, NOW) == [other]
