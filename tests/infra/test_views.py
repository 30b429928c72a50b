"""The documents of the infra room, drawn from literal values."""

import json
from io import StringIO
from pathlib import Path

import pytest

from mcml.core.errors import McmlError
from mcml.core.plan import Step
from mcml.core.schema import Target
from mcml.core.view import Document
from mcml.infra.fleet import Plans
from mcml.infra.plans.plan import Applied, Planned, read_plan
from mcml.infra.states.state import Lock, State
from mcml.infra.units.backend import Backend
from mcml.infra.units.graph import Graph
from mcml.infra.units.schedule import Results
from mcml.infra.units.units import Folders, Unit
from mcml.infra.views import overview as views
from tests.infra.rig import Project
from tests.infra.screens import LOCAL, cloud, lines, planned, plans_of, screen

ALONE = Graph((LOCAL,))


def state_of(unit: Unit, state: State) -> Results[State]:
    return Results({unit.name: state})


def case(name: str) -> Plans:
    document = json.loads((Path(__file__).parent / "plans" / f"{name}.json").read_text())["document"]
    return plans_of(Planned(LOCAL, read_plan(document), Path("plan")))


def test_a_plan() -> None:
    changed = case("region-changed-1.15")
    document = views.plan_document(changed)
    assert document.kind == "InfraPlan"
    assert lines(document) == [
        "replace | target eu | cannot be changed in place; input.region: eu-1 -> eu-2",
        f"1 to replace in dev; plan {changed.digest[:12]}",
    ]
    assert [item["action"] for item in document.items] == ["replace", "keep"]
    priced = ["monthly_cost", "monthly_delta", "unpriced", "verdicts"]
    about = ["name", "action", "kind", "target", "reason", "values", "unit"]
    assert list(document.items[0]) == [*about, *priced, "waits_for"]
    assert (document.items[0]["unit"], document.items[0]["waits_for"]) == ("local", [])
    assert [document.items[0][key] for key in priced] == [None, None, [], []]


def test_a_plan_without_changes() -> None:
    assert lines(views.plan_document(case("nothing-1.15")))[0].startswith("nothing to change in dev; plan ")


def test_a_big_plan_fits_on_one_screen_and_what_is_lost_comes_first() -> None:
    document = views.plan_document(plans_of(planned(LOCAL, *(Step("create", "terraform_data", f"x{number}") for number in range(300)))))
    assert len(lines(document)) == 52
    assert lines(document)[50] == "... and 250 more: -o json shows all"
    assert len(document.items) == 300
    dropped = lines(views.plan_document(case("dropped-1.15")))
    assert dropped[0] == "delete | target us | no longer in the configuration"


def test_a_long_value_is_cut() -> None:
    step = Step("update", "aws_x", "aws_x.y", values={"changed": {"text": [None, "a" * 100]}})
    assert lines(views.plan_document(plans_of(planned(LOCAL, step))))[0] == f"update | aws_x.y | text: none -> {'a' * 37}..."


def done(made: Planned) -> Document:
    return views.applied_document(plans_of(made), Results({made.unit.name: Applied(made, 1.26)}))


@pytest.mark.parametrize(("destroys", "text"), [(False, "nothing to change: everything is as it should be"), (True, "nothing to destroy")])
def test_nothing_done(destroys: bool, text: str) -> None:
    document = done(planned(LOCAL, destroys=destroys))
    assert (lines(document), document.items) == ([f"ok: dev: {text}"], [])


def test_done() -> None:
    steps = Step("delete", "terraform_data", "a", "eu"), Step("create", "terraform_data", "b", "us"), Step("keep", "terraform_data", "c")
    document = done(planned(LOCAL, *steps))
    assert lines(document)[0].startswith("done: dev: 1 destroyed, 1 created in 1.3 s; plan ")
    assert [(item["target"], item["result"]) for item in document.items] == [("eu", "destroyed"), ("us", "created")]


def test_outputs(tmp_path: Path) -> None:
    eu = {"provider": "local", "region": "eu-1", "folder": str(tmp_path), "ports": [5, 3, 4, 9], "tags": {"a": "b"}}
    document = views.output_document(ALONE, state_of(LOCAL, State({"targets": {"eu": eu, "us": None}, "vpc": "v-1"}, sensitive=("key",))))
    assert document.items == [
        {"name": "eu", "provider": "local", "region": "eu-1", "ports": "3-5, 9", "folder": str(tmp_path), "tags": {"a": "b"}}
    ]
    assert lines(document) == [f"eu | local | eu-1 | 3-5, 9 | {tmp_path}", "vpc: v-1", "key: (sensitive)"]
    assert lines(views.output_document(ALONE, state_of(LOCAL, State()))) == ["nothing is applied; next: mcml infra apply"]


