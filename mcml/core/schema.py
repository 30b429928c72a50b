"""The shape of mcml.toml: pydantic models whose descriptions are the manual, the annotated example and the JSON Schema at once."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mcml.core.errors import did_you_mean
from mcml.core.schema_base import NAMES_ONLY, Name, Strict
from mcml.core.schema_cost import Cost
from mcml.core.schema_routes import Route, Router


class Target(Strict):
    """One place a model can run."""

    provider: str = Field(description="Name of an installed provider: `mcml plugins list` shows them.", examples=["local"])
    region: str = Field(default="", description="The provider's own name of the region.", examples=["us-east-1"])
    cluster: str = Field(default="", description="Kubernetes cluster, where the model runs on one.")


class Rollout(Strict):
    """How a new version takes over."""

    strategy: Literal["blue-green"] = Field(
        default="blue-green", description="blue-green: start the new version beside the old, check it, shift all traffic, stop the old."
    )


class Model(Strict):
    """An artifact with a runtime and the places it runs."""

    source: str = Field(description="Folder with a model.onnx, relative to this file.", examples=["models/fraud"])
    targets: tuple[str, ...] = Field(min_length=1, description="Names of targets, in the order they are deployed.", examples=[["eu-1"]])
    rollout: Rollout = Field(default=Rollout(), description="How a new version takes over.")
    resources: dict[Name, dict[str, str]] = Field(
        default_factory=dict,
        description="By target: what it is given there, in its provider's words (local: cpu; clouds: machine, replicas, ...). "
        "Another size is another version.",
        examples=[{"eu-1": {"cpu": "2"}}],
    )
    team: str = Field(default="", description="Who pays: a tag on every cost row.")
    project: str = Field(default="", description="What it is for: a tag on every cost row.")


class Store(Strict):
    """Where the journal and the incidents are kept."""

    url: str = Field(
        default="",
        repr=False,  # somebody may have written a password into it
        description="A SQLAlchemy URL; empty: SQLite at .mcml/mcml.db. "
        "A team uses PostgreSQL: postgresql+psycopg://user@host/db (password from PGPASSWORD or ~/.pgpass).",
    )


Layer = Literal["network", "cluster", "data", "ml"]
LAYERS: tuple[Layer, ...] = ("network", "cluster", "data", "ml")


class CloudInfra(Strict):
    """What mcml makes on one cloud: a unit for each layer, from terraform/root."""

    region: str = Field(default="", description="Region of everything; empty: that of the cloud's targets.", examples=["eu-central-1"])
    layers: tuple[Layer, ...] = Field(default=LAYERS, min_length=1, description="What is made; each layer has a state of its own.")
    settings: dict[Layer, dict[str, Any]] = Field(
        default_factory=dict,
        description="Inputs of a layer's module, by layer: its README names them.",
        examples=[{"network": {"nat": "one"}}],
    )


class OwnUnit(Strict):
    """A Terraform root of one's own, planned and applied with the others."""

    module: str = Field(description="Folder of the root, relative to this file; Terraform runs in it.", examples=["infra/dns"])
    clouds: tuple[str, ...] = Field(default=(), description="Providers whose credentials Terraform is given.", examples=[["aws"]])
    after: tuple[str, ...] = Field(default=(), description="Units that must be applied first.", examples=[["aws-network"]])
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="Variables that are outputs of other units, as UNIT.OUTPUT or UNIT.OUTPUT.ATTRIBUTE.",
        examples=[{"network": "aws-network.network"}],
    )
    variables: dict[str, Any] = Field(default_factory=dict, description="Other variables of the root. No secrets: plans hold them.")


