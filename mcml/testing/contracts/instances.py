"""What every Instances promises."""

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import get_args

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded
from mcml.providers.api.instances import Architecture, Instance, Instances, InstanceState, MachineRequest, Noticed
from mcml.providers.api.snapshots import Snapshots


class InstancesContract:
    """Give `instances`, `request_for_spot`: a good request with at least one tag, `other_machine`: another type of machine that can be
    started too, and `take_away`: takes a spot machine away as the provider does. Where copies of disks are offered, give `snapshots`.

    `patience` is how many seconds a machine may take to change its state.
    """

    patience = 30.0

    @pytest.fixture
    def instances(self) -> Instances:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def request_for_spot(self) -> MachineRequest:
        """Return a request that can be met."""
        raise NotImplementedError

    @pytest.fixture
    def other_machine(self) -> str:
        """Return a machine type that is not the request's."""
        raise NotImplementedError

    @pytest.fixture
    def take_away(self) -> Callable[[str], None]:
        """Return a function that interrupts a spot machine."""
        raise NotImplementedError

    @pytest.fixture
    def snapshots(self) -> Snapshots | None:
        """Return the copies of the same target's disks; None where there are none."""
        return None

    @pytest.fixture
    def spot(self, instances: Instances, request_for_spot: MachineRequest) -> Instance:
        """Return a running spot machine."""
        return self.wait(instances, instances.request(request_for_spot).id, "running")

    @pytest.fixture
    def resizable(self, spot: Instance) -> Instance:
        """Return a running machine whose type can be changed: another one where that of a spot machine cannot."""
        return spot

    def now(self, instances: Instances, instance: str) -> Instance:
        """Return a machine as the listing has it."""
        (found,) = (one for one in instances.list() if one.id == instance)
        return found

    def wait(self, instances: Instances, instance: str, state: InstanceState) -> Instance:
        """Wait until a machine is in a state."""
        end = time.monotonic() + self.patience
        while (found := self.now(instances, instance)).state != state and time.monotonic() < end:
            time.sleep(0.02)
        assert found.state == state
        return found

    def test_a_spot_machine_runs(self, request_for_spot: MachineRequest, spot: Instance) -> None:
        """As asked: its type, its tags, on the spot market."""
        assert (spot.machine, spot.spot, spot.state) == (request_for_spot.machine, True, "running")
        assert spot.launched.tzinfo is not None
        assert request_for_spot.tags.items() <= spot.tags.items()

    def test_the_same_token_is_the_same_machine(self, instances: Instances, request_for_spot: MachineRequest, spot: Instance) -> None:
        """Another token is another one."""
        assert instances.request(request_for_spot).id == spot.id
        other = instances.request(replace(request_for_spot, token=request_for_spot.token + "-other"))
        assert other.id != spot.id
        assert {spot.id, other.id} <= {one.id for one in instances.list()}

    def test_one_on_demand(self, instances: Instances, request_for_spot: MachineRequest) -> None:
        """It is not spot, has no highest price, and its token stands for it and for no spot machine."""
        asked = replace(request_for_spot, token=request_for_spot.token + "-on-demand", spot=False)
        made = self.wait(instances, instances.request(asked).id, "running")
        assert (made.machine, made.spot) == (asked.machine, False)
        assert asked.tags.items() <= made.tags.items()
        assert instances.request(asked).id == made.id
        with pytest.raises(InvalidRequest):
            instances.request(replace(asked, spot=True))
        with pytest.raises(InvalidRequest):
            instances.request(replace(asked, token=asked.token + "-dear", max_price=Decimal(100)))
        assert [one.id for one in instances.list(asked.tags)] == [made.id]
        instances.stop(made.id)
        assert not self.wait(instances, made.id, "stopped").spot

    def test_the_token_of_a_spot_machine_is_not_one_on_demand(
        self, instances: Instances, request_for_spot: MachineRequest, spot: Instance
    ) -> None:
        """Nor of another command."""
        for other in (replace(request_for_spot, spot=False), replace(request_for_spot, command=("mcml-no-such-command",))):
            with pytest.raises(InvalidRequest):
                instances.request(other)
        assert [one.id for one in instances.list(request_for_spot.tags)] == [spot.id]

    def test_listed_by_all_of_its_tags(self, instances: Instances, request_for_spot: MachineRequest, spot: Instance) -> None:
        """And not with one that it has not."""
        assert [one.id for one in instances.list(request_for_spot.tags)] == [spot.id]
        assert instances.list({**request_for_spot.tags, "mcml-no-such-tag": "1"}) == []

    def test_stopped_and_started(self, instances: Instances, spot: Instance) -> None:
        """Twice each; it keeps its id, type and tags."""
        for _ in range(2):
            instances.stop(spot.id)
            stopped = self.wait(instances, spot.id, "stopped")
        for _ in range(2):
            instances.start(spot.id)
            started = self.wait(instances, spot.id, "running")
        assert (stopped.machine, started.machine, started.tags) == (spot.machine, spot.machine, spot.tags)

    def test_resized_when_it_is_stopped(self, instances: Instances, resizable: Instance, other_machine: str) -> None:
        """Not while it runs, and not to a type that does not exist."""
        with pytest.raises(Conflict):
            instances.resize(resizable.id, other_machine)
        instances.stop(resizable.id)
        self.wait(instances, resizable.id, "stopped")
        with pytest.raises(InvalidRequest):
            instances.resize(resizable.id, "mcml-no-such-machine")
        assert instances.resize(resizable.id, other_machine).machine == other_machine
        assert instances.resize(resizable.id, other_machine).machine == other_machine
        instances.start(resizable.id)
        assert self.wait(instances, resizable.id, "running").machine == other_machine

    def test_taken_away(self, instances: Instances, spot: Instance, take_away: Callable[[str], None]) -> None:
        """It shows as interrupted."""
        take_away(spot.id)
        assert self.wait(instances, spot.id, "interrupted").spot

    def test_one_that_is_to_stay_has_no_notice(self, instances: Instances, spot: Instance) -> None:
        """Where the provider gives any."""
        if not isinstance(instances, Noticed):
            pytest.skip("this provider gives no notice from outside")
        assert instances.notices([spot.id]) == {}
        assert instances.notices([]) == {}

    def test_too_low_a_price_gets_nothing(self, instances: Instances, request_for_spot: MachineRequest) -> None:
        """QuotaExceeded, and no machine."""
        before = len(instances.list())
        with pytest.raises(QuotaExceeded):
            instances.request(replace(request_for_spot, max_price=Decimal("0.000000001")))
        assert len(instances.list()) == before

    def test_prices(self, instances: Instances, request_for_spot: MachineRequest, other_machine: str) -> None:
        """Of the named types, or of all; spot costs no more than on demand."""
        named = instances.prices([request_for_spot.machine, other_machine])
        assert [price.machine for price in named] == [request_for_spot.machine, other_machine]
        for price in named:
            assert price.vcpus > 0
            assert price.memory_gib > 0
            assert len(price.currency) == 3
            assert isinstance(price.on_demand, Decimal)
            assert price.spot is None or 0 <= price.spot <= price.on_demand
            assert price.architecture in get_args(Architecture)
            assert price.gpus >= 0
            assert price.gpus or (price.gpu, price.gpu_memory_gib) == ("", None)
            assert price.gpu_memory_gib is None or price.gpu_memory_gib > 0
            assert price.network_gbps is None or price.network_gbps > 0
        assert {price.machine for price in named} <= {price.machine for price in instances.prices()}

    def test_an_image_runs_on_its_machine(self, instances: Instances, spot: Instance) -> None:
        """Where both tell of an architecture, it is the same."""
        (price,) = instances.prices([spot.machine])
        assert spot.architecture in get_args(Architecture)
        assert "" in (spot.architecture, price.architecture) or spot.architecture == price.architecture

    def test_its_disks_can_be_copied(self, instances: Instances, spot: Instance, snapshots: Snapshots | None) -> None:
        """Each of them, while it runs and when it is stopped, under the name that the machine gives it."""
        assert len(set(spot.disks)) == len(spot.disks)
        if snapshots is None:
            pytest.skip("this provider copies no disks")
        assert spot.disks
        running = {disk: snapshots.create(disk, token=f"{disk} running").id for disk in spot.disks}
        instances.stop(spot.id)
        assert self.wait(instances, spot.id, "stopped").disks == spot.disks
        for disk, first in running.items():
            second = snapshots.create(disk, token=f"{disk} stopped").id
            assert {one.id for one in snapshots.list(disk)} == {first, second}

    def test_a_machine_that_never_was_is_not_found(self, instances: Instances, other_machine: str) -> None:
        """By start, stop and resize."""
        with pytest.raises(NotFound):
            instances.start("mcml-never-existed")
        with pytest.raises(NotFound):
            instances.stop("mcml-never-existed")
        with pytest.raises(NotFound):
            instances.resize("mcml-never-existed", other_machine)
