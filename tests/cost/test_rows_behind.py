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
DAYS, SPIKE = 60, 12
TODAY = datetime.now(UTC).date()


def charges() -> Iterator[dict[str, object]]:
    """Two currencies of one service, team and model on every day up to yesterday; one day in euros costs eight times as much."""
    for back in range(1, DAYS + 1):
        day = TODAY - timedelta(days=back)
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
    (folder / "mcml.toml").write_text('name = "acme"\n')
    Intake(folder / ".mcml" / "cost").rows(list(charges()), origin="two bills")
    return folder


@pytest.fixture
def items(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asked:
    def ask(*arguments: str) -> list[dict[str, Any]]:
        monkeypatch.chdir(project)
        code = main(["cost", *arguments, "-q", "-o", "json"])
        told = capsys.readouterr()
        assert code == 0, told.err
        found: list[dict[str, Any]] = json.loads(told.out)["items"]
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
    for section in items("digest"):
        rows = items(*shlex.split(section["rows"])[2:])
        assert {row["BillingCurrency"] for row in rows} == {section["currency"]}
        assert total(Decimal(row["EffectiveCost"]) for row in rows) == Decimal(section["cost"])


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
