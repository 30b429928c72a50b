"""What questions and answers look like."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from mcml.core.view import Column, Document, Kind, Section, Table, Text, listing
from mcml.cost.questions.library import Question
from mcml.store.ledger.questions import Answer, Value

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


def answer(question: Question, found: Answer) -> Document:
    """Show the rows that answer a question; in JSON under the names that the query gives its columns."""
    columns = [Column(name, name, _kind(name, [row[place] for row in found.rows])) for place, name in enumerate(found.columns)]
    items = [{"name": _name(row), **dict(zip(found.columns, row, strict=True))} for row in found.rows]
    return Document("CostAnswer", items, (Section(question.title, (Table(columns, items, empty=EMPTY),)),))


def _kind(name: str, values: list[Value]) -> Kind:
    said = [value for value in values if value is not None]
    if said and all(isinstance(value, datetime) for value in said):
        return "time"
    if said and all(isinstance(value, int | Decimal) for value in said):
        return "money" if "Cost" in name else "number"
    return "text"


def _name(row: tuple[Value, ...]) -> str:
    return "/".join(value for value in row if isinstance(value, str)) or "-"
