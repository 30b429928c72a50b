"""Ask several others at once: it takes about as long as the slowest one, and what fails hides no other."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    """Ask all at once, a thread each, and wait for all of them. An exception that is no McmlError goes on as it is: it is a bug."""
    with ThreadPoolExecutor(max(1, len(asks)), thread_name_prefix="mcml-ask") as pool:
        futures = {name: pool.submit(ask) for name, ask in asks.items()}
        given: dict[str, T] = {}
        failed: dict[str, McmlError] = {}
        for name, future in futures.items():
            try:
                given[name] = future.result()
            except McmlError as error:
                failed[name] = error
    return Answers(given, failed)
