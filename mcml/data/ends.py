"""From two addresses to the two ends of a copy: which place each is, and whether it is about one thing or all below."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mcml.core.errors import McmlError, NotFound, Usage
from mcml.data.address import Address, ObjectAddress, PathAddress, StreamAddress, as_prefix, base_name, is_inside
from mcml.data.entry import Entry
from mcml.data.folder import FolderPlace
from mcml.data.objects import ObjectPlace, StreamPlace
from mcml.data.place import Place
from mcml.providers.api.object_store import ObjectStore

OpenStore = Callable[[str], ObjectStore]
"""Return the object store of a URL scheme; raises Usage for a scheme that nobody offers."""


@dataclass(frozen=True)
class End:
    """A place, and the one name in it that is meant; None for everything in it."""

    place: Place
    name: str | None = None

    @property
    def address(self) -> str:
        """Where it is, for a person."""
        return self.place.address(self.name or "")


@dataclass(frozen=True)
class Ends:
    """Where a copy comes from and where it goes: both have a name, or neither."""

    source: End
    destination: End


def one(address: Address, open_store: OpenStore) -> End:
    """Return the end for one object or file. Raises Usage for an address that can only be a folder."""
    if isinstance(address, StreamAddress):
        raise Usage("'-' has no place here", next_step="write scheme://bucket/key or a path")
    if address.is_folder or (isinstance(address, PathAddress) and Path(address.text).is_dir()):
        raise Usage(f"{address} is a folder", next_step="add --recursive, or name one object")
    return _one(address, open_store)


def several(address: Address, open_store: OpenStore) -> End:
    """Return the end for everything below an address, or for the address itself when nothing is below it but it is an object or file.

    Raises NotFound when there is neither; an empty bucket or folder is fine.
    """
    if isinstance(address, StreamAddress):
        return one(address, open_store)
    below = whole(address, open_store)
    if isinstance(address, PathAddress):
        return End(below) if Path(address.text).is_dir() else _existing(address, open_store)
    if not address.key or next(iter(below.entries()), None):
        return End(below)
    return _existing(address, open_store)


def whole(address: ObjectAddress | PathAddress, open_store: OpenStore) -> Place:
    """Return the place of everything below an address."""
    if isinstance(address, PathAddress):
        return FolderPlace(Path(address.text))
    return ObjectPlace(open_store(address.scheme), address.scheme, address.bucket, as_prefix(address.key))


def ends(source: Address, destination: Address, open_store: OpenStore, *, recursive: bool, stdin: Callable[[], BinaryIO]) -> Ends:
    """Return the ends of a copy.

    One file or object goes to the name that is given, or keeps its own below a destination that is a folder. With `recursive`, what is
    below the source comes to lie directly below the destination, so that the same command twice means the same. Raises Usage, NotFound.
    """
    if isinstance(destination, StreamAddress):
        raise Usage("'-' as the destination takes one object", next_step="mcml data cat ADDRESS")
    if isinstance(source, StreamAddress):
        return Ends(End(StreamPlace(stdin()), str(source)), _target(destination, "", open_store))
    begin = several(source, open_store) if recursive else one(source, open_store)
    if begin.name is not None:
        return Ends(begin, _target(destination, base_name(begin.name), open_store))
    _refuse_nesting(source, destination)
    if isinstance(destination, PathAddress) and Path(destination.text).exists() and not Path(destination.text).is_dir():
        raise McmlError(f"cannot copy a folder to {destination}", why="it is a file")
    return Ends(begin, End(whole(destination, open_store)))


def existing(end: End) -> Entry:
    """Return what is known of an end's one name. Raises NotFound when nothing has it."""
    entry = end.place.find(end.name or "")
    if entry is None:
        raise missing(end)
    return entry


def missing(end: End) -> NotFound:
    """Build the error for a name that is not there."""
    folder = end.address.rpartition("/")[0]
    return NotFound(f"nothing at {end.address}", next_step=f"mcml data ls {folder}/" if folder else "mcml data ls .")


def _existing(address: ObjectAddress | PathAddress, open_store: OpenStore) -> End:
    if address.is_folder:
        raise NotFound(f"nothing below {address}")
    end = _one(address, open_store)
    existing(end)
    return end


def _one(address: ObjectAddress | PathAddress, open_store: OpenStore) -> End:
    if isinstance(address, PathAddress):
        path = Path(address.text)
        return End(FolderPlace(path.parent), path.name)
    name = base_name(address.key)
    prefix = address.key.removesuffix(name)
    return End(ObjectPlace(open_store(address.scheme), address.scheme, address.bucket, prefix), name)


def _target(destination: ObjectAddress | PathAddress, name: str, open_store: OpenStore) -> End:
    folder = destination.is_folder or (isinstance(destination, PathAddress) and Path(destination.text).is_dir())
    if not folder:
        return _one(destination, open_store)
    if not name:
        raise Usage(f"{destination} is a folder, and what comes from stdin has no name", next_step=f"name it: {destination}NAME")
    return End(whole(destination, open_store), name)


def _refuse_nesting(source: ObjectAddress | PathAddress, destination: ObjectAddress | PathAddress) -> None:
    nested = False
    if isinstance(source, ObjectAddress) and isinstance(destination, ObjectAddress):
        nested = is_inside(destination, source)
    elif isinstance(source, PathAddress) and isinstance(destination, PathAddress):
        inner, outer = Path(destination.text).resolve(), Path(source.text).resolve()
        nested = inner != outer and inner.is_relative_to(outer)
    if nested:
        raise Usage(f"{destination} lies inside {source}", why="each copy would be copied again by the next run")
