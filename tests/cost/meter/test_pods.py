"""A pod pays its part of its node and the node the rest: together the node's price, in a look and in every hour that is estimated."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import NotAuthenticated
from mcml.core.view import Status
from mcml.cost.meter import live_views
from mcml.cost.meter.estimate import new_rows, write
from mcml.cost.meter.live import Held, Kind, Place, Share, merged
from mcml.cost.meter.pods import NO_REQUESTS, look, split
from mcml.kube.pods import Amounts, Node, Pod, Running
from mcml.providers.api.billing import UnitPrice
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.estimates import Account, Standing
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake

DAY = datetime(2026, 11, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = Place("aws", "eu-1", "eu-west-1", "prod")
PRICE = UnitPrice("m5.xlarge", "eu-west-1", "h", Decimal("0.192"), "USD", "price list of aws", DAY)
GIB = Decimal(2**30)
NO_LABELS: Mapping[str, str] = MappingProxyType({})


def amounts(cpus: str, gib: str, gpus: str = "0") -> Amounts:
    return Amounts(Decimal(cpus), Decimal(gib) * GIB, Decimal(gpus))


def node(name: str = "n-1", machine: str = "i-1", has: Amounts | None = None, kind: str = "m5.xlarge", *, spot: bool = False) -> Node:
    return Node(name, f"aws:///eu-west-1a/{machine}", kind, "eu-west-1a", spot, has or amounts("4", "16"))


def pod(name: str = "fraud-1", asks: Amounts | None = None, at: str = "n-1", labels: Mapping[str, str] = NO_LABELS, **more: str) -> Pod:
    return Pod(more.get("namespace", "models"), name, at, DAY, asks or amounts("1", "4"), labels, more.get("owner", "ReplicaSet"))


def held(name: str = "i-1", kind: Kind = "machine", count: int = 1, **more: object) -> Held:
    return replace(Held(PLACE, kind, name, "m5.xlarge", count, since=DAY, price=PRICE), **more)  # type: ignore[arg-type]


def seen(things: list[Held], nodes: list[Node], pods: list[Pod]) -> dict[str, Held]:
    found = [*things, *look(PLACE, lambda: Running(tuple(nodes), tuple(pods)))]
    return {each.name: each for each in split(merged([found]))}


def test_a_pod_pays_its_part_and_the_node_the_rest() -> None:
    found = seen([held()], [node()], [pod(labels={"model": "fraud", "team": "risk"}), pod("spam-1", amounts("2", "2"))])
    fraud, spam, machine = (found[name] for name in ("prod/models/fraud-1", "prod/models/spam-1", "i-1"))
    assert (fraud.kind, fraud.model, fraud.target, fraud.machine, fraud.since, fraud.zone) == (
        "pod",
        "fraud",
        "eu-1",
        "m5.xlarge",
        DAY,
        "eu-west-1a",
    )
    assert fraud.hourly == Decimal("0.048")  # a quarter of both CPU and memory
    assert fraud.price and fraud.price.source == "0.25 of m5.xlarge 0.192 USD/h, price list of aws"
    part = (2 * Fraction("0.031611") + 2 * Fraction("0.004237")) / (4 * Fraction("0.031611") + 16 * Fraction("0.004237"))
    assert spam.hourly is not None
    assert abs(Fraction(spam.hourly) - part * Fraction("0.192")) <= Fraction(1, 10**24)
    assert total(each.hourly for each in found.values() if each.hourly is not None) == Decimal("0.192")
    assert machine.hourly is not None
    assert machine.hourly < Decimal("0.1")


def test_a_gpu_is_most_of_a_node_that_has_one() -> None:
    found = seen([held()], [node(has=amounts("4", "16", "1"))], [pod(asks=amounts("0", "0", "1"))])
    part = Fraction("0.95") / (Fraction("0.95") + 4 * Fraction("0.031611") + 16 * Fraction("0.004237"))
    hourly = found["prod/models/fraud-1"].hourly
    assert hourly is not None
    assert round(float(hourly) / 0.192, 6) == round(float(part), 6)
    assert round(float(part), 2) == 0.83


def test_pods_that_ask_for_more_than_the_node_has_share_all_of_it() -> None:
    found = seen([held()], [node()], [pod("a", amounts("4", "16")), pod("b", amounts("4", "16"))])
    assert [found[f"prod/models/{name}"].hourly for name in "ab"] == [Decimal("0.096"), Decimal("0.096")]
    assert found["i-1"].hourly == 0


def test_the_rest_bears_what_runs_for_the_cluster_and_what_requests_nothing() -> None:
    system = [pod("dns", namespace="kube-system"), pod("agent", owner="DaemonSet"), pod("etcd", owner="Node")]
    found = seen([held()], [node()], [*system, pod("lazy", Amounts())])
    assert sorted(found) == ["i-1", "prod/*"]
    assert found["i-1"].hourly == Decimal("0.192")
    assert (found["prod/*"].count, found["prod/*"].why, found["prod/*"].hourly) == (1, NO_REQUESTS, None)


def test_a_machine_that_is_not_listed_is_one_of_its_group_or_pool() -> None:
    """Two nodes of three: two machines of the pool, of which the third has no pods."""
    things = [held("web", "group", 9), held("other/general", "pool", 12)]
    things += [held("prod/general", "pool", 3), held("prod/spare", "pool", 3, spot=True)]
    nodes = [node(f"n-{number}", f"i-{number}") for number in range(3)]
    found = seen(things, nodes, [pod(f"p-{number}", at=f"n-{number}") for number in range(2)])
    assert (found["web"].hourly, found["web"].count) == (Decimal("1.728"), 9)
    assert (found["prod/general"].hourly, found["prod/general"].count) == (3 * Decimal("0.192") - 2 * Decimal("0.048"), 3)
    assert {each.host for each in found.values() if each.kind == "pod"} == {"prod/general"}


def test_more_nodes_than_machines_cost_no_more() -> None:
    found = seen([held("prod/general", "pool", 1)], [node("n-1"), node("n-2", "i-2")], [pod("a"), pod("b", at="n-2")])
    assert found["prod/models/a"].hourly == Decimal("0.048")
    assert "prod/models/b" not in found
    assert (found["prod/*"].count, found["prod/*"].why) == (1, "their nodes are no machine, group or pool that aws lists")


def test_a_node_is_found_by_the_end_of_its_id() -> None:
    """A zone is a part of a machine's id at Google, a whole path at Azure, which writes it in two cases."""
    ids = {
        "gce://acme/europe-west1-b/gke-prod-1": "europe-west1-b/gke-prod-1",
        "azure:///subscriptions/s/resourceGroups/MC/providers/Microsoft.Compute/virtualMachines/aks-1": (
            "/subscriptions/s/resourcegroups/mc/providers/Microsoft.Compute/virtualMachines/aks-1"
        ),
    }
    for provider_id, name in ids.items():
        found = seen([held(name), held("other")], [replace(node(), provider_id=provider_id)], [pod()])
        assert found["prod/models/fraud-1"].host == name


