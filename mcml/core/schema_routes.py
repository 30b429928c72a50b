"""The shape of `[routes]` and `[router]` in mcml.toml."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mcml.core.schema_base import Name, Port, Seconds, Strict

Pattern = Literal["active-active", "active-passive", "burst", "residency", "cost-tiers", "latency-first"]
Megabytes = Annotated[int, Field(strict=True, ge=1, le=1024)]


class Score(Strict):
    """Weights of the route's score; they must add up to 1."""

    latency: Decimal = Field(default=Decimal("0.4"), ge=0, le=1, description="Share of latency.")
    cost: Decimal = Field(default=Decimal("0.3"), ge=0, le=1, description="Share of cost.")
    reliability: Decimal = Field(default=Decimal("0.3"), ge=0, le=1, description="Share of reliability.")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        total = self.latency + self.cost + self.reliability
        if total != 1:
            raise ValueError(f"latency, cost and reliability add up to {total}, not to 1")
        return self


class Burst(Strict):
    """When requests leave the first tier."""

    concurrency: Annotated[int, Field(strict=True, ge=1, le=2000)] = Field(
        description="Requests under way on the first tier, counted by each router; further ones go to the next tiers.", examples=[8]
    )
    ceiling: Decimal | None = Field(
        default=None,
        gt=0,
        description="What the next tiers may cost in a day (UTC), in the currency of their prices, counted by each router; then nothing "
        "bursts. Requests still go there while the first tier is down.",
    )


class Shadow(Strict):
    """A model that is given a copy of some requests; its answers are compared and never sent to a client."""

    model: Name = Field(description="The model that is compared with the route's own.", examples=["fraud-next"])
    percent: Decimal = Field(default=Decimal(1), gt=0, le=100, description="Share of the requests that are copied.")
    tolerance: Annotated[float, Field(ge=0)] = Field(default=1e-3, description="Largest difference of a number that is still the same.")


class Limit(Strict):
    """How many requests each client may send to the route; further ones are answered 429."""

    requests: Annotated[int, Field(strict=True, ge=1)] = Field(
        description="Requests of one API key (without keys: of all clients), counted by each router for itself."
    )
    per: Annotated[float, Field(strict=True, ge=0.05, le=86400)] = Field(
        default=1.0, description="Seconds in which so many requests are allowed."
    )


