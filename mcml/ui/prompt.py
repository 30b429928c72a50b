"""Questions: asked on stderr, only when a person is there to answer, and always answerable by a flag."""

from mcml.core.errors import Interrupted, Usage
from mcml.ui.streams import Streams


def confirm(question: str, streams: Streams, *, yes: bool) -> None:
    """Ask y/N and return when it is a yes. `yes` answers beforehand.

    Raises Usage when nobody can answer, Interrupted when the answer is no.
    """
    if yes:
        return
    _need_person(question, streams)
    if _ask(f"{question} [y/N] ", streams).lower() not in ("y", "yes"):
        raise Interrupted("nothing was changed", why="the answer was no")


def confirm_by_name(question: str, name: str, streams: Streams, *, yes: bool) -> None:
    """Ask to type a name before something is destroyed. Raises as `confirm` does."""
    if yes:
        return
    _need_person(question, streams)
    if _ask(f"{question}\nType {name!r} to go on: ", streams) != name:
        raise Interrupted("nothing was changed", why=f"the answer was not {name!r}")


def ask(question: str, default: str, streams: Streams) -> str:
    """Ask for a value; an empty answer takes the default. The caller has made sure that somebody is there."""
    return _ask(f"{question} [{default}] ", streams) or default


def _need_person(question: str, streams: Streams) -> None:
    if not streams.can_prompt:
        raise Usage(f"cannot ask: {question}", why="this is not a terminal", next_step="add --yes to answer it beforehand")


def _ask(text: str, streams: Streams) -> str:
    streams.err.write(text)
    streams.err.flush()
    answer = streams.stdin.readline()
    if not answer:
        raise Interrupted("nothing was changed", why="the input ended before an answer")
    return answer.strip()