def test_a_node_without_a_price_leaves_its_pods_without_one() -> None:
    found = seen([held(price=None, why="no price of m5.xlarge is known")], [node()], [pod("a"), pod("b")])
    assert (found["prod/*"].count, found["prod/*"].why) == (2, "no price of m5.xlarge is known")


def test_labels_say_whose_a_pod_is_and_tags_of_its_machine_what_they_leave_open() -> None:
    tags = {"Team": "platform", "env": "prod", "mcml:target": "eu-2"}
    found = seen([held(tags=tags)], [node()], [pod(labels={"squad": "risk", "app": "fraud"})])["prod/models/fraud-1"]
    assert found.tags == {"env": "prod", "mcml:target": "eu-2", "squad": "risk", "app": "fraud"}
    assert found.target == "eu-2"


def test_a_cluster_that_cannot_be_asked_leaves_its_nodes_whole() -> None:
    def forbidden() -> Running:
        raise NotAuthenticated("cannot list the nodes of https://prod", why="nodes is forbidden")

    everything = split(merged([[held(), *look(PLACE, forbidden)]]))
    document = live_views.live(everything, DAY)
    (line,) = [block.text for block in document.blocks if isinstance(block, Status)]
    assert line.startswith("prod/*: its pods cannot be read, so its nodes count whole: cannot list the nodes of https://prod (nodes is")
    assert [item["hourly_cost"] for item in document.items] == [Decimal("0.192"), None]


