"""What people may do, and what the refusal says."""

from collections.abc import Callable
from datetime import datetime

import pytest

from mcml.core.errors import Conflict, Usage
from mcml.incident.decide import acknowledge, add_note, resolve
from mcml.incident.names import name, parse_name
from mcml.store.incidents import Incident
from tests.incident.made import at, incident

ACKED = incident(state="acked", acked_by="ada", acked=10)
RESOLVED = incident(state="resolved", resolved_by="bob", resolved=100)


def test_acknowledging_an_open_incident() -> None:
    change = acknowledge(incident(), "ada", at(10))
    assert change is not None
    assert (change.verb, change.incident) == ("acked", ACKED)


def test_acknowledging_twice_is_no_change() -> None:
    assert acknowledge(ACKED, "ada", at(20)) is None


def test_acknowledging_what_somebody_has_says_who() -> None:
    with pytest.raises(Conflict) as refused:
        acknowledge(ACKED, "bob", at(70))
    assert refused.value.message == "INC-1 is acknowledged by ada"
    assert refused.value.why == "since 1m ago"
    assert refused.value.next_step == "mcml incident ack INC-1 --take-over"


def test_taking_over_keeps_the_time_of_the_first_answer() -> None:
    change = acknowledge(ACKED, "bob", at(70), take_over=True)
    assert change is not None
    assert (change.incident.acked_by, change.incident.acked_at) == ("bob", at(10))
    assert change.text == "taken over from ada"


@pytest.mark.parametrize("attempt", [acknowledge, resolve])
def test_what_is_resolved_is_not_acknowledged_nor_resolved_again(attempt: Callable[[Incident, str, datetime], object]) -> None:
    with pytest.raises(Conflict) as refused:
        attempt(RESOLVED, "ada", at(160))
    assert refused.value.why == "by bob, 1m ago"
    assert refused.value.next_step == "mcml incident show INC-1"


def test_resolving_keeps_who_had_it() -> None:
    change = resolve(ACKED, "bob", at(100), note=" disk replaced ")
    assert (change.verb, change.text) == ("resolved", "disk replaced")
    assert (change.incident.state, change.incident.resolved_by, change.incident.acked_by) == ("resolved", "bob", "ada")


def test_a_note_says_something_and_changes_nothing() -> None:
    assert add_note(RESOLVED, " seen before ").incident == RESOLVED
    with pytest.raises(Usage, match="empty"):
        add_note(RESOLVED, " \n")


@pytest.mark.parametrize("text", ["1", "INC-1", "inc-1", " INC-1 "])
def test_names_as_people_type_them(text: str) -> None:
    assert parse_name(text) == 1
    assert name(parse_name(text)) == "INC-1"


@pytest.mark.parametrize("text", ["", "INC", "INC-", "-1", "1.0", "INC-1x", "１", "9" * 30, "INC--1"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(Usage) as refused:
        parse_name(text)
    assert refused.value.next_step == "mcml incident list --all"