def test_status_has_a_word_for_every_case(tmp_path: Path) -> None:
    def output(folder: Path) -> dict[str, object]:
        return {"provider": "local", "region": "r", "folder": str(folder), "ports": [1]}

    state = State(
        outputs={"targets": {"eu": output(tmp_path), "gone": output(tmp_path / "x"), "old": output(tmp_path)}},
        made={"eu": True, "gone": True, "old": True, "torn": False},
        lock=Lock("ann@build-7", "apply", "now"),
    )
    wanted = {name: Target(provider="local", region="r") for name in ("eu", "gone", "torn", "new")}
    document = views.status_document(ALONE, state_of(LOCAL, state), wanted)
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


@pytest.mark.parametrize("form", ["table", "json", "yaml", "name"])
def test_every_form_can_be_drawn(form: str) -> None:
    from mcml.core.clock import utc_now
    from mcml.ui import render
    from tests.ui.streams import out_of, streams

    told = streams()
    render.show(views.plan_document(case("region-changed-1.15")), form, told, utc_now())
    assert isinstance(told.out, StringIO)
    assert "terraform_data.target" in out_of(told) or "target eu" in out_of(told)


# Several units

AWS = cloud("aws")
NETWORK = {"vpc_id": "vpc-1", "subnets": {"private": ["a", "b"]}, "zones": [{"name": "z1"}, {"name": "z2"}], "flow_log": None}


def test_outputs_of_units_are_flat_for_a_person_and_whole_for_a_program() -> None:
    states = {"aws-network": State({"network": NETWORK}, resources=3), "aws-cluster": State(sensitive=("cluster",))}
    states |= {"aws-data": State(), "aws-ml": State(resources=2)}
    document = views.output_document(Graph(AWS), Results(states))
    assert document.kind == "InfraUnitOutput"
    assert document.items == [
        {"unit": "aws-network", "name": "network", "value": NETWORK, "sensitive": False},
        {"unit": "aws-cluster", "name": "cluster", "value": None, "sensitive": True},
    ]
    assert lines(document) == [
        "aws-network", "network.vpc_id: vpc-1", "network.subnets.private: ['a', 'b']", "network.zones[0].name: z1",
        "network.zones[1].name: z2", "network.flow_log: None",
        "aws-cluster", "cluster: (sensitive)",
        "not applied: aws-data; next: mcml infra apply", "no outputs: aws-ml",
    ]  # fmt: skip
    assert "network.subnets.private  a, b" in "\n".join(screen(document))


def test_the_local_unit_among_others_keeps_its_table(tmp_path: Path) -> None:
    eu = {"provider": "local", "region": "eu-1", "folder": str(tmp_path), "ports": [5], "tags": {}}
    states = {"local": State({"targets": {"eu": eu}}), "aws-network": State({"network": {"id": 1}})}
    document = views.output_document(Graph((LOCAL, AWS[0])), Results(states))
    assert lines(document) == ["local", f"eu | local | eu-1 | 5 | {tmp_path}", "aws-network", "network.id: 1"]
    assert [(item["unit"], item["name"]) for item in document.items] == [("local", "targets"), ("aws-network", "network")]


