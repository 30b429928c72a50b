"""Bills in the providers' own formats for tests: the real ones that are kept here, and generated ones in every way they can be written."""

import csv
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcml.providers import discovery
from mcml.providers.api.bill_formats import BillFormat
from mcml.providers.api.capability import BILL_FORMATS
from mcml.providers.api.spec import ProviderContext

BILLS = Path(__file__).parent / "bills"
AWS_REAL = BILLS / "aws_cur_legacy_anonymous_1281.csv.gz"
AZURE_REAL = BILLS / "azure_ea_actualcost_anonymous_27.csv"
CLOUDS = ("aws", "azure", "gcp")
GROUPS = {"line_item": "lineItem", "savings_plan": "savingsPlan"}
Record = Mapping[str, Any]


def formats() -> list[BillFormat]:
    """Every format of the built-in providers."""
    context = ProviderContext(None, Path())
    return [known for name in CLOUDS for known in discovery.open_capability(discovery.spec(name), BILL_FORMATS, context)]


def real_rows(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    return list(csv.DictReader(io.StringIO((gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig"), newline="")))


def write(path: Path, rows: Sequence[Record], *, delimiter: str = ",") -> Path:
    """Write rows as the path's name says: .csv, .csv.gz, .json, .json.gz or .parquet; in CSV what is nested is JSON."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return _parquet(path, rows)
    if kind == "json":
        text = "".join(json.dumps({name: value for name, value in row.items() if value is not None}, default=str) + "\n" for row in rows)
    else:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _flat(value) for name, value in row.items()} for row in rows)
        text = out.getvalue()
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _flat(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _parquet(path: Path, rows: Sequence[Record]) -> Path:
    """Let DuckDB guess the types of JSON, so that what is nested is nested and amounts are binary floats, as an export has them."""
    import duckdb

    lines = write(path.with_name(f"{path.name}.json"), rows)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        source = f"read_json('{lines}', format = 'newline_delimited', map_inference_threshold = 0)"
        connection.execute(f"COPY (SELECT * FROM {source}) TO '{path}' (FORMAT parquet)")
    lines.unlink()
    return path


def legacy(row: Record) -> dict[str, Any]:
    """A line item of CUR 2.0 with the names of the legacy report, its maps as columns."""
    tags = json.loads(row["resource_tags"] or "{}")
    plain = {name: value for name, value in row.items() if name not in ("resource_tags", "product")}
    found = {_legacy_name(name): value for name, value in plain.items()}
    found["product/ProductName"] = json.loads(row["product"])["product_name"]
    return found | {f"resourceTags/user:{name.removeprefix('user_')}": value for name, value in tags.items()}


def _legacy_name(name: str) -> str:
    group = next((words for words in GROUPS if name.startswith(f"{words}_")), name.partition("_")[0])
    rest = "".join(word.capitalize() for word in re.split("_", name[len(group) + 1 :]))
    small = group in ("product", "pricing")  # product/servicecode, pricing/publicOnDemandCost, but bill/PayerAccountId
    return f"{GROUPS.get(group, group)}/{rest[0].lower() + rest[1:] if small else rest}"
