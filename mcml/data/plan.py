"""From the facts on both sides to a plan of copies, or of deletions. Pure.

A step's name is where a copy goes. Its kind is `copy` or `delete`, or `refused` for what cannot be done (its reason says why).
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from mcml.core.plan import Plan, Step
from mcml.data.address import key_fault, path_fault
from mcml.data.checksum import comparable
from mcml.data.entry import Entry

REFUSED = "refused"


@dataclass(frozen=True)
class Rules:
    """How a copy treats what is there: `clobber` False never touches it, `force` copies what looks the same too."""

    clobber: bool = True
    force: bool = False


@dataclass(frozen=True)
class Pair:
    """One copy to think about: the entry at the source, its name at the destination, and both as addresses."""

    entry: Entry
    to: str
    source: str
    destination: str


def plan_copy(pairs: Iterable[Pair], there: Mapping[str, Entry], rules: Rules, *, to_folder: bool) -> Plan:
    """Plan the copies: what is missing or differs; `there` are the destination's entries by name.

    `to_folder`: the destination is a folder of this machine, so a key that is no path below it is refused.
    """
    pairs = list(pairs)
    names = {pair.to for pair in pairs} if to_folder else set()
    return Plan("data", tuple(_step(pair, there.get(pair.to), rules, names, to_folder=to_folder) for pair in pairs))


def plan_delete(entries: Iterable[tuple[Entry, str]]) -> Plan:
    """Plan the deletion of entries, each with its address."""
    return Plan(
        "data", tuple(Step("delete", "delete", address, values={"from": entry.name, "size": entry.size}) for entry, address in entries)
    )


def planned_size(step: Step) -> int | None:
    """Return the bytes that a step is about, as far as was known when it was planned."""
    size = step.values.get("size")
    return size if isinstance(size, int) else None


def total_size(plan: Plan) -> int:
    """Return the bytes that the plan's changes are about."""
    return sum(planned_size(step) or 0 for step in plan.changes)


def _step(pair: Pair, there: Entry | None, rules: Rules, names: Set[str], *, to_folder: bool) -> Step:
    values = {"source": pair.source, "from": pair.entry.name, "to": pair.to, "size": pair.entry.size}
    if pair.entry.size == 0 and (not pair.to or (to_folder and pair.to.endswith("/"))):
        return Step("keep", "copy", pair.destination, reason="marks a folder: folders are made as needed", values=values)
    fault = pair.entry.fault or (_folder_fault(pair.to, names) if to_folder else key_fault(pair.to)) or (there.fault if there else "")
    if fault:
        return Step("keep", REFUSED, pair.destination, reason=fault, values=values)
    if there is None:
        return Step("create", "copy", pair.destination, reason="missing", values=values)
    reason = "already there" if not rules.clobber else ""
    changed = "" if reason else "forced" if rules.force else _difference(pair.entry, there)
    if changed:
        return Step("update", "copy", pair.destination, reason=changed, values=values)
    return Step("keep", "copy", pair.destination, reason=reason or _sameness(pair.entry, there), values=values)


def _folder_fault(name: str, names: Set[str]) -> str:
    fault = path_fault(name)
    if fault:
        return fault
    parts = name.split("/")
    above = next((parent for end in range(1, len(parts)) if (parent := "/".join(parts[:end])) in names), "")
    return f"{above!r} is an object too: a path cannot be a file and a folder" if above else ""


def _difference(entry: Entry, there: Entry) -> str:
    """Say how two entries differ, or return an empty text when they count as the same."""
    if entry.size is None:
        return "from a stream"
    if entry.size != there.size:
        return f"{entry.size} bytes, not {there.size}"
    if comparable(entry.checksum, there.checksum):
        return "" if entry.checksum == there.checksum else f"another {entry.checksum.partition(':')[0]}"
    if entry.modified and there.modified and entry.modified <= there.modified:
        return ""
    return "newer at the source, checksums cannot be compared"


def _sameness(entry: Entry, there: Entry) -> str:
    if comparable(entry.checksum, there.checksum):
        return f"same {entry.checksum.partition(':')[0]}"
    return "same size and not older; checksums cannot be compared"
