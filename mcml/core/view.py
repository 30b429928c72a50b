"""What a screen is made of: rooms turn their values into these documents, and `ui` draws them as text, Markdown, HTML, JSON or YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "time", "money", "number", "percent", "share", "seconds", "bytes", "state", "spark"]
Level = Literal["ok", "warn", "bad", "idle"]


@dataclass(frozen=True)
class State:
    """A word with a meaning that colour may underline: `ok`, `warn`, `bad` or `idle`. In JSON it is the word alone."""

    text: str
    level: Level = "ok"


@dataclass(frozen=True)
class Column:
    """A column of a table: the `key` of the row's value, its title, and what kind of value it is: numbers align right; a `spark` is a list
    of numbers over time (None: a gap), drawn as a sparkline."""

    key: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows under columns. A row may hold more keys than there are columns. `empty` is said when there are no rows."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, object]]
    title: str = ""
    empty: str = "nothing to show"


@dataclass(frozen=True)
class Tree:
    """A label with branches."""

    label: str
    children: Sequence["Tree"] = ()
    state: State | None = None


@dataclass(frozen=True)
class Series:
    """Numbers over time, drawn as a sparkline; `points` are evenly spaced values, None where nothing was measured."""

    label: str
    points: Sequence[float | None]
    unit: str = ""


@dataclass(frozen=True)
class Pairs:
    """Names and values, one a line."""

    pairs: Sequence[tuple[str, object]]


@dataclass(frozen=True)
class Text:
    """A paragraph. `verbatim` keeps its lines as they are (a command, a log, a document)."""

    text: str
    verbatim: bool = False


@dataclass(frozen=True)
class Status:
    """One line with a state in front."""

    state: State
    text: str


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence["Block"] = ()


Block = Table | Tree | Series | Pairs | Text | Status | Section


@dataclass(frozen=True)
class Document:
    """What a command shows: `items` are the data (JSON, YAML: `{"kind", "version", "items"}`), `blocks` what a person sees.

    `name_key` is the field that `-o name` prints. Adding a field is fine; renaming one is a breaking change. `metadata` is what is true of
    all items together; JSON and YAML have it as a fourth field where there is any.
    """

    kind: str
    items: Sequence[Mapping[str, object]]
    blocks: Sequence[Block] = field(default_factory=tuple)
    name_key: str = "name"
    version: int = 1
    metadata: Mapping[str, object] = field(default_factory=dict)


def listing(
    kind: str, columns: Sequence[Column], rows: Sequence[Mapping[str, object]], *, name_key: str = "name", empty: str = "nothing to show"
) -> Document:
    """Make the document of a plain list: the rows are the items, the columns are what a person sees of them."""
    return Document(kind, rows, (Table(columns, rows, empty=empty),), name_key=name_key)
