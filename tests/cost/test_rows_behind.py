"""Behind every number are rows: what `where` of a line chooses adds up to it, also beside costs in another currency."""

import json
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.main import main
from mcml.core.view import Document
from mcml.cost import views
from mcml.store.ledger.book import Group, Ledger, Scope
from mcml.store.ledger.dimensions import parse
from mcml.store.ledger.exact import tidy, total
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.rows import behind
from tests.cost.focus import row

Asked = Callable[..., list[dict[str, Any]]]
Told = Callable[..., dict[str, Any]]
DAYS, SPIKE = 60, 12
TODAY = datetime.now(UTC).date()


TOML = """
name = "acme"
[cost.budgets.euros]
amount = 100
currency = "EUR"
per = "quarter"
where = ["team=risk"]
[cost.rates]
file = "rates.csv"
"""
SHARED = """
[[cost.allocation.rules]]
name = "machines"
where = ["resource=machine-1", "service=Machines"]
split = "even"
among = ["growth", "risk"]
[[cost.allocation.rules]]
name = "team"
by = "team"
"""


def days() -> list[date]:
    return [TODAY - timedelta(days=back) for back in range(1, DAYS + 1)]


def charges() -> Iterator[dict[str, object]]:
    """Two currencies of one service, team and model on every day up to yesterday; one day in euros costs eight times as much."""
    for back, day in enumerate(days(), 1):
        for currency, cost in (("USD", "20.1"), ("EUR", "160.5" if back == SPIKE else "20.07")):
            for number in range(3):
                changes = {"BillingCurrency": currency, "BillingAccountId": currency, "x_Team": "risk", "x_Model": "fraud"}
                yield {**row(cost, **times(day), PricingQuantity="1", **changes), "ResourceId": f"machine-{number}"}


