"""Drafts: written from a real store, compared as whole documents, and saved without losing what people wrote."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, McmlError, NotFound
from mcml.core.view import Section, Table
from mcml.incident import desk as incidents
from mcml.postmortem import desk, document, views
from mcml.postmortem.evidence import Spend, changes, drill, impact, response, rows, window
from mcml.store.db import Store
from mcml.ui.markdown import render
from tests.incident.made import at, clock, down, fact, incident, up
from tests.store.vandal import vandalise

GOLDEN = Path(__file__).parent / "drafts"


@pytest.fixture
def store(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("MCML_ACTOR", "ada")
    with Store(sqlite_url) as opened:
        yield opened


def tell_the_story(store: Store) -> None:
    """A deploy, a drill that kills a backend, traffic that moves, a person, a recovery."""
    backends = ["fraud@eu-1", "fraud@eu-2"]
    shift = [dict(zip(backends, shares, strict=True)) for shares in ((50, 50), (80, 20), (100, 0))]
    store.append(
        fact("infra.applied", seconds=-7200, actor="ada", environment="dev", create=2, targets=["eu-1", "eu-2"]),
        fact("deploy.started", "eu-2", seconds=-60, actor="ada", model="fraud", version="2"),
        fact("deploy.finished", "eu-2", seconds=-50, actor="ada", model="fraud", version="2", previous=["1"]),
        fact("route.drill_started", "eu-2", seconds=-1.4, actor="bob", route="fraud", requests=1200, concurrency=16),
        fact("route.drill_killed", "eu-2", seconds=-0.4, actor="bob", route="fraud", backend="fraud@eu-2"),
    )
    incidents.record(store, down(serving=1), clock=clock(0.003))
    store.append(
        fact("route.weights", seconds=0.05, route="fraud", previous=shift[0], weights=shift[1], reason="fraud@eu-2 is out"),
        fact("route.weights", seconds=0.25, route="fraud", previous=shift[1], weights=shift[2], reason="fraud@eu-2 is out"),
        fact("route.drill_finished", "eu-2", seconds=5, actor="bob", route="fraud", requests=1200, failed=0, seconds_to_zero=0.25),
    )
    incidents.ack(store, 1, actor="ada", clock=clock(20))
    incidents.note(store, 1, "the process | was <killed>\n# on purpose", actor="ada", clock=clock(25))
    incidents.record(store, up(seconds=31), clock=clock(31))
    incidents.resolve(store, 1, note="a drill", actor="ada", clock=clock(60))


def test_the_whole_draft(store: Store) -> None:
    tell_the_story(store)
    evidence = replace(desk.gather(store, 1, clock=clock(90)), spend=(Spend("eu-2", Decimal("0.0000347222222222"), "USD", 3),))
    golden = GOLDEN / "killed-in-a-drill.md"
    assert render(document.blocks(evidence)) == golden.read_text()


def test_a_draft_of_what_nobody_touched_leaves_no_gap(store: Store) -> None:
    incidents.record(store, fact("deploy.failed", "eu-2", model="fraud", version="3", reason="it never answered"), clock=clock(0.002))
    golden = GOLDEN / "deploy-failed-and-open.md"
    assert render(document.blocks(desk.gather(store, 1, clock=clock(90)))) == golden.read_text()


def test_what_mcml_did_by_itself_is_nobodys_answer(store: Store) -> None:
    incidents.record(store, down(), clock=clock(0))
    incidents.record(store, up(seconds=3), clock=clock(3))
    evidence = desk.gather(store, 1, clock=clock(90))
    assert [(known.label, known.value) for known in response(evidence)] == [("Acknowledged", "by nobody")]
    assert window(evidence) == (at(0), at(3))
    assert "Nobody acknowledged it. It recovered 3s later (row 4)." in document.summary(evidence)


def test_every_recovery_of_a_flapping_backend_is_counted(store: Store) -> None:
    for second in (0, 10, 20):
        incidents.record(store, down(seconds=second), clock=clock(second))
        incidents.record(store, up(seconds=second + 4), clock=clock(second + 4))
    text = render(document.blocks(desk.gather(store, 1, clock=clock(90))))
    assert "| Recoveries | 3 | 4, 9, 14 |" in text
    assert "| Time to recover | 24s | 14 |" in text


def test_a_drill_elsewhere_or_long_ago_did_not_break_it(store: Store) -> None:
    store.append(
        fact("route.drill_started", "eu-2", seconds=-301, route="fraud"),
        fact("route.drill_started", "eu-1", seconds=-1, route="fraud"),
    )
    incidents.record(store, down(), clock=clock(0))
    evidence = desk.gather(store, 1, clock=clock(90))
    assert drill(evidence) is None
    assert len(changes(evidence)) == 2


def test_what_is_not_known_is_said_not_guessed(store: Store) -> None:
    incidents.record(store, down(), clock=clock(0))
    known = {fact_.label: fact_.value for fact_ in impact(desk.gather(store, 1, clock=clock(90)))}
    assert known["Requests and errors"] == "not measured: no fact in the journal counts them"
    assert known["Money"] == "not known: the cost ledger has no row for this time"
    assert known["Lasted"] == "not over when this was drafted"


def test_action_items_wait_for_people(store: Store) -> None:
    incidents.record(store, down(), clock=clock(0))
    (whole,) = document.blocks(desk.gather(store, 1, clock=clock(90)))
    assert isinstance(whole, Section)
    (table,) = [
        inner for block in whole.blocks if isinstance(block, Section) and block.title == "Action items" for inner in block.blocks
    ]
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == ["Action", "Owner", "Due", "Type", "Link"]
    assert [dict(row) for row in table.rows] == [{"type": "prevent"}, {"type": "detect"}, {"type": "mitigate"}]


def test_a_broken_journal_is_said_in_the_draft_and_on_the_screen(store: Store, tmp_path: Path) -> None:
    tell_the_story(store)
    with store.writing() as connection:
        vandalise(connection, "UPDATE journal SET actor = 'mallory' WHERE seq = 3")
    evidence = desk.gather(store, 1, clock=clock(90))
    assert "**The journal does not verify**: row 3 was changed" in render(document.blocks(evidence))
    shown = views.drafted(evidence, tmp_path / "x.md")
    assert shown.items[0]["journal_ok"] is False
    assert len(shown.blocks) == 3


@pytest.mark.parametrize(("seqs", "text"), [((), ""), ((7,), "7"), ((9, 8, 10, 8), "8-10"), ((3, 7, 8, 1), "1, 3, 7-8")])
def test_rows_are_written_short(seqs: tuple[int, ...], text: str) -> None:
    assert rows(seqs) == text


def test_saving_makes_the_folder_and_a_fact(store: Store, tmp_path: Path) -> None:
    incidents.record(store, down(), clock=clock(0))
    found = incidents.get(store, 1)
    path = desk.default_path(found)
    assert path == Path("postmortems/INC-1-fraud-eu-2-is-down.md")
    assert desk.save(store, found, "text\n", project=tmp_path, path=path, clock=clock(5)) == tmp_path / path
    assert (tmp_path / path).read_text() == "text\n"
    last = store.entries()[-1]
    assert (last.kind, last.target, last.facts) == (
        "postmortem.drafted", "eu-2", {"incident": 1, "path": "postmortems/INC-1-fraud-eu-2-is-down.md"},
    )  # fmt: skip


def test_what_somebody_wrote_is_not_replaced(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("mine\n")
    with pytest.raises(Conflict) as refused:
        desk.save(store, incident(), "text\n", project=tmp_path, path=Path("mine.md"))
    assert "--force" in refused.value.next_step
    assert (tmp_path / "mine.md").read_text() == "mine\n"
    assert store.entries() == []
    desk.save(store, incident(), "text\n", project=tmp_path, path=tmp_path / "mine.md", force=True)
    assert (tmp_path / "mine.md").read_text() == "text\n"


def test_a_place_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(McmlError) as failed:
        desk.save(store, incident(), "text\n", project=tmp_path, path=Path("file/inside.md"))
    assert failed.value.why == "File exists"
    assert "--out" in failed.value.next_step
    (tmp_path / "folder").mkdir()
    with pytest.raises(McmlError, match="cannot write"):
        desk.save(store, incident(), "text\n", project=tmp_path, path=Path("folder"), force=True)
    assert store.entries() == []
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".tmp") == sorted(
        each.name for each in tmp_path.iterdir()
    ), "no half-written file is left"


def test_there_is_no_draft_of_nothing(store: Store) -> None:
    with pytest.raises(NotFound, match="INC-9"):
        desk.gather(store, 9)


@pytest.mark.parametrize(
    ("title", "name"),
    [("", "INC-1.md"), ("../../etc/passwd", "INC-1-etc-passwd.md"), ("é" * 300 + "x" * 300, f"INC-1-{'x' * 60}.md")],
)
def test_no_title_leads_out_of_the_folder(title: str, name: str) -> None:
    assert desk.default_path(incident(title=title)) == Path("postmortems") / name


def test_json_fields_of_a_draft_are_pinned(store: Store, tmp_path: Path) -> None:
    incidents.record(store, down(), clock=clock(0))
    shown = views.drafted(desk.gather(store, 1), tmp_path / "x.md")
    assert (shown.kind, shown.name_key) == ("PostmortemDraft", "path")
    assert set(shown.items[0]) == {"name", "path", "incident_state", "moments", "journal_rows", "journal_head", "journal_ok"}
