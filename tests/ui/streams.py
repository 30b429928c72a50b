"""Streams in memory, for tests that draw."""

import io

from mcml.ui.streams import Streams


def streams(*, terminal: bool = False, colour: bool = False, typed: str = "", width: int = 80) -> Streams:
    return Streams(
        stdin=io.StringIO(typed),
        out=io.StringIO(),
        err=io.StringIO(),
        out_is_terminal=terminal,
        err_is_terminal=terminal,
        in_is_terminal=terminal,
        out_colour=colour,
        err_colour=colour,
        width=width,
    )


def out_of(made: Streams) -> str:
    assert isinstance(made.out, io.StringIO)
    return made.out.getvalue()


def err_of(made: Streams) -> str:
    assert isinstance(made.err, io.StringIO)
    return made.err.getvalue()
