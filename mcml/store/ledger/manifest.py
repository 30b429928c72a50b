"""The manifest: which Parquet files are the ledger now, and which were it before.

A part is what one delivery said about one bill: the rows of a source, an account and a billing month. What replaces what:

- A new delivery replaces the part of the same source, account and billing month, if both name a provider or an invoice issuer in common:
  two clouds may give an account the same number, and a seller that vanishes from a marketplace's bill is gone.
- The month is that of a day after the billing period begins, so a period that begins in the evening before, or a few hours late
  (Google's begin at midnight in California), is of the same month, and so is its next version that begins at midnight UTC.
- A charge of May on June's bill belongs to June's part. It stands beside May's bill, and another delivery of May leaves it alone.
- A delivery that covers a window of charges, as those of the providers' interfaces do, speaks of nothing else: rows of the parts it
  replaces whose charges start outside of the window are carried over (`Part.carried`).

The old part stays, with the time it was replaced at in `until`, so that a later question can ask what was believed then (`Manifest.at`).
The file is replaced in one step, so a reader sees the ledger before an ingest or after it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mcml.core.clock import rfc3339
from mcml.core.errors import Conflict, McmlError
from mcml.core.files import read_json, write_json

FORMAT = 3
NAME = "manifest.json"
_LISTS = ("files", "names", "carried")


@dataclass(frozen=True)
class Part:
    """The rows of one bill: source, account, month (`YYYY-MM-01`), and the providers and issuers in it; files are relative to the ledger.

    Current without `until`; `ended_by` is the delivery that replaced it. `carried`: the older deliveries of which it still holds rows.
    """

    source: str
    account: str
    month: str
    files: tuple[str, ...]
    rows: int
    delivery: str
    since: str
    until: str = ""
    names: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    ended_by: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """The source, the account and the month."""
        return self.source, self.account, self.month

    def same_issuer(self, other: "Part") -> bool:
        """Return whether both are of one source and account, and name a provider or an issuer in common."""
        known = not self.names or not other.names or not set(self.names).isdisjoint(other.names)
        return self.key[:2] == other.key[:2] and known

    def replaces(self, other: "Part") -> bool:
        """Return whether both are of one bill."""
        return self.month == other.month and self.same_issuer(other)


@dataclass(frozen=True)
class Held:
    """How many refused rows of a delivery are of one bill, named as in `Part`, or do not tell of which (no `bill` and no `month`).

    `bill` is how these rows in quarantine name it: a JSON array of source, account, month, provider and issuer.
    """

    rows: int
    bill: str = ""
    source: str = ""
    account: str = ""
    month: str = ""
    names: tuple[str, ...] = ()

    def is_on(self, part: Part) -> bool:
        """Tell whether a part is of the same bill."""
        known = not self.names or not part.names or not set(self.names).isdisjoint(part.names)
        return (self.source, self.account, self.month) == part.key and known


@dataclass(frozen=True)
class Delivery:
    """One ingest: what was read, what was booked per provider and currency (`booked`), what was refused and why (`refused`).

    `origin` is a provider's name or the files'; amounts are decimal text. `digest` tells a repetition. `given` is what a person named: an
    address, or paths from the root on, so that they mean the same in every folder; `begin` from when on a provider was asked (RFC 3339).
    `held` says of which bills the refused rows are.
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
    given: tuple[str, ...] = ()
    begin: str = ""
    held: tuple[Held, ...] = ()


@dataclass
class _Later:
    """What the deliveries after one tell: the bills that they bring, and of those of the same files their months and what they refuse."""

    origins: set[str] = field(default_factory=set)
    bills: dict[tuple[str, str, str], list[Part]] = field(default_factory=lambda: defaultdict(list))
    months: dict[tuple[str, tuple[str, ...], str], list[Part]] = field(default_factory=lambda: defaultdict(list))
    refused: set[tuple[str, tuple[str, ...], str]] = field(default_factory=set)

    def add(self, delivery: Delivery, parts: Iterable[Part]) -> None:
        """Add the delivery before those that are known."""
        self.origins.add(delivery.origin)
        self.refused |= {(delivery.origin, delivery.given, one.bill) for one in delivery.held}
        for part in parts:
            self.bills[part.key].append(part)
            self.months[delivery.origin, delivery.given, part.month].append(part)

    def tells(self, delivery: Delivery, held: Held) -> bool:
        """Tell whether refused rows of a delivery have come again: a part that carries rows of it over is none of them."""
        on_bill = (part for part in self.bills.get((held.source, held.account, held.month), ()) if held.is_on(part))
        of_files = self.months.get((delivery.origin, delivery.given, held.month), ())
        brought = any(delivery.id not in part.carried for part in (*on_bill, *of_files))
        return brought or (delivery.origin, delivery.given, held.bill) in self.refused


