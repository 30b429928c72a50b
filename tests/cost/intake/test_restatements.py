"""Restatements: what changed, and only that; on the screen, for scripts, and beside `mcml cost report --as-of`."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.intake.restatements import restatements
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.exact import total
from mcml.store.ledger.history import Replaced, Sum, replaced
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import row

FIRST, SECOND = datetime(2026, 10, 6, 12, tzinfo=UTC), datetime(2026, 10, 20, 12, tzinfo=UTC)
SUMS = st.lists(
    st.builds(
        Sum,
        account=st.sampled_from("ab"),
        month=st.just("2026-10"),
        provider=st.just("p"),
        service=st.sampled_from(["Machines", "Disks"]),
        currency=st.sampled_from(["EUR", "USD"]),
        billed=st.decimals(-1000, 1000, places=24),
        effective=st.decimals(-1000, 1000, places=24),
        rows=st.integers(1, 9),
    ),
    max_size=6,
).map(tuple)


@given(SUMS, SUMS)
def test_the_changes_add_up_to_the_difference(before: tuple[Sum, ...], after: tuple[Sum, ...]) -> None:
    found = restatements([Replaced("d", "o", FIRST, before, after)])
    for currency in ("EUR", "USD"):
        was, now = (total(each.billed for each in side if each.currency == currency) for side in (before, after))
        assert total([was, *(line.billed_change for line in found if line.currency == currency)]) == now
    assert sum(line.rows_after - line.rows_before for line in found) == sum(each.rows for each in after) - sum(each.rows for each in before)
    assert restatements([Replaced("d", "o", FIRST, after, after[::-1])]) == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("restated")
    (place / "mcml.toml").write_text('name = "acme"\n')
    folder = place / ".mcml" / "cost"
    Intake(folder, clock=lambda: FIRST).rows([row("1.5"), row("2", ServiceName="Disks"), row("4", ServiceName="Nets")], origin="first")
    Intake(folder, clock=lambda: FIRST).rows([row("9", BillingAccountId="other")], origin="another account")
    Intake(folder, clock=lambda: SECOND).rows([row("1.25"), row("2", ServiceName="Disks"), row("7", ServiceName="Tax")], origin="second")
    return place


def test_what_a_delivery_replaced_is_told_with_both_amounts(project: Path) -> None:
    (found,) = replaced(Ledger(project / ".mcml" / "cost"))
    lines = [(line.service, line.billed_before, line.billed_after, line.billed_change, line.rows_after) for line in restatements([found])]
    assert lines == [
        ("Tax", Decimal(0), Decimal(7), Decimal(7), 1),
        ("Nets", Decimal(4), Decimal(0), Decimal(-4), 0),
        ("Machines", Decimal("1.5"), Decimal("1.25"), Decimal("-0.25"), 1),
    ]
    assert (found.at, found.origin) == (SECOND, "second")
    ledger = Ledger(project / ".mcml" / "cost")
    assert replaced(ledger, SECOND) == []
    assert len(replaced(ledger, SECOND - timedelta(seconds=1))) == 1


def test_the_json_of_restatements_is_pinned(project: Path) -> None:
    shown = run(["cost", "restatements", "-o", "json"], cwd=project)
    items = json.loads(shown.out)["items"]
    delivery = items[0].pop("delivery")
    assert delivery.startswith("20261020T120000Z-")
    assert items[0] == {
        "at": "2026-10-20T12:00:00.000000Z",
        "source": "second",
        "account": "acct",
        "month": "2026-10",
        "provider": "Acme Cloud",
        "service": "Tax",
        "currency": "USD",
        "billed_before": "0",
        "billed_after": "7",
        "billed_change": "7",
        "effective_before": "0",
        "effective_after": "7",
        "effective_change": "7",
        "rows_before": 0,
        "rows_after": 1,
    }
    assert len(items) == 3


def test_a_report_as_of_a_moment_and_the_listing_on_a_terminal_and_piped(project: Path) -> None:
    then = run(["cost", "report", "--by", "service", "--as-of", "2026-10-20", "-o", "json"], cwd=project)
    assert {item["name"]: item["billed_cost"] for item in json.loads(then.out)["items"]} == {"Machines": "10.5", "Nets": "4", "Disks": "2"}
    now = run(["cost", "report", "--by", "service", "-o", "json"], cwd=project)
    assert {item["name"]: item["billed_cost"] for item in json.loads(now.out)["items"]} == {"Machines": "10.25", "Tax": "7", "Disks": "2"}
    before = run(["cost", "report", "--as-of", "2026-10-01", "-o", "json"], cwd=project)
    assert json.loads(before.out)["items"] == []
    for terminal in (True, False):
        shown = run(["cost", "restatements"], cwd=project, terminal=terminal)
        assert "Nets" in shown.out
        assert "Disks" not in shown.out
    wrong = run(["cost", "report", "--as-of", "soon"], cwd=project)
    assert wrong.code == 2


VERBS = {
    "why": ["why", "2026-09", "2026-10", "--by", "service"],
    "model": ["model", "--shared", "none"],
    "allocate": ["allocate"],
    "coverage": ["coverage", "--key", "team"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_other_answers_as_of_a_moment_know_nothing_of_later_deliveries(project: Path, verb: str) -> None:
    shown = [run(["cost", *VERBS[verb], *more, "-o", "json"], cwd=project) for more in ([], ["--as-of", "2026-10-20"])]
    now, then = (json.loads(each.out)["items"] for each in shown)
    assert now
    assert then
    assert now != then
    assert "Tax" not in json.dumps(then)
