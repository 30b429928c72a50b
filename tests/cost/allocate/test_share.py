"""Every cent is allocated once: whatever the costs and the rules, nothing is lost and nothing is double."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcml.core.errors import NotFound, Usage
from mcml.core.schema_cost import Allocation
from mcml.cost.allocate import views
from mcml.cost.allocate.lines import Line, departure, minor_unit, statement
from mcml.cost.allocate.rules import DEFAULT, UNALLOCATED, Rule, dimensions, read
from mcml.cost.allocate.share import allocate
from mcml.store.ledger.book import Group
from mcml.store.ledger.dimensions import parse
from mcml.store.ledger.exact import total
from tests.cost.test_report import group

MONEY = st.one_of(st.decimals(min_value=-(10**9), max_value=10**9, places=24), st.integers(-3, 9).map(Decimal))
TEAMS = ("risk", "ads", "web")
CONDITIONS = st.lists(st.sampled_from(["service=db", "service!=db", "team=", "service~*b"]).map(parse), max_size=2).map(tuple)
RULES = st.one_of(
    st.builds(Rule, st.just(""), CONDITIONS, to=st.sampled_from(TEAMS)),
    st.builds(Rule, st.just(""), CONDITIONS, by=st.just("team"), map=st.sampled_from([{}, {"r*": "ads", "w?b": "web"}])),
    st.builds(
        Rule,
        st.just(""),
        CONDITIONS,
        split=st.sampled_from(["even", "proportional", "requests"]),
        among=st.sampled_from([(), ("risk", "ads"), ("nobody",)]),
    ),
    st.builds(Rule, st.just(""), CONDITIONS, split=st.just("weights"), weights=st.just({"risk": Decimal(1), "ads": Decimal("2.5")})),
)


@st.composite
def named(draw: st.DrawFn) -> tuple[Rule, ...]:
    """Rules with a name each, and always one that looks at both dimensions."""
    rules = draw(st.lists(RULES, max_size=5))
    last = Rule("never", (parse("team=nosuch"), parse("service=nosuch")), to="risk")
    return (*(Rule(**{**vars(rule), "name": f"r{index}"}) for index, rule in enumerate(rules)), last)


@st.composite
def costs(draw: st.DrawFn, rules: tuple[Rule, ...]) -> list[Group]:
    values = {"team": st.sampled_from([*TEAMS, None]), "service": st.sampled_from(["db", "web", None])}
    key = st.tuples(*(values[name] for name in dimensions(rules)))
    requests = st.none() | st.integers(0, 50)
    return draw(st.lists(st.builds(group, key, MONEY, currency=st.sampled_from(["USD", "JPY"]), requests=requests), max_size=8))


@given(st.data())
def test_every_cent_lands_once(data: st.DataObject) -> None:
    rules = data.draw(named())
    groups = data.draw(costs(rules))
    allocated = allocate(rules, groups)
    lines = statement(allocated)
    for currency in {each.currency for each in groups}:
        spent = [each for each in groups if each.currency == currency]
        effective, billed = total(each.effective for each in spent), total(each.billed for each in spent)
        mine = [line for line in lines if line.currency == currency]
        assert total(line.effective for line in mine) == effective
        assert total(line.billed for line in mine) == billed
        assert total(portion.effective for line in mine for portion in line.portions) == effective
        assert total(each.effective for each in allocated.taken if each.currency == currency) == effective
        assert sum(each.rows for each in allocated.taken if each.currency == currency) == len(spent)
        cents = total(line.rounded for line in mine)
        assert abs(cents - effective) <= Decimal(5).scaleb(-minor_unit(currency) - 1)
    ratios: dict[tuple[str, str], list[Decimal]] = {}
    for portion in allocated.portions:
        if portion.ratio is not None:
            ratios.setdefault((portion.currency, portion.rule), []).append(portion.ratio)
    assert all(total(found) == 1 for found in ratios.values())
    assert len(lines) == len({(line.currency, line.bearer) for line in lines})


@given(st.data())
def test_who_leaves_saves_direct_cost_and_the_rest_falls_to_others(data: st.DataObject) -> None:
    rules = data.draw(named())
    groups = data.draw(costs(rules))
    bearers = {line.bearer for line in statement(allocate(rules, groups))} - {UNALLOCATED}
    for bearer in bearers:
        for found in departure(rules, groups, bearer):
            assert total(more for _, more in found.others) == found.stays
            left = allocate(rules, groups, leaving=bearer)
            before = total(each.effective for each in groups if each.currency == found.currency)
            after = total(portion.effective for portion in left.portions if portion.currency == found.currency)
            assert total((before, after.copy_negate())) == found.saved
            assert bearer not in {portion.bearer for portion in left.portions}


def lines(rules: tuple[Rule, ...], *groups: Group) -> dict[str, Line]:
    return {line.bearer: line for line in statement(allocate(rules, groups))}


SHARED = (parse("service=db"),)
COSTS = (
    group(("db", "risk"), "90"),
    group(("web", "risk"), "10", requests=1),
    group(("web", "ads"), "20", requests=2),
    group(("web", None), "5"),
)


@pytest.mark.parametrize(
    ("pool", "borne"),
    [
        (Rule("shared", SHARED, split="even"), {"ads": "65", "risk": "55", UNALLOCATED: "5"}),
        (Rule("shared", SHARED, split="proportional"), {"ads": "80", "risk": "40", UNALLOCATED: "5"}),
        (Rule("shared", SHARED, split="requests"), {"ads": "80", "risk": "40", UNALLOCATED: "5"}),
        (Rule("shared", SHARED, split="weights", weights={"x": Decimal(9)}), {"x": "90", "ads": "20", "risk": "10", UNALLOCATED: "5"}),
        (Rule("shared", SHARED, split="even", among=("ads",)), {"ads": "110", "risk": "10", UNALLOCATED: "5"}),
        (Rule("shared", SHARED, split="requests", among=("x",)), {"ads": "20", "risk": "10", UNALLOCATED: "95"}),
        (Rule("owner", SHARED, to="dba"), {"dba": "90", "ads": "20", "risk": "10", UNALLOCATED: "5"}),
    ],
)
def test_each_driver(pool: Rule, borne: dict[str, str]) -> None:
    found = lines((pool, Rule("teams", by="team")), *COSTS)
    assert {bearer: line.effective for bearer, line in found.items()} == {bearer: Decimal(cost) for bearer, cost in borne.items()}
    assert list(found)[-1] == UNALLOCATED


def test_the_first_rule_wins_and_a_map_leaves_what_it_does_not_know() -> None:
    rules = (Rule("owners", by="team", map={"r*": "risk-and-fraud"}), Rule("teams", by="team"), Rule("rest", to="it"))
    found = lines(rules, group(("risk",), "1"), group(("ads",), "2"), group((None,), "4"))
    assert {bearer: int(line.effective) for bearer, line in found.items()} == {"it": 4, "ads": 2, "risk-and-fraud": 1}


def test_what_scripts_see() -> None:
    rules = (Rule("shared", SHARED, split="proportional"), Rule("teams", by="team"))
    allocated = allocate(rules, [group(("db", None), "10"), group(("web", "a"), "1"), group(("web", "b"), "2")])
    document = views.allocation(dimensions(rules), statement(allocated), allocated)
    assert document.kind == "CostAllocation"
    assert document.items[1] == {
        "name": "a",
        "currency": "USD",
        "direct_cost": Decimal(1),
        "shared_cost": Decimal("3.333333333333333333333333"),
        "billed_cost": Decimal("8.666666666666666666666667"),
        "effective_cost": Decimal("4.333333333333333333333333"),
        "rounded_effective_cost": Decimal("4.33"),
        "share_percent": Decimal("33.3"),
        "portions": [
            {
                "rule": "teams",
                "shared": False,
                "billed_cost": Decimal(2),
                "effective_cost": Decimal(1),
                "rows": 1,
                "allocated_method_id": None,
                "allocated_method_details": None,
                "costs": [{"where": ["service=web", "team=a"], "rows": 1, "effective_cost": Decimal(1)}],
                "pool": None,
            },
            {
                "rule": "shared",
                "shared": True,
                "billed_cost": Decimal("6.666666666666666666666667"),
                "effective_cost": Decimal("3.333333333333333333333333"),
                "rows": None,
                "allocated_method_id": "proportional:shared",
                "allocated_method_details": {
                    "Elements": [
                        {"AllocatedRatio": Decimal("0.333333333333333333333333"), "UsageUnit": "USD", "UsageQuantity": Decimal(1)},
                    ]
                },
                "costs": [],
                "pool": "shared/USD",
            },
        ],
    }
    assert document.metadata["pools"] == [
        {
            "name": "shared/USD",
            "rule": "shared",
            "currency": "USD",
            "driver": "proportional",
            "driver_is": views.DRIVERS["proportional"],
            "driver_unit": "USD",
            "rows": 1,
            "billed_cost": Decimal(20),
            "effective_cost": Decimal(10),
            "costs": [{"where": ["service=db", "team="], "rows": 1, "effective_cost": Decimal(10)}],
        }
    ]
    explained = views.explained(dimensions(rules), statement(allocated), allocated)
    assert explained.kind == "CostAllocationRules"
    assert explained.items[0] == {
        "name": "shared",
        "currency": "USD",
        "rows": 1,
        "billed_cost": Decimal(20),
        "effective_cost": Decimal(10),
        "bearers": ["a", "b"],
        "costs": [{"where": ["service=db", "team="], "rows": 1, "effective_cost": Decimal(10)}],
    }
    gone = views.departure(departure(rules, [group(("db", None), "10"), group(("web", "a"), "1"), group(("web", "b"), "4")], "b"))
    assert gone.items == [
        {
            "name": "b",
            "currency": "USD",
            "direct_cost_saved": Decimal(4),
            "shared_cost_not_saved": Decimal(8),
            "others_bear_more": {"a": Decimal(8)},
        }
    ]


def test_who_bears_nothing_cannot_leave() -> None:
    with pytest.raises(NotFound, match="no bearer of costs named 'rsk'"):
        departure(DEFAULT, [group(("risk",), "1")], "rsk")
    with pytest.raises(NotFound):
        departure(DEFAULT, [group((None,), "1")], UNALLOCATED)


def test_rules_are_read_from_the_settings() -> None:
    first = {"name": "a", "where": ["service=db", "tag:x!="], "by": "account", "map": {"1*": "risk"}}
    rules = read(Allocation.model_validate({"rules": [first, {"name": "b", "split": "even"}]}))
    assert rules[0] == Rule("a", (parse("service=db"), parse("tag:x!=")), by="account", map={"1*": "risk"})
    assert dimensions(rules) == ("service", "tag:x", "account")
    assert read(Allocation()) == DEFAULT


@pytest.mark.parametrize(
    "rule",
    [{"where": ["service"]}, {"to": UNALLOCATED}, {"to": "", "by": "tem"}, {"to": "", "by": "team", "map": {"*": UNALLOCATED}}],
)
def test_rules_that_say_nothing_sensible_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(Usage, match=r"cost.allocation rule a: "):
        read(Allocation.model_validate({"rules": [{"name": "a", "to": "risk", **rule}]}))


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"to": "x", "by": "team"},
        {"split": "weights"},
        {"split": "weights", "weights": {"a": -1, "b": 2}},
        {"split": "weights", "weights": {"a": 0}},
        {"split": "even", "weights": {"a": 1}},
        {"to": "x", "map": {"a": "b"}},
        {"to": "x", "among": ["a"]},
    ],
)
def test_settings_that_contradict_themselves_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Allocation.model_validate({"rules": [{"name": "a", **rule}]})
    with pytest.raises(ValidationError, match="two rules have one name"):
        Allocation.model_validate({"rules": [{"name": "a", "to": "x"}, {"name": "a", "to": "y"}]})
