"""What every BillFormats promises."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

import pytest

from mcml.providers.api.bill_formats import BillFile, BillFormat, BillFormats, JoiningFormat, Record
from mcml.providers.api.billing import FocusRow
from mcml.testing.contracts.billing import CATEGORIES, NEVER_NULL, NULLABLE

FOCUS_HEADER = ("BilledCost", "EffectiveCost", "BillingCurrency", "BillingAccountId", "ChargePeriodStart", "ChargeCategory", "Tags")


class BillFormatsContract:
    """Give `formats`, and `records`: those of a file of one of them, with texts for all values that are not nested."""

    @pytest.fixture
    def formats(self) -> BillFormats:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def records(self) -> Sequence[Record]:
        """Return the records of a bill."""
        raise NotImplementedError

    @pytest.fixture
    def mine(self, formats: BillFormats, records: Sequence[Record]) -> BillFormat:
        """Return the format that recognises the records' columns: one does."""
        (found,) = [known for known in formats if known.recognises(list(records[0]))]
        return found

    def test_each_has_a_name(self, formats: BillFormats) -> None:
        """One that people know, and no other format has."""
        names = [known.name for known in formats]
        assert all(names)
        assert len(set(names)) == len(names)

    def test_what_is_not_its_own_is_left_alone(self, formats: BillFormats) -> None:
        """FOCUS, and what is no bill at all."""
        for header in ([], ["a", "b"], FOCUS_HEADER, [name.lower() for name in FOCUS_HEADER]):
            assert [known.name for known in formats if known.recognises(header)] == []

    def test_rows_are_focus_rows(self, mine: BillFormat, records: Sequence[Record]) -> None:
        """Every mandatory column is there, and money is a Decimal."""
        rows = list(mine.rows(records))
        assert rows
        for row in rows:
            assert [column for column in NEVER_NULL if row.get(column) is None] == []
            assert [column for column in NULLABLE if column not in row] == []
            assert row["ChargeCategory"] in CATEGORIES
            for column, value in row.items():
                assert value is None or isinstance(value, str | Decimal | datetime), (column, value)
                assert not isinstance(value, datetime) or value.tzinfo is not None, column
                assert not column.endswith("Cost") or isinstance(value, Decimal), column

    def test_the_same_records_are_the_same_rows(self, mine: BillFormat, records: Sequence[Record]) -> None:
        """Nothing is kept from one delivery to the next; and what is read one by one is not held until the end."""
        assert _texts(mine.rows(records)) == _texts(mine.rows(iter(records)))
        assert _texts(mine.rows([])) == []

    def test_the_files_of_one_export_are_its_rows(self, mine: BillFormat, records: Sequence[Record]) -> None:
        """A format that has to know the files loses nothing between them; files may be read more than once."""
        if isinstance(mine, JoiningFormat):
            parts = [BillFile("part-0.csv", lambda: iter(records[:1])), BillFile("part-1.csv", lambda: iter(records[1:]))]
            assert _texts(mine.joined(parts)) == _texts(mine.rows(records))


def _texts(rows: Iterable[FocusRow]) -> list[str]:
    return [repr(sorted((column, str(value)) for column, value in row.items())) for row in rows]
