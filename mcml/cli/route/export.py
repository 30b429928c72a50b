"""`mcml route export`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.route.export.values import Exported

EXAMPLES = (
    "mcml route export --to gateway-api | kubectl apply -f -",
    "mcml route export --to istio --gateway istio-system/public",
    "mcml route export --to envoy > envoy.json && envoy -c envoy.json",
    "mcml route export --to kubernetes --image registry.example.com/mcml:1 --secret mcml-router | kubectl apply -f -   # the router itself",
    "kubectl create secret generic router-keys --from-file=.mcml/route/keys.json   # for: --keys-secret router-keys",
    "kubectl create secret generic router-tls --from-file=tls/router.pem --from-file=tls/router.key   # for: --tls-secret router-tls",
)
FORMATS = ("gateway-api", "istio", "envoy", "kubernetes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "export", examples=EXAMPLES)(export)


def export(
    session: Session,
    to: Annotated[str, typer.Option("--to", help="gateway-api, istio, envoy or kubernetes (the router itself).")],
    namespace: Annotated[str, typer.Option(help="Namespace of the objects.")] = "default",
    gateway: Annotated[str, typer.Option(help="The Gateway that the routes belong to.")] = "mcml",
    image: Annotated[str, typer.Option(help="For kubernetes: an image that holds mcml.", show_default=False)] = "",
    replicas: Annotated[int, typer.Option(min=1, max=100, help="For kubernetes: how many routers.")] = 2,
    secret: Annotated[
        str, typer.Option(help="For kubernetes: Secret whose keys become environment variables.", show_default=False)
    ] = "",
    keys_secret: Annotated[
        str, typer.Option("--keys-secret", help="For kubernetes: Secret that holds .mcml/route/keys.json.", show_default=False)
    ] = "",
    tls_secret: Annotated[
        str, typer.Option("--tls-secret", help="For kubernetes: Secret that holds the files of [router.tls].", show_default=False)
    ] = "",
) -> Document:
    """Write the routes for somebody else's gateway, or the router for Kubernetes.

    What a format cannot say is told on stderr. The manifests hold no secret; weights are those of now, or equal when no router runs.
    Several routers share keys, drains and pins through the store, and the text of a key through --keys-secret. Each counts for itself: a
    rate, a burst's concurrency and its ceiling are per router, so three replicas let through three times as much.
    """
    if to not in FORMATS:
        raise Usage(f"no format named {to!r}", why=f"formats: {', '.join(FORMATS)}", next_step="mcml route export --help")
    if to == "kubernetes":
        return _replicas(session, image, replicas, namespace, secret, keys_secret, tls_secret)
    return _routes(session, to, namespace, gateway)


def _routes(session: Session, to: str, namespace: str, gateway: str) -> Document:
    from mcml.route.export.gateway_api import gateway_api
    from mcml.route.export.istio import istio
    from mcml.route.export.values import lost
    from mcml.route.export.views import manifests

    routes = _exported(session)
    for sentence in lost(routes, to, session.settings.router):
        session.note(f"not exported: {sentence}")
    if to == "envoy":
        return _envoy(session, routes)
    write = gateway_api if to == "gateway-api" else istio
    return manifests(write(routes, namespace=namespace, gateway=gateway))


def _envoy(session: Session, routes: "list[Exported]") -> Document:
    from importlib import metadata

    from mcml.route.export.envoy import envoy
    from mcml.route.export.views import configuration
    from mcml.route.front.listener import build

    front = build(session.settings.router, session.settings.routes, ((), {}), None, session.clock())
    return configuration(envoy(routes, front, software=metadata.version("mcml"), now=session.clock()))


def _replicas(session: Session, image: str, replicas: int, namespace: str, secret: str, keys: str, certificates: str) -> Document:
    from mcml.core.paths import CONFIG_NAME
    from mcml.route.export import views
    from mcml.route.export.replicas import Replicas, manifests

    if not image:
        why = "the router runs in a container that holds mcml"
        raise Usage("which image?", why=why, next_step="mcml route export --to kubernetes --image IMAGE")
    text = (session.config.project / CONFIG_NAME).read_text(encoding="utf-8")
    settings = session.settings
    if settings.router.keys and not keys:
        session.note("these routers let nobody in: they have no text of a key; next: --keys-secret NAME")
    wanted = Replicas(
        image, replicas, text, settings.store.url, settings.router.port or 8080, namespace,
        secret=secret, keys=keys, profile=session.config.profile, tls=settings.router.tls, certificates=certificates,
    )
    return views.manifests(manifests(wanted))


def _exported(session: Session) -> "list[Exported]":
    from mcml.core.errors import NotFound
    from mcml.route.export.values import Exported
    from mcml.route.records import read_status

    backends = common.Backends(session)()
    try:
        status = {entry["route"]: entry for entry in read_status(common.folder(session))["routes"]}
    except NotFound:
        status = {}
    found = []
    for name, route in sorted(session.settings.routes.items()):
        models = set(route.split) or {route.model or name}
        mine = tuple(backend for backend in backends if backend.model in models)
        weights = {one["backend"]: int(one["weight"]) for one in status.get(name, {}).get("backends", ())}
        found.append(Exported(name, route.model or name, route, mine, weights))
    return found
