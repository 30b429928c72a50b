"""`mcml data load`."""

from enum import StrEnum
from typing import Annotated

import typer

from mcml.cli.completion import complete_address
from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml data load clicks.csv web.clicks",
    "mcml data load 'local://lake/clicks/*.parquet' web.clicks --replace",
    "mcml data load 'gs://acme-lake/clicks/*.jsonl' web.clicks --provider gcp --dry-run",
)


class Format(StrEnum):
    """What a file holds."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


From = Annotated[
    str,
    typer.Argument(help="scheme://bucket/key or a path; * stands for any text.", autocompletion=complete_address, show_default=False),
]
Name = Annotated[str, typer.Argument(metavar="DATASET.TABLE", help="Made when it is new.", show_default=False)]
Kind = Annotated[Format | None, typer.Option("--format", help="By default what the source's name says; json: one object a line.")]
Replace = Annotated[bool, typer.Option("--replace", help="Instead of what the table holds, columns too; asks first.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "load", examples=EXAMPLES, changes=True)(load_data)


def load_data(
    session: Session,
    source: From,
    table: Name,
    format_: Kind = None,
    replace: Replace = False,
    provider: common.Provider = "",
    target: common.Target = "",
) -> Document:
    """Load files into a table of a warehouse, all or nothing; columns go by name (CSV: the first line), rows are added.

    Without --provider or --target the warehouse is this machine's own: a file in the project's state folder.
    """
    from mcml.data import tables, views
    from mcml.incident import desk

    load = tables.parse_load(source, table, format_ or "", replace=replace)
    warehouse = common.open_warehouse(session, provider, target)
    if session.dry_run:
        measured = warehouse.measure(load.source, load.kind)
        return views.load_plan(load, tables.exists(warehouse, load), measured)
    if replace and tables.exists(warehouse, load):
        session.confirm(f"Replace all rows of {load.name}?")
    done = tables.run(warehouse, load, session.reporter, lambda fact: desk.record(session.store, fact))
    return views.load_document(load, done)
