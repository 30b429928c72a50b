"""What SageMaker's instances have and use: the words of the SDK and of CloudWatch, as right-sizing reads them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mcml.core.errors import InvalidRequest
from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.model import GIB
from mcml.cost.rightsize.model_look import measured
from mcml.providers.api.endpoint_size import ReplicaSize, Sized
from mcml.providers.aws.metrics import CloudWatchMetrics
from mcml.providers.aws.model_endpoint import SageMakerEndpoint
from mcml.providers.aws.sagemaker import endpoint_name
from mcml.providers.aws.session import Session
from tests.providers.aws.cloudwatch_stub import CloudWatch, serving
from tests.providers.aws.conftest import MakeContext, MakeSession

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
RULES = Rightsizing(window="30m", minimum="10m")


@pytest.fixture
def endpoints(make_context: MakeContext) -> Iterator[SageMakerEndpoint]:
    """No request is sent."""
    session = Session(make_context(endpoint_url="http://127.0.0.1:9"))
    yield SageMakerEndpoint(session)
    session.close()


def test_what_resources_mean(endpoints: SageMakerEndpoint) -> None:
    assert isinstance(endpoints, Sized)
    assert endpoints.size({}) == ReplicaSize(machine="ml.m5.large", type="m5.large")
    sized = endpoints.size({"machine": "ml.c5.xlarge", "replicas": "3", "image": "i"})
    assert (sized.type, sized.replicas, sized.vcpus) == ("c5.xlarge", 3, None)
    with pytest.raises(InvalidRequest, match="a model"):
        endpoints.size({"replicas": "none"})


def test_the_machines_that_an_endpoint_takes(endpoints: SageMakerEndpoint) -> None:
    machines = endpoints.machines()
    assert (machines["m5.large"], machines["g5.xlarge"]) == ("ml.m5.large", "ml.g5.xlarge")
    assert "m5a.large" not in machines
    assert all(name == f"ml.{type}" for type, name in machines.items())


def test_cores_and_bytes_of_the_busiest_instance(endpoints: SageMakerEndpoint, make_session: MakeSession) -> None:
    """Two instances of two cores: together half a core and a core and a half, so one on average, and the memory of each."""
    cloudwatch, space = CloudWatch(NOON), "/aws/sagemaker/Endpoints"
    labels = {"EndpointName": endpoint_name("", "fraud"), "VariantName": "7"}
    for number in range(20):
        at = NOON - 20 * MINUTE + number * MINUTE
        cloudwatch.measure(f"{space}:CPUUtilization", {at: 50, at + MINUTE / 2: 150}, **labels)
        cloudwatch.measure(f"{space}:MemoryUtilization", {at: 10, at + MINUTE / 2: 30}, **labels)
    cloudwatch.measure(f"{space}:CPUUtilization", {NOON - MINUTE: 200}, **{**labels, "VariantName": "6"})
    size = ReplicaSize(vcpus=Decimal(2), memory_gib=Decimal(8), machine="ml.m5.large", type="m5.large")
    with serving(cloudwatch) as stub:
        metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=lambda: NOON))
        use, why = measured(metrics, endpoints.series("fraud", "7"), size, RULES, NOON)
        later, _ = measured(metrics, endpoints.series("fraud", "7"), size, RULES, NOON + 90 * SECOND)
    assert why == ""
    assert (later.cpu, later.start, later.coverage) == (use.cpu, use.start, 80)
    assert (use.start, use.coverage) == (NOON - 20 * MINUTE, 100)
    assert {(step.average, step.highest) for step in use.cpu} == {(1.0, 1.5)}
    assert {(round(step.average / GIB, 6), round(step.highest / GIB, 6)) for step in use.memory} == {(1.6, 2.4)}
