"""Machine metrics of CloudWatch: the contract on moto server with an agent's series as it writes them, and how they become one."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, NotFound, Unavailable
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, Metrics, SeriesQuery, Statistic, Window
from mcml.providers.aws.machine_metrics import Periods
from mcml.providers.aws.metrics import CloudWatchMetrics
from mcml.providers.aws.session import Session
from mcml.testing.contracts.metrics import MachineMetricsContract
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from tests.providers.aws.cloudwatch_stub import CloudWatch, serving
from tests.providers.aws.conftest import MakeSession

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIVE = 5 * MINUTE
HALF_HOUR = Window(NOON, NOON + 30 * MINUTE, FIVE)
ID = "i-0123456789abcdef0"
OF_EC2 = {"InstanceId": ID}
AGENT = {**OF_EC2, "ImageId": "ami-1", "InstanceType": "g5.xlarge"}


def put(session: Session, metric: str, at: datetime, value: float, **dimensions: str) -> None:
    namespace, _, name = metric.partition(":")
    written = [{"Name": key, "Value": said} for key, said in dimensions.items()]
    sample = {"MetricName": name, "Dimensions": written, "Timestamp": at, "Value": value}
    session.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[sample])


def began() -> datetime:
    """A time an hour ago at which five minutes begin."""
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() // 300 * 300, UTC) - timedelta(hours=1)


@pytest.fixture
def machine(session: Session, machine_image: str) -> tuple[str, Window]:
    """One that moto server runs, and twenty minutes of it."""
    run = session.client("ec2").run_instances(ImageId=machine_image, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1)
    return run["Instances"][0]["InstanceId"], Window(began(), began() + 4 * FIVE, FIVE)


class TestMachineMetrics(MachineMetricsContract):
    @pytest.fixture
    def metrics(self, session: Session) -> Metrics:
        return CloudWatchMetrics(session)

    @pytest.fixture
    def machine(self, session: Session, machine_image: str, machine: tuple[str, Window]) -> tuple[str, Window]:
        instance, window = machine
        agent = {"InstanceId": instance, "ImageId": machine_image, "InstanceType": "g4dn.xlarge"}
        gpu = {**agent, "index": "0", "name": "Tesla T4", "arch": "Turing"}
        for number in (0, 1, 3):
            at = window.start + number * FIVE
            for name, value in (("CPUUtilization", 40 + number), ("NetworkIn", 3e6), ("NetworkOut", 6e6)):
                put(session, f"AWS/EC2:{name}", at, value, InstanceId=instance)
            put(session, "CWAgent:mem_used_percent", at, 70, **agent)
            put(session, "CWAgent:mem_used_percent", at + MINUTE, 74, **agent)
            put(session, "CWAgent:disk_used_percent", at, 30, **agent, path="/", device="nvme0n1p1", fstype="xfs")
            put(session, "CWAgent:nvidia_smi_utilization_gpu", at, 55, **gpu)
            put(session, "CWAgent:nvidia_smi_memory_used", at, 4096, **gpu)
            put(session, "CWAgent:nvidia_smi_memory_total", at, 15360, **gpu)
        return machine

    def test_in_units_of_ours(self, metrics: Metrics, machine: tuple[str, Window]) -> None:
        """Shares of 1, and bytes a second; a step without a sample is None."""
        instance, window = machine
        told = {name: metrics.query(SeriesQuery(name, {MACHINE: instance}, "maximum"), window) for name in MACHINE_METRICS}
        values = {name: [point.value for point in points] for name, points in told.items()}
        assert values == {
            "machine.cpu": [0.4, 0.41, None, 0.43],
            "machine.memory": [0.74, 0.74, None, 0.74],
            "machine.gpu": [0.55, 0.55, None, 0.55],
            "machine.gpu_memory": pytest.approx([4096 / 15360, 4096 / 15360, None, 4096 / 15360]),
            "machine.disk": [0.3, 0.3, None, 0.3],
            "machine.network": [30_000, 30_000, None, 30_000],
        }

    def test_without_an_agent_nothing_is_known(
        self, session: Session, machine_image: str, metrics: Metrics, machine: tuple[str, Window]
    ) -> None:
        """Which is None in every step, not an error: the machine is there."""
        run = session.client("ec2").run_instances(ImageId=machine_image, InstanceType="m5.large", MinCount=1, MaxCount=1)
        labels = {MACHINE: run["Instances"][0]["InstanceId"]}
        for name in MACHINE_METRICS:
            assert [point.value for point in metrics.query(SeriesQuery(name, labels), machine[1])] == [None] * 4


@pytest.fixture
def cloudwatch() -> CloudWatch:
    return CloudWatch(NOON, page=500)


Ask = Callable[..., list[float | None]]


@pytest.fixture
def stub(cloudwatch: CloudWatch) -> Iterator[AwsModel]:
    with serving(cloudwatch) as stub:
        yield stub


@pytest.fixture
def ask(stub: AwsModel, make_session: MakeSession) -> Ask:
    """Asks for a machine metric of our machine, an hour later."""
    metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=lambda: NOON + timedelta(hours=1)))

    def ask(metric: str, statistic: Statistic = "average", window: Window = HALF_HOUR) -> list[float | None]:
        return [point.value for point in metrics.query(SeriesQuery(metric, {MACHINE: ID}, statistic), window)]

    return ask


def every_minute(*values: float) -> dict[datetime, float]:
    return {NOON + number * MINUTE: value for number, value in enumerate(values)}


def test_the_busiest_gpu_counts(cloudwatch: CloudWatch, ask: Ask) -> None:
    """Also in an average: an idle GPU beside a busy one does not make it half as busy."""
    for index, values in enumerate(([10, 20, 90], [80, 60, 70])):
        cloudwatch.measure("CWAgent:nvidia_smi_utilization_gpu", every_minute(*values), **AGENT, index=str(index))
    assert ask("machine.gpu")[0] == pytest.approx(0.7)
    assert ask("machine.gpu", "maximum")[0] == 0.9
    assert ask("machine.gpu", "p50")[0] == 0.7
    assert ask("machine.gpu", "count")[0] == 3


def test_the_fullest_gpu_is_found_by_its_own_size(cloudwatch: CloudWatch, ask: Ask) -> None:
    """Used and total of the same GPU."""
    for index, (used, total) in enumerate(((8000, 24000), (6000, 12000))):
        cloudwatch.measure("CWAgent:nvidia_smi_memory_used", {NOON: used}, **AGENT, index=str(index))
        cloudwatch.measure("CWAgent:nvidia_smi_memory_total", {NOON: total}, **AGENT, index=str(index))
    assert ask("machine.gpu_memory")[:2] == [0.5, None]


def test_where_the_agent_does_not_say_how_large_a_gpu_is_the_type_does(session: Session, machine: tuple[str, Window]) -> None:
    """The type that the series names: before a resize it was another one. Without any, the machine's own."""
    instance, window = machine
    agent = {"InstanceId": instance, "InstanceType": "g4dn.xlarge", "index": "0"}
    for step, (kind, used) in enumerate((("g4dn.xlarge", 4096), ("g5.xlarge", 22888))):
        put(session, "CWAgent:nvidia_smi_memory_used", window.start + step * FIVE, used, **{**agent, "InstanceType": kind})
    put(session, "CWAgent:nvidia_smi_memory_used", window.start + 2 * FIVE, 8192, InstanceId=instance, index="0")
    put(session, "CWAgent:nvidia_smi_memory_used", window.start + 3 * FIVE, 1, **{**agent, "InstanceType": "m5.large"})
    points = CloudWatchMetrics(session).query(SeriesQuery("machine.gpu_memory", {MACHINE: instance}), window)
    assert [point.value for point in points] == [0.25, 1.0, 0.5, None]


