"""Stories, as data files: an incident and journal entries in, the lines of the story out."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.fact import Fact
from mcml.core.when import offset
from mcml.incident.timeline import Story, story
from mcml.store.journal import Entry
from tests.incident.made import at, down, entry, incident

CASES = sorted((Path(__file__).parent / "timeline").glob("*.json"))


def entries_of(case: dict[str, Any]) -> list[Entry]:
    return [
        entry(seq, Fact(kind, kind.partition(".")[0], target, facts, at=at(seconds), actor=actor))
        for seq, seconds, actor, kind, target, facts in case["entries"]
    ]


def lines(told: Story) -> list[str]:
    return [
        f"{offset(moment.offset_s)} {moment.text}" + (f" <-- {moment.suspect}" if moment.suspect else "") for moment in told.moments
    ]


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_the_story_reads(path: Path) -> None:
    case = json.loads(path.read_text())
    entries = entries_of(case)
    told = story(replace(incident(), **case["incident"]), entries)
    assert lines(told) == case["told"]
    mixed = [*entries, *entries]
    random.Random(7).shuffle(mixed)
    assert story(told.incident, mixed) == told, "the order entries come in, and doubles, do not matter"


def test_every_line_names_its_rows() -> None:
    case = json.loads((Path(__file__).parent / "timeline" / "killed-in-a-drill.json").read_text())
    told = story(incident(), entries_of(case))
    assert [moment.seqs for moment in told.moments] == [
        (1,), (4,), (5,), (6,), (7,), (8,), (9,), (10,), (11, 12), (13,), (14,), (15,), (16,),
    ]  # fmt: skip
    assert told.suspect is not None
    assert (told.suspect.seqs, told.suspect.actor) == ((8,), "bob")


def test_before_is_what_the_journal_has_before_or_what_is_dated_before() -> None:
    late = entry(1, Fact("deploy.finished", "deploy", "eu-2", {"model": "fraud", "version": "2"}, at=at(5), actor="ada"))
    cause = entry(2, down())
    opened = entry(3, Fact("incident.opened", "incident", "eu-2", {"incident": 1, "cause": 2, "severity": "error"}, at=at(0.1)))
    told = story(incident(), [opened, cause, late])
    assert [moment.seqs for moment in told.moments] == [(1,), (2,), (3,)]
    assert told.suspect is not None
    assert told.suspect.seqs == (1,), "written before the cause, whatever its writer's clock said"
    killed = entry(4, Fact("route.drill_killed", "route", "eu-2", {"backend": "fraud@eu-2"}, at=at(-0.05), actor="bob"))
    told = story(incident(), [opened, cause, killed])
    assert [moment.seqs for moment in told.moments] == [(4,), (2,), (3,)]
    assert told.suspect is not None
    assert told.suspect.suspect == "changed 50ms before", "dated before the cause, though written after it"


def test_lines_that_were_written_late_stand_at_their_time() -> None:
    opened = entry(2, Fact("incident.opened", "incident", "eu-2", {"incident": 1, "cause": 1, "severity": "error"}, at=at(0.015)))
    shifted = entry(3, Fact("route.weights", "route", "", {"route": "fraud", "weights": {"fraud@eu-1": 100}}, at=at(0)))
    assert [moment.seqs for moment in story(incident(), [entry(1, down()), opened, shifted]).moments] == [(1,), (3,), (2,)]


def test_a_machine_that_office_hours_turned_off_is_the_first_to_be_looked_at() -> None:
    facts = {"schedule": "office", "kind": "group", "id": "workers", "from": 4, "to": 0, "reason": "outside its hours"}
    off = entry(1, Fact("cost.turned_off", "cost", "eu-2", facts, at=at(-60), actor="cron"))
    elsewhere = entry(2, Fact("cost.turned_off", "cost", "us-1", facts, at=at(-50), actor="cron"))
    told = story(incident(), [off, elsewhere, entry(3, down())])
    assert [moment.seqs for moment in told.moments] == [(1,), (3,)]
    assert told.suspect is not None
    assert told.suspect.text == "workers on eu-2 turned off (4 -> 0) by the schedule office: outside its hours"


def test_a_machine_that_was_resized_is_suspected_of_what_went_wrong_on_its_target() -> None:
    facts = {"from": "m.4", "to": "m.2", "reason": "", "target": "eu-2", "id": "i-1"}
    resized = entry(1, Fact("cost.rightsize_resized", "cost", "eu-2/i-1", facts, at=at(-60)))
    elsewhere = entry(2, Fact("cost.rightsize_resized", "cost", "us-1/i-1", {**facts, "target": "us-1"}, at=at(-50)))
    told = story(incident(), [resized, elsewhere, entry(3, down())])
    assert [moment.seqs for moment in told.moments] == [(1,), (3,)]
    assert told.suspect is not None
    assert told.suspect.text == "eu-2/i-1 resized from m.4 to m.2"


def test_the_story_of_a_budget_tells_its_alerts_and_no_others() -> None:
    mine, other = ({"budget": name, "text": "82 % of 100 USD"} for name in ("ml", "web"))
    found = replace(incident(), key="budget:ml", target="", model="")
    entries = [entry(seq, Fact("cost.budget_alerted", "cost", "", facts, at=at(0))) for seq, facts in enumerate((mine, other), 1)]
    assert [moment.text for moment in story(found, entries).moments] == ["the budget ml has an alert: 82 % of 100 USD"]


ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
KINDS = [
    "infra.applied", "infra.destroyed", "infra.drift_found", "infra.state_restored", "infra.unlocked", "infra.store_made",
    "infra.imported", "infra.swept",
    "pipeline.trained", "deploy.started", "deploy.finished", "deploy.failed", "deploy.deleted", "route.started", "route.stopped",
    "route.weights", "route.backend_down", "route.backend_up", "route.drill_started", "route.drill_killed", "route.drill_finished",
    "incident.opened", "incident.acked", "incident.noted", "incident.resolved", "cost.ingested", "cost.turned_off",
    "cost.budget_alerted", "cost.budget_recovered", "cost.rightsize_resized", "cost.rightsize_stuck", "x.y",
]  # fmt: skip
KEYS = [
    "model", "unit", "holder", "store", "version", "previous", "targets", "environment", "create", "route", "weights", "backend",
    "backends", "reason", "down_s", "requests", "failed", "seconds_to_zero", "incident", "cause", "text", "severity", "title", "listen",
    "fault", "address", "budget", "from", "to", "id", "kind",
]  # fmt: skip
STRANGE = st.builds(
    lambda kind, target, facts, seconds: Fact(kind, kind.partition(".")[0], target, facts, at=at(seconds), actor="x"),
    st.sampled_from(KINDS),
    st.sampled_from(["", "eu-2", "us-1"]),
    st.dictionaries(st.sampled_from(KEYS), ODD, max_size=6),
    st.integers(-4000, 4000),
)


@given(st.lists(STRANGE, max_size=12))
def test_no_fact_however_strange_breaks_the_screen(facts: list[Fact]) -> None:
    told = story(incident(), [entry(seq, told) for seq, told in enumerate(facts, 1)])
    shown = [seq for moment in told.moments for seq in moment.seqs]
    assert len(shown) == len(set(shown)), "no row is told twice"
    assert sum(1 for moment in told.moments if moment.suspect) <= 1
    assert all(moment.text.strip() for moment in told.moments)
