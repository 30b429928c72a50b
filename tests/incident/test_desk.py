"""Incidents in a real store, on SQLite and on PostgreSQL: one transaction each, two processes at once, kill -9 in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, NotFound
from mcml.incident import desk
from mcml.store.db import Store
from mcml.store.journal import Query
from tests.incident.made import at, clock, down, fact, up

RECORDER = """
import sys, time
from mcml.core.fact import Fact
from mcml.incident import desk
from mcml.store.db import Store
from pathlib import Path
url, ready, go, kind, count = sys.argv[1:]
facts = {"route": "fraud", "model": "fraud", "backend": "fraud@eu-2", "reason": "connection refused"}
with Store(url) as store:
    store.entries()
    Path(ready).touch()
    while not Path(go).exists():
        time.sleep(0.001)
    for number in range(int(count)):
        which = ("down", "up")[number % 2] if kind == "both" else kind
        desk.record(store, Fact(f"route.backend_{which}", "route", "eu-2", facts))
        print(number, flush=True)
"""


def kinds(store: Store) -> list[str]:
    return [entry.kind for entry in store.entries()]


def recorder(url: str, folder: Path, number: int, kind: str, count: int) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", RECORDER, url, str(folder / f"ready{number}"), str(folder / "go"), kind, str(count)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def wait_ready(folder: Path, count: int) -> None:
    end = time.monotonic() + 30
    while not all((folder / f"ready{number}").exists() for number in range(count)):
        assert time.monotonic() < end, "the recorders did not start"
        time.sleep(0.01)


def test_a_fact_opens_an_incident_in_the_same_transaction(store: Store) -> None:
    cause = desk.record(store, down(), clock=clock(0.003))
    assert (cause.seq, cause.kind) == (1, "route.backend_down")
    (opened,) = desk.list_incidents(store)
    assert (opened.id, opened.state, opened.opened_at, opened.target, opened.model) == (1, "open", at(0), "eu-2", "fraud")
    entry = store.entries()[-1]
    assert (entry.kind, entry.actor, entry.at, entry.target) == ("incident.opened", "mcml", at(0.003), "eu-2")
    assert entry.facts == {
        "incident": 1, "key": "backend_down:fraud@eu-2", "title": "fraud@eu-2 is down", "severity": "error", "state": "open",
        "model": "fraud", "text": "fraud@eu-2 is down: connection refused", "cause": 1,
    }  # fmt: skip
    assert store.verify().broken_at == 0


def test_it_is_there_in_milliseconds(store: Store) -> None:
    store.entries()
    began = time.monotonic()
    desk.record(store, down())
    assert desk.list_incidents(store)
    assert time.monotonic() - began < 10, "typically 10 ms"


def test_other_facts_are_only_written_down(store: Store) -> None:
    desk.record(store, fact("route.weights", route="fraud", weights={"fraud@eu-1": 100}))
    assert kinds(store) == ["route.weights"]
    assert desk.list_incidents(store, desk.EVERY) == []


def test_the_life_of_an_incident_without_a_person(store: Store) -> None:
    desk.record(store, down(seconds=0), clock=clock(0))
    desk.record(store, down(seconds=1), clock=clock(1))
    desk.record(store, up(seconds=12), clock=clock(12))
    assert kinds(store) == [
        "route.backend_down", "incident.opened", "route.backend_down", "incident.noted",
        "route.backend_up", "incident.recovered", "incident.resolved",
    ]  # fmt: skip
    assert desk.list_incidents(store) == []
    resolved = desk.get(store, 1)
    assert (resolved.state, resolved.resolved_by, resolved.recovered_at) == ("resolved", "mcml", at(12))
    assert desk.last_resolved(store) == resolved


def test_flapping_is_one_incident(store: Store) -> None:
    for second in range(0, 60, 10):
        desk.record(store, down(seconds=second), clock=clock(second))
        desk.record(store, up(seconds=second + 5), clock=clock(second + 5))
    (only,) = desk.list_incidents(store, desk.EVERY)
    assert (only.id, only.state, only.opened_at) == (1, "resolved", at(0))
    assert kinds(store).count("incident.reopened") == 5
    assert kinds(store).count("incident.opened") == 1
    desk.record(store, down(seconds=3600), clock=clock(3600))
    assert [each.id for each in desk.list_incidents(store, desk.EVERY)] == [2, 1]


def test_a_strange_entry_of_somebody_else_stops_nothing(store: Store) -> None:
    store.append(fact("incident.resolved", "eu-2", incident="one"), fact("incident.resolved", "eu-2"))
    assert desk.last_resolved(store) is None
    desk.record(store, down())
    assert len(desk.list_incidents(store)) == 1


def test_people_acknowledge_note_and_resolve(store: Store) -> None:
    desk.record(store, down(), clock=clock(0))
    assert desk.ack(store, 1, actor="ada", clock=clock(60)).acked_by == "ada"
    assert desk.ack(store, 1, actor="ada", clock=clock(61)).acked_at == at(60)
    desk.note(store, 1, "the disk is full", actor="ada", clock=clock(62))
    desk.record(store, up(seconds=70), clock=clock(70))
    assert desk.get(store, 1).state == "acked"
    desk.resolve(store, 1, note="disk cleaned", actor="ada", clock=clock(80))
    told = [(entry.kind, entry.actor, entry.facts["text"]) for entry in store.entries(Query(kinds=("incident.",)))][1:]
    assert told == [
        ("incident.acked", "ada", ""),
        ("incident.noted", "ada", "the disk is full"),
        ("incident.recovered", "mcml", "fraud@eu-2 answers again"),
        ("incident.resolved", "ada", "disk cleaned"),
    ]


def test_who_acts_is_who_runs_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCML_ACTOR", "grace")
    desk.record(store, down())
    assert desk.ack(store, 1).acked_by == "grace"
    assert desk.resolve(store, 1).resolved_by == "grace"


def test_refusals_leave_no_trace(store: Store) -> None:
    desk.record(store, down(), clock=clock(0))
    desk.ack(store, 1, actor="ada", clock=clock(1))
    before = kinds(store)
    with pytest.raises(Conflict, match="acknowledged by ada"):
        desk.ack(store, 1, actor="bob", clock=clock(2))
    for attempt in (desk.ack, desk.resolve, desk.get):
        with pytest.raises(NotFound) as refused:
            attempt(store, 7)
        assert refused.value.message == "there is no incident INC-7"
        assert refused.value.next_step == "mcml incident list --all"
    assert kinds(store) == before


def test_two_processes_that_see_the_same_open_one_incident(store: Store, store_url: str, tmp_path: Path) -> None:
    store.entries()
    running = [recorder(store_url, tmp_path, number, "down", 5) for number in range(2)]
    wait_ready(tmp_path, 2)
    (tmp_path / "go").touch()
    for child in running:
        assert child.communicate(timeout=60)[0].split() == ["0", "1", "2", "3", "4"]
        assert child.returncode == 0
    assert [each.id for each in desk.list_incidents(store, desk.EVERY)] == [1]
    assert kinds(store).count("incident.opened") == 1
    assert kinds(store).count("incident.noted") == 9
    assert store.verify().broken_at == 0


def test_kill_9_in_the_middle_keeps_facts_and_incidents_together(store: Store, store_url: str, tmp_path: Path) -> None:
    store.entries()
    child = recorder(store_url, tmp_path, 0, "both", 100_000)
    wait_ready(tmp_path, 1)
    (tmp_path / "go").touch()
    assert child.stdout is not None
    told = [child.stdout.readline() for _ in range(40)][-1]
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    entries = store.entries()
    assert store.verify().broken_at == 0
    facts = [entry for entry in entries if entry.room == "route"]
    assert len(facts) > int(told), "what was told to be on disk is on disk"
    (only,) = desk.list_incidents(store, desk.EVERY)
    assert only.state == ("open" if facts[-1].kind == "route.backend_down" else "resolved")
    assert entries[-1].facts["state"] == only.state, "the last entry is the incident's, and says what the table says"


def test_a_story_finds_old_changes_and_leaves_out_what_is_far(store: Store) -> None:
    day = 86400
    store.append(
        fact("deploy.finished", "eu-2", seconds=-9 * day, model="fraud", version="1"),
        fact("deploy.finished", "eu-2", seconds=-8 * day, model="churn", version="7"),
        fact("infra.applied", seconds=-7 * day, targets=["eu-2"], create=1),
        fact("infra.applied", seconds=-6 * day, targets=["us-1"], create=1),
        fact("deploy.finished", "us-1", seconds=-5 * day, model="fraud", version="1"),
    )
    desk.record(store, down(), clock=clock(0))
    desk.resolve(store, 1, actor="ada", clock=clock(100))
    store.append(fact("deploy.finished", "eu-2", seconds=day, model="fraud", version="2"))
    desk.note(store, 1, "looked at again", actor="ada", clock=clock(2 * day))
    told = desk.tell(store, 1)
    assert [moment.seqs for moment in told.moments] == [(1,), (3,), (6,), (7,), (8,), (10,)]
    assert told.suspect is not None
    assert told.suspect.suspect == "changed 7d before"
    assert not told.cut


def test_a_fact_concerns_the_desk_only_while_there_is_an_incident_for_it(store: Store) -> None:
    assert desk.concerns(store, up(seconds=1)) is False
    desk.record(store, down(), clock=clock(0))
    assert desk.concerns(store, up(seconds=1)) is True
    desk.record(store, up(seconds=1), clock=clock(1))
    assert desk.concerns(store, up(seconds=2)) is False


def test_the_latest_incident_has_a_name_of_its_own(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no incident yet"):
        desk.identify(store, "latest")
    desk.record(store, down(), clock=clock(0))
    desk.record(store, down("us-1"), clock=clock(1))
    assert (desk.identify(store, "latest"), desk.identify(store, " Latest "), desk.identify(store, "INC-1")) == (2, 2, 1)
    desk.resolve(store, 2)
    assert desk.identify(store, "latest") == 2, "resolved or not"
