"""What `ls` shows: everything below a place, or its first level with what lies deeper summed up as folders."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from mcml.core.errors import NotFound, Usage
from mcml.data.address import Address, ObjectAddress, PathAddress, StreamAddress
from mcml.data.ends import OpenStore, missing, one, whole
from mcml.data.entry import Entry
from mcml.data.folder import FolderPlace
from mcml.data.place import Place


@dataclass(frozen=True)
class Row:
    """A line of a listing; a folder's `size` and `objects` are the sums of all below it, None where nobody counted."""

    name: str
    kind: Literal["folder", "object"]
    address: str
    size: int | None
    objects: int | None
    modified: datetime | None
    entry: Entry = field(default_factory=lambda: Entry(""))


def list_rows(address: Address, open_store: OpenStore, *, recursive: bool) -> list[Row]:
    """List what is at an address: folders first, then objects, each by name. Raises NotFound for nothing at all.

    The rows are held in memory, about 1 KB each. Without `recursive` only those of the first level are, but an object store is still
    asked for all keys below, because its protocol has no delimiter.
    """
    if isinstance(address, StreamAddress):
        raise Usage("'-' cannot be listed", next_step="write scheme://bucket/prefix or a path")
    if isinstance(address, PathAddress) and not Path(address.text).is_dir():
        return [_itself(address, open_store)]
    if isinstance(address, PathAddress) and not recursive:
        return folder_rows(Path(address.text))
    place = whole(address, open_store)
    rows = [_row(place, entry) for entry in place.entries() if entry.name] if recursive else children(place, place.entries())
    if isinstance(address, PathAddress) or not address.key:
        return rows
    if not address.is_folder:
        with suppress(NotFound):
            rows.append(_itself(address, open_store))
    if not rows:
        raise NotFound(f"nothing at or below {address}", next_step=f"mcml data ls {address.scheme}://{address.bucket}/")
    return rows


def children(place: Place, entries: Iterable[Entry]) -> list[Row]:
    """Return the first level of a place: `a/` for everything whose name begins so. Pure, and in memory of the first level only."""
    folders: dict[str, Row] = {}
    objects: list[Row] = []
    for entry in entries:
        first, slash, rest = entry.name.partition("/")
        if slash and (rest or entry.size):
            name = f"{first}/"
            folders[name] = _add(folders.get(name) or Row(name, "folder", place.address(name), 0, 0, None), entry)
        elif slash:
            folders.setdefault(f"{first}/", Row(f"{first}/", "folder", place.address(f"{first}/"), 0, 0, None))
        elif entry.name:
            objects.append(_row(place, entry))
    return sorted(folders.values(), key=lambda row: row.name) + sorted(objects, key=lambda row: row.name)


def folder_rows(folder: Path) -> list[Row]:
    """Return the first level of a folder of this machine; what is below its folders is not counted."""
    place = FolderPlace(folder)
    found = sorted(path.name for path in folder.iterdir())
    entries = [entry for name in found if (entry := place.find(name))]
    folders = [entry for entry in entries if entry.fault and (folder / entry.name).is_dir()]
    rows = [Row(f"{entry.name}/", "folder", f"{folder / entry.name}/", None, None, entry.modified, entry) for entry in folders]
    return rows + [_row(place, entry) for entry in entries if entry not in folders]


def _itself(address: ObjectAddress | PathAddress, open_store: OpenStore) -> Row:
    end = one(address, open_store)
    entry = end.place.find(end.name or "")
    if entry is None:
        raise missing(end)
    return _row(end.place, entry)


def _row(place: Place, entry: Entry) -> Row:
    return Row(entry.name, "object", place.address(entry.name), entry.size, 1, entry.modified, entry)


def _add(row: Row, entry: Entry) -> Row:
    modified = max(filter(None, (row.modified, entry.modified)), default=None)
    return Row(row.name, "folder", row.address, (row.size or 0) + (entry.size or 0), (row.objects or 0) + 1, modified)
