"""The graph of units: as a tree, as data, for Graphviz, and as it is typed."""

import re

from mcml.infra.units.graph import Graph
from mcml.infra.units.units import Unit
from mcml.infra.views.graph_views import dot, graph_document
from tests.infra.screens import LOCAL, cloud, screen
from tests.infra.test_command import Typed, mcml  # noqa: F401 - a fixture

DNS = Unit("dns", "dev", module="/p/dns", own=True, after=("gcp-network", "aws-ml"))
WHOLE = Graph((LOCAL, *cloud("aws"), *cloud("gcp"), DNS))


def test_every_unit_stands_once_below_the_last_that_it_waits_for() -> None:
    assert [line.rstrip() for line in screen(graph_document(WHOLE), 80)] == [
        "local",
        "",
        "aws-network",
        "└── aws-cluster",
        "    └── aws-data  (also needs aws-network)",
        "        └── aws-ml  (also needs aws-network, aws-cluster)",
        "            └── dns  (also needs gcp-network)",
        "",
        "gcp-network",
        "└── gcp-cluster",
        "    └── gcp-data  (also needs gcp-network)",
        "        └── gcp-ml  (also needs gcp-network, gcp-cluster)",
    ]


def test_the_data() -> None:
    items = {str(item["name"]): item for item in graph_document(WHOLE).items}
    assert items["aws-data"] == {
        "name": "aws-data",
        "environment": "dev",
        "cloud": "aws",
        "layer": "data",
        "module": "root/aws-data",
        "needs": ["aws-network", "aws-cluster"],
        "inputs": {"network": "aws-network.network", "cluster": "aws-cluster.cluster"},
        "wave": 2,
    }
    assert [items[name]["wave"] for name in ("local", "gcp-network", "aws-ml", "dns")] == [0, 0, 3, 4]


def test_a_part_of_the_graph_says_what_it_needs_besides() -> None:
    part = WHOLE.select(["aws-data", "aws-ml"])
    assert [line.rstrip() for line in screen(graph_document(part), 80)] == [
        "aws-data  (needs aws-network, aws-cluster)",
        "└── aws-ml  (also needs aws-network, aws-cluster)",
    ]
    assert [item["wave"] for item in graph_document(part).items] == [0, 1]


def test_for_graphviz() -> None:
    text = dot(WHOLE.select(["aws-data", "aws-cluster"]))
    assert text.splitlines() == [
        "digraph units {",
        '  rankdir = "RL";',
        '  node [shape = rect, fontname = "sans-serif"];',
        '  "aws-cluster";',
        '  "aws-data";',
        '  "aws-network" [style = dashed];',
        '  "aws-cluster" -> "aws-network";',
        '  "aws-data" -> "aws-network";',
        '  "aws-data" -> "aws-cluster";',
        "}",
    ]
    odd = dot(Graph((Unit('a"b\\', "dev"),)))
    assert re.search(r'^  "a\\"b\\\\";$', odd, re.MULTILINE)


CLOUDS = """
[infra]
team = "risk"
cost_centre = "4711"
[infra.clouds.aws]
region = "eu-central-1"
layers = ["network", "data"]
[infra.units.dns]
module = "dns"
after = ["aws-data"]
"""


def test_as_it_is_typed(mcml: Typed) -> None:  # noqa: F811
    assert mcml("graph") == 0
    assert mcml.out == "local\n"
    with (mcml.project.folder / "mcml.toml").open("a") as config:
        config.write(CLOUDS)
    assert mcml("graph", "-o", "json") == 0
    assert [(item["name"], item["needs"]) for item in mcml.items()] == [
        ("local", []), ("aws-network", []), ("aws-data", ["aws-network"]), ("dns", ["aws-data"])
    ]  # fmt: skip
    assert mcml("graph", "aws", "-o", "name") == 0
    assert mcml.out.splitlines() == ["aws-network", "aws-data"]
    assert mcml("graph", "...dns", "--dot") == 0
    assert '"dns" -> "aws-data";' in mcml.out
    assert "local" not in mcml.out
    assert mcml("graph", "awz") == 5
    assert "did you mean 'aws'?" in mcml.err
    assert not (mcml.project.folder / ".mcml" / "infra" / "root").exists(), "it only looks"
