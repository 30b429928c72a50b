"""The command that shows what is behind a number, as one can paste it. Pure."""

import shlex
from collections.abc import Iterable
from datetime import timedelta

from mcml.cost.span import Span


def command(*words: str) -> str:
    """Return a command of `mcml cost`."""
    return shlex.join(["mcml", "cost", *words])


def rows(span: Span, where: Iterable[str]) -> str:
    """Return the command that shows the rows of a span for which all conditions hold."""
    return command("report", *from_to(span), *conditions(where), "--rows")


def from_to(span: Span) -> tuple[str, ...]:
    """Return the options that choose the days of a span; of a day that has only begun all of it."""
    last = span.end if span.end.time() == span.end.min.time() else span.end + timedelta(days=1)
    return "--since", f"{span.start:%Y-%m-%d}", "--until", f"{last:%Y-%m-%d}"


def conditions(where: Iterable[str]) -> list[str]:
    """Return the options that choose rows by conditions."""
    return [word for each in where for word in ("--where", each)]
