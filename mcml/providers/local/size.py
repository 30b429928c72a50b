"""What a local model server is given: the threads that it may use for one request. Its memory is not limited, and it is paid by its use."""

from collections.abc import Mapping
from decimal import Decimal

from mcml.core.errors import InvalidRequest
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric, SeriesQuery


def threads_of(model: str, resources: Mapping[str, str]) -> int:
    """Return how many CPU threads the server may use for one request: `resources["cpu"]`, rounded down, at least 1.

    Raises InvalidRequest for what is no number, and for any other resource.
    """
    odd = sorted(set(resources) - {"cpu"})
    if odd:
        why, step = f"a local server has no resource {odd[0]!r}; it has cpu", "models.NAME.resources.TARGET in mcml.toml"
        raise InvalidRequest(f"cannot deploy {model}", why=why, next_step=step)
    asked = resources.get("cpu", "1")
    try:
        return max(int(float(asked)), 1)
    except (ValueError, OverflowError):
        why, step = f'resources cpu = "{asked}" is not a number of CPUs', 'write it as cpu = "2"'
        raise InvalidRequest(f"cannot deploy {model}", why=why, next_step=step) from None


def size_of(resources: Mapping[str, str]) -> ReplicaSize:
    """Return what these resources mean. Raises InvalidRequest as `threads_of`."""
    return ReplicaSize(vcpus=Decimal(threads_of("a model", resources)), step=Decimal(1), by_use=True)


def series_of(model: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:
    """Return the series of a version's processes."""
    labels = {"model": model, "version": version}
    return {
        "machine.cpu": ReplicaSeries(SeriesQuery("cpu_utilization", labels), "cores"),
        "machine.memory": ReplicaSeries(SeriesQuery("memory_bytes", labels), "bytes"),
    }
