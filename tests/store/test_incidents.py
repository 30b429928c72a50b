"""The incident table: one unresolved incident a key, whoever opens it; what is saved comes back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import McmlError
from mcml.store import incidents
from mcml.store.db import Store
from mcml.store.incidents import Incident, find, insert_once, save, select_states

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DOWN = Incident("backend_down:fraud@eu-1", "fraud@eu-1 is down", "critical", NOON, target="eu-1", model="fraud")


def opened(store: Store, incident: Incident = DOWN) -> Incident:
    with store.writing() as connection:
        stored = insert_once(connection, incident)
    assert stored is not None
    return stored


def test_an_incident_gets_an_id_and_comes_back(store: Store) -> None:
    first, second = opened(store), opened(store, replace(DOWN, key="budget", target=""))
    assert first == replace(DOWN, id=first.id)
    assert second.id > first.id > 0
    with store.reading() as connection:
        assert find(connection, first.id) == first
        assert find(connection, 99) is None
        assert select_states(connection, ("open",)) == [first, second]
        assert select_states(connection, ("acked", "resolved")) == []
        assert select_states(connection, ()) == []


def test_a_second_incident_with_the_key_is_not_opened(store: Store) -> None:
    opened(store)
    with store.writing() as connection:
        assert insert_once(connection, replace(DOWN, title="again")) is None
        assert insert_once(connection, replace(DOWN, key="other")) is not None  # the transaction goes on
    with store.reading() as connection:
        assert [found.key for found in select_states(connection, ("open",))] == [DOWN.key, "other"]


def test_its_whole_life_is_kept(store: Store) -> None:
    incident = opened(store)
    acked = replace(incident, state="acked", acked_at=NOON + timedelta(minutes=1), acked_by="mira")
    recovered = replace(acked, recovered_at=NOON + timedelta(minutes=2))
    resolved = replace(recovered, state="resolved", resolved_at=NOON + timedelta(minutes=3, microseconds=7), resolved_by="lee")
    for now in (acked, recovered, resolved):
        with store.writing() as connection:
            save(connection, now)
        with store.reading() as connection:
            assert find(connection, incident.id) == now


def test_a_resolved_incident_leaves_its_key_to_the_next(store: Store) -> None:
    first = opened(store)
    with store.writing() as connection:
        assert insert_once(connection, DOWN) is None
        save(connection, replace(first, state="acked", acked_at=NOON, acked_by="mira"))
        assert insert_once(connection, DOWN) is None
        save(connection, replace(first, state="resolved", resolved_at=NOON, resolved_by="mira"))
        second = insert_once(connection, DOWN)
    assert second is not None
    assert second.id != first.id
    with pytest.raises(McmlError, match="refused"), store.writing() as connection:
        save(connection, first)  # opening the first again would make two
    with store.reading() as connection:
        assert [found.id for found in select_states(connection, ("open", "acked"))] == [second.id]


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
TIME = st.datetimes(timezones=st.just(UTC))
INCIDENTS = st.builds(
    Incident,
    key=TEXT,
    title=TEXT,
    severity=st.sampled_from(["critical", "error", "warning", "info"]),
    opened_at=TIME,
    target=TEXT,
    model=TEXT,
    state=st.just("resolved"),
    acked_at=st.none() | TIME,
    acked_by=TEXT,
    recovered_at=st.none() | TIME,
    resolved_at=st.none() | TIME,
    resolved_by=TEXT,
    id=st.just(0),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(incident=INCIDENTS)
def test_any_incident_comes_back(store: Store, incident: Incident) -> None:
    with store.writing() as connection:
        stored = incidents.insert_once(connection, incident)
        assert stored is not None
        assert incidents.find(connection, stored.id) == replace(incident, id=stored.id)