@dataclass(frozen=True)
class Manifest:
    """All parts and deliveries, oldest first."""

    parts: tuple[Part, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    replaced: int = field(default=0, compare=False)

    @property
    def current(self) -> tuple[Part, ...]:
        """The parts that are the ledger now and hold something."""
        return tuple(part for part in self.parts if part.files and not part.until)

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
        """The deliveries with refused rows that still wait, and only these rows of them in `quarantined` and `held`.

        A row waits until a later delivery brings the bill that it is on; or the same files are delivered again, with something of its
        month, or with refused rows of the same bill. One that does not tell its bill waits until all that its delivery booked is replaced;
        where that is nothing, until the next of the same origin.
        """
        parts: dict[str, list[Part]] = defaultdict(list)
        for part in self.parts:
            parts[part.delivery].append(part)
        living = {delivery for part in self.current for delivery in (part.delivery, *part.carried)}
        later, found = _Later(), []
        for each in reversed(self.deliveries):
            if each.quarantined:
                stands = each.id in living or (not parts[each.id] and each.origin not in later.origins)
                held = [one for one in each.held or (Held(each.quarantined),) if (not later.tells(each, one) if one.bill else stands)]
                found += [replace(each, held=tuple(held), quarantined=sum(one.rows for one in held))] if held else []
            later.add(each, parts[each.id])
        return found[::-1]

    def same(self, digest: str) -> Delivery | None:
        """Return the delivery with this digest when all that it said still stands, else None."""
        for each in reversed(self.deliveries):
            if each.digest == digest:
                stands = all(not part.until for part in self.parts if part.delivery == each.id)
                waiting = {one.id: one.quarantined for one in self.open_quarantine}
                return each if stands and waiting.get(each.id, 0) == each.quarantined else None
        return None

    def add(self, delivery: Delivery, parts: Iterable[Part]) -> "Manifest":
        """Return the manifest with a delivery and its parts; the parts they replace end now."""
        new = tuple(parts)
        ends = [part for part in self.current if any(each.replaces(part) for each in new)]
        kept = tuple(replace(part, until=delivery.at, ended_by=delivery.id) if part in ends else part for part in self.parts)
        return Manifest((*kept, *new), (*self.deliveries, delivery), replaced=sum(part.rows for part in ends))

    def at(self, moment: datetime) -> "Manifest":
        """Return the manifest as it was then: without the deliveries since, and with what they ended still current."""
        then = rfc3339(moment)  # such texts sort like times
        parts = (part for part in self.parts if part.since <= then)
        return Manifest(
            tuple(replace(part, until="", ended_by="") if part.until > then else part for part in parts),
            tuple(each for each in self.deliveries if each.at <= then),
        )


def typed(given: Iterable[str]) -> list[str]:
    """Return what was given as one types it here: a path below this folder without it."""
    here = Path.cwd()
    return [file if "://" in file or not Path(file).is_relative_to(here) else str(Path(file).relative_to(here)) for file in given]


def load(folder: Path) -> Manifest:
    """Read the manifest of a ledger; an empty one where there is none. Raises McmlError for a broken file, Conflict for a newer format."""
    path = folder / NAME
    try:
        said = read_json(path)
        if said is None:
            return Manifest()
        if said["format"] > FORMAT:
            raise Conflict(f"{path} has format {said['format']}", why="a newer mcml has written it", next_step="pip install --upgrade mcml")
        parts = tuple(Part(**{**part, **{name: tuple(part.get(name, ())) for name in _LISTS}}) for part in said["parts"])
        deliveries = tuple(
            Delivery(
                **{
                    **each,
                    "booked": tuple(each["booked"]),
                    "refused": tuple(each["refused"]),
                    "given": tuple(each.get("given", ())),
                    "held": tuple(Held(**{**one, "names": tuple(one["names"])}) for one in each.get("held", ())),
                }
            )
            for each in said["deliveries"]
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
