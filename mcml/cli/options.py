"""The `@command` decorator: the options every command has, and the way from a returned document to stdout and an exit code."""

import inspect
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType
from typing import Annotated, Any

import typer

from mcml.cli.lazy import HELP, ExampleCommand
from mcml.cli.session import Common, Session
from mcml.core.errors import Interrupted, StillRunning, TimeUp
from mcml.core.view import Document

Body = Callable[..., Document | None]


class Output(StrEnum):
    """How a result is written."""

    table = "table"
    json = "json"
    yaml = "yaml"
    html = "html"
    markdown = "markdown"
    name = "name"


class RowsOutput(StrEnum):
    """How rows are written whose columns are the data's own: CSV, too."""

    table = "table"
    json = "json"
    yaml = "yaml"
    csv = "csv"
    html = "html"
    markdown = "markdown"
    name = "name"


_EVERY: dict[str, tuple[Any, object]] = {
    "output": (Annotated[Output, typer.Option("-o", "--output", help="How to write the result.")], Output.table),
    "quiet": (Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no notes: results and errors only.")], False),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")], False),
    "profile": (Annotated[str, typer.Option("--profile", help="Profile of mcml.toml.", show_default=False)], ""),
    "timeout": (Annotated[float | None, typer.Option("--timeout", min=0.001, help="Stop waiting after so many seconds (exit 8).")], None),
}
_ROWS: dict[str, tuple[Any, object]] = {
    "output": (Annotated[RowsOutput, typer.Option("-o", "--output", help="How to write the result.")], RowsOutput.table),
}
_CHANGING: dict[str, tuple[Any, object]] = {
    "dry_run": (Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")], False),
    "yes": (Annotated[bool, typer.Option("-y", "--yes", help="Answer every question with yes.")], False),
}


def command(
    app: typer.Typer, name: str, *, examples: tuple[str, ...], changes: bool = False, own_timeout: bool = False, rows: bool = False
) -> Callable[[Body], Body]:
    """Register a function as a command of `app`.

    The function is given a `Session` first and returns the document to show (or None). `changes` adds --dry-run and --yes;
    `own_timeout` means that the command keeps --timeout itself (it ends child processes in order), else a timer raises StillRunning.
    `rows`: the document holds rows with the data's own columns, so -o takes csv, too.
    """

    def register(body: Body) -> Body:
        common = _EVERY | (_ROWS if rows else {}) | (_CHANGING if changes else {})

        def run(**values: Any) -> int:
            options = {key: values.pop(key) for key in common}
            options["debug"] = options["debug"] or bool(os.environ.get("MCML_DEBUG"))
            session = Session(Common(**options))
            try:
                with _alarm(None if own_timeout else options["timeout"]):
                    document = body(session, **values)
                if document is not None:
                    session.show(document)
                return session.exit_code
            except KeyboardInterrupt:
                raise Interrupted("interrupted", next_step="run the same command again: it continues where it stopped") from None
            finally:
                session.close()

        _dress(run, body, common)
        kind = type("Command", (ExampleCommand,), {"examples": examples})
        app.command(name, cls=kind, help=inspect.getdoc(body), context_settings=HELP)(run)
        return body

    return register


def _dress(run: Callable[..., int], body: Body, common: dict[str, tuple[Any, object]]) -> None:
    """Give the wrapper the body's parameters (without the session) and the common ones: this is what Typer reads."""
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    added = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind) for key, (kind, default) in common.items()
    ]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + added
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = body.__name__
    run.__doc__ = body.__doc__


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeUp

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except TimeUp:
        step = "run the same command again to continue"
        raise StillRunning(f"not done after {seconds:g} s", why="--timeout ran out", next_step=step) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