def test_the_fullest_file_system_that_is_on_a_disk(cloudwatch: CloudWatch, ask: Ask) -> None:
    """A snap is always full, and a file system in memory is none of a disk."""
    for path, kind, percent in (("/", "ext4", 41), ("/data", "xfs", 63), ("/snap/core", "squashfs", 100), ("/dev/shm", "tmpfs", 99)):
        cloudwatch.measure("CWAgent:disk_used_percent", {NOON: percent}, **AGENT, path=path, fstype=kind)
    assert ask("machine.disk")[:2] == [0.63, None]
    cloudwatch.measure("CWAgent:disk_used_percent", {NOON: 50}, **OF_EC2)  # added up by the agent itself, over all of them
    assert ask("machine.disk")[0] == 0.63


def test_a_resize_does_not_cut_the_history(cloudwatch: CloudWatch, ask: Ask) -> None:
    """The type is a dimension of the agent's."""
    cloudwatch.measure("CWAgent:mem_used_percent", {NOON: 80}, **AGENT)
    cloudwatch.measure("CWAgent:mem_used_percent", {NOON + FIVE: 40}, **{**AGENT, "InstanceType": "g5.2xlarge"})
    assert ask("machine.memory")[:3] == [0.8, 0.4, None]


def test_other_machines_are_not_ours(cloudwatch: CloudWatch, ask: Ask) -> None:
    cloudwatch.measure("CWAgent:mem_used_percent", {NOON: 10}, **AGENT)
    cloudwatch.measure("CWAgent:mem_used_percent", {NOON: 99}, **{**AGENT, "InstanceId": "i-0000000000000000f"})
    cloudwatch.measure("AWS/EC2:CPUUtilization", {NOON: 99}, AutoScalingGroupName="workers")
    cloudwatch.measure("AWS/EC2:CPUUtilization", {NOON: 5}, **OF_EC2)
    assert ask("machine.memory")[0] == 0.1
    assert ask("machine.cpu")[0] == 0.05