class Infra(Strict):
    """How Terraform is run, and what it makes."""

    binary: str = Field(
        default="", description="Path of terraform or tofu; empty: terraform or tofu on PATH, else `embedded`: Terraform as a library."
    )
    environment: Name = Field(default="dev", description="The Terraform workspace: one environment, one state of each unit.")
    at_once: Annotated[int, Field(strict=True, ge=1, le=64)] = Field(default=8, description="How many units are worked on at once.")
    profile: Literal["dev", "prod"] = Field(default="dev", description="What sizes, redundancy and deletion protection are made for.")
    team: str = Field(default="", description="The team that answers for the clouds' resources: a tag of each.", examples=["risk"])
    cost_centre: str = Field(default="", description="The cost centre that pays for them: a tag of each.", examples=["4711"])
    part: str = Field(default="", description="Tells several installations of one project and environment apart: it ends their names.")
    tags: dict[str, str] = Field(default_factory=dict, description="More tags of the clouds' resources.", examples=[{"owner": "ann"}])
    clouds: dict[Literal["aws", "gcp", "azure"], CloudInfra] = Field(
        default_factory=dict, description="Clouds on which mcml makes the infrastructure; on others it takes what is there."
    )
    vpn: bool = Field(default=False, description="Join the networks of the clouds by VPN: one more unit behind them, `vpn`.")
    secrets: dict[Name, dict[str, str]] = Field(
        default_factory=dict,
        description="By unit: variables that are secret, each with the environment variable that its value is taken from.",
        examples=[{"gcp-data": {"postgres_admin_password": "PG_ADMIN_PASSWORD"}}],
    )
    units: dict[Name, OwnUnit] = Field(default_factory=dict, description="Terraform roots of one's own.", json_schema_extra=NAMES_ONLY)
    policies: str = Field(default="", description="Folder of your own rules (*.rego) beside the shipped ones, relative to this file.")
    monthly_budget: Decimal | None = Field(
        default=None,
        gt=0,
        description="US dollars a month: a plan that would cost more is refused unless somebody accepts it.",
        examples=[2000],
    )


class Settings(Strict):
    """The whole of mcml.toml."""

    name: Name = Field(default="mcml", description="The project's name; it stands in tags and resource names.", examples=["acme-ml"])
    targets: dict[Name, Target] = Field(default_factory=dict, description="Places a model can run.", json_schema_extra=NAMES_ONLY)
    models: dict[Name, Model] = Field(default_factory=dict, description="Models and where they run.", json_schema_extra=NAMES_ONLY)
    routes: dict[Name, Route] = Field(default_factory=dict, description="Public names of models.", json_schema_extra=NAMES_ONLY)
    router: Router = Field(default=Router(), description="Where `mcml route serve` listens.")
    store: Store = Field(default=Store(), description="Where the journal and the incidents are kept.")
    infra: Infra = Field(default=Infra(), description="How Terraform is run.")
    cost: Cost = Field(default=Cost(), description="What the cost room is told.")
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Settings of each provider, in its own words.")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for model_name, model in self.models.items():
            for target in model.targets:
                if target not in self.targets:
                    raise NoSuchName("target", target, self.targets, f"models.{model_name}.targets")
            for target in model.resources:
                if target not in model.targets:
                    raise NoSuchName("target of this model", target, model.targets, f"models.{model_name}.resources")
        for route_name, route in self.routes.items():
            self._check_route(route_name, route)
        for where, targets in self.cost.named_targets():
            for target in targets:
                if target not in self.targets:
                    raise NoSuchName("target", target, self.targets, where)
        return self

    def _check_route(self, name: str, route: Route) -> None:
        for model, key in self._models_of(name, route):
            if model not in self.models:
                raise NoSuchName("model", model, self.models, f"routes.{name}.{key}")
        for target in route.named_targets:
            if target not in self.targets:
                raise NoSuchName("target", target, self.targets, f"routes.{name}.{'regions' if route.regions else 'tiers'}")

    def _models_of(self, name: str, route: Route) -> Iterable[tuple[str, str]]:
        yield route.model or name, "model"
        yield from ((model, "split") for model in route.split)
        if route.shadow:
            yield route.shadow.model, "shadow.model"


class NoSuchName(ValueError):
    """The value at `path` names a target or a model that is not defined."""

    def __init__(self, what: str, name: str, known: Iterable[str], path: str) -> None:
        hint = did_you_mean(name, known) or f"there is no {what}"
        super().__init__(f"{path} names the {what} {name!r}, which is not defined ({hint})")
        self.path = path
