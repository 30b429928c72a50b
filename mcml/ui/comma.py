"""Rows as CSV (RFC 4180, lines ending in a newline alone): exact values under a heading; NULL is an empty field, an empty text is `""`."""

import json
from collections.abc import Iterable, Mapping

from mcml.core.view import Document, Table
from mcml.ui.values import plain

_SPECIAL = frozenset(',"\r\n')


def write(document: Document) -> str:
    """Return the document's items under the columns of its first table; what is nested is written as JSON."""
    table = next((block for block in document.blocks if isinstance(block, Table)), None)
    keys = [column.key for column in table.columns] if table else list(dict.fromkeys(key for item in document.items for key in item))
    return "".join(_lines(keys, document.items))


def _lines(keys: list[str], items: Iterable[Mapping[str, object]]) -> Iterable[str]:
    yield ",".join(map(_field, keys)) + "\n"
    for item in items:
        yield ",".join(_field(item.get(key)) for key in keys) + "\n"


def _field(value: object) -> str:
    shown = plain(value)
    if shown is None:
        return ""
    if isinstance(shown, bool):
        return "true" if shown else "false"
    text = json.dumps(shown, ensure_ascii=False) if isinstance(shown, dict | list) else str(shown)
    is_special = not text or text != text.strip() or not _SPECIAL.isdisjoint(text)
    return '"' + text.replace('"', '""') + '"' if is_special else text
