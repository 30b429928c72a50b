"""What carries labels, what blocks a delete, and deleting: asset inventory, Compute Engine, Cloud Storage and Cloud SQL together."""

from collections.abc import Callable, Iterator

import pytest

from mcml.core.errors import Conflict, InvalidRequest, ProviderCannot
from mcml.providers.api.inventory import Blocker, Inventory, Resource
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.inventory import GcpInventory, open_inventory
from mcml.testing.contracts.inventory import InventoryContract
from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp.cloud_world import AssetWorld, BucketWorld, SqlWorld
from tests.providers.gcp.compute_world import BASE, PROJECT, ComputeWorld
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.google_stub import GoogleStub

OURS = {"managed-by": "mcml", "team": "risk"}
TOPIC = f"pubsub.googleapis.com/projects/{PROJECT}/topics/news"
Make = Callable[..., GcpInventory]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    apis = ("compute.v1", "sqladmin.v1", "storage.v1", "cloudasset.v1")
    with DiscoveryStub(*apis, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> AssetWorld:
    made = AssetWorld(stub, ComputeWorld(stub), SqlWorld(stub), BucketWorld(stub))
    user = f"{BASE}/zones/europe-west1-b/instances/web"
    made.compute.add_instance("europe-west1-b", "web", labels=OURS, deletionProtection=True)
    made.compute.add_instance("europe-west1-c", "spare", labels=OURS)
    made.compute.add_disk("europe-west1-b", "data", b"x", labels=OURS, users=[user])
    made.compute.add_disk("us-central1-a", "free", b"x", labels=OURS)
    made.compute.add("snapshots", "global", "snap", labels=OURS, status="READY")
    made.buckets.add("full-box", OURS, objects=2)
    made.buckets.add("empty-box", OURS)
    made.sql.add("main", replicaNames=["copy"], settings={"deletionProtectionEnabled": True, "userLabels": OURS})
    made.sql.add("small", settings={"userLabels": OURS})
    made.others.append(("pubsub.googleapis.com/Topic", f"//{TOPIC}", OURS, "global"))
    made.compute.add_instance("europe-west1-b", "stranger", labels={"managed-by": "mcml-not"})
    return made


@pytest.fixture
def make(stub: DiscoveryStub, world: AssetWorld, make_session: MakeSession) -> Make:
    return lambda region="": GcpInventory(Compute(make_session(endpoint=stub.url), region))


DELETABLE = [
    Resource("instance", "europe-west1-c/spare", "europe-west1-c", OURS),
    Resource("disk", "us-central1-a/free", "us-central1-a", OURS),
    Resource("snapshot", "snap", "global", OURS),
    Resource("bucket", "empty-box", "europe-west1", OURS),
    Resource("database", "small", "europe-west1", OURS),
]
BLOCKED = [
    Resource("instance", "europe-west1-b/web", "europe-west1-b", OURS),
    Resource("disk", "europe-west1-b/data", "europe-west1-b", OURS),
    Resource("bucket", "full-box", "europe-west1", OURS),
    Resource("database", "main", "europe-west1", OURS),
]


class TestInventory(InventoryContract):
    @pytest.fixture
    def inventory(self, stub: DiscoveryStub, world: AssetWorld, make_context: MakeContext) -> Inventory:
        return open_inventory(make_context(endpoint=stub.url))

    @pytest.fixture(params=DELETABLE, ids=lambda resource: resource.kind)
    def tagged(self, request: pytest.FixtureRequest) -> Resource:
        found: Resource = request.param
        return found

    @pytest.fixture(params=BLOCKED, ids=lambda resource: resource.kind)
    def blocked(self, request: pytest.FixtureRequest) -> Resource:
        found: Resource = request.param
        return found


def test_found_over_pages_and_in_the_region_only(world: AssetWorld, make: Make) -> None:
    world.page = 2
    other = Resource("pubsub.googleapis.com/Topic", TOPIC, "global", OURS)
    assert sorted(make().find_by_tag({}), key=repr) == sorted([*DELETABLE, *BLOCKED, other], key=repr)
    assert Resource("disk", "us-central1-a/free", "us-central1-a", OURS) not in make("europe-west1").find_by_tag({})
    assert len(make("europe-west1").find_by_tag(OURS)) == 9
    assert make().find_by_tag({"a key": "x"}) == []
    assert make().find_by_tag({"team": 'risk" OR labels.team:"x'}) == []


@pytest.mark.parametrize(
    ("region", "seen"),
    [
        ("europe-west1", {"in-eu"}),
        ("europe-west4", {"in-eu", "in-eur4"}),
        ("us-east1", {"in-us", "in-nam4"}),
        ("us-west1", {"in-us"}),
        ("asia-northeast1", {"in-asia"}),
        ("australia-southeast1", set()),
    ],
)
def test_a_bucket_of_many_regions_is_in_each(world: AssetWorld, make: Make, region: str, seen: set[str]) -> None:
    for location in ("EU", "US", "ASIA", "EUR4", "NAM4"):
        world.buckets.add(f"in-{location.lower()}", OURS)
        world.buckets.buckets[f"in-{location.lower()}"]["location"] = location
    assert {one.id for one in make(region).find_by_tag(OURS) if one.id.startswith("in-")} == seen


def test_what_blocks_and_what_to_do(make: Make) -> None:
    blockers = make().blockers(BLOCKED)
    assert [(blocker.resource.id, blocker.reason) for blocker in blockers] == [
        ("europe-west1-b/web", "instance europe-west1-b/web is protected from deletion"),
        ("europe-west1-b/data", "disk europe-west1-b/data is attached to instance europe-west1-b/web"),
        ("full-box", "bucket full-box holds objects or old versions"),
        ("main", "database main is protected from deletion"),
        ("main", "database main has the replica copy"),
    ]
    detach = "gcloud compute instances detach-disk web --disk=data --zone=europe-west1-b"
    assert blockers[1] == Blocker(BLOCKED[1], blockers[1].reason, detach)


def test_a_kind_that_is_not_known_is_left_alone(make: Make) -> None:
    with pytest.raises(ProviderCannot) as unknown:
        make().delete(Resource("pubsub.googleapis.com/Topic", TOPIC, "global", OURS))
    assert unknown.value.why == "it does not know the kind pubsub.googleapis.com/Topic"


def test_a_database_whose_deletion_is_under_way_is_seen_going(world: AssetWorld, make: Make, stub: DiscoveryStub) -> None:
    """The answer to the first call is lost, the second is refused as the first is at work: that is no deletion yet."""
    tries: list[str] = []

    def delete(_: Call) -> None:
        tries.append("delete")
        if len(tries) == 1:
            raise GoogleError(503, "try later")
        raise GoogleError(409, "An operation is in progress.", reason="operationInProgress")

    def look(call: Call) -> dict[str, object]:
        tries.append("look")
        if len(tries) > 4:
            world.sql.databases.pop("small", None)
        return world.sql._one(call["instance"])

    inventory = make()
    stub.on("sql.instances.delete", delete)
    stub.on("sql.instances.get", lambda call: world.sql._one(call["instance"]) if not tries else look(call))
    assert inventory.delete(DELETABLE[4]) is True
    assert tries == ["delete", "delete", "look", "look", "look"]
    assert "small" not in world.sql.databases


@pytest.mark.parametrize(("code", "kind"), [("OPERATION_IN_PROGRESS", Conflict), ("SOMETHING", InvalidRequest)])
def test_a_database_whose_deletion_fails(world: AssetWorld, make: Make, code: str, kind: type[Exception]) -> None:
    world.sql.broken = code
    with pytest.raises(kind) as failed:
        make().delete(DELETABLE[4])
    assert (str(failed.value), failed.value.why) == ("cannot delete database 'small'", "It failed.")  # type: ignore[attr-defined]
