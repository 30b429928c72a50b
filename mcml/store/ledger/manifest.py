"""The manifest: which Parquet files are the ledger now, and which were it before.

A part is what one delivery said about one account and billing month. A new delivery of the same (source, account, month) replaces the
part: the old one stays, with the time it was replaced at in `until`, so that a later question can ask what was believed then. The file is
replaced in one step, so a reader sees the ledger before an ingest or after it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, McmlError
from mcml.core.files import read_json, write_json

FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True)
class Part:
    """The rows of one account and billing month (`YYYY-MM-01`): one file a provider, relative to the ledger; current without `until`."""

    source: str
    account: str
    month: str
    files: tuple[str, ...]
    rows: int
    delivery: str
    since: str
    until: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a later delivery replaces."""
        return self.source, self.account, self.month


@dataclass(frozen=True)
class Delivery:
    """One ingest: what was read, what was booked per provider and currency (`booked`), what was refused and why (`refused`).

    `origin` is a provider's name or the files'; amounts are decimal text. `digest` tells a repetition.
    """

    id: str
    at: str
    origin: str
    digest: str
    rows: int = 0
    quarantined: int = 0
    booked: tuple[Mapping[str, Any], ...] = ()
    refused: tuple[Mapping[str, Any], ...] = ()
    quarantine: str = ""


@dataclass(frozen=True)
class Manifest:
    """All parts and deliveries, oldest first."""

    parts: tuple[Part, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    replaced: int = field(default=0, compare=False)

    @property
    def current(self) -> tuple[Part, ...]:
        """The parts that are the ledger now."""
        return tuple(part for part in self.parts if not part.until)

    @property
    def files(self) -> list[str]:
        """The Parquet files of the ledger as it is now, sorted."""
        return sorted(file for part in self.current for file in part.files)

    @property
    def referenced(self) -> set[str]:
        """Every file that any version names; a file that is not among them was left by an ingest that died."""
        return {file for part in self.parts for file in part.files} | {each.quarantine for each in self.deliveries if each.quarantine}

    @property
    def open_quarantine(self) -> list[Delivery]:
        """The deliveries whose refused rows still wait: a later one of the same origin, or of all its months, has not replaced them."""
        living = {part.delivery for part in self.current}
        booked = {part.delivery for part in self.parts}
        newest = {each.origin: each.id for each in self.deliveries}
        return [
            each
            for each in self.deliveries
            if each.quarantined and (each.id in living or (each.id not in booked and newest[each.origin] == each.id))
        ]

    def same(self, digest: str) -> Delivery | None:
        """Return the delivery with this digest when all that it said still stands, else None."""
        for each in reversed(self.deliveries):
            if each.digest == digest:
                stands = all(not part.until for part in self.parts if part.delivery == each.id)
                waits = not each.quarantined or each in self.open_quarantine
                return each if stands and waits else None
        return None

    def add(self, delivery: Delivery, parts: Iterable[Part]) -> "Manifest":
        """Return the manifest with a delivery and its parts; the parts they replace end now."""
        new = tuple(parts)
        keys = {part.key for part in new}
        ends = [part for part in self.current if part.key in keys]
        kept = tuple(replace(part, until=delivery.at) if part in ends else part for part in self.parts)
        return Manifest((*kept, *new), (*self.deliveries, delivery), replaced=sum(part.rows for part in ends))


def load(folder: Path) -> Manifest:
    """Read the manifest of a ledger; an empty one where there is none. Raises McmlError for a broken file, Conflict for a newer format."""
    path = folder / NAME
    try:
        said = read_json(path)
        if said is None:
            return Manifest()
        if said["format"] > FORMAT:
            raise Conflict(f"{path} has format {said['format']}", why="a newer mcml has written it", next_step="pip install --upgrade mcml")
        parts = tuple(Part(**{**part, "files": tuple(part["files"])}) for part in said["parts"])
        deliveries = tuple(
            Delivery(**{**each, "booked": tuple(each["booked"]), "refused": tuple(each["refused"])}) for each in said["deliveries"]
        )
    except (ValueError, KeyError, TypeError) as broken:
        raise McmlError(
            f"the cost ledger's {path} is damaged", why=str(broken), next_step="restore it from a backup, or ingest anew"
        ) from broken
    return Manifest(parts, deliveries)


def save(folder: Path, manifest: Manifest) -> None:
    """Write the manifest in one step, on disk when this returns."""
    parts, deliveries = ([asdict(each) for each in kind] for kind in (manifest.parts, manifest.deliveries))
    write_json(folder / NAME, {"format": FORMAT, "parts": parts, "deliveries": deliveries})