class Route(Strict):
    """A public model name with a pattern over targets."""

    model: str = Field(default="", description="The model behind it; the route's own name when empty.")
    pattern: Pattern = Field(
        default="active-active",
        description="active-active: all targets serve, each by its score; active-passive: the first tier that is up; burst: the first tier "
        "up to a number of requests at once, then the next; residency: only targets of the region that the request names; cost-tiers: "
        "the cheapest that is up; latency-first: by latency alone.",
    )
    score: Score = Field(default=Score(), description="Weights of latency, cost and reliability.")
    tiers: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="Groups of targets, the preferred first: for active-passive, burst, cost-tiers (where the prices decide when empty).",
        examples=[[["eu-1"], ["us-1", "us-2"]]],
    )
    burst: Burst | None = Field(
        default=None,
        description="For the pattern burst: when requests leave the first tier.",
        examples=[{"concurrency": 8, "ceiling": 20}],
    )
    regions: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict,
        description="For residency: the targets of each data region; a request names its region in the header x-data-region.",
        examples=[{"eu": ["eu-1", "eu-2"]}],
    )
    home: str = Field(default="", description="For residency: the region of a request that names none; empty: such a request is refused.")
    split: dict[Name, Annotated[int, Field(strict=True, ge=0, le=100)]] = Field(
        default_factory=dict,
        description="Share of each model in percent, for an A/B test or a canary; they add up to 100. Empty: all for `model`.",
        examples=[{"fraud": 90, "fraud-next": 10}],
    )
    sticky: str = Field(
        default="",
        pattern=r"^([a-z0-9-]{1,64})?$",
        description="A header whose value decides where a request goes: the same value, the same model and target.",
        examples=["x-user-id"],
    )
    shadow: Shadow | None = Field(
        default=None,
        description="A model that is tried beside the one that answers.",
        examples=[{"model": "fraud-next", "percent": 5, "tolerance": 0.001}],
    )
    protocol: Literal["http", "grpc", "both"] = Field(
        default="http",
        description="How clients speak to it: the v2 protocol over HTTP, gRPC or both. A gRPC call is of the route that its metadata "
        "x-mcml-route names, else of the only one that speaks gRPC, else of the one that its message names as the model.",
    )
    validate_requests: bool = Field(
        default=False,
        description="Check a request against the model's signature before it leaves: bodies up to 1 MiB, while the control loop runs.",
    )
    idempotent: bool = Field(
        default=True, description="A request may be sent again when its backend broke off in the middle; false for models that keep state."
    )
    limit: Limit | None = Field(
        default=None, description="Requests that each client may send; none: any number.", examples=[{"requests": 50, "per": 1.0}]
    )
    exploration: Annotated[int, Field(strict=True, ge=0, le=25)] = Field(
        default=5, description="Percent that every backend that is up gets at least, so that a better one is noticed."
    )
    timeout: Seconds = Field(default=30.0, description="Seconds a request may take over all attempts.")
    per_try_timeout: Seconds | None = Field(
        default=None,
        description="Seconds one attempt may take before the next target is tried; none: half of `timeout` until it is measured, then "
        "three times the p99, and more where a request needed it.",
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the route's own settings name, without the shadow; `model` may be empty."""
        return tuple(self.split) or (self.model,)

    @property
    def named_targets(self) -> Iterator[str]:
        """Every target that its tiers and regions name."""
        for group in (*self.tiers, *self.regions.values()):
            yield from group

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needs = {"active-passive": ("tiers", 2), "burst": ("tiers", 2), "residency": ("regions", 1)}
        name, least = needs.get(self.pattern, ("", 0))
        if name and len(getattr(self, name)) < least:
            raise ValueError(f"the pattern {self.pattern} needs {name} ({least} or more)")
        if (self.pattern == "burst") != (self.burst is not None):
            raise ValueError("the pattern burst and the table burst need each other")
        if self.burst is not None and self.split:
            raise ValueError("the pattern burst does not go with a split: requests under way are counted for one model")
        if self.home and self.home not in self.regions:
            raise ValueError(f"home is {self.home!r}, which is none of its regions ({', '.join(self.regions) or 'none'})")
        if self.split and sum(self.split.values()) != 100:
            raise ValueError(f"the shares of split add up to {sum(self.split.values())}, not to 100")
        if self.protocol == "grpc" and (self.shadow or self.validate_requests):
            raise ValueError("shadow and validate_requests look at requests over HTTP, and this route speaks gRPC only")
        if any(not group for group in (*self.tiers, *self.regions.values())):
            raise ValueError("a tier or region without a target")
        return self


class Tls(Strict):
    """Certificate of the public listener; both files are read again when they change."""

    certificate: str = Field(description="PEM file with the certificate and its chain, relative to this file.", examples=["tls/router.pem"])
    key: str = Field(description="PEM file with its private key, relative to this file.", examples=["tls/router.key"])
    client_ca: str = Field(
        default="", description="PEM file of the authorities that clients' certificates must be from (mTLS); empty: none asked."
    )


class Tracing(Strict):
    """Where spans go."""

    endpoint: str = Field(
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/\S*)?$", description="OTLP over HTTP.", examples=["http://127.0.0.1:4318/v1/traces"]
    )
    percent: Decimal = Field(
        default=Decimal(1), gt=0, le=100, description="Share of the requests that are traced; a traceparent decides itself."
    )


class Router(Strict):
    """Where and how `mcml route serve` listens."""

    host: str = Field(default="127.0.0.1", description="Address of the public listener.")
    port: Port = Field(default=8080, description="Port of the public listener; 0 takes a free one.")
    admin_port: Port = Field(default=0, description="Port of Envoy's admin interface, on loopback only; 0 takes a free one.")
    control_port: Port = Field(default=0, description="Port of the status page and of /metrics, on loopback; 0 takes a free one.")
    keys: bool = Field(default=False, description="Ask every client for an API key: `mcml route keys add` makes one.")
    tls: Tls | None = Field(
        default=None,
        description="Serve HTTPS.",
        examples=[{"certificate": "tls/router.pem", "key": "tls/router.key", "client_ca": "tls/clients.pem"}],
    )
    trusted_proxies: Annotated[int, Field(strict=True, ge=0, le=10)] = Field(
        default=0,
        description="Proxies of your own in front of the router, such as a load balancer: so many entries at the end of x-forwarded-for "
        "are believed, and their x-forwarded-proto, and who came to the first of them is the client in the access log.",
    )
    cors: tuple[str, ...] = Field(default=(), description="Origins whose pages may call the router.", examples=[["https://app.example.com"]])
    buffer_limit: Megabytes = Field(default=8, description="MiB of a request body that are kept to send it again to another backend.")
    body_limit: Megabytes = Field(default=32, description="MiB of a request body; a larger one is answered 413.")
    log_size: Megabytes = Field(default=64, description="MiB of the access log before it is set aside.")
    logs_kept: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(default=3, description="Access logs kept besides the newest.")
    tracing: Tracing | None = Field(
        default=None,
        description="Send traces to a collector.",
        examples=[{"endpoint": "http://127.0.0.1:4318/v1/traces", "percent": 1}],
    )

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.buffer_limit > self.body_limit:
            raise ValueError(f"buffer_limit ({self.buffer_limit} MiB) is larger than body_limit ({self.body_limit} MiB)")
        return self
