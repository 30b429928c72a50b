"""One delivery after the other into the ledger: a person agrees to what is lost, and what is refused stops no other delivery."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import Interrupted, McmlError, said

if TYPE_CHECKING:
    from mcml.store.ledger.intake import Ingested, Intake
    from mcml.store.ledger.losses import WouldLose


@dataclass
class Booking:
    """What an ingest has booked so far (`done`), and what it has not, as it would replace another piece of a bill (`refused`)."""

    session: Session
    intake: "Intake"
    done: "list[Ingested]" = field(default_factory=list)
    refused: list[McmlError] = field(default_factory=list)

    def add(self, book: "Callable[[Intake], Ingested]") -> None:
        """Book a delivery. A question is asked between two tries, so that nobody waits for the ledger while a person thinks."""
        from mcml.store.ledger.losses import WouldLose

        agreed: set[str] = set()
        while True:
            try:
                self.done.append(book(replace(self.intake, agree=partial(self._agree, agreed))))
                return
            except WouldLose as lost:
                no = self._ask(lost)
                if no is not None:
                    self.refused.append(no)
                    return
                agreed.add(said(lost))

    def raise_refused(self, others: Iterable[McmlError] = ()) -> None:
        """Raise the first that was refused; its why tells the rest, and the errors of `others`."""
        if not self.refused:
            return
        first, *more = [*self.refused, *others]
        first.why = "\n".join([first.why, *map(said, more)])
        first.next_step = "\n".join(dict.fromkeys(each.next_step for each in (first, *more) if each.next_step))
        raise first

    def _agree(self, agreed: set[str], lost: "WouldLose") -> None:
        """Agree to what was asked for and no more: another ingest may have changed the ledger meanwhile."""
        if not self.session.common.yes and said(lost) not in agreed:
            raise lost

    def _ask(self, lost: "WouldLose") -> McmlError | None:
        """Ask whether it may be replaced; return the error where it may not."""
        if self.session.dry_run or not self.session.streams.can_prompt:
            return lost
        try:
            self.session.confirm(f"{lost.message}: {lost.why}. Replace it?")
        except Interrupted as no:
            return Interrupted(f"not booked: {lost.message}", why=no.why, next_step=lost.next_step)
        return None
