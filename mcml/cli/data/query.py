"""`mcml data query`."""

import sys
from typing import Annotated

import typer

from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml data query 'select * from web.clicks limit 10'",
    "mcml data query 'select name from web.clicks where id > $least' --param least=41 -o csv > names.csv",
    "mcml data query 'select name from web.clicks where day = @day' --param day=2026-01-31 --provider gcp -o json",
    "mcml data query - < report.sql",
)
Sql = Annotated[str, typer.Argument(help="One SELECT, or - to read it from stdin.", show_default=False)]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help='Of $NAME (BigQuery: @NAME), or =VALUE for each ? in turn; VALUE: a number, true, null, "text" or text (repeatable).',
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "query", examples=EXAMPLES, rows=True)(query_data)


def query_data(
    session: Session, sql: Sql, param: Parameters = None, provider: common.Provider = "", target: common.Target = ""
) -> Document:
    """Ask a warehouse with SQL: one SELECT in its own dialect, which can change nothing. The result is held in memory: use LIMIT.

    Exact numbers stay exact (in JSON as text); NULL is null in JSON and an empty field in CSV.
    """
    from mcml.data import tables, views

    parameters = tables.parse_parameters(param or ())
    result = common.open_warehouse(session, provider, target).query(sys.stdin.read() if sql == "-" else sql, parameters)
    session.note(views.query_note(result))
    return views.query_document(result)
