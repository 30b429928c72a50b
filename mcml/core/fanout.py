"""Ask several others at once: it takes about as long as the slowest one, and what fails hides no other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

from mcml.core.errors import McmlError, PartlyDone, said

T = TypeVar("T")


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What each answered, or the error instead, by name and in the order in which they were asked."""

    given: Mapping[str, T]
    failed: Mapping[str, McmlError]

    def raise_failures(self, what: str, *, next_step: str) -> None:
        """Raise what the answers amount to: nothing, the one error, or PartlyDone (exit 7) when others have answered.

        When all failed, the error is of the kind of the first. `what` begins the message: "the bill of".
        """
        if not self.failed:
            return
        first = next(iter(self.failed.values()))
        if len(self.failed) == 1 and not self.given:
            raise first
        why = "\n".join(f"{name}: {said(error)}" for name, error in self.failed.items())
        steps = dict.fromkeys(error.next_step for error in self.failed.values() if error.next_step)
        kind = PartlyDone if self.given else type(first)
        names = ", ".join(self.failed)
        done = f"; done: {', '.join(self.given)}" if self.given else ""
        raise kind(f"{what} {names} failed{done}", why=why, next_step="; ".join([*steps, next_step]))


def ask_all(asks: Mapping[str, Callable[[], T]]) -> Answers[T]:
    """Ask all at once, a thread each, and wait for all of them. An exception that is no McmlError goes on as it is: it is a bug.

    Daemons: after Ctrl-C or a time-out nobody waits for one that does not answer.
    """
    ended: dict[str, T | BaseException] = {}

    def one(name: str) -> None:
        try:
            ended[name] = asks[name]()
        except BaseException as failed:  # noqa: BLE001 - sorted out by the one who waits
            ended[name] = failed

    threads = [Thread(target=one, args=(name,), name=f"mcml-ask-{name}", daemon=True) for name in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bugs = [found for found in ended.values() if isinstance(found, BaseException) and not isinstance(found, McmlError)]
    if bugs:
        raise bugs[0]
    failed = {name: found for name in asks if isinstance(found := ended[name], McmlError)}
    return Answers({name: found for name in asks if not isinstance(found := ended[name], BaseException)}, failed)