def test_what_scripts_see() -> None:
    found = seen([held(spot=True)], [node(spot=True)], [pod(labels={"model": "fraud"})])
    items = {str(item["name"]): item for item in live_views.live(list(found.values()), DAY).items}
    assert items["prod/models/fraud-1"] == {
        "name": "prod/models/fraud-1",
        "kind": "pod",
        "provider": "aws",
        "target": "eu-1",
        "region": "eu-west-1",
        "model": "fraud",
        "machine": "m5.xlarge",
        "spot": True,
        "count": 1,
        "since": DAY,
        "hourly_cost": Decimal("0.048"),
        "currency": "USD",
        "price_source": "0.25 of m5.xlarge spot 0.192 USD/h, price list of aws",
        "price_as_of": DAY,
        "why_no_price": None,
    }
    assert items["i-1"]["hourly_cost"] == Decimal("0.144")


def test_an_old_price_of_a_node_is_said_once() -> None:
    found = seen([held()], [node()], [pod("a"), pod("b")])
    document = live_views.live(list(found.values()), DAY + timedelta(days=400))
    lines = [block.text for block in document.blocks if isinstance(block, Status)]
    assert lines == ["m5.xlarge in eu-west-1: of 2026-11-05 (price list of aws)"]


SIZES = st.decimals(0, 9, places=3, allow_nan=False)
ASKS = st.builds(lambda cpus, gib, gpus: Amounts(cpus, gib * GIB, Decimal(gpus)), SIZES, SIZES, st.integers(0, 2))
PRICES = st.decimals("0.000001", 99, places=24, allow_nan=False)


@given(PRICES, st.lists(st.tuples(st.integers(0, 2), ASKS), max_size=8), st.sampled_from(["machine", "group", "pool"]))
def test_parts_and_rest_are_the_price_to_the_last_digit(price: Decimal, asks: list[tuple[int, Amounts]], kind: Kind) -> None:
    priced = replace(PRICE, price=price)
    several = [held(f"i-{number}", price=priced) for number in range(3)] if kind == "machine" else [held("prod/all", kind, 3, price=priced)]
    nodes = [node(f"n-{number}", f"i-{number}", amounts("8", "8", "1")) for number in range(3)]
    found = seen(several, nodes, [pod(f"p-{number}", each, f"n-{at}") for number, (at, each) in enumerate(asks)])
    hourly = [each.hourly for each in found.values() if each.hourly is not None]
    assert total(hourly) == total([price] * 3)
    assert min(hourly) >= 0
    assert sum(each.kind == "pod" and each.price is not None for each in found.values()) == sum(each != Amounts() for _, each in asks)


def estimate(folder: Path, now: datetime, things: list[Held]) -> None:
    write(Intake(folder, clock=lambda: now), Ledger(folder), "aws", "4711", things, now=now, since=DAY)


def cost(folder: Path, by: str) -> dict[str | None, Decimal]:
    return {group.key[0]: group.effective for group in Ledger(folder).totals((by,))}


def part(of: Fraction, name: str = "fraud-1", since: datetime | None = DAY, machine: str = "i-1") -> Held:
    share = Share("n-1", f"aws:///a/{machine}", of)
    return Held(PLACE, "pod", f"prod/models/{name}", "m5.xlarge", since=since, tags={"model": name.partition("-")[0]}, share=share)


def test_a_model_on_kubernetes_has_its_rows(tmp_path: Path) -> None:
    estimate(tmp_path, DAY + 1.5 * HOUR, split([held(), part(Fraction(1, 4))]))
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.072"), None: Decimal("0.216")}
    assert cost(tmp_path, "service") == {"Virtual machines": Decimal("0.288")}  # where the bill will say it
    with Ledger(tmp_path).opened("look") as connection:
        columns = "ResourceId, ServiceSubcategory, ResourceType, ListUnitPrice, PricingQuantity, EffectiveCost, x_Extra"
        rows = connection.execute(f"SELECT {columns} FROM cost WHERE PricingQuantity = 1 ORDER BY ResourceId").fetchall()
    machine, mine = rows
    assert machine[:6] == ("i-1", "Virtual Machines", "Virtual machine", Decimal("0.144"), Decimal(1), Decimal("0.144"))
    assert mine[:6] == ("prod/models/fraud-1", "Containers", "Pod", Decimal("0.048"), Decimal(1), Decimal("0.048"))
    assert json.loads(mine[6])["x_Host"] == "i-1"


