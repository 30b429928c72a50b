"""What questions and answers look like."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from mcml.core.view import Block, Column, Document, Kind, Pairs, Section, Table, Text, listing
from mcml.cost.questions.library import Question
from mcml.store.ledger.questions import CURRENCY, Answer, Value

EMPTY = "no rows; is the ledger filled? (mcml cost ingest)"


def catalogue(questions: Iterable[Question]) -> Document:
    """List the questions that can be asked."""
    columns = (Column("name", "Question"), Column("needs", "Needs --param"))
    rows = [
        {
            "name": each.name,
            "needs": " ".join(each.needs),
            "title": each.title,
            "about": each.about,
            "source": each.source,
        }
        for each in questions
    ]
    return listing("CostQuestionList", columns, rows)


def wording(question: Question) -> Document:
    """Show a question itself: what it is for, and its SQL."""
    item = {"name": question.name, "title": question.title, "about": question.about, "source": question.source, "sql": question.sql}
    said = (Text(question.about), Text(question.source), Text(question.sql, verbatim=True))
    return Document("CostQuestion", [item], said)


def answer(question: Question, answers: Mapping[str, Answer], values: Sequence[str | datetime], rows: str) -> Document:
    """Show the rows that answer a question, by currency where it was asked in several; in JSON under the names that the query gives its
    columns.

    `values` are those of its `?`, `rows` the command that shows the rows of the ledger behind it: `metadata` has both, and the query.
    """
    items: list[Mapping[str, object]] = []
    blocks: list[Block] = []
    for currency, found in answers.items():
        columns = [Column(name, name, _kind(name, [row[place] for row in found.rows])) for place, name in enumerate(found.columns)]
        also = {CURRENCY: currency} if currency else {}
        mine = [{"name": _name(row), **dict(zip(found.columns, row, strict=True)), **also} for row in found.rows]
        days = [name for place, name in enumerate(found.columns) if _are_days([row[place] for row in found.rows])]
        shown = [{**item, **{name: _day(item[name]) for name in days}} for item in mine]
        blocks.append(Section(f"{question.title}, in {currency}" if currency else question.title, (Table(columns, shown, empty=EMPTY),)))
        items += mine
    said = dict(zip(question.parameters, values, strict=True))
    told = {"question": question.name, "source": question.source, "query": question.sql, "parameters": said, "rows": rows}
    return Document("CostAnswer", items, (*blocks, *([Pairs([("rows", rows)])] if items else [])), metadata=told)


def _are_days(values: Sequence[Value]) -> bool:
    """Tell whether all times of a column are midnights: billing periods and days are told by their date, not by how long ago they were."""
    times = [value for value in values if isinstance(value, datetime)]
    return bool(times) and all(value.time() == value.min.time() for value in times)


def _day(value: object) -> object:
    return f"{value:%Y-%m-%d}" if isinstance(value, datetime) else value


def _kind(name: str, values: list[Value]) -> Kind:
    said = [value for value in values if value is not None]
    if said and all(isinstance(value, datetime) for value in said):
        return "time"
    if said and all(isinstance(value, int | Decimal) for value in said):
        return "money" if "Cost" in name else "number"
    return "text"


def _name(row: tuple[Value, ...]) -> str:
    return "/".join(value for value in row if isinstance(value, str)) or "-"
