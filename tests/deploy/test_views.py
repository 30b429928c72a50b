"""What a person and a script see of a deploy plan."""

from datetime import UTC, datetime
from decimal import Decimal

from mcml.core.plan import Plan, Step
from mcml.deploy.price import Price
from mcml.deploy.views import plan_document

STEPS = (("create", "eu-1"), ("create", "us-1"), ("keep", "ap-1"))
PLAN = Plan("deploy", tuple(Step(action, "version", "fraud", target) for action, target in STEPS))  # type: ignore[arg-type]
PRICES = {
    "eu-1": Price("eu-1", "2 x m5.large", Decimal("0.192"), "USD", source="a list", as_of=datetime(2026, 7, 1, tzinfo=UTC)),
    "us-1": Price("us-1", "2 vCPU", why="no price of vcpu-hour in us is known", by_use=True),
}


def test_a_new_version_says_its_price_and_an_unknown_one_why() -> None:
    document = plan_document(PLAN, PRICES)
    priced, unknown, kept = document.items
    assert {name: priced[name] for name in ("size", "hourly_price", "monthly_price", "currency", "price_note", "price_source")} == {
        "size": "2 x m5.large",
        "hourly_price": Decimal("0.192"),
        "monthly_price": Decimal("140.16"),
        "currency": "USD",
        "price_note": "",
        "price_source": "a list",
    }
    assert (unknown["hourly_price"], unknown["price_note"]) == (None, "at most, by what is used; no price of vcpu-hour in us is known")
    assert "size" not in kept


def test_without_prices_the_plan_is_as_it_was() -> None:
    document = plan_document(PLAN)
    assert [set(item) for item in document.items] == [{"name", "target", "action", "kind", "reason", "values"}] * 3
    assert len(document.blocks) == 2