def times(day: date) -> dict[str, object]:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    month = begin.replace(day=1)
    ends = {"ChargePeriodEnd": begin + timedelta(days=1), "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1)}
    return {"ChargePeriodStart": begin, "BillingPeriodStart": month, **ends}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("behind")
    (folder / "mcml.toml").write_text(TOML)
    (folder / "rates.csv").write_text("".join(["date,from,to,rate\n", *(f"{day},EUR,USD,1.1\n" for day in map(str, days()))]))
    Intake(folder / ".mcml" / "cost").rows(list(charges()), origin="two bills")
    return folder


@pytest.fixture
def told(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    def ask(*arguments: str) -> dict[str, Any]:
        monkeypatch.chdir(project)
        code = main(["cost", *arguments, "-q", "-o", "json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        found: dict[str, Any] = json.loads(said.out)
        return found

    return ask


@pytest.fixture
def items(told: Told) -> Asked:
    def ask(*arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = told(*arguments)["items"]
        return found

    return ask


def sums(project: Path, where: list[str], since: date | None = None, until: date | None = None) -> dict[str, Decimal]:
    """Return what the rows that --where and --rows show add up to, by currency."""
    begin, end = (None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (since, until))
    found = behind(Ledger(project / ".mcml" / "cost"), Scope(begin, end, filters=tuple(map(parse, where))), 1)
    return {each.currency: tidy(each.effective) for each in found.sums}


@pytest.mark.parametrize(
    ("asked", "amount"),
    [
        (["report", "--by", "service,team"], "effective_cost"),
        (["model"], "direct_cost"),
        (["coverage", "--key", "project"], "uncovered_cost"),
        (["anomalies", "--by", "team"], "actual"),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_the_rows_of_a_line_are_of_its_currency(items: Asked, project: Path, asked: list[str], amount: str) -> None:
    found = [item for item in items(*asked) if item.get("where")]
    assert found
    for item in found:
        assert sums(project, item["where"]) == {item["currency"]: Decimal(item[amount])}, item


def test_the_rows_of_two_spans(items: Asked, project: Path) -> None:
    first, middle, last = (TODAY - timedelta(days=back) for back in (20, 10, 0))
    spans = f"{first}..{middle - timedelta(days=1)}", f"{middle}..{last - timedelta(days=1)}"
    for item in items("why", *spans, "--by", "team"):
        assert sums(project, item["where"], first, middle) == {item["currency"]: Decimal(item["before"])}
        assert sums(project, item["where"], middle, last) == {item["currency"]: Decimal(item["after"])}


def test_the_rows_that_a_rule_took_and_those_of_a_forecast(items: Asked, project: Path) -> None:
    for rule in items("allocate", "--explain"):
        parts = [(sums(project, each["where"]), {rule["currency"]: Decimal(each["effective_cost"])}) for each in rule["costs"]]
        assert all(behind == said for behind, said in parts), parts
    for item in items("forecast"):
        month = date.fromisoformat(item["month"] + "-01")
        rows = sums(project, item["where"], month, date.fromisoformat(item["complete_until"]))
        assert rows.get(item["currency"], Decimal(0)) == Decimal(item["booked_cost"])
        assert set(rows) <= {item["currency"]}


def test_the_rows_of_a_model_and_of_an_allocation(items: Asked) -> None:
    """Six of each day; a model without rows has none, and a span has no others."""
    yesterday = ["--since", f"{TODAY - timedelta(days=1)}", "--until", f"{TODAY}", "--rows"]
    assert [len(items("model", model, *yesterday)) for model in ("fraud", "churn")] == [6, 0]
    assert len(items("allocate", *yesterday)) == 6
    assert [len(items("allocate", *yesterday, "--limit", "2"))] == [2]


def test_the_rows_of_a_digest_are_of_its_section(items: Asked) -> None:
    for section in items("digest", "--day", f"{TODAY - timedelta(days=1)}"):
        rows = items(*shlex.split(section["rows"])[2:])
        assert {row["BillingCurrency"] for row in rows} == {section["currency"]}
        assert total(Decimal(row["EffectiveCost"]) for row in rows) == Decimal(section["cost"])


def test_the_rows_of_a_budget_and_of_a_model_in_its_places(items: Asked, project: Path) -> None:
    """What is spent is in the budget's currency only; a model without targets has a line for each region and currency."""
    for item in items("budgets"):
        period = date.fromisoformat(item["period"]), date.fromisoformat(item["period_end"])
        assert sums(project, item["where"], *period).get("EUR", Decimal(0)) == Decimal(item["spent"])
        assert set(sums(project, item["where"], *period)) <= {"EUR"}
        rows = items(*shlex.split(item["rows"])[2:], "--limit", "1000")
        assert total(Decimal(row["EffectiveCost"]) for row in rows) == Decimal(item["spent"])
    places = [item for item in items("compare", "fraud", "--since", "400d") if item["kind"] == "target"]
    assert [item["currency"] for item in places] == ["EUR", "USD"]
    for item in places:
        assert sums(project, item["where"]) == {item["currency"]: Decimal(item["cost"])}


def test_the_rows_of_each_portion_of_an_allocation(told: Told, project: Path) -> None:
    """Those of direct cost are its own, those of a shared one are in the pool that it is a part of; no row is in two."""
    (project / "mcml.toml").write_text(TOML + SHARED)
    document = told("allocate")
    pools = {pool["name"]: pool for pool in document["metadata"]["pools"]}
    assert set(pools) == {"machines/EUR", "machines/USD"}
    parts = [(portion, item["currency"]) for item in document["items"] for portion in item["portions"]]
    direct = [(each, currency) for portion, currency in parts if not portion["shared"] for each in portion["costs"]]
    split = [(each, pool["currency"]) for pool in pools.values() for each in pool["costs"]]
    for each, currency in (*direct, *split):
        assert sums(project, each["where"]) == {currency: Decimal(each["effective_cost"])}
    everything = sums(project, [])
    for currency, cost in everything.items():
        assert total(Decimal(each["effective_cost"]) for each, mine in (*direct, *split) if mine == currency) == cost
        shared = [portion for portion, mine in parts if mine == currency and portion["shared"]]
        assert {portion["pool"] for portion in shared} == {f"machines/{currency}"}
        assert total(Decimal(each["effective_cost"]) for each in shared) == Decimal(pools[f"machines/{currency}"]["effective_cost"])
    (project / "mcml.toml").write_text(TOML)


def test_the_rows_of_a_converted_line_are_in_their_own_currencies(told: Told, project: Path) -> None:
    for asked in (["report", "--by", "team"], ["report", "--by", "service", "--where", "team=risk"]):
        document = told(*asked, "--currency", "USD")
        assert (document["metadata"]["converted_to"], document["metadata"]["rows_are"]) == ("USD", "in their own currencies")
        for item in document["items"]:
            assert sums(project, item["where"]) == {currency: Decimal(cost) for currency, cost in item["converted_from"].items()}
            assert set(item["converted_from"]) == {"EUR", "USD"}


def test_the_rows_of_an_answer_and_no_sum_of_two_currencies(told: Told, items: Asked) -> None:
    """The official query adds up whatever currency there is: it is asked once for each."""
    asked = ["ask", "costs-service-name", "--param", "service=Machines"]
    document = told(*asked)
    rows = items(*shlex.split(document["metadata"]["rows"])[2:], "--limit", "1000")
    assert len(rows) == DAYS * 6
    for currency in ("EUR", "USD"):
        mine = [row["EffectiveCost"] for row in rows if row["BillingCurrency"] == currency]
        said = [item["TotalEffectiveCost"] for item in document["items"] if item["BillingCurrency"] == currency]
        (source,) = (each for each in document["metadata"]["sources"] if each["currency"] == currency)
        assert total(map(Decimal, mine)) == total(map(Decimal, said)) == Decimal(source["effective_cost"])
    assert set(document["metadata"]) == {"question", "source", "query", "parameters", "rows", "sources"}
    assert document["metadata"]["parameters"]["service"] == "Machines"
    assert "FROM focus_data_table" in document["metadata"]["query"]


def test_with_one_currency_it_is_not_asked_for() -> None:
    items: list[dict[str, object]] = [{"currency": "USD", "where": ["team=risk"]}, {"currency": "USD", "where": None}]
    assert views.apart(items) == items
    assert [item["where"] for item in views.apart(items, ["EUR"])] == [["team=risk", "billing_currency=USD"], None]


def test_the_usual_error_stands_beside_the_estimates_of_every_span() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    parts = ("billed", Decimal(9)), ("estimate", Decimal(3))
    groups = [Group("USD", (source,), cost, cost, 1, None, now, now, now) for source, cost in parts]
    shown = views.with_sources(Document("X", []), {"before": groups, "after": groups[:1]}, {"USD": Decimal("4.5")})
    table = shown.blocks[0].blocks[0]  # type: ignore[union-attr]
    said = [(line["span"], line["source"], line["share"], line["usual_error"]) for line in table.rows]  # type: ignore[union-attr]
    assert said == [
        ("before", "billed", Decimal("75.0"), None),
        ("before", "estimate", Decimal("25.0"), Decimal("4.5")),
        ("after", "billed", Decimal("100.0"), None),
    ]
