"""What a digest says of what it cannot tell, and of estimates."""

from decimal import Decimal

from mcml.cost.digest.compose import Material, asked, build, reference
from mcml.cost.digest.views import digest
from mcml.store.ledger.book import Group
from mcml.ui.piped import write
from tests.cost.digest.test_compose import NOW, charge, days, paid


def text(daily: list[Group], **material: object) -> str:
    question = asked("day", "", ("service",), (), NOW)
    made = Material(daily, reference(question, daily), **material)  # type: ignore[arg-type]
    return write(digest(question, build(question, made)).blocks)


def test_an_incomplete_bill_is_named_where_it_is_missing() -> None:
    sides = ([paid("a", "100", "1")], [paid("a", "90", "1"), paid("b", "5", "1", "Late")])
    shown = text([*days("100"), *days("50", newest=2, provider="Late")], paid=sides)
    assert "2026-11-21\t100\t\t\t\t\n" in shown, "the cost without a comparison"
    assert "not told\t2026-11-21 is not complete for Late, so it is not compared; the newest complete day is 2026-11-20" in shown
    assert "left out\tLate: the bill of these days is not complete" in shown
    assert "db\t100\t90\t-10\tvolume down\n" in shown
    assert "why\tmcml cost why 2026-11-14 2026-11-21 --by service\n" in shown


def test_estimates_say_how_far_off_they_usually_are() -> None:
    daily = [*days("100", newest=2), charge(1, "40"), charge(1, "60", source="estimate")]
    shown = text(daily, errors={"USD": Decimal("1.8")})
    assert "billed\t40\t40\t" in shown.replace("40.0", "40")
    assert "estimate\testimates in USD are usually 1.8% off" in shown
    assert "rows\tmcml cost report --since 2026-11-21 --until 2026-11-22 --rows" in shown


def test_nothing_of_the_day_is_a_sentence() -> None:
    shown = text([each._replace(currency="CHF") for each in days("3", newest=4)])
    assert "not told\tthe ledger has no costs of 2026-11-21; the newest are of 2026-11-18" in shown
    assert "2026-11-01 to 2026-11-18\t54\t2026-10-01 to 2026-10-18\t54\t0\t0.0\n" in shown
    assert "What moved most" not in shown
