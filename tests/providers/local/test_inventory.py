"""Inventory on `local`: whatever carries a resource.json, of every kind."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from mcml.core.errors import Conflict
from mcml.core.process import ProcessRef, reference
from mcml.providers.api.inventory import Blocker, Inventory, Resource
from mcml.providers.local.buckets import open_buckets
from mcml.providers.local.endpoint import open_model_endpoint
from mcml.providers.local.groups import define_group
from mcml.providers.local.inventory import open_inventory
from mcml.providers.local.layout import LocalResource, write_process, write_resource
from mcml.providers.local.machines import CATALOGUE
from mcml.providers.local.object_store import open_object_store
from mcml.providers.local.target import create_target, read_target
from mcml.testing.contracts.endpoint import MakeRequest
from mcml.testing.contracts.inventory import InventoryContract
from tests.providers.local.conftest import MakeContext, Processes

MAY = datetime(2026, 5, 1, tzinfo=UTC)
TAGS = {"environment": "dev", "team": "risk"}


def write_job(root: Path, name: str, process: ProcessRef | None = None, target: str = "eu-1") -> Path:
    folder = root / "jobs" / name
    folder.mkdir(parents=True)
    write_resource(folder, LocalResource("job", name, "eu", target, MAY, TAGS))
    if process is not None:
        write_process(folder, process)
    return folder


@pytest.fixture
def inventory(make_context: MakeContext) -> Inventory:
    return open_inventory(make_context())


class TestInventory(InventoryContract):
    @pytest.fixture
    def inventory(self, inventory: Inventory) -> Inventory:
        return inventory

    @pytest.fixture
    def tagged(self, root: Path) -> Resource:
        create_target(root, "eu-1", "eu", 2, TAGS)
        return Resource("target", "eu-1", "eu", TAGS)

    @pytest.fixture
    def blocked(self, make_context: MakeContext) -> Resource:
        context = make_context(region="eu")
        open_buckets(context).create("models-of-acme")
        open_object_store(context).write("models-of-acme", "a", [b"x"])
        return Resource("bucket", "models-of-acme", "eu")


def test_an_endpoint_blocks_its_target_and_goes_with_its_process(
    inventory: Inventory, make_context: MakeContext, root: Path, make_request: MakeRequest, servers: Processes
) -> None:
    create_target(root, "eu-1", "eu", 2)
    open_model_endpoint(make_context("eu-1", region="eu")).create(make_request("fraud", "1"))
    target, endpoint = Resource("target", "eu-1", "eu"), Resource("endpoint", "fraud@eu-1", "eu", {"team": "risk", "project": "p1"})
    assert inventory.find_by_tag({}) == [endpoint, target]
    assert inventory.find_by_tag({"team": "risk"}) == [endpoint]
    assert inventory.blockers([endpoint, target]) == [
        Blocker(target, "fraud runs on eu-1", "mcml deploy delete fraud --target eu-1")
    ]
    with pytest.raises(Conflict, match="cannot delete target 'eu-1'") as refused:
        inventory.delete(target)
    assert (refused.value.why, refused.value.next_step) == ("fraud runs on eu-1", "mcml deploy delete fraud --target eu-1")
    assert inventory.delete(endpoint) is True
    assert servers() == []
    assert inventory.delete(target) is True
    assert read_target(root, "eu-1") is None
    assert inventory.find_by_tag({}) == []


def test_an_empty_bucket_goes(inventory: Inventory, make_context: MakeContext) -> None:
    open_buckets(make_context()).create("models-of-acme")
    (bucket,) = inventory.find_by_tag({})
    assert inventory.blockers([bucket]) == []
    assert inventory.delete(bucket) is True
    assert inventory.delete(bucket) is False


def test_a_resource_takes_exactly_its_own_process_along(inventory: Inventory, root: Path) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        own = reference(sleeper.pid)
        assert own is not None
        write_job(root, "own", own)
        write_job(root, "stale", ProcessRef(other.pid, own.started - 3600))
        assert inventory.delete(Resource("job", "own", "eu")) is True
        assert inventory.delete(Resource("job", "stale", "eu")) is True
        assert not psutil.pid_exists(sleeper.pid) or psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
    finally:
        for child in (sleeper, other):
            child.kill()
            child.wait()
    assert inventory.find_by_tag({}) == []


def test_a_group_goes_with_its_members(inventory: Inventory, make_context: MakeContext) -> None:
    machine = next(iter(CATALOGUE))
    define_group(make_context("eu-1", region="eu"), "workers", machine, minimum=1, maximum=1, tags=TAGS)
    assert sorted(found.kind for found in inventory.find_by_tag(TAGS)) == ["group", "instance"]
    assert inventory.delete(Resource("group", "workers", "eu")) is True
    assert inventory.find_by_tag({}) == []


def test_a_name_that_two_targets_use_is_not_guessed(inventory: Inventory, make_context: MakeContext) -> None:
    for target in ("eu-1", "eu-2"):
        define_group(make_context(target, region="eu"), "workers", next(iter(CATALOGUE)), minimum=0, maximum=1)
    with pytest.raises(Conflict, match="which group") as refused:
        inventory.delete(Resource("group", "workers", "eu"))
    assert refused.value.why == "targets have one each: eu-1, eu-2"
    assert open_inventory(make_context("eu-2")).delete(Resource("group", "workers", "eu")) is True


def test_a_context_with_a_target_sees_its_own(make_context: MakeContext, root: Path) -> None:
    write_job(root, "here")
    write_job(root, "there", target="us-1")
    here = open_inventory(make_context("eu-1"))
    assert [found.id for found in here.find_by_tag(TAGS)] == ["here"]
    assert here.delete(Resource("job", "there", "eu")) is False
    assert [found.id for found in open_inventory(make_context()).find_by_tag(TAGS)] == ["here", "there"]
