"""An error as a person meets it: what failed, why, and the command to try next; always on stderr."""

import traceback

from mcml.core.errors import McmlError
from mcml.ui.streams import Streams


def show(error: BaseException, streams: Streams, *, debug: bool = False) -> None:
    """Write an error in the house's form; `debug` adds the traceback."""
    if debug:
        streams.err.write("".join(traceback.format_exception(error)))
    message, why, next_step = (error.message, error.why, error.next_step) if isinstance(error, McmlError) else (str(error), "", "")
    bold, end = ("\x1b[1;31m", "\x1b[0m") if streams.err_colour else ("", "")
    lines = [f"{bold}error:{end} {message}"]
    if why:
        first, *more = why.splitlines()
        lines += [f"  why:  {first}", *(f"        {line}" for line in more)]
    if next_step:
        lines.append(f"  next: {next_step}")
    streams.err.write("\n".join(lines) + "\n")
    streams.err.flush()
