"""How long things take: learned, kept, and added up along the longest way."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.paths import shipped as folder_of
from mcml.infra.plans import durations
from mcml.infra.plans.durations import KEPT, SHIPPED, Durations, kind_of, load, longest
from mcml.infra.plans.resources import Resource, resources_of
from mcml.infra.terraform.events import Event
from tests.infra.clouds import kept
from tests.infra.rig import Project


def done(address: str, seconds: float, action: str = "create") -> Event:
    return Event("apply_complete", address, action=action, seconds=seconds)


def resource(within: str, *actions: str, refers: tuple[str, ...] = ()) -> Resource:
    kind = kind_of(within)
    return Resource(within, kind, "aws", "", actions or ("create",), None, {}, within=within, refers={"x": refers} if refers else {})


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("aws_vpc.this", "aws_vpc"),
        ('terraform_data.target["eu"]', "terraform_data"),
        ('module.a["x.y[0]"].module.b[1].aws_subnet.this["a.b"]', "aws_subnet"),
        ('module.a["say \\"hi\\""].aws_eip.nat[12]', "aws_eip"),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_the_kind_of_an_address(address: str, kind: str) -> None:
    assert kind_of(address) == kind


def test_the_median_of_the_last_nine_counts(tmp_path: Path) -> None:
    path = tmp_path / "infra" / "durations.json"
    assert load(path).expected("aws_eks_cluster", "create") == 540, "our estimate, before it was ever made"
    for seconds in range(1, 13):
        learned = load(path)
        learned.count(done('aws_eks_cluster.this["a"]', seconds))
        learned.keep()
    assert json.loads(path.read_text()) == {"aws_eks_cluster:create": [float(seconds) for seconds in range(4, 13)]}
    assert len(range(4, 13)) == KEPT
    assert load(path).expected("aws_eks_cluster", "create") == 8
    assert load(path).expected("aws_eks_cluster", "delete") == 180


def test_only_what_is_finished_is_learned(tmp_path: Path) -> None:
    learned = load(tmp_path / "d.json")
    begun, failed = (Event(kind, "a.b", action="create") for kind in ("apply_start", "apply_errored"))
    for event in (begun, failed, done("a.b", 1, "read"), done("", 1)):
        learned.count(event)
    learned.keep()
    assert not (tmp_path / "d.json").exists()


def test_two_runs_at_once_lose_nothing_of_one_another(tmp_path: Path) -> None:
    one, other = load(tmp_path / "d.json"), load(tmp_path / "d.json")
    one.count(done("a.b", 3))
    other.count(done("c.d", 4))
    one.keep()
    other.keep()
    assert load(tmp_path / "d.json").known == {"a:create": [3.0], "c:create": [4.0]}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a:create": 3}', '{"a:create": ["x", null, true, -1, 1e999]}', "\x00"])
def test_a_broken_file_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    learned = load(path)
    assert learned.known == {}
    learned.count(done("a.b", 3))
    learned.keep()
    assert load(path).known == {"a:create": [3.0]}


def test_a_folder_that_cannot_be_written_is_no_failure() -> None:
    learned = load(Path("/proc/nowhere/d.json"))
    learned.count(done("a.b", 3))
    learned.keep()
    assert not Path("/proc/nowhere").exists()


def test_every_kind_that_mcml_makes_has_an_estimate() -> None:
    files = [path.read_text() for path in folder_of("terraform").rglob("*.tf")]
    kinds = {kind for text in files for kind in re.findall(r'^resource "([a-z0-9_]+)"', text, re.MULTILINE)}
    assert len(kinds) > 100
    assert {kind for kind in kinds if durations.shipped(kind, "create") is None} == set()
    assert {kind for kind in kinds if durations.shipped(kind, "delete") is None} == set()
    assert set(SHIPPED) <= kinds, "an estimate of what mcml never makes"
    assert durations.shipped("aws_msk_cluster", "create") is None
    assert durations.shipped("aws_eks_cluster", "update") is None, "a tag or a new version: who knows"


def test_a_plan_takes_as_long_as_its_longest_chain(tmp_path: Path) -> None:
    known = load(tmp_path / "none")
    cluster, group = "module.c.aws_eks_cluster.this", "module.c.aws_eks_node_group.pool"
    chain = [resource(group, refers=(cluster,)), resource(cluster, refers=("aws_subnet.a",))]
    chain += [resource("aws_subnet.a"), resource("aws_nat_gateway.n")]
    assert known.of_plan(chain) == 540 + 150 + 5
    assert known.of_plan([resource(cluster, "delete", "create")]) == 720
    assert known.of_plan([*chain, *(resource(f"acme_thing.t{number}") for number in range(5))]) is None, "most of it nobody knows"
    assert known.of_plan([resource(cluster, "no-op"), resource("data_x.y", "read")]) == 0
    assert known.of_plan([]) == 0


def test_the_chain_of_a_real_plan_is_found_in_its_expressions(tmp_path: Path) -> None:
    known = Durations(tmp_path / "none", {"google_container_cluster:create": [100.0], "google_container_node_pool:create": [30.0, 50.0]})
    assert known.of_plan(one for one in resources_of(kept("google", "good")) if one.kind.startswith("google_container")) == 140


def test_a_circle_and_a_stranger_are_survived() -> None:
    assert longest({"a": 1, "b": 2}, {"a": ["b"], "b": ["a"]}) == 0
    assert longest({"a": 1, "b": 2}, {"a": ["b", "elsewhere"]}) == 3
    assert longest({}, {}) == 0


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=6))
def test_the_longest_way_lies_between_the_longest_part_and_the_sum(seconds: dict[str, float]) -> None:
    names = sorted(seconds)
    needs = {name: names[:index] for index, name in enumerate(names)}
    assert longest(seconds, needs) == pytest.approx(sum(seconds.values()))
    assert longest(seconds, {name: [] for name in names}) == max(seconds.values(), default=0)


def test_an_apply_learns(project: Project) -> None:
    project.apply()
    found = json.loads((project.folders.infra / durations.FILE).read_text())
    assert list(found) == ["terraform_data:create"]
    assert len(found["terraform_data:create"]) == 2
    with project.desk() as desk:
        assert desk.plan().expected == 0, "nothing to do"
        assert (desk.plan(destroy=True).expected or 0) > 0
