"""The three streams of a command, each asked by itself whether a person watches and whether colour is wanted."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Streams:
    """stdin, stdout (data) and stderr (talk), and what is on the other end of each."""

    stdin: TextIO
    out: TextIO
    err: TextIO
    out_is_terminal: bool
    err_is_terminal: bool
    in_is_terminal: bool
    out_colour: bool
    err_colour: bool
    width: int

    @property
    def can_prompt(self) -> bool:
        """True when a question can be asked and answered: stdin and stderr are a terminal, and this is no CI run."""
        return self.in_is_terminal and self.err_is_terminal


def standard(environ: Mapping[str, str] | None = None) -> Streams:
    """Return the process's own streams.

    Colour is off for a stream that is no terminal, with `NO_COLOR` not empty (https://no-color.org), and with `TERM=dumb`; `CI` makes
    all of them not interactive.
    """
    environ = os.environ if environ is None else environ
    colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    interactive = not environ.get("CI")
    out, err = _is_terminal(sys.stdout), _is_terminal(sys.stderr)
    return Streams(
        stdin=sys.stdin,
        out=sys.stdout,
        err=sys.stderr,
        out_is_terminal=out,
        err_is_terminal=err and interactive,
        in_is_terminal=_is_terminal(sys.stdin) and interactive,
        out_colour=out and colour,
        err_colour=err and colour,
        width=shutil.get_terminal_size((100, 24)).columns,
    )


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
