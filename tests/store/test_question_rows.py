"""What a question reads of the table before it groups: found in its SQL, with the `?` that belong to it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcml.store.ledger import question_rows
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.question_rows import TABLE
from tests.cost.focus import row


@pytest.mark.parametrize(
    ("query", "table", "values"),
    [
        (f"SELECT sum(BilledCost) FROM {TABLE}", f"(SELECT DISTINCT {TABLE}.* FROM {TABLE} )", []),
        (f"SELECT a FROM {TABLE} WHERE b = ? GROUP BY a", f"(SELECT DISTINCT {TABLE}.* FROM {TABLE} WHERE b = ?)", ["1"]),
        (
            f"SELECT CASE WHEN a = ? THEN 1 END FROM {TABLE} CU "
            "WHERE b IN (SELECT 1 ORDER BY 1) -- ) GROUP ?\nAND c = '?)' AND d = ?\nLIMIT ?",
            f"(SELECT DISTINCT CU.* FROM {TABLE} CU WHERE b IN (SELECT 1 ORDER BY 1)  AND c = '?)' AND d = ?)",
            ["2"],
        ),
        (
            f"WITH x AS (SELECT * FROM {TABLE} WHERE a = 'it''s  GROUP') SELECT * FROM x WHERE y = ?",
            f"(SELECT DISTINCT {TABLE}.* FROM {TABLE} WHERE a = 'it''s  GROUP')",
            [],
        ),
    ],
    ids=["all", "grouped", "strings", "within"],
)
def test_what_a_question_reads(query: str, table: str, values: list[str]) -> None:
    found = question_rows.read(query)
    assert found.table == table
    assert found.values(["1", "2", "3"][: query.count("?")]) == values


def test_a_query_of_another_table_is_refused() -> None:
    with pytest.raises(ValueError, match="0 times"):
        question_rows.read("SELECT 1")


def test_a_row_is_there_once_however_often_the_question_counts_it(tmp_path: Path) -> None:
    at = datetime(2026, 10, 5, tzinfo=UTC)
    Intake(tmp_path).rows([row("1.5", ResourceId="a"), row("1.5", ResourceId="a"), row("2", ServiceName="x")], origin="test")
    query = f"SELECT sum(BilledCost) FROM {TABLE} CU CROSS JOIN (VALUES (1), (2)) AS _u(n) WHERE ServiceName = ? AND ChargePeriodStart >= ?"
    found = question_rows.behind(Ledger(tmp_path), query, ["Machines", at], 1)
    assert (found.count, [str(each.effective.normalize()) for each in found.sums], len(found.rows)) == (2, ["3"], 1)
    assert "ServiceName = 'Machines' AND ChargePeriodStart >= '2026-10-05 00:00:00'" in found.query
    (group,) = question_rows.made_of(Ledger(tmp_path), query, ["Machines", at])
    assert (group.currency, group.key, group.rows) == ("USD", ("billed",), 2)
