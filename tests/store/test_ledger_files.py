"""The forms of exports that are read, and what is said about files that are none."""

import gzip
import json
import os
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound
from mcml.store.ledger import manifest, source
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from tests.cost.focus import START, csv_text, row, text_row, write_csv


def test_gzip_crlf_byte_order_mark_and_odd_file_names(tmp_path: Path) -> None:
    text = csv_text([text_row(ServiceName='a "b",\nc'), text_row(BilledCost="2")], newline="\r\n")
    path = tmp_path / "ex[1] * 'port'?.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    done = Intake(tmp_path / "co[s]t").files([path])
    assert (done.delivery.rows, done.delivery.quarantined) == (2, 0)
    assert {group.key for group in Ledger(tmp_path / "co[s]t").totals(("service",))} == {("Machines",), ('a "b",\nc',)}


def test_parquet_with_doubles_maps_and_the_names_of_1_2(tmp_path: Path) -> None:
    path = tmp_path / "export.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            COPY (SELECT 0.1::DOUBLE + 0.2::DOUBLE AS BilledCost, 1.5::FLOAT AS EffectiveCost,
                         'EUR' AS BillingCurrency, 7 AS BillingAccountId,
                         TIMESTAMP '2026-10-01' AS BillingPeriodStart, DATE '2026-11-01' AS BillingPeriodEnd,
                         TIMESTAMPTZ '2026-10-05 12:00:00+02' AS ChargePeriodStart, TIMESTAMP_MS '2026-10-05 11:00:00' AS ChargePeriodEnd,
                         'Usage' AS ChargeCategory, 'AWS' AS ProviderName, MAP {{'team': 'risk', 'user:model': 'fraud'}} AS Tags,
                         {{'x': 1}} AS x_ServiceDetails)
            TO '{path}' (FORMAT parquet)
            """
        )
    Intake(tmp_path / "cost").files([path])
    (group,) = Ledger(tmp_path / "cost").totals(("provider", "account", "team", "model"))
    assert (group.currency, group.key, group.billed) == ("EUR", ("AWS", "7", "risk", "fraud"), Decimal("0.30000000000000004"))
    assert group.first == START


def test_our_own_columns_win_over_tags(tmp_path: Path) -> None:
    rows = [row("1", Tags='{"team": "tag", "model": "tagged"}', x_Team="column", x_Requests=3), row("1", Tags='{"team": "tag"}')]
    Intake(tmp_path).rows(rows, origin="acme")
    found = {group.key: group.requests for group in Ledger(tmp_path).totals(("team", "model"))}
    assert found == {("column", "tagged"): 3, ("tag", None): None}


def test_columns_of_a_provider_that_nobody_knows_are_kept(tmp_path: Path) -> None:
    Intake(tmp_path).rows([row("1", x_Run="r1", x_Cores=Decimal("2.5"))], origin="acme")
    with duckdb.connect() as connection:
        files = [str(path) for path in tmp_path.rglob("*.parquet")]
        (found,) = connection.execute("SELECT x_Extra FROM read_parquet(?)", [files]).fetchall()
    assert json.loads(found[0]) == {"x_Run": "r1", "x_Cores": "2.5"}


def test_the_files_of_a_ledger_can_be_ingested_into_another(tmp_path: Path) -> None:
    Intake(tmp_path / "one").rows([row("1.5", Tags='{"team": "risk"}', x_Source="measured", x_Requests=3, x_Run="r")], origin="acme")
    Intake(tmp_path / "two").files(list((tmp_path / "one").rglob("*.parquet")))
    one, two = (Ledger(tmp_path / name).totals(("team", "source", "day")) for name in ("one", "two"))
    assert [(group.key, group.billed, group.requests) for group in one] == [(group.key, group.billed, group.requests) for group in two]


# Files that are no exports


def truncated(path: Path) -> None:
    path.write_bytes(gzip.compress(csv_text([text_row()] * 50).encode())[:-20])


def corrupted(path: Path) -> None:
    data = bytearray(gzip.compress(csv_text([text_row()] * 50).encode()))
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))


def half_parquet(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS BilledCost) TO '{path}' (FORMAT parquet)")
    path.write_bytes(path.read_bytes()[:-5])


BAD_FILES = {
    "truncated gzip": (truncated, "damaged gzip", "end-of-stream"),
    "corrupted gzip": (corrupted, "damaged gzip", ""),
    "semicolons": (lambda path: path.write_text(csv_text([text_row()], delimiter=";")), "no FOCUS export", "semicolons"),
    "tabs": (lambda path: path.write_text(csv_text([text_row()], delimiter="\t")), "no FOCUS export", "tabs"),
    "missing columns": (lambda path: path.write_text("BilledCost,EffectiveCost\n1,2\n"), "no FOCUS export", "BillingCurrency"),
    "a native export": (lambda path: path.write_text("line_item_id,bill_type\n1,2\n"), "no FOCUS export", "no column BilledCost"),
    "prose": (lambda path: path.write_text("hello world\n"), "no FOCUS export", "no list of columns"),
    "binary": (lambda path: path.write_bytes(b"\x7fELF\0\0\0\1\2"), "no cost export", "neither CSV"),
    "latin-1": (lambda path: path.write_bytes("Währung,BilledCost\n".encode("latin-1")), "no cost export", "UTF-8"),
    "empty": (lambda path: path.write_bytes(b""), "is empty", "broke off"),
    "gzip of nothing": (lambda path: path.write_bytes(gzip.compress(b"")), "is empty", "broke off"),
    "only ends of lines": (lambda path: path.write_text("\n\n"), "is empty", "broke off"),
    "UTF-16": (lambda path: path.write_bytes(csv_text([text_row()]).encode("utf-16")), "no cost export", "UTF-16"),
    "a list in JSON": (lambda path: path.write_text('[{"cost": 1}, {"cost": 2}]'), "no cost export", "it is JSON"),
    "an object in JSON over several lines": (lambda path: path.write_text('{\n"cost": 1}\n'), "no cost export", "it is JSON"),
    "gzip in gzip": (lambda path: path.write_bytes(gzip.compress(gzip.compress(b"a,b\n" * 999))), "no cost export", "neither CSV"),
    "a comma at each end": (lambda path: path.write_text(csv_text([text_row()]).replace("\n", ",\n")), "no FOCUS export", "has no name"),
    "columns twice": (lambda path: path.write_text("BilledCost,billedcost\n1,2\n"), "no FOCUS export", "twice"),
    "half a Parquet file": (half_parquet, "cannot ingest", "magic bytes"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_told_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, message, why = BAD_FILES[name]
    bad, good = tmp_path / "bad.csv", write_csv(tmp_path / "good.csv", [text_row()])
    make(bad)
    with pytest.raises(McmlError) as refused:
        Intake(tmp_path / "cost").files([good, bad])
    assert message in refused.value.message
    assert why in refused.value.why
    assert refused.value.next_step or name == "half a Parquet file"
    assert list((tmp_path / "cost").rglob("*.parquet")) == []
    assert Ledger(tmp_path / "cost").totals(()) == []


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Intake(tmp_path / "cost").files([tmp_path / "no.csv"])
    with pytest.raises(InvalidRequest, match="is a folder") as refused:
        Intake(tmp_path / "cost").files([tmp_path])
    assert refused.value.next_step == f"mcml cost ingest {tmp_path}/*"


def test_a_header_without_rows_books_nothing(tmp_path: Path) -> None:
    path = tmp_path / "header.csv"
    path.write_text(csv_text([text_row()]).splitlines()[0] + "\n")
    assert Intake(tmp_path / "cost").files([path]).delivery.rows == 0
    assert Ledger(tmp_path / "cost").totals(()) == []


def test_an_export_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [text_row()])
    found = source.inspect(path)
    os.utime(path, ns=(0, 0))
    with pytest.raises(Conflict, match="changed while it was read"):
        source.check_unchanged(found)
    path.unlink()
    with pytest.raises(Conflict):
        source.check_unchanged(found)


@pytest.mark.parametrize("value", [0.1, START.replace(tzinfo=None), object()])
def test_a_provider_that_gives_floats_or_naive_times_is_told(value: object, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="ListCost"):
        Intake(tmp_path).rows([row("1", ListCost=value)], origin="acme")
    assert list(tmp_path.rglob("*.parquet")) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_ledger_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cost").write_text("a file where the folder should be")
    with pytest.raises(McmlError, match="cannot write the cost ledger"):
        Intake(tmp_path / "cost").rows([row()], origin="acme")


def test_a_damaged_manifest_and_one_of_a_newer_mcml_are_told(tmp_path: Path) -> None:
    Intake(tmp_path).rows([row()], origin="acme")
    path = tmp_path / manifest.NAME
    path.write_text(path.read_text().replace(f'"format": {manifest.FORMAT}', '"format": 99'))
    with pytest.raises(Conflict, match="format 99"):
        Ledger(tmp_path).totals(())
    path.write_text("{")
    with pytest.raises(McmlError, match="damaged"):
        Ledger(tmp_path).totals(())
