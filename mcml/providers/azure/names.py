"""Which names containers and blobs may have, so that no name leads to another one.

https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
"""

import re

from mcml.core.errors import InvalidRequest
from mcml.providers.keys import checked_key

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")


def is_container_name(name: str) -> bool:
    """Tell whether a container may have this name: 3 to 63 lower-case letters, digits and single '-', none of those at an end."""
    return _CONTAINER.fullmatch(name) is not None


def is_version(version: str) -> bool:
    """Tell whether this is the id of a version: a time with seven decimals, in UTC."""
    return _VERSION.fullmatch(version) is not None


def check_container(name: str) -> str:
    """Return the name. Raises InvalidRequest for one that no container may have."""
    if not is_container_name(name):
        why = "it takes 3 to 63 lower-case letters, digits and single '-', with no '-' at an end"
        raise InvalidRequest(f"{name!r} is no name for a container", why=why)
    return name


def check_key(key: str) -> str:
    """Return the key. Raises InvalidRequest for one that cannot be a blob's name, or that Azure would take for another name."""
    return checked_key(key, _fault)


def _fault(key: str) -> str:
    if "\\" in key:
        return "Azure takes '\\' for '/'"
    if any(part in (".", "..") for part in key.split("/")):
        return "'.' and '..' cannot be parts of a key"
    return ""
