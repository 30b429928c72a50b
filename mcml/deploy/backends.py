"""Where models answer: endpoints of providers turned into the backends that a router is given."""

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from mcml.core.backend import Backend
from mcml.core.schema import Target
from mcml.providers.api.endpoint import Endpoint, InvokeTarget, Variant

Way = Callable[[Endpoint, Variant], InvokeTarget]


def backends_of(endpoints: Iterable[Endpoint], target: Target, way: Way) -> list[Backend]:
    """Return the backend of each endpoint: its version with the most traffic that has an address (a dead one too: the router decides).

    `way` says how requests reach a version: `ModelEndpoint.invoke_target`, or what it said before.
    """
    found = []
    for endpoint in endpoints:
        serving = [variant for variant in endpoint.variants if variant.address and variant.weight > 0]
        if serving:
            variant = max(serving, key=lambda one: one.weight)
            found.append(_backend(endpoint, variant, target, way(endpoint, variant)))
    return found


def _backend(endpoint: Endpoint, variant: Variant, target: Target, where: InvokeTarget) -> Backend:
    url = urlsplit(where.url)
    path, own = f"/v2/models/{endpoint.name}/infer", where.infer_path
    return Backend(
        target=endpoint.target,
        model=endpoint.name,
        host=url.hostname or "",
        port=url.port or (443 if url.scheme == "https" else 80),
        provider=target.provider,
        region=target.region,
        version=variant.version,
        digest=variant.digest,
        path=url.path.rstrip("/") + (own.removesuffix(path) if own.endswith(path) else ""),
        tls=url.scheme == "https",
        # where it is the path of the v2 protocol, the rest of the protocol is there too
        infer_path="" if own.endswith(path) else own,
        health_path=where.health_path,
        headers=tuple(sorted(where.headers.items())),
        auth=where.auth,
        service=where.service,
        signing_region=where.region,
        grpc_port=where.grpc_port,
    )
