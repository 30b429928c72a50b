"""Machine metrics over gRPC: the small Cloud Monitoring, machines of the small Compute Engine, series as the Ops Agent writes them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, Metrics, SeriesQuery, Statistic, Window
from mcml.providers.gcp.metrics import GcpMetrics, open_metrics
from mcml.testing.contracts.metrics import MachineMetricsContract
from mcml.testing.stubs.google_discovery import DiscoveryStub
from mcml.testing.stubs.google_grpc import Fail, GrpcError, GrpcStub
from tests.providers.gcp.compute_world import REGION, ComputeWorld
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.monitoring_world import DELTA, INT64, LONG_AGO, MINUTE, MonitoringWorld, minutes

ID = "europe-west1-b/web"
CPU = "compute.googleapis.com/instance/cpu/utilization"
RECEIVED, SENT = (f"compute.googleapis.com/instance/network/{way}_bytes_count" for way in ("received", "sent"))
MEMORY, DISK = "agent.googleapis.com/memory/percent_used", "agent.googleapis.com/disk/percent_used"
GPU, GPU_MEMORY = "agent.googleapis.com/gpu/utilization", "agent.googleapis.com/gpu/memory/bytes_used"
GIB = 1 << 30
TEN = Window(LONG_AGO, LONG_AGO + 10 * MINUTE, 5 * MINUTE)


@pytest.fixture
def compute(google: GoogleStub) -> Iterator[DiscoveryStub]:
    with DiscoveryStub("compute.v1", accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def machines(compute: DiscoveryStub) -> ComputeWorld:
    made = ComputeWorld(compute)
    made.add_instance("europe-west1-b", "web", "e2-micro")
    made.add_instance("europe-west1-c", "other")
    return made


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[GrpcStub]:
    from google.cloud.monitoring_v3 import AlertPolicyServiceClient, MetricServiceClient

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in google.tokens) as stub:
        yield stub


Measure = Callable[..., None]


@pytest.fixture
def world(stub: GrpcStub) -> MonitoringWorld:
    """Compute Engine's own metrics; those of an agent are not there before one has written them."""
    made = MonitoringWorld(stub)
    made.add_metric(CPU, labels=("instance_name",))
    for metric in (RECEIVED, SENT):
        made.add_metric(metric, DELTA, INT64, labels=("instance_name", "loadbalanced"))
    return made


@pytest.fixture
def measure(world: MonitoringWorld, machines: ComputeWorld) -> Measure:
    """Puts a minute's samples each; labels are the metric's, the resource is our machine, or another."""

    def measure(metric: str, *values: float, zone: str = "europe-west1-b", name: str = "web", **labels: str) -> None:
        if metric not in world.metrics:
            world.add_metric(metric, labels=tuple(labels))
        number = machines.kinds["instances"][f"zones/{zone}", name]["id"]
        world.add(metric, minutes(LONG_AGO, *values), labels, instance_id=number, zone=zone)

    return measure


@pytest.fixture
def metrics(stub: GrpcStub, world: MonitoringWorld, compute: DiscoveryStub, make_session: MakeSession) -> GcpMetrics:
    return GcpMetrics(make_session(grpc_endpoint=stub.address, endpoint=compute.url, region=REGION), REGION)


Ask = Callable[..., list[float | None]]


@pytest.fixture
def ask(metrics: GcpMetrics, machines: ComputeWorld) -> Ask:
    def ask(metric: str, statistic: Statistic = "average", window: Window = TEN, machine: str = ID) -> list[float | None]:
        return [point.value for point in metrics.query(SeriesQuery(metric, {MACHINE: machine}, statistic), window)]

    return ask