def test_a_pod_that_was_seen_late_is_taken_out_of_what_its_node_was_estimated_at(tmp_path: Path) -> None:
    estimate(tmp_path, DAY + 2 * HOUR, [held()])
    assert cost(tmp_path, "model") == {None: Decimal("0.384")}
    estimate(tmp_path, DAY + 2 * HOUR, split([held(), part(Fraction(1, 2))]))
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.192"), None: Decimal("0.192")}
    estimate(tmp_path, DAY + 2 * HOUR, split([held(), part(Fraction(1, 2))]))
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.192"), None: Decimal("0.192")}


def test_a_pod_that_ended_keeps_its_part_of_the_hour(tmp_path: Path) -> None:
    estimate(tmp_path, DAY + 0.5 * HOUR, split([held(), part(Fraction(1))]))
    estimate(tmp_path, DAY + HOUR, [held()])
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.096"), None: Decimal("0.096")}


def test_where_the_price_fell_the_pods_of_an_hour_cost_no_more_than_the_hour(tmp_path: Path) -> None:
    estimate(tmp_path, DAY + 0.5 * HOUR, split([held(), part(Fraction(1)), part(Fraction(0), "spam-1")]))
    estimate(tmp_path, DAY + HOUR, [held(price=replace(PRICE, price=Decimal("0.05")))])
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.05"), "spam": Decimal(0), None: Decimal(0)}


def test_a_pod_of_a_pool_counts_no_longer_than_the_pool(tmp_path: Path) -> None:
    """A pool does not tell since when it runs: it counts from the hour of the look, and so do its pods."""
    pool = held("prod/general", "pool", 2, since=None)
    estimate(tmp_path, DAY + 5.5 * HOUR, split([pool, part(Fraction(1, 2), machine="i-9")]))
    assert cost(tmp_path, "model") == {"fraud": Decimal("0.048"), None: Decimal("0.144")}


Look = tuple[int, dict[str, tuple[int, int]]]
"""How many times 7 minutes after midnight, and by pod: quarters of the machine, and minutes after midnight that it began."""
ACCOUNT = Account("4711", "payer", "Acme Cloud", "Acme Inc", None)
LOOKS = st.lists(
    st.tuples(st.integers(1, 50), st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1, 4), st.integers(0, 90)), max_size=3)),
    min_size=1,
    max_size=4,
    unique_by=lambda look: look[0],
)


@given(LOOKS, st.sampled_from(["machine", "pool"]))
def test_whatever_was_seen_when_a_node_and_its_pods_are_the_price_of_its_time(looks: list[Look], kind: Kind) -> None:
    """Looks at one machine with up to three pods that come and go, each a quarter of it or more, and too much of it one after the other."""
    looks, name = sorted(looks, key=lambda look: look[0]), "i-1" if kind == "machine" else "prod/general"
    moments = [DAY + at * timedelta(minutes=7) for at, _ in looks]
    rows: dict[object, Mapping[str, object]] = {}
    for now, (_, pods) in zip(moments, looks, strict=True):
        whole = max(4, sum(quarters for quarters, _ in pods.values()))
        since = {each: DAY + minutes * HOUR / 60 for each, (_, minutes) in pods.items()}
        parts = [part(Fraction(pods[each][0], whole), each, since[each]) for each in pods if since[each] < now]
        things = split([held(name, kind, since=DAY if kind == "machine" else None), *parts])
        assert sum(each.price is not None for each in things) == 1 + len(parts)
        new = new_rows(things, ACCOUNT, Standing({}, {}), list(rows.values()), begin=DAY, now=now)
        rows |= {(row["ResourceId"], row["ChargePeriodStart"]): row for row in new}
    begin = DAY if kind == "machine" else moments[0].replace(minute=0)
    hours = Fraction((moments[-1] - begin) // timedelta(seconds=1), 3600)
    costs: dict[object, list[Decimal]] = {}
    for row in rows.values():
        amount = row["EffectiveCost"]
        assert isinstance(amount, Decimal)
        assert amount >= 0
        costs.setdefault(row["ChargePeriodStart"], []).append(amount)
    assert all(total(hour) <= PRICE.price for hour in costs.values())
    assert abs(sum(Fraction(total(hour)) for hour in costs.values()) - hours * Fraction(PRICE.price)) < Fraction(1, 10**9)