def test_status_of_units() -> None:
    stored = Unit("aws-network", "dev", module="root/aws-network", cloud="aws", layer="network", backend=Backend("s3"))
    units = (LOCAL, stored, *AWS[1:], Unit("dns", "dev", own=True, after=("aws-network",)))
    states = {
        "local": State(),
        "aws-network": State(resources=30, serial=7),
        "aws-cluster": State(resources=12, tainted=1, serial=2),
        "aws-data": State(resources=4, serial=3, lock=Lock("ann@build-7", "apply", "noon")),
        "dns": State(serial=9),
    }
    failed = {"aws-ml": McmlError("cannot read the Terraform state", why="it is cut off")}
    wanted = {"eks": Target(provider="aws", region="r"), "gke": Target(provider="gcp", region="r"), "here": Target(provider="local")}
    document = views.status_document(Graph(units), Results(states, failed), wanted)
    assert lines(document) == [
        "eks | not applied | aws | r | ",
        "gke | as it is | gcp | r | ",
        "here | not applied | local |  | ",
        "local | not applied | 0 | 0 | this machine | []",
        "aws-network | applied | 30 | 7 | s3 | []",
        "aws-cluster | half-made | 12 | 2 | this machine | ['aws-network']",
        "dns | not applied | 0 | 9 | this machine | ['aws-network']",
        "aws-data | locked | 4 | 3 | this machine | ['aws-network', 'aws-cluster']",
        "aws-ml | unreadable | None | None | this machine | ['aws-network', 'aws-cluster', 'aws-data']",
        "locked: ann@build-7 holds the state of aws-data (apply) since noon",
        "unreadable: aws-ml: cannot read the Terraform state (it is cut off)",
        "2 of 3 not as they should be; next: mcml infra apply",
    ]
    assert [f"{item['kind']} {item['name']}" for item in document.items][2:5] == ["target here", "unit local", "unit aws-network"]
    assert set(document.items[-1]) == {"name", "kind", "state", "provider", "layer", "resources", "serial", "kept", "needs"}


def test_status_when_all_is_applied_has_no_advice() -> None:
    states = {unit.name: State(resources=1, serial=1) for unit in AWS}
    document = views.status_document(Graph(AWS), Results(states), {"eks": Target(provider="aws", region="r")})
    assert lines(document)[0] == "eks | applied | aws | r | "
    assert len(lines(document)) == 5
    assert lines(views.status_document(Graph(AWS[:1]), Results({"aws-network": State()}), {}))[-1] == (
        "1 of 1 units not as they should be; next: mcml infra apply"
    )


def test_what_was_done_in_several_units() -> None:
    network, cluster, data, ml = AWS
    steps = Step("create", "aws_vpc", "aws_vpc.this"), Step("delete", "aws_eip", "aws_eip.nat"), Step("keep", "aws_kms_key", "k")
    made = planned(network, *steps), planned(Unit("dns", "dev"))
    plans = plans_of(*made, planned(cluster, steps[0]), planned(data, steps[0]), planned(ml, steps[0]))
    failed = {"aws-cluster": McmlError("quota of 5 reached", why="details")}
    skipped = {"aws-data": ("aws-cluster",), "aws-ml": ("aws-cluster",)}
    done = {"aws-network": Applied(made[0], 62.0), "dns": Applied(made[1])}
    document = views.applied_document(plans, Results(done, failed, skipped))
    assert lines(document) == [
        "aws-network | done | 1 destroyed, 1 created | 62.0",
        "aws-cluster | failed | quota of 5 reached | None",
        "aws-data | not begun | needs aws-cluster | None",
        "aws-ml | not begun | needs aws-cluster | None",
        f"partly: dev: 1 destroyed, 1 created, 1 units as they were; 1 failed; 2 not begun; plan {plans.digest[:12]}",
    ]
    assert [(item["unit"], item["action"], item["result"], item["reason"]) for item in document.items] == [
        ("aws-network", "create", "created", ""),
        ("aws-network", "delete", "destroyed", ""),
        ("aws-cluster", "unknown", "failed", "quota of 5 reached (details)"),
        ("aws-data", "unknown", "not begun", "it needs aws-cluster"),
        ("aws-ml", "unknown", "not begun", "it needs aws-cluster"),
    ]
    nothing = views.applied_document(plans, Results({"dns": Applied(made[1])}))
    assert lines(nothing) == ["ok: dev: nothing to change: everything is as it should be"]


def test_init_of_several(project: Project) -> None:
    results: Results[None] = Results({"aws-network": None}, {"aws-cluster": McmlError("x")})
    document = views.init_document(project.binary, Graph(AWS[:2]), Folders(Path("/p/.mcml")), results)
    assert lines(document)[2:] == [
        "aws-network | ready | /p/.mcml/infra/root/aws-network", "aws-cluster | failed | /p/.mcml/infra/root/aws-cluster"
    ]  # fmt: skip
    alone = views.init_document(project.binary, ALONE, Folders(Path("/p/.mcml")), Results({"local": None}))
    assert lines(alone) == [f"terraform: {project.binary.name}", "environment: dev", "folder: /p/.mcml/infra/local"]
