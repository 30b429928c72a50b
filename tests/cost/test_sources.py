"""Every total says what it is made of and how far off its estimates usually are: also converted, in a budget, and out of a warehouse."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.cost import common
from mcml.cli.main import main
from mcml.core.schema_cost import Budget
from mcml.cost.budget import views as budget_views
from mcml.cost.budget.desk import look as stand
from mcml.cost.meter.truth import usual_error_in
from mcml.cost.rates.convert import Exchanged
from mcml.cost.rates.table import read
from mcml.cost.views import catalogue
from mcml.providers.api.billing import UnitPrice
from mcml.store.db import Store
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.pushdown import WarehouseLedger
from mcml.store.prices import CataloguePrice
from tests.cost.focus import HOUR
from tests.cost.meter.test_estimate import DAY, bill, held, learned, look

RATES = "date,from,to,rate\n2026-11-05,USD,EUR,0.5\n2026-11-06,USD,EUR,0.8\n"
Sources = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """26 USD are billed; 21.6 were estimated for 24 of them and 1.8 for 2, and 3.6 are estimates still."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "mcml.toml").write_text('name = "acme"\n[cost.rates]\nfile = "rates.csv"\n')
    (folder / "rates.csv").write_text(RATES)
    ledger = folder / ".mcml" / "cost"
    learned(ledger)
    look(ledger, DAY + 30 * HOUR, held(price="0.9"), since=DAY)
    bill(ledger, DAY + 26 * HOUR)
    return folder


@pytest.fixture
def sources(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sources:
    def ask(*arguments: str) -> list[dict[str, Any]]:
        monkeypatch.chdir(project)
        code = main(["cost", *arguments, "-q", "-o", "json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        found: list[dict[str, Any]] = json.loads(told.out)["metadata"]["sources"]
        return found

    return ask


def source(name: str, cost: str, share: str, off: str | None, *, span: str = "all", currency: str = "USD") -> dict[str, str | None]:
    amounts = {"effective_cost": cost, "share_percent": share, "usual_error_percent": off}
    return {"span": span, "currency": currency, "source": name, **amounts}


@pytest.mark.parametrize("asked", [["report"], ["ask", "costs-service-category"], ["allocate", "--trend"]], ids=lambda asked: asked[0])
def test_all_that_is_known_is_in_the_json(sources: Sources, asked: list[str]) -> None:
    assert sources(*asked) == [source("billed", "26", "87.8", None), source("estimate", "3.6", "12.2", "10.0")]


def test_anomalies_say_that_estimates_are_left_out(
    sources: Sources, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_of = sources("anomalies", "--since", "2026-11-05")
    assert made_of == [
        source("billed", "26", "87.8", None, span="looked_at"),
        source("estimate", "3.6", "12.2", "10.0", span="looked_at"),
    ]
    assert main(["cost", "anomalies", "--since", "2026-11-05"]) == 0
    assert "estimates are no part of the numbers of anomalies" in capsys.readouterr().out


def test_a_converted_total_has_the_error_of_the_converted_days(sources: Sources) -> None:
    """24 hours of 1 USD at 0.5, 2 at 0.8; the estimates of the second day at 0.8."""
    parts = [source("billed", "13.6", "82.5", None, currency="EUR"), source("estimate", "2.88", "17.5", "10.0", currency="EUR")]
    since = ["--since", "2026-11-05", "--currency", "EUR"]
    assert sources("report", *since) == parts
    pair = sources("report", *since, "--until", "2026-11-07", "--compare", "2026-11-03..2026-11-04")
    assert pair == [{**part, "span": "after"} for part in parts]


def test_days_of_several_currencies_are_one_where_they_are_converted(tmp_path: Path) -> None:
    """Off by 10 % in one currency; a day without a rate is left out."""
    learned(tmp_path)
    look(tmp_path, DAY + 30 * HOUR, held(price="0.9"), since=DAY)
    bill(tmp_path, DAY + 26 * HOUR)
    ledger = Ledger(tmp_path)
    assert usual_error_in(ledger, read(RATES, "test", 0), "EUR") == {"EUR": Decimal("10.0")}
    assert usual_error_in(ledger, read(RATES, "test", 0), "USD") == {"USD": Decimal("10.0")}
    assert usual_error_in(ledger, read("date,from,to,rate\n2020-01-01,USD,EUR,1\n", "test", 0), "EUR") == {}


def test_a_budget_says_it_of_what_is_spent(project: Path, tmp_path: Path) -> None:
    budgets = {"all": Budget(amount=100, currency="USD"), "euros": Budget(amount=100, currency="EUR", convert=True)}
    ledger = Ledger(project / ".mcml" / "cost")
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        standings = stand(ledger, store, budgets, DAY + 40 * HOUR, read(RATES, "test", 7))
    assert [(each.spent, each.estimated) for each in standings] == [
        (Decimal("29.6"), Decimal("3.6")),
        (Decimal("16.48"), Decimal("2.88")),
    ]
    shown = budget_views.budgets(standings, errors={"all": Decimal("10.0")})
    assert shown.items[0]["sources"] == [
        {"source": "billed", "effective_cost": Decimal(26), "share_percent": Decimal("87.8"), "usual_error_percent": None},
        {"source": "estimate", "effective_cost": Decimal("3.6"), "share_percent": Decimal("12.2"), "usual_error_percent": Decimal("10.0")},
    ]
    said = [str(block) for block in shown.blocks]
    assert any("all: 12.2 % of what is spent; estimates are usually 10.0 % off" in each for each in said)
    assert any("euros: 17.5 % of what is spent; estimates are not checked by any bill yet" in each for each in said)
    assert shown.items[1]["where"] == ["billing_currency=USD"]
    assert shown.items[1]["period_end"] == date(2026, 12, 1).isoformat()


def test_a_warehouse_leaves_it_to_the_ledger_which_made_the_estimates(project: Path) -> None:
    ledger = Ledger(project / ".mcml" / "cost")
    warehouse: Any = WarehouseLedger(None, "duckdb", "finops.focus")  # type: ignore[arg-type]
    assert common.usual_error(warehouse, ledger) == {"USD": Decimal("10.0")}
    assert common.usual_error(Exchanged(warehouse, read(RATES, "test", 7), "EUR"), ledger) == {"EUR": Decimal("10.0")}
    assert common.usual_error(warehouse) == {}


def test_a_price_that_is_too_old_is_said_to_be() -> None:
    prices = [CataloguePrice("acme", UnitPrice(sku, "eu", "h", Decimal(1), "USD", "a list", DAY - timedelta(days=age))) for sku, age in (
        ("new", 90), ("old", 91))]  # fmt: skip
    shown = catalogue(prices, DAY)
    assert [(item["sku"], item["stale"]) for item in shown.items] == [("new", False), ("old", True)]
    assert "1 of 2 prices are older than 90 days" in str(shown.blocks[-1])
    assert len(catalogue(prices[:1], DAY).blocks) == 1
