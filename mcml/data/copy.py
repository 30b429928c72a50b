"""Copy between two places: look at both, plan, and carry the plan out. A copy that was cut off goes on with what is missing.

Bytes stream from one place into the other, a chunk a thread, whatever the size of the objects. Their checksum is taken on the way and
held against what the source reports and what the destination reports; where one of them reports a kind that is not computed here (a
checksum of checksums), size and etag must do, and the outcome says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Event

from mcml.core.errors import Interrupted, NotFound
from mcml.core.fact import Fact
from mcml.core.plan import Plan, Step
from mcml.core.report import Reporter
from mcml.core.sizes import counted, size_text
from mcml.data.address import base_name, is_partial
from mcml.data.checksum import DEFAULT, Digests, kind_of
from mcml.data.ends import Ends, existing
from mcml.data.entry import Entry
from mcml.data.folder import FolderPlace
from mcml.data.place import Place
from mcml.data.plan import Pair, Rules, plan_copy, total_size
from mcml.data.stream import Stream
from mcml.data.threads import each
from mcml.data.work import KEY, Outcome, Run


@dataclass(frozen=True)
class Copy:
    """A copy to make: both ends, the rules, how many at once, where progress goes, and the command that continues it."""

    ends: Ends
    rules: Rules
    reporter: Reporter
    jobs: int = 8
    again: str = ""


def look(copy: Copy) -> Plan:
    """Look at both ends and plan. Files are read only where sizes are equal and a checksum decides. Raises NotFound."""
    source, destination = copy.ends.source, copy.ends.destination
    copy.reporter.start(KEY, f"comparing {source.address} with {destination.address}")
    names, there = _everything(copy.ends) if source.name is None else _single(copy.ends)
    if copy.rules.clobber and not copy.rules.force:
        names, there = _with_checksums(copy, names, there)
    pairs = (
        Pair(entry, to, source.place.address(entry.name), destination.place.address(to)) for to, entry in names.items()
    )
    plan = plan_copy(pairs, there, copy.rules, to_folder=destination.place.local)
    copy.reporter.finish(KEY, f"{counted(len(plan.steps), 'item')}, {len(plan.changes)} to copy, {size_text(total_size(plan))}")
    return plan


def run(copy: Copy, plan: Plan, *, record: Callable[[Fact], object] | None = None) -> list[Outcome]:
    """Carry a plan out; return how each step ended. Raises Interrupted or StillRunning, saying what is half-done.

    `record` is told the fact `data.copied`, also when it was cut off; None: the destination is nobody's business but ours.
    """
    about = {"source": copy.ends.source.address, "destination": copy.ends.destination.address}
    work = Run(plan, "copied", copy.reporter, copy.jobs, copy.again, record, about)
    try:
        return work.carry_out(lambda step: _copy_one(copy, step, work))
    finally:
        if isinstance(copy.ends.destination.place, FolderPlace):
            copy.ends.destination.place.give_up()


def checked(place: Place, entry: Entry) -> Iterator[bytes]:
    """Yield the bytes of an entry; at their end raise Conflict when it changed meanwhile, Damaged when bytes are wrong."""
    return iter(Stream(place, entry, (), stop=Event()))


def with_checksum(place: Place, entry: Entry, kind: str, stop: Event) -> Entry:
    """Return the entry with a checksum, as far as it can be had: a file is read, an object is asked. Raises Interrupted."""
    if entry.checksum or entry.fault or entry.size is None:
        return entry
    if not place.local:
        return place.find(entry.name) or entry
    if not kind:
        return entry
    digests = Digests([kind])
    for chunk in place.read(entry):
        if stop.is_set():
            raise Interrupted(f"stopped reading {place.address(entry.name)}")
        digests.update(chunk)
    return replace(entry, checksum=digests.of(kind))


def _single(ends: Ends) -> tuple[dict[str, Entry], dict[str, Entry]]:
    source, destination = ends.source, ends.destination
    to = destination.name or ""
    entry, there = existing(source), destination.place.find(to)
    return {to: entry}, {to: there} if there else {}


def _everything(ends: Ends) -> tuple[dict[str, Entry], dict[str, Entry]]:
    source, destination = ends.source.place, ends.destination.place
    names = {entry.name: entry for entry in source.entries() if not (source.local and is_partial(base_name(entry.name)))}
    return names, {entry.name: entry for entry in destination.entries() if entry.name in names}


def _with_checksums(copy: Copy, names: dict[str, Entry], there: dict[str, Entry]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Fill in the checksums of both sides where sizes are equal, and nothing else can tell whether the bytes are."""
    source, destination, stop = copy.ends.source.place, copy.ends.destination.place, Event()

    def both(name: str) -> tuple[Entry, Entry]:
        here, other = names[name], there[name]
        if destination.local:  # a file can be read for any kind of checksum: so the other side says which
            here = with_checksum(source, here, DEFAULT, stop)
            return here, with_checksum(destination, other, kind_of(here.checksum), stop)
        other = with_checksum(destination, other, DEFAULT, stop)
        return with_checksum(source, here, kind_of(other.checksum), stop), other

    same_size = [name for name, entry in names.items() if name in there and entry.size == there[name].size]
    found = dict(each(both, same_size, jobs=copy.jobs, stop=stop))
    return names | {name: pair[0] for name, pair in found.items()}, there | {name: pair[1] for name, pair in found.items()}


def _copy_one(copy: Copy, step: Step, work: Run) -> tuple[str, int | None]:
    source, destination = copy.ends.source.place, copy.ends.destination.place
    entry = source.find(str(step.values["from"]))
    if entry is None:
        raise NotFound(f"{step.values['source']} is gone", why="it was there when the copy began")
    stream = Stream(source, entry, destination.kinds, stop=work.stop, moved=work.progress.moved)
    confirmed = destination.write(str(step.values["to"]), stream, clobber=copy.rules.clobber)
    checks = {"source": stream.kind, "destination": confirmed}
    how = ", ".join(f"{kind} at the {end}" for end, kind in checks.items() if kind) or "size"
    return f"verified by {how}" + (f"; went on at byte {stream.resumed}" if stream.resumed else ""), stream.position