@pytest.fixture
def measured(measure: Measure) -> None:
    measure(CPU, 0.2, 0.4, 1.7, 0.1, 0.1, 0.5, instance_name="web")
    for load_balanced in ("true", "false"):
        measure(RECEIVED, 600, 1200, 0, 0, 0, 60, instance_name="web", loadbalanced=load_balanced)
        measure(SENT, 0, 1800, 0, 0, 0, 60, instance_name="web", loadbalanced=load_balanced)
    for state, percent in (("used", 40), ("cached", 55), ("free", 5)):
        measure(MEMORY, *[percent] * 6, state=state)
        measure(DISK, *[percent] * 6, state=state, device="/dev/sda1")
    for gpu, (busy, used) in enumerate(((10, 4), (80, 16))):
        measure(GPU, *[busy] * 6, gpu_number=str(gpu), model="NVIDIA L4", uuid=f"u{gpu}")
        for state, size in (("used", used), ("free", 24 - used)):
            measure(GPU_MEMORY, *[size * GIB] * 6, gpu_number=str(gpu), model="NVIDIA L4", uuid=f"u{gpu}", memory_state=state)


class TestMachineMetrics(MachineMetricsContract):
    most_cpu = 8.0  # an e2-micro is given a quarter of a vCPU, and bursts to two

    @pytest.fixture
    def metrics(self, stub: GrpcStub, compute: DiscoveryStub, measured: None, make_context: MakeContext) -> Metrics:
        return open_metrics(make_context(grpc_endpoint=stub.address, endpoint=compute.url, region=REGION))

    @pytest.fixture
    def machine(self) -> tuple[str, Window]:
        return ID, Window(LONG_AGO, LONG_AGO + 9 * MINUTE, 3 * MINUTE)


def test_in_units_of_ours(measured: None, ask: Ask) -> None:
    """Shares of 1, and bytes a second of both ways together."""
    assert ask("machine.cpu") == [pytest.approx(0.5), 0.5]
    assert ask("machine.cpu", "maximum") == [1.7, 0.5]
    assert ask("machine.memory") == ask("machine.disk") == [0.4, 0.4]
    assert ask("machine.gpu", "maximum") == [0.8, 0.8]
    assert ask("machine.gpu_memory") == [pytest.approx(16 / 24), pytest.approx(16 / 24)]
    assert ask("machine.network") == [pytest.approx((20 + 100) / 5), 4]
    assert ask("machine.network", "maximum") == [100, 4]


def test_percentiles_counts_and_steps_that_are_cut(measured: None, ask: Ask) -> None:
    seven = Window(LONG_AGO, LONG_AGO + 7 * MINUTE, 4 * MINUTE)
    assert ask("machine.cpu", "p90", seven) == [1.7, 0.5]
    assert ask("machine.cpu", "average", seven) == [pytest.approx(0.6), pytest.approx(0.3)]
    assert ask("machine.gpu", "count", seven) == [4, 2]
    assert ask("machine.gpu_memory", "count", seven) == [4, 2]
    assert ask("machine.network", "count", seven) == [4, 2]
    assert ask("machine.cpu", "maximum", Window(LONG_AGO, LONG_AGO + 2 * MINUTE, MINUTE / 2)) == [None, 0.2, None, 0.4]


def test_the_fullest_gpu_in_its_fullest_moment(measure: Measure, ask: Ask) -> None:
    """A maximum is of what is used, and what is free at that time does not make the GPU larger."""
    for state, sizes in (("used", (2, 20)), ("free", (22, 4))):
        measure(GPU_MEMORY, *[size * GIB for size in sizes], gpu_number="0", memory_state=state)
    measure(GPU_MEMORY, 70 * GIB, gpu_number="1", memory_state="used")  # of which the free part is not told
    assert ask("machine.gpu_memory", "maximum")[0] == pytest.approx(20 / 24)
    assert ask("machine.gpu_memory", "minimum")[0] == pytest.approx(2 / 24)
    assert ask("machine.gpu_memory", "average")[0] == pytest.approx(11 / 24)
    assert ask("machine.gpu_memory", "p90")[0] == pytest.approx(20 / 24)


def test_a_snap_is_no_disk(measure: Measure, ask: Ask) -> None:
    for device, percent in (("/dev/sda1", 41), ("/dev/nvme0n2", 63), ("/dev/loop3", 100), ("tmpfs", 99)):
        measure(DISK, percent, device=device, state="used")
    assert ask("machine.disk") == [0.63, None]


