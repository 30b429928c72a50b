"""What facts do to incidents: single rules first, then any sequence of facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.fact import Fact
from mcml.incident.react import ITSELF, REOPEN_WITHIN, Change, model_of, react, signals
from mcml.store.incidents import Incident
from tests.incident.made import at, down, fact, incident, up


def test_a_backend_that_goes_down_opens_an_incident() -> None:
    (change,) = react(down(seconds=5), [])
    assert change.verb == "opened"
    assert change.text == "fraud@eu-2 is down: connection refused"
    assert change.incident == Incident(
        "backend_down:fraud@eu-2", "fraud@eu-2 is down", "error", at(5), target="eu-2", model="fraud"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("serving", "severity"), [(0, "critical"), (1, "error"), (2, "warning"), (7, "warning"), (None, "error"), ("two", "error")]
)
def test_severity_follows_what_still_serves(serving: object, severity: str) -> None:
    assert react(down(serving=serving), [])[0].incident.severity == severity


def test_a_failed_deploy_opens_an_incident() -> None:
    failed = fact("deploy.failed", "eu-2", model="fraud", version="3", reason="it never answered")
    (change,) = react(failed, [])
    assert change.incident.key == "deploy_failed:fraud@eu-2"
    assert change.incident.title == "deploy of fraud@eu-2 version 3 failed"
    assert change.text == "deploy of fraud@eu-2 version 3 failed: it never answered"


def test_a_resize_that_is_stuck_opens_an_incident_until_it_is_over() -> None:
    about = {"from": "m.4", "to": "m.2", "target": "eu-2", "problem": "no capacity"}
    (change,) = react(Fact("cost.rightsize_stuck", "cost", "eu-2/i-1", about), [])
    assert (change.incident.key, change.incident.severity) == ("rightsize:eu-2/i-1", "critical")
    assert change.text == "eu-2/i-1 is stuck between m.4 and m.2, and may not run: no capacity"
    for ending in ("rolled_back", "done", "failed"):
        over = react(Fact(f"cost.rightsize_{ending}", "cost", "eu-2/i-1", about), [change.incident])
        assert [step.verb for step in over] == ["recovered", "resolved"]


def test_the_same_fact_again_is_a_note() -> None:
    (change,) = react(down(seconds=9, reason="timed out"), [incident()])
    assert (change.verb, change.text) == ("noted", "fraud@eu-2 is down: timed out")
    assert change.incident == incident()


def test_severity_is_raised_and_never_lowered() -> None:
    assert react(down(serving=0), [incident(severity="warning")])[0].incident.severity == "critical"
    assert react(down(serving=2), [incident(severity="critical")])[0].incident.severity == "critical"


def test_recovery_of_an_open_incident_resolves_it() -> None:
    recovered, resolved = react(up(seconds=30), [incident()])
    assert (recovered.verb, recovered.incident.recovered_at, recovered.incident.state) == ("recovered", at(30), "open")
    assert (resolved.verb, resolved.incident.state, resolved.incident.resolved_by) == ("resolved", "resolved", ITSELF)


def test_an_acknowledged_incident_belongs_to_its_person() -> None:
    acked = incident(state="acked", acked_by="ada", acked=10)
    (change,) = react(up(seconds=30), [acked])
    assert (change.verb, change.incident) == ("recovered", replace(acked, recovered_at=at(30)))
    assert react(up(seconds=40), [change.incident]) == []
    (again,) = react(down(seconds=50), [change.incident])
    assert (again.verb, again.incident) == ("noted", acked)


def test_a_recovery_of_nothing_is_nothing() -> None:
    assert react(up(), []) == []
    assert react(up("us-1"), [incident()]) == []
    assert react(up(), [incident(state="resolved", resolved=1, resolved_by=ITSELF)]) == []


def test_flapping_opens_the_same_incident_again() -> None:
    ended = incident(severity="warning", state="resolved", recovered=30, resolved=30, resolved_by=ITSELF)
    inside, outside = 30 + REOPEN_WITHIN.total_seconds(), 31 + REOPEN_WITHIN.total_seconds()
    (change,) = react(down(seconds=inside), [ended])
    assert (change.verb, change.incident) == ("reopened", incident(severity="error"))
    assert react(down(seconds=outside), [ended])[0].verb == "opened"


def test_a_clock_set_back_hides_no_outage() -> None:
    ended = incident(state="resolved", recovered=3600, resolved=3600, resolved_by=ITSELF)
    assert react(down(seconds=0), [ended])[0].verb == "reopened"


def test_what_a_person_resolved_stays_resolved() -> None:
    ended = incident(state="resolved", resolved=30, resolved_by="ada")
    (change,) = react(down(seconds=31), [ended])
    assert (change.verb, change.incident.id) == ("opened", 0)


@pytest.mark.parametrize(
    ("kind", "expected"), [("deploy.finished", {"deploy_failed"}), ("deploy.deleted", {"deploy_failed", "backend_down"})]
)
def test_what_ends_a_deploy_ends_its_incidents(kind: str, expected: set[str]) -> None:
    known = [incident(), incident(key="deploy_failed:fraud@eu-2", identifier=2), incident(key="backend_down:churn@eu-2", identifier=3)]
    changes = react(fact(kind, "eu-2", model="fraud"), known)
    assert {change.incident.key.partition(":")[0] for change in changes} == expected
    assert [change.verb for change in changes] == ["recovered", "resolved"] * len(expected)


@pytest.mark.parametrize("kind", ["route.weights", "deploy.started", "incident.opened", "cost.ingested", "someones.plugin", ""])
def test_other_kinds_are_none_of_our_business(kind: str) -> None:
    assert signals(fact(kind, "eu-2", model="fraud")) == ()
    assert react(fact(kind, "eu-2", model="fraud"), [incident()]) == []


def test_a_fact_that_says_little_still_opens_something() -> None:
    (change,) = react(Fact("route.backend_down", "route"), [])
    assert (change.incident.key, change.text) == ("backend_down:?@?", "?@? is down: no reason given")
    assert model_of(Fact("route.backend_down", "route", facts={"backend": "fraud@eu-1"})) == "fraud"


FACTS = st.builds(
    lambda made, target, model, seconds: made(target, seconds=seconds, model=model),
    st.sampled_from(
        [
            down,
            up,
            lambda target, **about: fact("deploy.failed", target, **about),
            lambda target, **about: fact("deploy.finished", target, **about),
            lambda target, **about: fact("deploy.deleted", target, **about),
            lambda target, **about: fact("route.weights", target, **about),
        ]
    ),
    st.sampled_from(["eu-1", "eu-2"]),
    st.sampled_from(["fraud", "churn"]),
    st.integers(0, 5000),
)
ACK = "ack"
STEPS = st.lists(st.one_of(FACTS, st.just(ACK)), max_size=30)


def carry_out(changes: list[Change], stored: dict[int, Incident]) -> None:
    for change in changes:
        identifier = change.incident.id or len(stored) + 1
        stored[identifier] = replace(change.incident, id=identifier)


def play(steps: list[Fact | str], *, times: int = 1) -> dict[int, Incident]:
    stored: dict[int, Incident] = {}
    for step in steps:
        if isinstance(step, str):
            stored = {number: replace(each, state="acked") if each.state == "open" else each for number, each in stored.items()}
            continue
        for _ in range(times):
            carry_out(react(step, list(stored.values())), stored)
        check_invariants(stored)
    return stored


def check_invariants(stored: dict[int, Incident]) -> None:
    unresolved = [each.key for each in stored.values() if each.state != "resolved"]
    assert len(unresolved) == len(set(unresolved)), "two unresolved incidents of one key"
    for each in stored.values():
        assert (each.state == "resolved") == bool(each.resolved_at) == bool(each.resolved_by)
        assert each.state != "open" or each.recovered_at is None, "an open incident that recovered must have been resolved"


@given(STEPS)
def test_any_sequence_keeps_at_most_one_unresolved_incident_a_key(steps: list[Fact | str]) -> None:
    play(steps)


@given(STEPS, st.integers(2, 3))
def test_a_fact_told_more_than_once_changes_no_incident(steps: list[Fact | str], times: int) -> None:
    assert play(steps, times=times) == play(steps)


@given(STEPS)
def test_after_the_last_fact_of_a_key_its_state_is_right(steps: list[Fact | str]) -> None:
    stored = play(steps)
    last = {signal.key: signal.firing for step in steps if isinstance(step, Fact) for signal in signals(step)}
    burning = {each.key for each in stored.values() if each.state != "resolved" and not each.recovered_at}
    assert burning == {key for key, firing in last.items() if firing}


@given(STEPS, st.permutations(["eu-1", "eu-2"]))
def test_targets_do_not_touch_each_other(steps: list[Fact | str], targets: list[str]) -> None:
    alone = [step for step in steps if isinstance(step, str) or step.target == targets[0]]
    mine = [replace(each, id=0) for each in play(steps).values() if each.target == targets[0]]
    assert mine == [replace(each, id=0) for each in play(alone).values()]
