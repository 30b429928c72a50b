"""Which units somebody means, and in which order they are worked on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import NotFound, Usage
from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Input, Unit


def layer(cloud: str, name: str, *needs: str) -> Unit:
    inputs = {need: Input(f"{cloud}-{need}", (need,)) for need in needs}
    return Unit(f"{cloud}-{name}", "dev", cloud=cloud, layer=name, inputs=inputs)


CLOUDS = Graph((
    *(unit for cloud in ("gcp", "aws") for unit in (
        layer(cloud, "ml", "network", "cluster", "data"), layer(cloud, "data", "network", "cluster"),
        layer(cloud, "cluster", "network"), layer(cloud, "network"),
    )),
    Unit("dns", "dev", after=("aws-network", "gcp-network")),
))  # fmt: skip


def meant(*filters: str) -> set[str]:
    return {unit.name for unit in CLOUDS.select(filters).units}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["aws"], {"aws-network", "aws-cluster", "aws-data", "aws-ml"}),
        (["data"], {"aws-data", "gcp-data"}),
        (["aws-data"], {"aws-data"}),
        (["*-network"], {"aws-network", "gcp-network"}),
        (["aws-cluster..."], {"aws-cluster", "aws-data", "aws-ml"}),
        (["...aws-cluster"], {"aws-cluster", "aws-network"}),
        (["...aws-cluster..."], {"aws-network", "aws-cluster", "aws-data", "aws-ml"}),
        (["...dns"], {"aws-network", "gcp-network", "dns"}),
        (["^aws-cluster..."], {"aws-data", "aws-ml"}),
        (["...^data"], {"aws-network", "aws-cluster", "gcp-network", "gcp-cluster"}),
        (["dns", "aws-ml"], {"dns", "aws-ml"}),
        ([], {unit.name for unit in CLOUDS.units}),
    ],
)
def test_filters(filters: list[str], names: set[str]) -> None:
    assert meant(*filters) == names


def test_a_filter_that_means_nothing_is_named() -> None:
    with pytest.raises(NotFound, match="no unit, cloud or layer named 'aws-netwrok'") as refused:
        meant("aws-netwrok...")
    assert refused.value.why == "did you mean 'aws-network'?"
    assert refused.value.next_step == "mcml infra graph"


def test_a_circle_is_named() -> None:
    with pytest.raises(Usage, match="circle") as refused:
        Graph((Unit("a", "dev", after=("b",)), Unit("b", "dev", after=("c",)), Unit("c", "dev", after=("a",))))
    assert sorted(set(refused.value.why.split(" -> "))) == ["a", "b", "c"]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"u{number}" for number in range(draw(st.integers(1, 8)))]
    needs = [draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else [] for at in range(len(names))]
    units = [Unit(name, "dev", after=tuple(needed)) for name, needed in zip(names, needs, strict=True)]
    return Graph(tuple(draw(st.permutations(units))))


@given(graphs())
def test_what_is_needed_comes_first(graph: Graph) -> None:
    order = [unit.name for unit in graph.units]
    for unit in graph.units:
        assert all(order.index(needed) < order.index(unit.name) for needed in unit.needs)
        assert graph.needed_by(unit.name) == {other for other in order if unit.name in graph.needing(other)}
        assert unit.name not in graph.needed_by(unit.name)
        behind = {found.name for found in graph.select([f"{unit.name}..."]).units}
        assert behind == graph.needing(unit.name) | {unit.name}
