"""End the machines that a job is to leave, and forget none of them before it is known to have ended.

A cloud may list a machine only some time after it was asked for, most of all when its answer was lost. So one that is not listed is looked
for again, until it is seen or `UNSEEN` has passed since it was asked for; where several were asked for unheard, until that has passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, Unavailable, said
from mcml.cost.spot.job import Choice
from mcml.cost.spot.keeper import Keeper
from mcml.cost.spot.order import Place, Record
from mcml.cost.spot.site import Site, tags_of

UNSEEN = timedelta(minutes=10)
"""How long after it was asked for a machine may come to be listed: longer than any client waits for the answer."""
TRIES = 20
"""How often the record of a job is read again because somebody else has written it meanwhile."""


@dataclass(frozen=True)
class Leaver:
    """Ends machines of one job."""

    keeper: Keeper
    sites: Mapping[str, Site]

    def left(self, record: Record, *, hold: bool = False) -> Record:
        """End the machines that are to be left; one whose cloud does not answer, or does not list it yet, stays on the list.

        So does (`hold`) one on demand that was asked for without an answer, while one is wanted. Raises Conflict.
        """
        held = [one for one in record.leaving if hold and one.choice == Choice.ON_DEMAND and not one.instance]
        kept = tuple(one for one in record.leaving if one in held or not self._ended(record, one))
        return record if kept == record.leaving else self.keeper.save(replace(record, leaving=kept))

    def settled(self, record: Record) -> Record:
        """Stop what an ended job is to leave. Who looks after it and who stops it may both be at that: then the record is read again."""
        for _ in range(TRIES):
            try:
                return self.left(record)
            except Conflict:
                now = self.keeper.resume(record.name)
                record = replace(now, leaving=tuple(dict.fromkeys((*now.leaving, *record.leaving))))
        return record

    def _ended(self, record: Record, place: Place) -> bool:
        """End a machine, or find that it is gone or has ended; False when its cloud does not answer, or may list or end it later."""
        here, note = record.place, self.keeper.reporter.note
        if here and here.choice == Choice.ON_DEMAND and here.token == place.token:
            return True  # it is wanted again
        try:
            runs = (record.run, *(record.earlier if place.choice == Choice.WAIT else ()))
            wanted, tags = here.instance if here else "", [tags_of(replace(record, run=run)) for run in runs]
            seen = [self.sites[place.target].leave(each, place, wanted) for each in tags]
            young = place.choice != Choice.WAIT and abs(self.keeper.clock() - place.since) < UNSEEN
            if young and (not any(seen) or _several(record, place)):
                return False
            self.keeper.ran(place)
        except Unavailable as failed:
            note(f"{place.name}: {said(failed)}")
            return False
        except NotFound:
            pass
        except InvalidRequest as refused:  # its cloud will not stop it, however often it is asked
            note(f"{place.name} {place.instance} still runs: {said(refused)}")
        except McmlError as failed:
            note(f"{place.name} {place.instance} still runs: {said(failed)}")
            return False
        return True


def _several(record: Record, place: Place) -> bool:
    """Tell whether the search for a place of which nothing was heard may find the machine of another: one found is not all then."""
    alike = (place.target, place.choice, "", False)
    unheard = [one for one in record.leaving if (one.target, one.choice, one.instance, one.group) == alike]
    return place.several or (place in unheard and len(unheard) > 1)


def freed(record: Record) -> Record:
    """Return the record without a place; the machine of the place is to be left."""
    return replace(record, place=None, leaving=(*record.leaving, *([record.place] if record.place else [])))
