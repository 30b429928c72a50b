"""Screens: 80 columns, no colour needed, the next step on each."""

import pytest

from mcml.core.fact import Fact
from mcml.core.view import Document
from mcml.incident import views
from mcml.incident.runbooks import parse
from mcml.incident.timeline import Story, story
from mcml.store.incidents import Incident
from mcml.ui.render import envelope
from mcml.ui.terminal import draw
from tests.incident.made import at, down, entry, fact, incident

FRONT = "---\nalert: backend_down\nseverity: error\nsummary: it is down\n---\n"
RUNBOOK = parse(f"{FRONT}1. Start it:\n\n       mcml deploy model {{model}}\n", "b.md")
FIELDS = {
    "name", "id", "key", "title", "severity", "state", "target", "model", "opened_at", "acked_at", "acked_by", "recovered_at",
    "resolved_at", "resolved_by",
}  # fmt: skip
MOMENT_FIELDS = {"offset", "offset_s", "at", "kind", "target", "actor", "text", "relation", "mark", "seqs"}


def told(about: Incident) -> Story:
    opened = Fact("incident.opened", "incident", "eu-2", {"incident": 1, "severity": "error", "title": about.title, "cause": 2}, at=at(0))
    facts = [fact("deploy.finished", "eu-2", seconds=-40, model="fraud", version="2"), down(), opened]
    return story(about, [entry(seq, each) for seq, each in enumerate(facts, 1)])


def screen(document: Document, seconds: float = 240) -> list[str]:
    lines = draw(document.blocks, width=80, colour=False, now=at(seconds)).splitlines()
    assert all(len(line) <= 80 for line in lines)
    return [line.rstrip() for line in lines]


def test_what_is_on_fire_names_the_next_step_and_the_nearest_change() -> None:
    assert screen(views.fire([told(incident())], None, at(240))) == [
        "ERROR  INC-1  fraud@eu-2 is down",
        "since   4m ago; NOT recovered",
        "who     nobody has it yet",
        "before  deployed fraud version 2 to eu-2 (changed 40s before)",
        "",
        "next: mcml incident ack INC-1",
    ]


def test_the_worst_is_first_then_the_oldest() -> None:
    stories = [Story(incident(identifier=1, severity="warning"), ()), Story(incident(identifier=2, severity="critical"), ())]
    document = views.fire(stories, None, at(5))
    assert [item["name"] for item in document.items] == ["INC-2", "INC-1"]
    assert screen(document)[-1] == "next: mcml incident ack INC-2"
    assert "no change found on its target or model" in "\n".join(screen(document))


def test_nothing_on_fire() -> None:
    assert screen(views.fire([], None, at(0))) == ["ok  nothing is on fire"]
    last = incident(state="resolved", resolved=60, resolved_by="ada")
    assert screen(views.fire([], last, at(120))) == ["ok  nothing is on fire; last: INC-1 fraud@eu-2 is down, resolved 1m ago by ada"]


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (incident(), "mcml incident ack INC-1"),
        (incident(state="acked", acked_by="ada", acked=1), "mcml incident show INC-1"),
        (incident(state="acked", acked_by="ada", acked=1, recovered=2), "mcml incident resolve INC-1 --note 'what it was'"),
        (incident(state="resolved", resolved=3, resolved_by="ada"), "mcml postmortem draft INC-1"),
    ],
)
def test_there_is_one_next_step_in_every_state(about: Incident, expected: str) -> None:
    assert views.next_step(about) == expected
    assert screen(views.changed(about, "done"))[-1] == f"next: {expected}"
    assert screen(views.incident_show(told(about), RUNBOOK, "", at(240)))[-1] == f"next: {expected}"


def test_one_incident_with_its_story_and_its_runbook() -> None:
    about = incident(state="acked", acked_by="ada", acked=60, recovered=90)
    assert screen(views.incident_show(told(about), RUNBOOK, "", at(240))) == [
        "ERROR  INC-1  fraud@eu-2 is down",
        "state   acked",
        "target  eu-2",
        "model   fraud",
        "opened  2026-11-21 09:00:00 UTC, 4m ago; recovered 1m 30s after the opening",
        "who     ada, 1m after the opening",
        "",
        "Timeline (T = opened, times in UTC)",
        "  When   UTC       What",
        "  T-40s  08:59:20  deployed fraud version 2 to eu-2 <-- changed 40s before",
        "  T+0s   09:00:00  fraud@eu-2 is down: connection refused",
        "  T+0s   09:00:00  INC-1 opened (error): fraud@eu-2 is down",
        "",
        "Runbook: it is down",
        "  1. Start it:",
        "",
        "         mcml deploy model fraud",
        "",
        "next: mcml incident resolve INC-1 --note 'what it was'",
    ]


def test_a_missing_runbook_and_a_cut_story_are_said() -> None:
    document = views.incident_show(Story(incident(), (), cut=True), None, "there is none", at(1))
    text = "\n".join(screen(document))
    assert "there is none" in text
    assert "the oldest are left out" in text
    assert document.items[0]["runbook"] == ""


def test_json_fields_are_pinned() -> None:
    assert set(views.item(incident())) == FIELDS
    listed = views.incident_list([incident(identifier=2), incident()])
    assert (listed.kind, [item["name"] for item in listed.items]) == ("IncidentList", ["INC-2", "INC-1"])
    assert set(views.fire([told(incident())], None, at(1)).items[0]) == FIELDS | {"changed_before"}
    shown = views.incident_show(told(incident()), RUNBOOK, "", at(1))
    assert (shown.kind, set(shown.items[0])) == ("Incident", FIELDS | {"moments", "runbook", "next"})
    moments = envelope(shown)["items"][0]["moments"]  # type: ignore[index]
    assert [set(moment) for moment in moments] == [MOMENT_FIELDS] * 3
    assert moments[0] == {
        "offset": "T-40s", "offset_s": -40.0, "at": "2026-11-21T08:59:20.000000Z", "kind": "deploy.finished", "target": "eu-2",
        "actor": "router", "text": "deployed fraud version 2 to eu-2", "relation": "target", "mark": "changed 40s before", "seqs": [1],
    }  # fmt: skip
    assert set(views.changed(incident(), "done").items[0]) == FIELDS | {"next"}
