"""The documents of the infra room, drawn from literal values."""

import json
from io import StringIO
from pathlib import Path

import pytest

from mcml.core.plan import Plan, Step
from mcml.core.schema import Target
from mcml.core.view import Document, Status, Table, Text
from mcml.infra import views
from mcml.infra.drift import Drift, Drifted
from mcml.infra.plan import Applied, Planned, read_plan
from mcml.infra.state import Lock, State
from mcml.infra.units import Unit

UNIT = Unit("local", "dev", ("eu", "us"))


def planned(*steps: Step, destroys: bool = False) -> Planned:
    return Planned(UNIT, Plan("infra", steps), Path("plan"), destroys)


def lines(document: Document) -> list[str]:
    """All lines that a terminal would show, each row of a table being one."""
    said: list[str] = []
    for block in document.blocks:
        if isinstance(block, Table):
            said += [" | ".join(str(row.get(column.key)) for column in block.columns) for row in block.rows] or [block.empty]
        elif isinstance(block, Status | Text):
            said.append(f"{block.state.text}: {block.text}" if isinstance(block, Status) else block.text)
    return said


def case(name: str) -> Planned:
    document = json.loads((Path(__file__).parent / "plans" / f"{name}.json").read_text())["document"]
    plan = read_plan(document)
    return Planned(UNIT, plan, Path("plan"))


def test_a_plan() -> None:
    changed = case("region-changed-1.15")
    document = views.plan_document(changed)
    assert document.kind == "InfraPlan"
    assert lines(document) == [
        "replace | target eu | cannot be changed in place; input.region: eu-1 -> eu-2",
        f"1 to replace in dev; plan {changed.plan.digest[:12]}",
    ]
    assert [item["action"] for item in document.items] == ["replace", "keep"]
    priced = ["monthly_cost", "monthly_delta", "unpriced", "verdicts"]
    assert list(document.items[0]) == ["name", "action", "kind", "target", "reason", "values", *priced]
    assert [document.items[0][key] for key in priced] == [None, None, [], []]


def test_a_plan_without_changes() -> None:
    assert lines(views.plan_document(case("nothing-1.15")))[0].startswith("nothing to change in dev; plan ")


def test_a_big_plan_fits_on_one_screen_and_what_is_lost_comes_first() -> None:
    document = views.plan_document(planned(*(Step("create", "terraform_data", f"x{number}") for number in range(300))))
    assert len(lines(document)) == 52
    assert lines(document)[50] == "... and 250 more: -o json shows all"
    assert len(document.items) == 300
    dropped = lines(views.plan_document(case("dropped-1.15")))
    assert dropped[0] == "delete | target us | no longer in the configuration"


def test_a_long_value_is_cut() -> None:
    step = Step("update", "aws_x", "aws_x.y", values={"changed": {"text": [None, "a" * 100]}})
    assert lines(views.plan_document(planned(step)))[0] == f"update | aws_x.y | text: none -> {'a' * 37}..."


@pytest.mark.parametrize(("destroys", "text"), [(False, "nothing to change: everything is as it should be"), (True, "nothing to destroy")])
def test_nothing_done(destroys: bool, text: str) -> None:
    document = views.applied_document(Applied(planned(destroys=destroys)))
    assert (lines(document), document.items) == ([f"ok: dev: {text}"], [])


def test_done() -> None:
    steps = Step("delete", "terraform_data", "a", "eu"), Step("create", "terraform_data", "b", "us"), Step("keep", "terraform_data", "c")
    document = views.applied_document(Applied(planned(*steps), 1.26))
    assert lines(document)[0].startswith("done: dev: 1 destroyed, 1 created in 1.3 s; plan ")
    assert [(item["target"], item["result"]) for item in document.items] == [("eu", "destroyed"), ("us", "created")]


def test_outputs(tmp_path: Path) -> None:
    eu = {"provider": "local", "region": "eu-1", "folder": str(tmp_path), "ports": [5, 3, 4, 9], "tags": {"a": "b"}}
    document = views.output_document(State({"targets": {"eu": eu, "us": None}, "vpc": "v-1"}, sensitive=("key",)))
    assert document.items == [
        {"name": "eu", "provider": "local", "region": "eu-1", "ports": "3-5, 9", "folder": str(tmp_path), "tags": {"a": "b"}}
    ]
    assert lines(document) == [f"eu | local | eu-1 | 3-5, 9 | {tmp_path}"]
    assert "('vpc', 'v-1'), ('key', '(sensitive)')" in str(document.blocks)
    assert lines(views.output_document(State())) == ["nothing is applied; next: mcml infra apply"]


def test_status_has_a_word_for_every_case(tmp_path: Path) -> None:
    def output(folder: Path) -> dict[str, object]:
        return {"provider": "local", "region": "r", "folder": str(folder), "ports": [1]}

    state = State(
        outputs={"targets": {"eu": output(tmp_path), "gone": output(tmp_path / "x"), "old": output(tmp_path)}},
        made={"eu": True, "gone": True, "old": True, "torn": False},
        lock=Lock("ann@build-7", "apply", "now"),
    )
    wanted = {name: Target(provider="local", region="r") for name in ("eu", "gone", "torn", "new")}
    document = views.status_document(UNIT, state, wanted)
    assert {item["name"]: getattr(item["state"], "text", "") for item in document.items} == {
        "eu": "applied",
        "gone": "missing",
        "new": "not applied",
        "old": "to be removed",
        "torn": "half-made",
    }
    assert lines(document)[5:] == [
        "locked: ann@build-7 holds the state (apply) since now",
        "4 of 5 not as they should be; next: mcml infra apply",
    ]


def test_drift() -> None:
    found = Drift("dev", (Drifted("missing", "us", "removed", ("mcml infra apply",), "us-1"),), ("eu", "us"))
    assert lines(views.drift_document(found)) == ["us | State(text='missing', level='bad') | us-1 | removed", "us: mcml infra apply"]
    assert lines(views.drift_document(Drift("dev", looked_at=("eu",)))) == ["ok: dev: no drift; 1 targets are as Terraform left them"]


@pytest.mark.parametrize("form", ["table", "json", "yaml", "name"])
def test_every_form_can_be_drawn(form: str) -> None:
    from mcml.core.clock import utc_now
    from mcml.ui import render
    from tests.ui.streams import out_of, streams

    told = streams()
    render.show(views.plan_document(case("region-changed-1.15")), form, told, utc_now())
    assert isinstance(told.out, StringIO)
    assert "terraform_data.target" in out_of(told) or "target eu" in out_of(told)
