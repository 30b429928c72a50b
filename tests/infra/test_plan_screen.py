"""The screen of a plan of many units: at most 60 lines, what is lost first, and what waits for what."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import McmlError, NotAuthenticated
from mcml.core.plan import Action, Step
from mcml.infra.fleet import Plans
from mcml.infra.plans.plan import Planned
from mcml.infra.plans.policy import Verdict
from mcml.infra.plans.pricing import Charge, Estimate, Line
from mcml.infra.units.units import Unit
from mcml.infra.views import overview as views
from mcml.infra.views.fitting import heights, lines_of
from tests.infra.screens import LOCAL, cloud, lines, planned, plans_of, screen, unit
from tests.infra.test_command import Typed, mcml  # noqa: F401 - a fixture

AWS, GCP, AZURE = cloud("aws"), cloud("gcp"), cloud("azure")
KINDS = ("aws_subnet", "aws_iam_role", "aws_route_table_association", "aws_vpc_security_group_ingress_rule", "aws_kms_key", "aws_vpc")


def creates(number: int, kind: str = "aws_subnet") -> list[Step]:
    return [Step("create", kind, f'module.network.{kind}.this["{index}"]') for index in range(number)]


def costing(one: Planned, before: str, after: str, *, unpriced: bool = False) -> Planned:
    charges = Charge(Decimal(before)), Charge(Decimal(after), unpriced=("g5.xlarge",) if unpriced else ())
    return replace(one, estimate=Estimate((Line(one.unit.name, one.unit.cloud, "a.b", "a", "r", *charges),)))


def test_what_is_lost_comes_first_whatever_unit_it_is_of() -> None:
    made: list[tuple[Action, str]] = [("create", "aws_vpc.v"), ("update", "aws_eip.e"), ("replace", "aws_iam_role.r")]
    steps = [Step(action, address.partition(".")[0], address) for action, address in made]
    lost = Step("delete", "aws_db_instance", "aws_db_instance.d", reason="no longer in the module")
    document = views.plan_document(plans_of(planned(AWS[0], *steps), planned(AWS[1], Step("delete", "aws_eip", "aws_eip.x"), lost)))
    assert lines(document)[:5] == [
        "aws-cluster | delete | aws_db_instance.d | loses its data; no longer in the module",
        "aws-cluster | delete | aws_eip.x | ",
        "aws-network | replace | aws_iam_role.r | ",
        "aws-network | update | aws_eip.e | ",
        "aws-network | create | aws_vpc.v | ",
    ]
    assert lines(document)[5:7] == [
        "aws-network | whole | 1 to replace, 1 to update, 1 to create",
        "aws-cluster | whole | 2 to delete",
    ]
    assert lines(document)[-1].startswith("2 units: 2 to delete, 1 to replace, 1 to update, 1 to create in dev; plan ")


def test_creates_are_folded_by_unit_and_kind_when_they_do_not_fit() -> None:
    few = plans_of(planned(AWS[0], *creates(3)), planned(AWS[1], *creates(2)))
    assert sum("create | module" in line for line in lines(views.plan_document(few))) == 5
    many = plans_of(planned(AWS[0], *creates(40), *creates(1, "aws_vpc")), planned(AWS[1], *creates(30)))
    assert lines(views.plan_document(many))[:3] == [
        "aws-network | create | 40 x aws_subnet | ",
        'aws-network | create | module.network.aws_vpc.this["0"] | ',
        "aws-cluster | create | 30 x aws_subnet | ",
    ]
    assert len(views.plan_document(many).items) == 71
    wide = plans_of(*(planned(one, *(step for index in range(30) for step in creates(2, f"kind_{index}"))) for one in AWS))
    assert lines(views.plan_document(wide))[0] == "aws-network | create | 60 resources | 2 x kind_0, 2 x kind_1, 28 more kinds"


def test_what_loses_its_data_is_named_as_long_as_there_is_room() -> None:
    def shown(number: int) -> list[str]:
        lost = [Step("delete", "aws_db_instance", f"aws_db_instance.d[{index}]", reason="why") for index in range(number)]
        return lines(views.plan_document(plans_of(planned(AWS[0], *lost, *creates(90)), planned(AWS[1], *lost))))

    assert sum("loses its data" in line for line in shown(20)) == 40
    assert "aws-network | create | 90 x aws_subnet | " in shown(20)
    assert shown(90)[:3] == [
        "aws-network | delete | 90 x aws_db_instance | lose their data; why",
        "aws-cluster | delete | 90 x aws_db_instance | lose their data; why",
        "aws-network | create | 90 resources | ",
    ]


def test_what_is_cut_is_counted() -> None:
    made = [planned(Unit(f"u{number}", "dev"), Step("delete", "aws_db_instance", "d"), *creates(2)) for number in range(70)]
    shown = lines(views.plan_document(plans_of(*made)))
    cut = next(line for line in shown if line.startswith("... and"))
    named = sum("loses its data" in line for line in shown)
    assert cut == f"... and {210 - named} more, {70 - named} of which lose their data: -o json shows all"


def test_what_waits_is_marked() -> None:
    network, cluster, data, ml = AWS
    ahead = replace(planned(cluster, *creates(2)), waits_for=("aws-network",))
    further = replace(planned(data, *creates(1)), waits_for=("aws-network", "aws-cluster"))
    unknown = replace(planned(Unit("dns", "dev", after=("aws-ml",))), shown=False, waits_for=("aws-ml",))
    document = views.plan_document(plans_of(planned(network, *creates(3)), ahead, further, planned(ml), unknown))
    assert lines(document)[6:11] == [
        "aws-network | whole | 3 to create | ",
        "aws-cluster | in part | 2 to create | aws-network",
        "aws-data | in part | 1 to create | aws-cluster",
        "aws-ml | unchanged | nothing to change | ",
        "dns | not planned |  | aws-ml",
    ]
    assert lines(document)[11] == "in part: as far as it is known before what it waits for is applied; the rest is planned then"
    waits = {str(item["unit"]): item["waits_for"] for item in document.items}
    assert waits == {"aws-network": [], "aws-cluster": ["aws-network"], "aws-data": ["aws-network", "aws-cluster"], "dns": ["aws-ml"]}
    assert document.items[-1]["action"] == "unknown"
    alone = views.plan_document(plans_of(ahead))
    assert lines(alone)[2] == "as far as it is known before aws-network is applied"
    assert lines(alone)[3].startswith("2 to create in aws-cluster in dev; plan ")


def test_a_unit_without_a_plan_says_why_and_what_it_holds_up() -> None:
    no_login = NotAuthenticated("Google Cloud has no credentials", why="none", next_step="gcloud auth application-default login")
    document = views.plan_document(plans_of(planned(AWS[0], *creates(1)), failed={"gcp-network": no_login}, more=GCP[:2]))
    assert lines(document)[1:] == [
        "aws-network | whole | 1 to create | ",
        "gcp-network | failed |  | ",
        "gcp-cluster | not planned |  | gcp-network",
        "failed: gcp-network: Google Cloud has no credentials",
        lines(document)[-1],
    ]
    assert lines(document)[-1].startswith("1 of 3 units: 1 to create in dev; plan ")
    assert [(item["unit"], item["kind"], item["reason"], item["waits_for"]) for item in document.items[1:]] == [
        ("gcp-network", "unit", "it could not be planned: Google Cloud has no credentials (none)", []),
        ("gcp-cluster", "unit", "it is not planned without what it waits for", ["gcp-network"]),
    ]


def test_each_unit_says_what_it_adds_to_the_bill() -> None:
    one = costing(planned(AWS[0], *creates(1)), "10", "45.50")
    other = costing(planned(AWS[1], *creates(1)), "1200", "0", unpriced=True)
    shown = lines(views.plan_document(plans_of(one, other)))
    assert shown[2:4] == ["aws-network | whole | 1 to create | +35.50", "aws-cluster | whole | 1 to create | -1,200.00 or more"]
    unknown = costing(planned(AWS[0], *creates(1)), "0", "0", unpriced=True)
    assert "aws-network | whole | 1 to create | not known" in lines(views.plan_document(plans_of(unknown, planned(AWS[1]))))
    assert shown[4] == "cost: at least 45.50 USD a month (-1,164.50 USD or more)"
    assert lines(views.cost_document(plans_of(one, other)))[-1] == "not in it: 1 without a price; mcml infra cost shows which"


def test_verdicts_say_of_which_unit_they_are_and_what_denies_comes_first() -> None:
    tags = Verdict("tags", "deny", "no cost-centre", "aws_vpc.v", "aws")
    late = Verdict("logs", "warn", "kept for ever", "aws_vpc.v", "aws")
    one, other = planned(AWS[0], *creates(1)), planned(AWS[1], Step("create", "aws_vpc", "aws_vpc.v"))
    made = plans_of(replace(one, verdicts=(late, tags)), replace(other, verdicts=(tags,)))
    made = replace(made, verdicts=(Verdict("budget", "deny", "too much"),))
    document = views.plan_document(made)
    assert lines(document)[4:7] == [
        "deny | budget | too much",
        "deny | tags | aws-network: aws_vpc.v and 1 more: no cost-centre",
        "warn | logs | aws-network: aws_vpc.v: kept for ever",
    ]
    told = [[(item["unit"], verdict["rule"]) for verdict in item["verdicts"]] for item in document.items]  # type: ignore[attr-defined]
    assert told == [[], [("aws-network", "logs"), ("aws-network", "tags")], [("aws-cluster", "tags")], [("", "budget")]]


def test_how_long_it_takes_follows_the_longest_way() -> None:
    network, cluster, data, _ = AWS

    def last(*expected: float | None) -> str:
        units = zip((network, cluster, data), expected, strict=True)
        made = [replace(planned(one, *creates(1)), expected=seconds) for one, seconds in units]
        return lines(views.plan_document(plans_of(*made)))[-1].partition("in dev")[2].partition("; plan")[0]

    assert last(120, 540, 900) == ", about 26 min"
    assert last(20, 12, 8) == ", about 40s"
    assert last(120, None, 900) == ", about 17 min or more"
    assert last(None, None, 900) == ""
    assert last(1, 2, 3) == ""


def test_units_that_stay_as_they_are_take_one_line() -> None:
    same = [planned(one) for one in (*AWS, *GCP)]
    shown = lines(views.plan_document(plans_of(*same, planned(LOCAL, Step("create", "x", "x.y")))))
    assert shown[1:3] == ["local | whole | 1 to create", "8 more | unchanged | "]
    assert [line[:38] for line in lines(views.plan_document(plans_of(*same)))] == ["8 units: nothing to change in dev; plan"[:38]]


ACTIONS: tuple[Action, ...] = ("create", "update", "replace", "delete")
WORDS = st.text('abc_-.[]"0 ', min_size=1, max_size=140)
CHANGED = st.dictionaries(st.text("abc.", min_size=1, max_size=30), st.tuples(WORDS, WORDS).map(list), max_size=4)
VERDICTS = st.builds(Verdict, WORDS, st.sampled_from(["deny", "warn"]), WORDS, WORDS)


@st.composite
def any_steps(draw: st.DrawFn) -> list[Step]:
    action, kind, name = draw(st.sampled_from(ACTIONS)), draw(st.sampled_from([*KINDS, "aws_db_instance"])), draw(WORDS)
    reason, changed = draw(WORDS | st.just("")), draw(CHANGED)
    return [Step(action, kind, f"{name}.{index}", "", reason, {"changed": changed}) for index in range(draw(st.sampled_from([1, 2, 30])))]


@st.composite
def any_plans(draw: st.DrawFn) -> Plans:
    made = []
    for number in range(draw(st.integers(1, 30))):
        of = Unit(f"{draw(st.sampled_from(['x', 'a-long-name-of-a-unit']))}-{number}", "dev")
        one = planned(of, *(step for steps in draw(st.lists(any_steps(), max_size=4)) for step in steps))
        waits = ("x-0", "elsewhere") if number and draw(st.booleans()) else ()
        one = replace(one, verdicts=tuple(draw(st.lists(VERDICTS, max_size=3))), waits_for=waits)
        made.append(costing(one, "1", "12345.678", unpriced=True))
    more = tuple(Unit(f"f{number}", "dev") for number in range(draw(st.integers(0, 12))))
    return plans_of(*made, failed={one.name: McmlError(draw(WORDS)) for one in more}, more=more)


@settings(max_examples=60, deadline=None)
@given(plans=any_plans(), width=st.sampled_from([80, 120, 200]))
def test_whatever_is_planned_fits_on_one_screen(plans: Plans, width: int) -> None:
    assert len(screen(views.plan_document(plans), width)) <= 60


@pytest.mark.parametrize("width", [80, 120, 200])
def test_three_clouds_before_anything_exists_fit_on_one_screen(width: int) -> None:
    made = []
    for number, one in enumerate((*AWS, *GCP, *AZURE)):
        steps = [step for kind in KINDS for step in creates(4 + number, kind)]
        waits = () if one.layer == "network" else one.needs
        verdicts = (Verdict("tags", "warn", "no cost-centre", steps[0].name),)
        made.append(replace(costing(planned(one, *steps), "0", "450.5"), waits_for=waits, verdicts=verdicts))
    shown = screen(views.plan_document(plans_of(planned(LOCAL, Step("create", "terraform_data", "t", "eu")), *made)), width)
    text = "\n".join(shown)
    assert 30 <= len(shown) <= 60
    assert [one.unit.name for one in made if f"{one.unit.name} " not in text] == []
    assert "cost  5,406.00 USD a month (+5,406.00 USD)" in text
    assert max(map(len, shown)) <= width


def test_the_height_of_a_row_is_that_of_its_highest_cell() -> None:
    assert [lines_of(text, 10) for text in ("", "a", "a" * 10, "a" * 11, "aaaaaa bbbbbb", f"a {'b' * 25}")] == [1, 1, 1, 2, 2, 4]
    columns = views.plan_document(plans_of(planned(unit("aws-network"), *creates(1)))).blocks[0].columns  # type: ignore[union-attr]
    rows = [{"action": "create", "name": "n" * 70, "why": ""}, {"action": "create", "name": "n", "why": "w " * 40}]
    assert heights(rows, columns) == [3, 3]


# With Terraform


def test_one_broken_root_hides_no_other(mcml: Typed) -> None:  # noqa: F811
    folder = mcml.project.folder
    for name, text in (("good", 'resource "terraform_data" "one" {\n}\n'), ("bad", 'resource "terraform_data" {\n')):
        (folder / name).mkdir()
        (folder / name / "main.tf").write_text(text)
    with (folder / "mcml.toml").open("a") as config:
        config.write('\n[infra.units.good]\nmodule = "good"\n[infra.units.bad]\nmodule = "bad"\n')
        config.write('[infra.units.later]\nmodule = "good"\nafter = ["bad"]\n')
    assert mcml("plan", "--detailed-exitcode") == 7
    assert "good\tcreate\tterraform_data.one\t" in mcml.out
    assert "bad\tfailed\t\t" in mcml.out
    assert "later\tnot planned\t\tbad" in mcml.out
    assert "main.tf" in mcml.err
    assert mcml("plan", "-o", "json") == 7
    (bad, later) = [item for item in mcml.items() if item["unit"] in ("bad", "later")]
    assert (bad["action"], later["waits_for"]) == ("unknown", ["bad"])
    assert mcml("plan", "good", "--detailed-exitcode") == 3
    assert "1 to create in good in dev; plan " in mcml.out
    assert mcml("plan", "bad") == 1
    assert mcml.out == ""
    assert mcml("cost") == 7
    assert "bad: no plan, so no price" in mcml.out
    assert mcml("init") == 7
    assert "good\tready\t" in mcml.out
    assert mcml("apply", "--yes") == 7
    assert mcml("status", "-o", "json") == 7, "the state of what cannot be prepared is not known"
    states = {item["name"]: item["state"] for item in mcml.items()}
    assert (states["good"], states["bad"], states["local"]) == ("not applied", "unreadable", "not applied")
