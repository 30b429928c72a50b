"""`--rows` of `mcml cost why` and `mcml cost coverage`: the rows behind the numbers are all of them, and no others."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.main import main
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from tests.cost.focus import text_row, write_csv


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A row on each of twenty days of October: 1 on the first, 2 on the second; every other one has a team."""
    rows = [
        text_row(
            EffectiveCost=str(day), BilledCost=str(day), ChargePeriodStart=f"2026-10-{day:02}T00:00:00Z",
            ChargePeriodEnd=f"2026-10-{day + 1:02}T00:00:00Z", Tags='{"team": "risk"}' if day % 2 else "",
        )
        for day in range(1, 21)
    ]  # fmt: skip
    Intake(tmp_path / ".mcml" / "cost").files([write_csv(tmp_path / "bill.csv", rows)])
    (tmp_path / "mcml.toml").write_text('name = "acme"\n')
    monkeypatch.chdir(tmp_path)

    def answer(*words: str) -> list[dict[str, Any]]:
        assert main(["cost", *words, "-o", "json"]) == 0
        items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
        return items

    return answer


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("2026-10-01..2026-10-05", "2026-10-06..2026-10-10"),
        ("2026-10-01..2026-10-03", "2026-10-10..2026-10-12"),
        ("2026-10-09", "2026-10-02"),
    ],
)
def test_the_rows_of_both_spans_add_up_to_what_is_compared(ask: Any, before: str, after: str) -> None:
    (change,) = ask("why", before, after)
    rows = ask("why", before, after, "--rows")
    both = total((Decimal(change["before"]), Decimal(change["after"])))
    assert total(Decimal(row["EffectiveCost"]) for row in rows) == both
    team = ask("why", before, after, "--rows", "--where", "team=risk", "--limit", "1")
    assert len(team) == 1
    assert int(Decimal(team[0]["EffectiveCost"])) % 2


def test_the_usage_that_lacks_a_team(ask: Any) -> None:
    rows = ask("coverage", "--month", "2026-10", "--where", "team=", "--rows")
    assert [row["EffectiveCost"] for row in rows] == [str(day) for day in range(20, 0, -2)]
    assert len(ask("coverage", "--month", "2026-10", "--rows", "--limit", "3")) == 3
