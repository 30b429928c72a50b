"""What Envoy is told, as values, and the small pieces that every part of its configuration is made of. Nothing is read or written here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcml.core.secret import Secret

Json = dict[str, Any]

BUFFER_LIMIT = 8 * 1024 * 1024
"""Bytes of a request body that are kept for a retry unless mcml.toml says otherwise; Envoy's own default keeps 1 MiB."""

IDLE_SECONDS = 300.0
"""How long a connection without a request is kept, and a request on which nothing moves, unless its route gives it longer."""

ROUTES_NAME = "mcml"
BACKEND_STATS, BROKEN_OFF = "mcml_backend", "broken_off"
"""Our own counter of answers that a backend began and did not end: its prefix and name; its tag `backend` is the cluster."""

CLUSTER_HEADER = "x-mcml-cluster"
"""The request header of a copy for a shadow that names the backend where the request itself went first; no backend ever sees it."""

TYPE = "type.googleapis.com/"
HTTP = "envoy.extensions.filters.http"


Attempt = tuple[tuple[str, int], ...]
"""Backends with weights, in order, for one attempt; a backend may stand there more than once."""


@dataclass(frozen=True)
class Choice:
    """Where requests may go: `weights` by backend name; empty: nowhere, and `empty` says why.

    `attempts` (empty: any backend that was not tried yet, by weight) says for each attempt of a request where it goes. All attempts have
    the same total, and a request falls on the same point of it each time: so the second attempt can be laid out to be elsewhere.
    `last_resort`: none is known to be up; all are tried, so that the first one that is serves. `hurried`: they are tried quickly, for
    all of them failed; of one that was not heard yet nobody knows that, and its model may be slow.
    """

    weights: Mapping[str, int]
    attempts: tuple[Attempt, ...] = ()
    last_resort: bool = False
    empty: str = ""
    hurried: bool = False


@dataclass(frozen=True)
class Overflow:
    """When `first` (the backends of the first tier) have `limit` requests under way, further ones go by `attempts`."""

    limit: int
    first: tuple[str, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Region:
    """What a data region has: where its requests go, and where those that also name a target."""

    choice: Choice
    targets: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True)
class Rate:
    """So many requests in so many seconds; a client that was quiet may send all of them at once."""

    requests: int
    per: float = 1.0


@dataclass(frozen=True)
class Client:
    """An API key that Envoy accepts: its name, its clear text (two while it is rotated), the routes it may use (none: all), its rate."""

    name: str
    texts: tuple[Secret, ...]
    routes: tuple[str, ...] = ()
    rate: Rate | None = None


@dataclass(frozen=True)
class Identity:
    """What the listener shows of itself, as PEM text: its certificate with the chain, its key, and the authorities of its clients."""

    certificate: str
    key: Secret
    client_ca: str = ""


@dataclass(frozen=True)
class Spans:
    """Where spans go (OTLP over HTTP), and what share of the requests in percent."""

    endpoint: str
    percent: float = 1.0


@dataclass(frozen=True)
class RoutePlan:
    """What Envoy is to do with one route: its weights by backend name; empty when it has no backend (see `Choice`).

    `targets`: where a request goes that names a target. `regions`: for residency, what each region has, of the whole route and by target;
    a request that names no region is of the region `home` (empty: it is refused). `sticky` is the header whose value decides where a
    request goes. `idempotent`: a request may be sent again after its backend had it. `hurry`: seconds
    of an attempt where all backends are out.
    """

    name: str
    model: str
    weights: Mapping[str, int]
    timeout: float
    per_try_timeout: float
    last_resort: bool = False
    attempts: tuple[Attempt, ...] = ()
    empty: str = ""
    overflow: Overflow | None = None
    targets: Mapping[str, Choice] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)
    home: str = ""
    sticky: str = ""
    idempotent: bool = True
    protocol: str = "http"
    bursts: bool = False
    split: bool = False
    hurried: bool = False
    hurry: float = 0.5

    @property
    def choice(self) -> Choice:
        """Where a request without hints goes."""
        return Choice(self.weights, self.attempts, self.last_resort, self.empty, self.hurried)


@dataclass(frozen=True)
class StaticPage:
    """A page that Envoy answers itself."""

    path: str
    kind: str
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Aside:
    """Where the helper listens (`port`), where Envoy takes our own questions (`ask_port`, with `token`), the routes whose requests are
    checked, those of which a share in percent is copied, and the pages."""

    port: int
    ask_port: int
    token: Secret
    checked: tuple[str, ...] = ()
    copied: Mapping[str, float] = field(default_factory=dict)
    pages: tuple[StaticPage, ...] = ()


@dataclass(frozen=True)
class Front:
    """What the public listener is made of: where it listens, where it writes its access log, and who may ask for what.

    `clients` is None where nobody is asked for a key; `rates` are those of routes, for each client. Limits are in bytes: a body up to
    `buffer_limit` is kept to be sent again, one above `body_limit` is refused; an access log of `log_size` is set aside. `aside` is what
    stands beside the path of a request. Of `x-forwarded-for` the last `trusted_proxies` entries are believed.
    """

    host: str
    port: int
    access_log: str
    clients: tuple[Client, ...] | None = None
    rates: tuple[tuple[str, Rate], ...] = ()
    identity: Identity | None = None
    cors: tuple[str, ...] = ()
    buffer_limit: int = BUFFER_LIMIT
    body_limit: int = 4 * BUFFER_LIMIT
    spans: Spans | None = None
    evidence: str = ""
    overflows: bool = False
    grpc: bool = False
    log_size: int = 64 * 1024 * 1024
    logs_kept: int = 3
    trusted_proxies: int = 0
    aside: Aside | None = None


def address(host: str, port: int) -> Json:
    """Return a socket address; `host` is an IP address or, where Envoy resolves names, a name."""
    return {"socket_address": {"address": host, "port_value": port}}


def watched(folder: str, name: str) -> Json:
    """Return a config source: a file that Envoy reads again whenever it is replaced."""
    source = {"path": f"{folder}/{name}", "watched_directory": {"path": folder}}
    return {"resource_api_version": "V3", "path_config_source": source}


def named(name: str, typed: Json) -> Json:
    """Return an extension under its name."""
    return {"name": name, "typed_config": typed}


def header(key: str, value: str, *, replace: bool = False) -> Json:
    """Return a header to add, or to set."""
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if replace else "APPEND_IF_EXISTS_OR_ADD"
    return {"header": {"key": key, "value": value}, "append_action": action}


def seconds(value: float) -> str:
    """Return a duration as protobuf's JSON writes it: `0.25s`."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
