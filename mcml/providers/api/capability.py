"""Capabilities: what a provider can be asked for, each with the protocol that answers and a degree of support."""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mcml.providers.api.alarms import Alarms
from mcml.providers.api.bill_formats import BillFormats
from mcml.providers.api.billing import Billing
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.cluster import Cluster
from mcml.providers.api.computes import Computes
from mcml.providers.api.data_assets import DataAssets
from mcml.providers.api.database import Database
from mcml.providers.api.endpoint import ModelEndpoint
from mcml.providers.api.groups import Groups
from mcml.providers.api.identity import Identity
from mcml.providers.api.instances import Instances
from mcml.providers.api.inventory import Inventory
from mcml.providers.api.jobs import Jobs
from mcml.providers.api.metrics import Metrics
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.registry import Registry
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.api.warehouse import Warehouse

P_co = TypeVar("P_co", covariant=True)


class Support(Enum):
    """How far a provider supports a capability. A capability that is not listed is not supported."""

    FULL = "full"
    PARTIAL = "partial"
    NOT_YET = "not yet"
    IMPOSSIBLE = "impossible"

    @property
    def usable(self) -> bool:
        """True when it can be opened."""
        return self in (Support.FULL, Support.PARTIAL)


@dataclass(frozen=True)
class Offer:
    """A provider's answer for one capability.

    `where` is `module:attribute` of a factory that takes a `ProviderContext` and returns the protocol's object; it is imported on
    use. `note` says what is missing (PARTIAL), why not (IMPOSSIBLE) or what is planned (NOT_YET). `protocols` are those that what it
    makes can be spoken to by clients: of ModelEndpoint, `http` and `grpc` (the Open Inference Protocol over either).
    """

    support: Support
    where: str = ""
    note: str = ""
    protocols: frozenset[str] = frozenset({"http"})


@dataclass(frozen=True)
class Capability(Generic[P_co]):
    """A name for a protocol, typed, so that opening it gives the right object."""

    name: str
    summary: str


IDENTITY = Capability[Identity]("Identity", "who am I there: account, project, subscription")
OBJECT_STORE = Capability[ObjectStore]("ObjectStore", "read, write, list and sign objects")
BUCKETS = Capability[Buckets]("Buckets", "create and configure buckets, bring back old versions")
CLUSTER = Capability[Cluster]("Cluster", "reach a Kubernetes cluster and size its pools")
MODEL_ENDPOINT = Capability[ModelEndpoint]("ModelEndpoint", "run a model behind an address, shift its traffic")
BILLING = Capability[Billing]("Billing", "what it cost, as FOCUS rows, and unit prices")
METRICS = Capability[Metrics]("Metrics", "numbers over time")
INSTANCES = Capability[Instances]("Instances", "machines: list, price, start, stop, resize, spot")
GROUPS = Capability[Groups]("Groups", "groups of equal machines and their size")
SNAPSHOTS = Capability[Snapshots]("Snapshots", "copies of disks and databases")
INVENTORY = Capability[Inventory]("Inventory", "what carries our tags, what blocks a destroy")
DATABASE = Capability[Database]("Database", "managed databases: how to connect, replica lag")
REGISTRY = Capability[Registry]("Registry", "images and model packages by tag and digest")
ALARMS = Capability[Alarms]("Alarms", "the provider's own alarms")
JOBS = Capability[Jobs]("Jobs", "run something to its end")
WAREHOUSE = Capability[Warehouse]("Warehouse", "load tables and query them with SQL")
DATA_ASSETS = Capability[DataAssets]("DataAssets", "data sets by name and version, as pointers into buckets")
COMPUTES = Capability[Computes]("Computes", "pools of machines that jobs run on")
BILL_FORMATS = Capability[BillFormats]("BillFormats", "bills in the provider's own columns, as files, read as FOCUS")

ALL: tuple[Capability[object], ...] = (
    IDENTITY, OBJECT_STORE, BUCKETS, CLUSTER, MODEL_ENDPOINT, BILLING, METRICS, INSTANCES,
    GROUPS, SNAPSHOTS, INVENTORY, DATABASE, REGISTRY, ALARMS, JOBS, WAREHOUSE, DATA_ASSETS, COMPUTES, BILL_FORMATS,
)  # fmt: skip
