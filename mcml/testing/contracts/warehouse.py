"""What every Warehouse promises."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.warehouse import SourceSize, Warehouse

CSV = b"id,name,price\n1,one,1.5\n2,two,2.25\n3,three,\n"


class WarehouseContract:
    """Give `warehouse`, `dataset`: a name that no data set has (made by the first load), and `put`: stores a file of that name where the
    warehouse can load it and returns the URI; all files of a test lie side by side, so that `*` in a URI's last part stands for several.
    """

    @pytest.fixture
    def warehouse(self) -> Warehouse:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def dataset(self) -> str:
        """Return a free name."""
        raise NotImplementedError

    @pytest.fixture
    def put(self) -> Callable[[str, bytes], str]:
        """Return a function that stores a file."""
        raise NotImplementedError

    def test_csv(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """Rows come back in plain values; an empty field is None."""
        result = warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        assert (result.rows, result.refused, result.reasons) == (3, 0, ())
        found = warehouse.query(f"select id, name, price from {dataset}.things order by id")  # noqa: S608
        assert found.columns == ("id", "name", "price")
        assert [tuple(map(str, row[:2])) for row in found.rows] == [("1", "one"), ("2", "two"), ("3", "three")]
        assert [None if row[2] is None else Decimal(str(row[2])) for row in found.rows] == [Decimal("1.5"), Decimal("2.25"), None]

    def test_what_a_query_would_read(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """A number of bytes, or None where the engine tells it afterwards only; nothing runs."""
        warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        found = warehouse.estimate(f"select id from {dataset}.things where id = ?", [1])  # noqa: S608
        assert found is None or found >= 0

    def test_json_lines(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """A field that a line lacks is None."""
        source = put("things.json", b'{"id": 1, "name": "one"}\n{"id": 2}\n')
        assert warehouse.load(dataset, "things", source, "json").rows == 2
        assert warehouse.query(f"select name from {dataset}.things order by id").rows == (("one",), (None,))  # noqa: S608

    def test_a_second_load_adds_and_replace_replaces(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """Columns go by name, in whatever order the file has them."""
        count = f"select count(*), sum(id) from {dataset}.things"  # noqa: S608
        warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        warehouse.load(dataset, "things", put("more.csv", b"price,id,name\n9,4,four\n"), "csv")
        assert warehouse.query(count).rows == ((4, 10),)
        warehouse.load(dataset, "things", put("more.csv", b"price,id,name\n9,4,four\n"), "csv", replace=True)
        assert warehouse.query(count).rows == ((1, 4),)

    def test_wildcards(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """All files that match, and no other."""
        put("part-1.csv", b"id\n1\n")
        put("other.csv", b"id\n100\n")
        source = put("part-2.csv", b"id\n2\n").replace("part-2.csv", "part-*.csv")
        assert warehouse.measure(source, "csv") == SourceSize(2, 10)
        assert warehouse.load(dataset, "things", source, "csv").rows == 2
        assert warehouse.query(f"select sum(id) from {dataset}.things").rows == ((3,),)  # noqa: S608

    def test_what_a_load_would_read(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """Files and bytes; nothing is made by looking."""
        put("other.csv", CSV)
        assert warehouse.measure(put("things.csv", b"id\n22\n"), "csv") == SourceSize(1, 6)
        assert warehouse.datasets(dataset) == []

    def test_all_or_nothing(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """A file that is not what it should be changes nothing, not even with `replace`."""
        warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        for replace in (False, True):
            with pytest.raises(InvalidRequest):
                warehouse.load(dataset, "things", put("broken.parquet", b"this is no Parquet file, it is text"), "parquet", replace=replace)
        assert warehouse.query(f"select count(*) from {dataset}.things").rows == ((3,),)  # noqa: S608

    def test_parameters(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """By name and by position; what is in one is a value, never SQL."""
        warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        by_name = f"select name from {dataset}.things where id > {self.named('least')} and name <> {self.named('but')} order by id"  # noqa: S608
        assert warehouse.query(by_name, {"least": 1, "but": "three"}).rows == (("two",),)
        by_position = f"select name from {dataset}.things where name = ?"  # noqa: S608
        assert warehouse.query(by_position, ["one"]).rows == (("one",),)
        assert warehouse.query(by_position, [f"x'; drop table {dataset}.things; --"]).rows == ()
        assert warehouse.query(f"select count(*) from {dataset}.things").rows == ((3,),)  # noqa: S608

    def named(self, name: str) -> str:
        """Return how a named parameter is written in this warehouse's SQL."""
        return f"@{name}"

    def test_exact_numbers_are_decimals(self, warehouse: Warehouse) -> None:
        """Not floats: 0.1 + 0.2 is 0.3."""
        ((answer,),) = warehouse.query("select cast('0.1' as decimal(20, 2)) + cast('0.2' as decimal(20, 2)) as x").rows
        assert isinstance(answer, Decimal)
        assert answer == Decimal("0.3")

    def test_only_reads(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """Whatever would change something is refused, and so are two statements in one."""
        warehouse.load(dataset, "things", put("things.csv", CSV), "csv")
        count = f"select count(*) from {dataset}.things"  # noqa: S608
        for sql in (
            f"drop table {dataset}.things",
            f"delete from {dataset}.things where 1 = 1",  # noqa: S608
            f"insert into {dataset}.things (id) values (9)",  # noqa: S608
            f"create table {dataset}.more as select 1 as x",
            f"{count}; drop table {dataset}.things",
            "this is no SQL",
            "",
        ):
            with pytest.raises(InvalidRequest):
                warehouse.query(sql)
        assert warehouse.query(count).rows == ((3,),)

    def test_data_sets_and_their_tables(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """As soon as they are loaded."""
        assert dataset not in [found.name for found in warehouse.datasets()]
        for table in ("things", "more"):
            warehouse.load(dataset, table, put("things.csv", CSV), "csv")
        (found,) = (found for found in warehouse.datasets() if found.name == dataset)
        assert sorted(found.tables or ()) == ["more", "things"]
        assert warehouse.datasets(dataset) == warehouse.datasets(dataset.upper()) == [found]
        assert warehouse.datasets(f"{dataset}_2") == []

    def test_what_is_not_there_is_not_found(self, warehouse: Warehouse, dataset: str, put: Callable[[str, bytes], str]) -> None:
        """A file, files that match, a table."""
        source = put("things.csv", CSV)
        for absent in (source.replace("things.csv", "never.csv"), source.replace("things.csv", "never*.csv")):
            with pytest.raises(NotFound) as missing:
                warehouse.load(dataset, "things", absent, "csv")
            assert missing.value.next_step
            with pytest.raises(NotFound):
                warehouse.measure(absent, "csv")
        assert dataset not in [found.name for found in warehouse.datasets()]
        warehouse.load(dataset, "things", source, "csv")
        with pytest.raises(NotFound):
            warehouse.query(f"select * from {dataset}.never")  # noqa: S608

    def test_bad_names_are_refused(self, warehouse: Warehouse, put: Callable[[str, bytes], str]) -> None:
        """A quote or a dot in one leads nowhere."""
        source = put("things.csv", CSV)
        for dataset, table in (("a.b", "t"), ("d", 't"; drop'), ("", "t"), ("d", "")):
            with pytest.raises(InvalidRequest):
                warehouse.load(dataset, table, source, "csv")