def test_without_an_agent_nothing_is_known(metrics: GcpMetrics, machines: ComputeWorld, ask: Ask) -> None:
    """In a project where no agent has ever written, and of a machine that has none beside others that have."""
    names = [name for name in MACHINE_METRICS if name not in ("machine.cpu", "machine.network")]
    assert [ask(name) for name in MACHINE_METRICS] == [[None, None]] * 6
    assert set(names) < set(metrics.names())


def test_other_machines_are_not_ours(measure: Measure, ask: Ask) -> None:
    measure(MEMORY, 99, zone="europe-west1-c", name="other", state="used")
    measure(CPU, 0.9, zone="europe-west1-c", name="other", instance_name="web")
    assert (ask("machine.memory"), ask("machine.cpu")) == ([None, None], [None, None])
    assert ask("machine.memory", machine="europe-west1-c/other") == [0.99, None]


def test_a_way_that_is_missing_is_not_nothing(measure: Measure, ask: Ask) -> None:
    measure(RECEIVED, 600, 600, 600, 600, 600, 600)
    measure(SENT, 60, 60, 60, 60, 60)
    assert ask("machine.network") == [11, None]


def test_a_machine_is_looked_for_once(compute: DiscoveryStub, measured: None, ask: Ask) -> None:
    for name in MACHINE_METRICS:
        ask(name)
    assert len(compute.calls("instances.aggregatedList")) == 1


def test_two_weeks_are_one_request(stub: GrpcStub, world: MonitoringWorld, machines: ComputeWorld, ask: Ask) -> None:
    """Monitoring's quota counts calls, and one of its pages has 100,000 points."""
    number = machines.kinds["instances"]["zones/europe-west1-b", "web"]["id"]
    start = LONG_AGO - timedelta(days=14)
    samples: list[tuple[datetime, float]] = [(start + 5 * step * MINUTE, step % 100 / 100) for step in range(1, 4033)]
    world.add(CPU, samples, {"instance_name": "web"}, instance_id=number)
    values = ask("machine.cpu", "maximum", Window(start, LONG_AGO, 5 * MINUTE))
    assert (len(values), values[:3], values[-1]) == (4032, [0.01, 0.02, 0.03], 0.32)
    assert len(stub.calls("ListTimeSeries")) == 1
    assert stub.calls("GetMetricDescriptor") == []


def test_many_pages(world: MonitoringWorld, measured: None, ask: Ask) -> None:
    whole = [ask(name, "maximum") for name in MACHINE_METRICS]
    world.page = 1
    assert [ask(name, "maximum") for name in MACHINE_METRICS] == whole


@pytest.mark.parametrize("labels", [{}, {MACHINE: ""}, {"instance_name": "web"}, {MACHINE: ID, "device": "/dev/sda1"}])
def test_a_machine_metric_is_of_one_machine(
    stub: GrpcStub, compute: DiscoveryStub, metrics: GcpMetrics, labels: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest, match=r"of which machine is machine\.cpu"):
        metrics.query(SeriesQuery("machine.cpu", labels), TEN)
    assert compute.calls("instances.aggregatedList") == []
    assert stub.calls("ListTimeSeries") == []


@pytest.mark.parametrize("machine", ["europe-west1-b/gone", "gone", "us-central1-a/web", 'web" OR name = "other'])
def test_a_machine_that_is_not_there(stub: GrpcStub, ask: Ask, machine: str) -> None:
    with pytest.raises(NotFound) as absent:
        ask("machine.memory", machine=machine)
    assert absent.value.message == f"no instance {machine!r}"
    assert stub.calls("ListTimeSeries") == []


def test_too_many_requests(stub: GrpcStub, measured: None, ask: Ask) -> None:
    """They are waited for, and told when it stays so: never taken for a machine without an agent."""
    slow = GrpcError("RESOURCE_EXHAUSTED", "slow down", reason="RATE_LIMIT_EXCEEDED", delay=2)
    stub.script(Fail(slow))
    assert ask("machine.memory") == [0.4, 0.4]
    stub.script(*[Fail(slow)] * 50)
    with pytest.raises(Unavailable, match=f"cannot read metric '{MEMORY}'"):
        ask("machine.memory")
