"""What the instances of a SageMaker endpoint are, and what they use.

Types of SageMaker are those of EC2 with `ml.` before them; which of them an endpoint takes, the SDK knows. Metrics, in the namespace
/aws/sagemaker/Endpoints (https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html): CPUUtilization is the sum over the
cores, 0 to 100 each; MemoryUtilization is 0 to 100 of the instance. GPUUtilization is a sum over the GPUs, which does not tell the busiest
one: it is left out. What policies of Application Auto Scaling do is not looked at.
"""

from collections.abc import Mapping

from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric, SeriesQuery
from mcml.providers.aws.model_source import machine_and_count
from mcml.providers.aws.sagemaker import SageMaker, endpoint_name, variant_name

PREFIX = "ml."
NAMESPACE = "/aws/sagemaker/Endpoints"
PERCENT = 0.01


def size_of(resources: Mapping[str, str]) -> ReplicaSize:
    """Return what these resources mean. Raises InvalidRequest as `machine_and_count`."""
    machine, count = machine_and_count("a model", resources)
    return ReplicaSize(machine=machine, type=machine.removeprefix(PREFIX), replicas=count, most_replicas=count)


def machines(sagemaker: SageMaker) -> Mapping[str, str]:
    """Return the types that an endpoint takes, as SageMaker calls them, by their name at EC2."""
    names = sagemaker.session.client("sagemaker").meta.service_model.shape_for("ProductionVariantInstanceType").enum
    return {name.removeprefix(PREFIX): name for name in names}


def series_of(target: str, model: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:
    """Return the series of a version's instances."""
    labels = {"EndpointName": endpoint_name(target, model), "VariantName": variant_name(version)}
    return {
        "machine.cpu": ReplicaSeries(SeriesQuery(f"{NAMESPACE}:CPUUtilization", labels), "cores", PERCENT),
        "machine.memory": ReplicaSeries(SeriesQuery(f"{NAMESPACE}:MemoryUtilization", labels), "share", PERCENT),
    }