def test_bytes_a_second_whatever_the_monitoring(cloudwatch: CloudWatch, ask: Ask) -> None:
    """Basic monitoring has a sample in five minutes, detailed monitoring one a minute."""
    cloudwatch.measure("AWS/EC2:NetworkIn", {NOON: 600_000, NOON + FIVE: 300_000}, **OF_EC2)
    cloudwatch.measure("AWS/EC2:NetworkOut", every_minute(*[60_000] * 10), **OF_EC2)
    assert ask("machine.network") == [3000, 2000, None, None, None, None]
    hour = Window(NOON - FIVE, NOON + 55 * MINUTE, 60 * MINUTE)
    assert (ask("machine.network", "average", hour), ask("machine.network", "maximum", hour)) == ([2500], [3000])
    between = Window(NOON + 2 * MINUTE, NOON + 12 * MINUTE, FIVE)
    assert ask("machine.network", "average", between) == [pytest.approx((3 * 3000 + 2 * 2000) / 5), 2000]
    assert ask("machine.network", "average", Window(NOON, NOON + 3 * MINUTE, MINUTE)) == [3000, 3000, 3000]


def test_five_minutes_that_last_are_not_known_yet(cloudwatch: CloudWatch, stub: AwsModel, make_session: MakeSession) -> None:
    """Their bytes are not all there: they would look like little."""
    for name in ("NetworkIn", "NetworkOut"):
        cloudwatch.measure(f"AWS/EC2:{name}", {NOON: 600_000, NOON + FIVE: 5}, **OF_EC2)
    metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=lambda: NOON + 7 * MINUTE))
    points = metrics.query(SeriesQuery("machine.network", {MACHINE: ID}), Window(NOON, NOON + 2 * FIVE, FIVE))
    assert [point.value for point in points] == [4000, None]


def test_a_direction_that_is_missing_is_not_nothing(cloudwatch: CloudWatch, ask: Ask) -> None:
    cloudwatch.measure("AWS/EC2:NetworkIn", {NOON: 600_000, NOON + FIVE: 600_000}, **OF_EC2)
    cloudwatch.measure("AWS/EC2:NetworkOut", {NOON: 600_000}, **OF_EC2)
    assert ask("machine.network")[:2] == [4000, None]


def test_two_weeks_in_five_minutes_are_one_request(cloudwatch: CloudWatch, stub: AwsModel, ask: Ask) -> None:
    """CloudWatch's prices and limits count requests."""
    weeks = Window(NOON - timedelta(days=14), NOON, FIVE)
    cloudwatch.measure("AWS/EC2:CPUUtilization", {weeks.start + number * FIVE: number % 100 for number in range(4032)}, **OF_EC2)
    values = ask("machine.cpu", "average", weeks)
    assert (len(values), values[:3], values[4031]) == (4032, [0, 0.01, 0.02], 0.31)
    assert len(stub.requests("cloudwatch", "GetMetricData")) == 1
    assert stub.requests("cloudwatch", "ListMetrics") == []


