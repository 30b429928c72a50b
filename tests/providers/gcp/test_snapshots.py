"""Snapshots of disks against the small Compute Engine, which really keeps a disk's content."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, QuotaExceeded
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.snapshots import GIB, GcpSnapshots
from mcml.testing.contracts.snapshots import SnapshotsContract
from mcml.testing.stubs.google_discovery import DiscoveryStub
from tests.providers.gcp.compute_world import REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub

Make = Callable[..., GcpSnapshots]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("compute.v1", accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: DiscoveryStub) -> ComputeWorld:
    made = ComputeWorld(stub)
    made.add_disk("europe-west1-c", "data", b"one", labels={"team": "risk"})
    made.add_disk("europe-west1-b", "logs", b"two")
    return made


@pytest.fixture
def make(stub: DiscoveryStub, world: ComputeWorld, make_session: MakeSession) -> Make:
    def make(region: str = REGION, **settings: Any) -> GcpSnapshots:
        return GcpSnapshots(Compute(make_session(endpoint=stub.url, **settings), region))

    return make


class TestSnapshots(SnapshotsContract):
    @pytest.fixture
    def snapshots(self, make: Make) -> Snapshots:
        return make()

    @pytest.fixture
    def sources(self, world: ComputeWorld) -> tuple[str, str]:
        return "data", "europe-west1-b/logs"

    @pytest.fixture
    def new_name(self) -> str:
        return "restored"

    @pytest.fixture
    def fingerprint(self, world: ComputeWorld) -> Callable[[str], object]:
        def content(disk: str) -> bytes:
            (found,) = (data for name, data in world.content.items() if disk in (name, name.rpartition("/")[2]))
            return found

        return content


def test_listed_over_pages_and_of_the_region_only(world: ComputeWorld, make: Make) -> None:
    world.add_disk("us-central1-a", "far", b"three")
    for number in range(5):
        make("").create("data", token=f"t{number}")
    make("").create("far", token="t9")
    world.page = 2
    assert len(make("").list()) == 6
    assert {one.source for one in make().list()} == {"europe-west1-c/data"}


def test_one_that_is_being_taken(world: ComputeWorld, make: Make) -> None:
    taken = make().create("data", token="t1")
    world.kinds["snapshots"]["global", taken.id] |= {"status": "UPLOADING", "storageBytes": "0"}
    (found,) = make().list()
    assert (found.complete, found.size_bytes) == (False, 10 * GIB)
    with pytest.raises(Conflict) as early:
        make().restore(taken.id, "new")
    assert early.value.why.startswith("it is not complete")


def test_a_token_stands_for_one_disk(make: Make) -> None:
    make().create("data", token="t1")
    with pytest.raises(InvalidRequest) as other:
        make().create("logs", token="t1")
    assert other.value.why == "the token stands for a snapshot of europe-west1-c/data"


@pytest.mark.parametrize(
    ("into", "zone", "made"),
    [("new", "", "europe-west1-c/new"), ("new", "europe-west1-b", "europe-west1-b/new"), ("europe-west1-b/new", "", "europe-west1-b/new")],
)
def test_where_a_disk_is_made(make: Make, into: str, zone: str, made: str) -> None:
    snapshots = make(zone=zone)
    assert snapshots.restore(snapshots.create("data", token="t1").id, into) == made


def test_a_conflict_that_is_not_about_the_name_is_told(world: ComputeWorld, make: Make) -> None:
    taken = make().create("data", token="t1")
    world.broken = {"europe-west1-c": "RESOURCE_NOT_READY", "": "RESOURCE_NOT_READY"}
    for act in (lambda: make().restore(taken.id, "new"), lambda: make().create("data", token="t2")):
        with pytest.raises(Conflict) as told:
            act()
        assert told.value.why.startswith("Google answered RESOURCE_NOT_READY")


def test_a_quota_is_told(world: ComputeWorld, make: Make) -> None:
    taken = make().create("data", token="t1")
    world.broken["europe-west1-c"] = "QUOTA_EXCEEDED"
    with pytest.raises(QuotaExceeded) as full:
        make().restore(taken.id, "new")
    assert full.value.message == f"cannot restore snapshot '{taken.id}' into 'new'"
