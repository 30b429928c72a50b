"""What belongs to whom: resources of a target or of the whole account, and ids that a token decides."""

import hashlib
from collections.abc import Mapping

from mcml.core.errors import InvalidRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import LocalResource, read_resources, root_of


def new_resource(ctx: ProviderContext, kind: str, name: str, tags: Mapping[str, str] | None) -> LocalResource:
    """Return the `resource.json` of something made now for this context's target."""
    return LocalResource(kind, name, ctx.region, ctx.target, ctx.clock(), dict(tags or {}))


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