@pytest.mark.parametrize("labels", [{}, {MACHINE: ""}, {"InstanceId": ID}, {MACHINE: ID, "path": "/"}])
def test_a_machine_metric_is_of_one_machine(stub: AwsModel, make_session: MakeSession, labels: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match=r"of which machine is machine\.cpu") as refused:
        CloudWatchMetrics(make_session(endpoint_url=stub.url)).query(SeriesQuery("machine.cpu", labels), HALF_HOUR)
    assert refused.value.next_step == "give the label 'instance' alone"
    assert not stub.calls


def test_a_machine_that_is_not_there(make_session: MakeSession) -> None:
    with pytest.raises(NotFound) as absent:
        metrics = CloudWatchMetrics(make_session(clock=lambda: NOON))
        metrics.query(SeriesQuery("machine.memory", {MACHINE: "i-0000000000000dead"}), HALF_HOUR)
    assert absent.value.message == "cannot measure instance 'i-0000000000000dead'"
    assert absent.value.next_step.startswith("aws ec2 describe-instances")


def test_there_is_one_look_for_a_machine_without_an_agent(make_session: MakeSession) -> None:
    """Not one for each of its metrics."""
    with AwsModel("cloudwatch", "ec2") as stub:
        stub.on("cloudwatch", "ListMetrics", {"Metrics": []})
        stub.on("cloudwatch", "GetMetricData", lambda _: {"MetricDataResults": []})
        stub.on("ec2", "DescribeInstances", {"Reservations": [{"Instances": [{"InstanceId": ID, "InstanceType": "m5.large"}]}]})
        metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=lambda: NOON))
        for name in MACHINE_METRICS:
            assert {point.value for point in metrics.query(SeriesQuery(name, {MACHINE: ID}), HALF_HOUR)} == {None}
        assert len(stub.requests("ec2", "DescribeInstances")) == 1


def test_throttled(make_session: MakeSession) -> None:
    """It is tried again, and told when it stays so."""

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise AwsError("Throttling", "Rate exceeded", 400)

    with AwsModel("cloudwatch") as stub:
        stub.on("cloudwatch", "ListMetrics", refuse)
        with pytest.raises(Unavailable, match="cannot find the metric CWAgent:mem_used_percent"):
            metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, attempts=3, clock=lambda: NOON))
            metrics.query(SeriesQuery("machine.memory", {MACHINE: ID}), HALF_HOUR)
        assert len(stub.requests("cloudwatch", "ListMetrics")) == 3


def test_a_percentile_needs_whole_steps(cloudwatch: CloudWatch, ask: Ask) -> None:
    cloudwatch.measure("AWS/EC2:CPUUtilization", {NOON: 5}, **OF_EC2)
    with pytest.raises(InvalidRequest, match=r"the p90 of machine\.cpu"):
        ask("machine.cpu", "p90", Window(NOON + MINUTE, NOON + 11 * MINUTE, FIVE))


@given(
    sums=st.lists(st.floats(0, 1e12), min_size=12, max_size=12),
    offset=st.integers(0, 299),
    step=st.integers(1, 40).map(lambda minutes: 60 * minutes),
)
def test_no_byte_is_lost_between_steps(sums: list[float], offset: int, step: int) -> None:
    """The averages of all steps, by their lengths, come to the bytes of the periods, by as much of them as lies in the window."""
    start = NOON + timedelta(seconds=offset)
    window = Window(start, NOON + timedelta(hours=1), timedelta(seconds=step))
    periods, first = Periods(window, 300), int(NOON.timestamp())
    rates = periods.rates([{first + 300 * number: value for number, value in enumerate(sums)}])
    steps = -((window.start - window.end) // window.step)
    averages, maxima = periods.fold(rates, "average", steps), periods.fold(rates, "maximum", steps)
    lengths = [min(step, (window.end - start).total_seconds() - number * step) for number in range(steps)]
    moved = sum(average * length for average, length in zip(averages, lengths, strict=True) if average is not None)
    assert moved == pytest.approx(sums[0] * (300 - offset) / 300 + sum(sums[1:]), rel=1e-9, abs=1e-6)
    assert all(a is not None and m is not None and a <= m * (1 + 1e-9) + 1e-9 for a, m in zip(averages, maxima, strict=True))
