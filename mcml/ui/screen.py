"""A document that is drawn again and again on a terminal, until Ctrl-C."""

import time
from collections.abc import Callable
from datetime import datetime

from mcml.core.view import Document
from mcml.ui.streams import Streams


def watch(
    make: Callable[[int], Document], streams: Streams, clock: Callable[[], datetime], *, every: float, seconds: float | None = None
) -> None:
    """Draw what `make(width)` returns every so many seconds on the terminal's second screen; the first one is as it was afterwards.

    Ends after `seconds`, or on Ctrl-C; what `make` raises ends it too, with the terminal in order.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from mcml.ui.terminal import draw

    console = Console(file=streams.out, no_color=not streams.out_colour, highlight=False)

    def picture() -> Text:
        width = console.size.width
        drawn = draw(make(width).blocks, width=width, colour=streams.out_colour, now=clock())
        lines = drawn.splitlines()[: max(1, console.size.height - 1)]
        return Text.from_ansi("\n".join(lines), no_wrap=True)

    end = time.monotonic() + seconds if seconds is not None else None
    try:
        with Live(picture(), console=console, screen=True, auto_refresh=False) as live:
            while end is None or time.monotonic() + every < end:
                time.sleep(every)
                live.update(picture(), refresh=True)
            time.sleep(max(0.0, (end or 0.0) - time.monotonic()))
    except KeyboardInterrupt:
        return  # this is how one leaves it
