"""What people and scripts see of recommendations: order, sums by currency, what is not known, what did not answer."""

from dataclasses import replace
from decimal import Decimal

from mcml.core.errors import Unavailable
from mcml.core.view import Pairs, Section, Status, Table, Text
from mcml.cost.rightsize.judge import recommend
from mcml.cost.rightsize.look import Seen
from mcml.cost.rightsize.saving import LIST, Rate
from mcml.cost.rightsize.values import Recommendation, Subject
from mcml.cost.rightsize.views import explained, listed
from tests.cost.rightsize.made import DEFAULT, FAMILY, M2, M4, NOW, kind, subject, usage

IDLE = usage({"machine.cpu": 0.1, "machine.memory": 0.2, "machine.disk": 0.5})
FULL = usage({"machine.cpu": 0.1, "machine.memory": 0.9})


def named(name: str, machine: Subject) -> Subject:
    return replace(machine, instance=replace(machine.instance, id=name))


def some() -> list[Recommendation]:
    euros = [replace(type, currency="EUR") for type in (M4, M2)]
    return [
        recommend(named("keep", subject(M2)), IDLE, FAMILY, DEFAULT),
        recommend(named("shrink", subject()), IDLE, FAMILY, DEFAULT),
        recommend(named("grow", subject()), FULL, FAMILY, DEFAULT),
        recommend(named("euro", subject(euros[0])), IDLE, euros, DEFAULT),
        recommend(named("stale", subject(replace(M4, as_of=NOW.replace(year=2025)))), IDLE, FAMILY, DEFAULT),
        recommend(named("blind", subject()), None, FAMILY, DEFAULT),
    ]


def test_what_grows_comes_first_and_sums_are_by_currency() -> None:
    document = listed(some(), {"far": Unavailable("throttled", why="too many requests")})
    assert [item["id"] for item in document.items] == ["grow", "euro", "shrink", "stale", "keep", "blind"]
    table, *lines = document.blocks
    assert isinstance(table, Table)
    assert [row["types"] for row in table.rows][:2] == ["m.4 -> r.4", "m.4 -> m.2"]
    assert [(line.state.text, line.text) for line in lines if isinstance(line, Status)] == [
        ("sizes", "1 to change save 73.00 EUR a month"),
        ("sizes", "2 to change save 73.00 USD a month; 1 to grow cost 36.50 USD a month; of 1 the saving is not known"),
        ("unknown", "1 NotMeasured: eu-1/blind"),
        ("missing", "far: throttled (too many requests)"),
    ]


def test_nothing_to_change_and_nothing_at_all() -> None:
    lines = listed([recommend(subject(M2), IDLE, FAMILY, DEFAULT)]).blocks[1:]
    assert [line.text for line in lines if isinstance(line, Status)] == ["no machine should change"]
    assert len(listed([]).blocks) == 1


def test_an_explanation_computes_the_saving_from_the_bill() -> None:
    rate = Rate(Decimal("0.25"), Decimal("0.8"), NOW)
    found = recommend(subject(), IDLE, FAMILY, DEFAULT, rate)
    document = explained(Seen(found, IDLE, rate), DEFAULT)
    (item,) = document.items
    assert (item["saving"], item["list_saving"]) == (Decimal("43.8"), Decimal(73))
    assert item["rate"] == {"source": "bill", "covered": Decimal("0.25"), "paid": Decimal("0.8"), "until": NOW, "why": None}
    sections = {block.title: block.blocks for block in document.blocks if isinstance(block, Section)}
    (computed,) = sections["What it saves"]
    assert isinstance(computed, Text)
    assert "(0.2 - 0.1) x 730 h = 73 USD a month" in computed.text
    assert "x 0.8 of the list price paid x (1 - 0.25 covered by commitments) = 43.8 USD a month" in computed.text
    (measured,) = sections["What it did"]
    assert isinstance(measured, Table)
    assert [(row["measure"], row["needed"], row["has"]) for row in measured.rows] == [
        ("CPU", "0.5", "4"), ("memory", "4", "16"), ("disk", "0.625", "1"),
    ]  # fmt: skip
    assert [row["known_percent"] for row in measured.rows] == [100.0] * 3


def test_an_explanation_of_a_machine_that_nobody_measures() -> None:
    old = kind("old", 0, 0, None)
    document = explained(Seen(recommend(subject(old), None, FAMILY, DEFAULT), None, LIST), DEFAULT)
    assert (document.items[0]["usage"], document.items[0]["queries"]) == ([], [])
    about = next(block for block in document.blocks if isinstance(block, Pairs))
    assert ("has", "old: not known") in about.pairs
