"""Show a document on stdout: as a table for a person, tab-separated for a pipe, or as JSON, YAML, CSV, names, HTML or Markdown."""

import json
from datetime import datetime

from mcml.core.errors import McmlError
from mcml.core.view import Document
from mcml.ui.streams import Streams
from mcml.ui.values import exact, plain

FORMATS = ("table", "json", "yaml", "name", "csv", "html", "markdown")


def show(document: Document, output: str, streams: Streams, now: datetime, command: str = "") -> None:
    """Write a document to stdout in one of FORMATS. `now` is what ages are counted from, `command` what was typed (a page says it).

    Raises McmlError when it cannot be written (a full disk), BrokenPipeError when nobody reads on.
    """
    text = rendered(document, output, streams, now, command)
    try:
        streams.out.write(text)
        streams.out.flush()
    except BrokenPipeError:
        raise
    except OSError as wrong:
        raise McmlError("cannot write the answer", why=wrong.strerror or str(wrong), next_step="write it elsewhere") from wrong


def rendered(document: Document, output: str, streams: Streams, now: datetime, command: str = "") -> str:
    """Return the text that `show` writes, with its final newline."""
    if output == "json":
        return json.dumps(envelope(document), indent=2, ensure_ascii=False) + "\n"
    if output == "yaml":
        import yaml

        text: str = yaml.safe_dump(envelope(document), sort_keys=False, allow_unicode=True)
        return text
    if output == "name":
        return "".join(f"{exact(item.get(document.name_key))}\n" for item in document.items)
    if output == "csv":
        from mcml.ui.comma import write as write_csv

        return write_csv(document)
    if output == "html":
        from mcml.ui import html

        return html.write(document, now, command)
    if output == "markdown":
        from mcml.ui import markdown

        return markdown.render(document.blocks, level=2)
    if streams.out_is_terminal:
        from mcml.ui.terminal import draw

        return draw(document.blocks, width=streams.width, colour=streams.out_colour, now=now)
    from mcml.ui.piped import write

    return write(document.blocks)


def envelope(document: Document) -> dict[str, object]:
    """Return the machine-readable form: kind, version and items, and metadata where there is any."""
    about = {"metadata": plain(document.metadata)} if document.metadata else {}
    return {"kind": document.kind, "version": document.version, **about, "items": [plain(item) for item in document.items]}
