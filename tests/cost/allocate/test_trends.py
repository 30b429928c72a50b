"""What nobody bears, month by month: the same cents as in an allocation of each month alone."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cli.main import main
from mcml.cost.allocate.rules import DEFAULT, UNALLOCATED, Rule
from mcml.cost.allocate.share import allocate
from mcml.cost.allocate.trends import dimensions, every_month, unallocated
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import row
from tests.cost.test_report import group

MONTHS = ("2026-08", "2026-09", "2026-11")
COSTS = st.lists(
    st.builds(
        group,
        st.tuples(st.sampled_from(["risk", "ads", None]), st.sampled_from(MONTHS)),
        st.decimals(-(10**6), 10**6, places=24),
        currency=st.sampled_from(["USD", "EUR"]),
    ),
    max_size=20,
)
RULES = (*DEFAULT, Rule("rest", split="even", among=("risk",)))


@given(COSTS, st.sampled_from([DEFAULT, RULES]))
def test_each_month_is_allocated_alone_and_adds_up(groups: list[Group], rules: tuple[Rule, ...]) -> None:
    assert dimensions(rules) == ("team", "month")
    found = unallocated(rules, groups)
    assert [(each.currency, each.month) for each in found] == sorted({(each.currency, str(each.key[1])) for each in groups})
    for each in found:
        mine = [one._replace(key=one.key[:1]) for one in groups if (one.currency, one.key[1]) == (each.currency, each.month)]
        nobody = [portion.effective for portion in allocate(rules, mine).portions if portion.bearer == UNALLOCATED]
        assert (each.effective, each.nobody) == (total(one.effective for one in mine), total(nobody))


def test_months_without_costs_are_a_gap() -> None:
    assert every_month("2025-11", "2026-02") == ["2025-11", "2025-12", "2026-01", "2026-02"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A quarter of August and a half of October is nobody's."""
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    costs = [(8, "risk", "3"), (8, None, "1"), (10, "risk", "5"), (10, None, "5")]
    rows = []
    for month, team, cost in costs:
        start, next_month = datetime(2026, month, 2, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC)
        times = {"ChargePeriodStart": start, "ChargePeriodEnd": start + timedelta(hours=1)}
        rows.append(row(cost, BillingPeriodStart=start.replace(day=1), BillingPeriodEnd=next_month, x_Team=team, **times))
    Intake(tmp_path / ".mcml" / "cost").rows(rows, origin="test")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_people_and_scripts_see(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "allocate", "--trend", "-o", "json"]) == 0
    first, last = json.loads(capsys.readouterr().out)["items"]
    assert list(first) == ["name", "month", "currency", "effective_cost", "unallocated_cost", "share_percent"]
    assert (first["name"], first["unallocated_cost"], Decimal(first["share_percent"])) == ("2026-08/USD", "1", Decimal(25))
    assert (last["effective_cost"], Decimal(last["share_percent"])) == ("10", Decimal(50))
    shown = run(["cost", "allocate", "--trend"], cwd=project, terminal=True)
    assert "unallocated, 2026-08 to 2026-10" in shown.out
    piped = run(["cost", "allocate", "--trend"], cwd=project)
    assert (piped.code, "\x1b" in piped.out) == (0, False)
    assert main(["cost", "allocate", "--trend", "--month", "2026-01", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == []
