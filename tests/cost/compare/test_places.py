"""A model's places side by side: what it costs where it runs, and an hour of its size wherever that has a price."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import NotFound
from mcml.cost.compare import views as compare_views
from mcml.cost.compare.places import Here, Holding, Size, here, holdings, there
from mcml.cost.meter.live import Held, Place
from mcml.providers.api.billing import UnitPrice
from mcml.store import catalogue, prices
from mcml.store.db import Store
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.units import ModelCost
from mcml.testing.cli import run
from tests.cost.focus import row

DAY = datetime(2026, 11, 5, tzinfo=UTC)


def price(sku: str, region: str, amount: str, currency: str = "USD") -> UnitPrice:
    return UnitPrice(sku, region, "h", Decimal(amount), currency, "a list", DAY)


def held(target: str, amount: str | None, *, count: int = 1, region: str = "eu-west", model: str = "fraud") -> Held:
    found = Held(Place("acme", target, region), "machine", f"i-{target}", "m5", count, tags={"model": model})
    return found if amount is None else replace(found, price=price("m5", region, amount))


def cost(target: str | None, metered: str, requests: int | None, *, model: str = "fraud", region: str = "eu-west") -> ModelCost:
    return ModelCost("USD", (model, target, "Acme Cloud", region), Decimal(9), Decimal(metered), requests, None, None)


def test_every_target_has_a_line() -> None:
    targets = {"eu-1": ("acme", "eu-west"), "us-1": ("acme", "us-east"), "new": ("local", "")}
    lines = here("fraud", targets, [held("eu-1", "0.5", count=2), held("eu-1", "9", model="churn"), held("us-1", None)],
                 [cost("eu-1", "3", 3000), cost("gone", "2", 1000), cost("eu-1", "7", 70, model="churn")])  # fmt: skip
    assert lines == [
        Here("eu-1", "acme", "eu-west", "2 x m5", Decimal(1), "USD", 3000, Decimal("75.0"), Decimal(1), Decimal(9)),
        Here("gone", "", "", "", None, "USD", 1000, Decimal("25.0"), Decimal(2), Decimal(9)),
        Here("new", "local", "", "", None, "", None, None, None),
        Here("us-1", "acme", "us-east", "m5", None, "", None, None, None),
    ]


def test_bills_that_name_no_target_are_told_by_region_and_why_no_more_is() -> None:
    """Those of a target are one line wherever they come from."""
    spent = [cost(None, "0", None), cost(None, "0", None, region="us-east"), cost("eu-1", "3", 30), cost("eu-1", "1", 10, region="us-east")]
    lines = here("fraud", {"eu-1": ("acme", "eu-west")}, [], spent)
    assert lines == [
        Here("eu-1", "acme", "eu-west", "", None, "USD", 40, Decimal("100.0"), Decimal(100), Decimal(18)),
        Here("", "Acme Cloud", "eu-west", "", None, "USD", None, None, None, Decimal(9)),
        Here("", "Acme Cloud", "us-east", "", None, "USD", None, None, None, Decimal(9)),
    ]
    shown = compare_views.comparison("fraud", lines, [])
    assert [(item["name"], item["where"]) for item in shown.items] == [
        ("eu-1", ["model=fraud", "target=eu-1"]),
        ("Acme Cloud/eu-west", ["model=fraud", "target=", "provider=Acme Cloud", "region=eu-west"]),
        ("Acme Cloud/us-east", ["model=fraud", "target=", "provider=Acme Cloud", "region=us-east"]),
    ]
    assert str(shown.blocks).count(compare_views.NO_TARGET) == 1
    assert "gone: the ledger has its costs" in str(compare_views.comparison("fraud", here("fraud", {}, [], [cost("gone", "1", 1)]), []))


def test_a_model_that_nobody_knows() -> None:
    with pytest.raises(NotFound, match="fruad"):
        here("fruad", {}, [], [cost("eu-1", "3", 3000)])


def test_the_same_size_in_every_region_against_the_cheapest_place_of_now() -> None:
    everywhere = {
        "m5": [("acme", price("m5", "eu-west", "0.5")), ("acme", price("m5", "us-east", "0.4")), ("zeta", price("m5", "x", "1", "EUR"))]
    }
    found = there(holdings([held("eu-1", "0.5", count=2), held("eu-2", "0.8", count=2)]), lambda sku: everywhere[sku])
    assert [(line.provider, line.region, line.hourly, line.currency, line.dearer) for line in found] == [
        ("zeta", "x", Decimal(2), "EUR", None),
        ("acme", "us-east", Decimal("0.8"), "USD", Decimal("-20.0")),
        ("acme", "eu-west", Decimal(1), "USD", Decimal("0.0")),
    ]


def test_what_is_priced_by_its_use_is_priced_where_cpu_and_memory_are_sold() -> None:
    used = replace(held("eu-1", "0.07"), use=(Decimal("1.5"), Decimal(2)), kind="endpoint", machine="")
    sold = {
        "vcpu-hour": [("local", price("vcpu-hour", "eu", "0.04")), ("local", price("vcpu-hour", "us", "0.08"))],
        "gib-hour": [("local", price("gib-hour", "eu", "0.005")), ("local", price("gib-hour", "us", "0.005", "EUR"))],
    }
    (line,) = there(holdings([used]), lambda sku: sold[sku])
    assert (line.region, line.size, line.hourly, line.dearer) == ("eu", "1.5 vCPU, 2 GiB", Decimal("0.07"), Decimal("0.0"))


def test_what_scripts_see() -> None:
    regions = there([Holding(Size("m5"))], lambda sku: [("acme", price(sku, "eu-west", "0.5")), ("acme", price(sku, "us-east", "0.4"))])
    now = Here("eu-1", "acme", "eu-west", "m5", Decimal("0.5"), "USD", 10, Decimal("100.0"), Decimal(1))
    lines = [replace(now, proposed="m5.small", proposed_hourly=Decimal("0.25"))]
    document = compare_views.comparison("fraud", lines, regions, limit=1)
    assert (document.kind, document.version) == ("PlaceComparison", 1)
    assert document.items == [
        {
            "name": "eu-1",
            "kind": "target",
            "target": "eu-1",
            "provider": "acme",
            "region": "eu-west",
            "size": "m5",
            "hourly_price": Decimal("0.5"),
            "currency": "USD",
            "cost": None,
            "requests": 10,
            "share_percent": Decimal("100.0"),
            "usage_per_thousand_requests": Decimal(1),
            "proposed_size": "m5.small",
            "proposed_hourly_price": Decimal("0.25"),
            "why_not_proposed": None,
            "where": None,
        },
        *(
            {
                "name": f"acme/{region}",
                "kind": "region",
                "provider": "acme",
                "region": region,
                "size": "m5",
                "basis": "now",
                "instead_of": None,
                "assumed": None,
                "hourly_price": Decimal(amount),
                "currency": "USD",
                "dearer_percent": None,
                "source": "a list",
                "price_as_of": DAY,
            }
            for region, amount in (("us-east", "0.4"), ("eu-west", "0.5"))
        ),
    ]
    assert "the 1 cheapest of 2 regions" in str(document.blocks[-1])


def test_a_price_of_the_catalogue_comes_before_the_shipped_one(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        before = catalogue.everywhere(store, "e2-standard-4")
        with store.writing() as connection:
            prices.record(connection, "gcp", [price("e2-standard-4", "us-central1", "9")])
            prices.record(connection, "own", [price("e2-standard-4", "here", "1"), price("e2-standard-4 spot", "here", "2")])
        after = catalogue.everywhere(store, "e2-standard-4")
    assert len(before) > 30
    assert {each.provider for each in before} == {"gcp"}
    assert [each.price.price for each in before if each.price.region == "us-central1"] == [Decimal("0.13402284")]
    assert [each.price.price for each in after if each.price.region == "us-central1"] == [Decimal(9)]
    assert len(after) == len(before) + 1


def test_on_a_terminal_and_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(
        'name = "acme"\n[targets.eu-1]\nprovider = "local"\nregion = "eu"\n[models.fraud]\nsource = "m"\ntargets = ["eu-1"]\n'
    )
    asked = {"ChargePeriodStart": datetime.now(UTC).replace(minute=0, second=0, microsecond=0), "x_Model": "fraud", "x_Target": "eu-1"}
    period = {**asked, "ChargePeriodEnd": asked["ChargePeriodStart"]}
    Intake(tmp_path / ".mcml/cost").rows([row("0.4", **period, x_Requests=400)], origin="acme")
    shown = run(["cost", "compare", "fraud"], cwd=tmp_path, terminal=True)
    assert shown.code == 0, shown.out
    for part in ("Where fraud runs", "eu-1", "100%", "name a machine type with --machine"):
        assert part in shown.out, part
    piped = run(["cost", "compare", "fraud", "--machine", "e2-standard-4", "--limit", "2", "-q"], cwd=tmp_path)
    lines = piped.out.splitlines()
    assert lines[:2] == ["# Where fraud runs", "eu-1\tlocal\teu\t\t\t0.4\t400\t100.0\t1\tUSD"]
    assert [line.split("\t")[0] for line in lines[3:5]] == ["gcp", "gcp"]
    assert any(line.startswith("more\t") for line in lines)
    assert lines[-1] == "billed\tUSD\t0.4\t100.0"
    told = json.loads(run(["cost", "compare", "fraud", "--machine", "e2-standard-4", "-o", "json"], cwd=tmp_path).out)["items"]
    assert len([item for item in told if item["kind"] == "region"]) > 30
