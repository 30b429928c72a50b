"""Where models answer: endpoints of providers turned into the backends that a router is given."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from mcml.core.backend import Backend
from mcml.core.schema import Target
from mcml.providers.api.endpoint import Endpoint


def backends_of(endpoints: Iterable[Endpoint], target: Target) -> list[Backend]:
    """Return the backend of each endpoint: its version with the most traffic that has an address (a dead one too: the router decides)."""
    found = []
    for endpoint in endpoints:
        serving = [variant for variant in endpoint.variants if variant.address and variant.weight > 0]
        if not serving:
            continue
        variant = max(serving, key=lambda one: one.weight)
        address = urlsplit(variant.address if "://" in variant.address else f"//{variant.address}")
        found.append(
            Backend(
                target=endpoint.target,
                model=endpoint.name,
                host=address.hostname or "",
                port=address.port or (443 if address.scheme == "https" else 80),
                provider=target.provider,
                region=target.region,
                version=variant.version,
                digest=variant.digest,
                path=address.path.rstrip("/"),
                tls=address.scheme == "https",
            )
        )
    return found
