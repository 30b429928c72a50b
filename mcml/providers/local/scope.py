"""What belongs to whom: resources of a target or of the whole account, and ids that a token decides."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mcml.core.errors import InvalidRequest
from mcml.core.files import staged_folder
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import LocalResource, read_resources, root_of


def new_resource(ctx: ProviderContext, kind: str, name: str, tags: Mapping[str, str] | None) -> LocalResource:
    """Return the `resource.json` of something made now for this context's target."""
    return LocalResource(kind, name, ctx.region, ctx.target, ctx.clock(), dict(tags or {}))


def lock_name(*parts: str) -> str:
    """Return the name of a lock over something; a long one is cut, and told apart by a digest."""
    whole = "-".join(parts)
    return whole if len(whole) <= 100 else f"{whole[:80]}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `final` when the block ends well; what a killed try left of it is removed first.

    The caller holds a lock over that name. Raises FileExistsError when it exists already.
    """
    for leftover in final.parent.glob(f".{final.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    with staged_folder(final) as stage:
        yield stage


def resources_in_scope(ctx: ProviderContext, plural: str, tags: Mapping[str, str] | None = None) -> list[LocalResource]:
    """Return the resources below `root/<plural>` of the context's target (all of them without a target) that carry all these tags."""
    wanted = (tags or {}).items()
    return [
        found
        for found in read_resources(root_of(ctx) / plural)
        if ctx.target in ("", found.target) and all(found.tags.get(key) == value for key, value in wanted)
    ]


def id_of_token(ctx: ProviderContext, prefix: str, token: str) -> str:
    """Return the id that a request's token stands for on this target: the same token is the same thing, whoever asks.

    Raises InvalidRequest for an empty token.
    """
    if not token:
        raise InvalidRequest(f"a {prefix} needs a token", why="without one a retry would make a second")
    digest = hashlib.sha256(b"\0".join((ctx.target.encode(), token.encode()))).hexdigest()
    return f"{prefix}-{digest[:16]}"
