"""What data assets and computes have in common on every provider: what a request may say, and the version that a token stands for."""

import hashlib
import re
from collections.abc import Iterable

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.computes import ComputeRequest
from mcml.providers.api.data_assets import DataAsset

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#][^\s?#]*")
MOST_URI = 1024


def check_asset(name: str, uri: str, token: str) -> None:
    """Raise InvalidRequest for a data asset that no provider can hold."""
    wrong = {
        "a name is up to 63 letters, digits, '-' and '_', a letter or digit first": not _NAME.fullmatch(name),
        "it has no token: a retry would make a second": not token,
        f"{uri[:100]!r} is no address of data, as s3://bucket/folder/": not _URI.fullmatch(uri),
        f"its address is longer than {MOST_URI} characters": len(uri) > MOST_URI,
    }
    _refuse(f"cannot register the data set {name[:100]!r}", wrong)


def is_name(name: str) -> bool:
    """Tell whether a data set may have this name."""
    return _NAME.fullmatch(name) is not None


def version_of(token: str) -> str:
    """Return the version that a token stands for: 16 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def is_version(version: str) -> bool:
    """Tell whether this is a version that `version_of` gives."""
    return re.fullmatch("[0-9a-f]{16}", version) is not None


def same_asset(found: DataAsset, uri: str) -> DataAsset:
    """Return what a token found. Raises InvalidRequest when it points elsewhere."""
    if found.uri != uri:
        why = f"the token stands for version {found.version}, which is at {found.uri}"
        raise InvalidRequest(f"cannot register the data set {found.name!r}", why=why, next_step="use a new token for a new version")
    return found


def newest_first(found: Iterable[DataAsset]) -> list[DataAsset]:
    """Return versions in the order of `DataAssets.list`."""
    return sorted(found, key=lambda one: (one.created, one.name, one.version), reverse=True)


def newest(name: str, found: Iterable[DataAsset]) -> DataAsset:
    """Return the newest version of a data set among its versions. Raises NotFound when there is none."""
    ordered = newest_first(found)
    if not ordered:
        raise NotFound(f"no data set named {name!r}", why="no version of it is registered here")
    return ordered[0]


def no_version(name: str, version: str, found: Iterable[DataAsset]) -> NotFound:
    """Return the error for a version that is not there; `found` are those that are."""
    there = newest_first(found)
    why = f"its newest of {len(there)} is {there[0].version}" if there else "no version of it is registered here"
    return NotFound(f"no version {version[:100]!r} of the data set {name[:100]!r}", why=why)


def check_compute(request: ComputeRequest, *, least: int = 0) -> None:
    """Raise InvalidRequest for a compute that no provider can make; `least` is the smallest minimum that this one has."""
    doing = f"cannot make the compute {request.name[:100]!r}"
    _refuse(doing, {"it has no token: a retry would make a second": not request.token, "it names no machine type": not request.machine})
    check_limits(doing, request.minimum, request.maximum, least=least)


def check_limits(doing: str, minimum: int, maximum: int, *, least: int = 0) -> None:
    """Raise InvalidRequest for limits of a size that contradict themselves, or begin below `least`."""
    wrong = {
        f"its minimum is {minimum}, and cannot be below {least}": minimum < least,
        f"its maximum is {maximum}, and cannot be below 1": maximum < 1,
        f"its minimum {minimum} is above its maximum {maximum}": minimum > maximum,
    }
    _refuse(doing, wrong)


def _refuse(doing: str, wrong: dict[str, bool]) -> None:
    for why, holds in wrong.items():
        if holds:
            raise InvalidRequest(doing, why=why)
