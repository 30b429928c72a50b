"""What runs now is priced once, whichever view shows it, and what has no price is said."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import rfc3339
from mcml.core.errors import InvalidRequest
from mcml.core.price import STALE_AFTER
from mcml.core.view import Status
from mcml.cost.meter import estimate_views, live_views
from mcml.cost.meter.estimate import Estimated
from mcml.cost.meter.live import UNTOLD, WINDOW, Doors, Held, Kind, Place, look, merged, tagged
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.cluster import Pool
from mcml.providers.api.endpoint import Endpoint, Variant
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import LocalInstances
from mcml.providers.local.metrics import LocalMetrics
from mcml.providers.local.settings import Price, Settings
from mcml.testing.cli import run

NOW = datetime(2026, 11, 5, 12, 30, tzinfo=UTC)
SINCE = NOW - timedelta(hours=3)
PLACE = Place("acme", "eu-1", "eu-west", "prod")
NO_TAGS: Mapping[str, str] = MappingProxyType({})


def machine(name: str, kind: str = "m5", *, state: str = "running", spot: bool = False, tags: Mapping[str, str] = NO_TAGS) -> Instance:
    return Instance(name, kind, "eu-west-a", state, SINCE, spot, tags)  # type: ignore[arg-type]


class Cloud:
    """The doors of a cloud that says what it was made with."""

    def __init__(
        self,
        machines: Sequence[Instance] = (),
        prices: Mapping[str, tuple[str | None, str | None]] = NO_TAGS,  # type: ignore[assignment]
        groups: Sequence[Group] = (),
        pools: Sequence[Pool] = (),
        endpoints: Sequence[Endpoint] = (),
        use: Mapping[str, float | None] = NO_TAGS,  # type: ignore[assignment]
    ) -> None:
        self._machines, self._prices, self._groups, self._pools = machines, prices, groups, pools
        self._endpoints, self._use = endpoints, use

    def list(self, tags: Mapping[str, str] | None = None) -> Sequence[Instance]:
        return self._machines

    def prices(self, machines: Sequence[str] = ()) -> Sequence[MachinePrice]:
        unknown = [name for name in machines if name not in self._prices]
        if unknown:
            raise InvalidRequest(f"no type {unknown[0]}")
        return [self._price(name, *self._prices[name]) for name in machines]

    def _price(self, name: str, on_demand: str | None, spot: str | None) -> MachinePrice:
        demand, other = (Decimal(text) if text else None for text in (on_demand, spot))
        return MachinePrice(name, "eu-west", Decimal(2), Decimal(8), demand, other, "USD", NOW)

    def pools(self, cluster: str) -> Sequence[Pool]:
        return self._pools

    def describe(self, name: str = "") -> Sequence[Endpoint]:
        return self._endpoints

    def query(self, series: SeriesQuery, window: Window) -> Sequence[Point]:
        return [Point(window.start, self._use[series.metric])]

    @property
    def doors(self) -> Doors:
        groups = Cloud()
        groups._machines = self._groups  # type: ignore[assignment]
        return Doors(self, groups, self, self, self)  # type: ignore[arg-type]


def no_price(provider: str, region: str, sku: str) -> UnitPrice | None:
    return None


def catalogue(provider: str, region: str, sku: str) -> UnitPrice | None:
    known = {"m5": "0.2", "m5 spot": "0.05", "vcpu-hour": "0.04", "gib-hour": "0.005"}
    return UnitPrice(sku, region, "h", Decimal(known[sku]), "EUR", "a list", SINCE) if sku in known else None


def test_the_providers_own_price_comes_before_the_catalogue() -> None:
    cloud = Cloud([machine("i-1"), machine("i-2", spot=True), machine("i-3", state="stopped")], {"m5": ("0.107", None)})
    first, second = look(PLACE, cloud.doors, catalogue, NOW)
    assert (first.hourly, first.price and first.price.source, first.since) == (Decimal("0.107"), "price list of acme", SINCE)
    assert (second.hourly, second.price and (second.price.source, second.price.currency)) == (Decimal("0.05"), ("a list", "EUR"))


def test_a_provider_that_cannot_tell_prices_leaves_the_catalogue() -> None:
    found = {each.name: each for each in look(PLACE, Cloud([machine("i-1"), machine("i-2", "x9")]).doors, catalogue, NOW)}
    assert found["i-1"].hourly == Decimal("0.2")
    assert (found["i-2"].hourly, found["i-2"].why) == (None, "no price of x9 in eu-west is known")


def test_a_group_and_a_pool_show_what_no_machine_does() -> None:
    cloud = Cloud(
        [machine("i-1"), machine("i-2")],
        {"m5": ("1", None), "c5": ("2", None)},
        [Group("web", "m5", 3, 3, 0, 9), Group("idle", "m5", 0, 0, 0, 9)],
        [Pool("default", "m5", 3, 0, 9), Pool("gpu", "c5", 2, 0, 9, spot=False)],
    )
    found = {each.name: (each.kind, each.count, each.hourly) for each in merged([look(PLACE, cloud.doors, no_price, NOW)])}
    assert found == {
        "i-1": ("machine", 1, Decimal(1)),
        "i-2": ("machine", 1, Decimal(1)),
        "web": ("group", 1, Decimal(1)),
        "prod/gpu": ("pool", 2, Decimal(4)),
    }


def test_a_machine_that_stands_alone_hides_no_member_of_a_group() -> None:
    listed = [machine("i-1"), replace(machine("i-2"), group="web"), replace(machine("i-3"), group="db")]
    cloud = Cloud(listed, {"m5": ("1", None)}, [Group("web", "m5", 1, 1, 0, 9), Group("db", "m5", 3, 3, 0, 9)])
    found = {each.name: each.count for each in merged([look(PLACE, cloud.doors, no_price, NOW)])}
    assert found == {"i-1": 1, "i-2": 1, "i-3": 1, "db": 1}  # one of two unlisted members may be i-1, of which nothing is known


def test_what_two_targets_of_a_region_list_counts_once_and_is_of_the_target_that_its_tag_names() -> None:
    cloud = Cloud([machine("i-1"), machine("i-2", tags={"mcml:target": "eu-2", "Model-Name": "fraud"})], {"m5": ("1", None)})
    looks = [look(replace(PLACE, target=target, cluster=""), cloud.doors, no_price, NOW) for target in ("eu-1", "eu-2")]
    first, second = merged(looks)
    assert (first.target, second.target, second.model) == ("", "eu-2", "fraud")
    alone = merged(looks[:1])[0]
    assert alone.target == "eu-1"


KINDS: tuple[Kind, ...] = ("machine", "group", "pool")
HELD = st.builds(
    Held,
    st.just(PLACE),
    st.sampled_from(KINDS),
    st.text("abc", min_size=1, max_size=2),
    st.sampled_from(["m5", "c5"]),
    st.integers(1, 4),
)


@given(st.lists(HELD, unique_by=lambda held: (held.kind, held.name)))
def test_of_each_type_as_many_count_as_the_view_that_shows_most(everything: list[Held]) -> None:
    shown = {kind: Counter[str]() for kind in KINDS}
    for each in everything:
        shown[each.kind][each.machine] += each.count
    found = Counter[str]()
    for each in merged([everything]):
        found[each.machine] += each.count
    most = shown["machine"] | shown["group"] | shown["pool"]
    assert found >= most
    groups = +(shown["group"] - shown["machine"])
    pools = +(shown["pool"] - (shown["machine"] | shown["group"]))
    assert found == shown["machine"] + groups + pools == most


def test_an_endpoint_is_priced_by_what_it_uses_where_that_is_sold() -> None:
    endpoint = Endpoint("fraud", "eu-1", (Variant("7", "d", "ready", 100), Variant("6", "d", "stopped", 0)))
    cloud = Cloud(endpoints=[endpoint], use={"cpu_utilization": 1.5, "memory_bytes": 2 * 2**30})
    (held,) = look(PLACE, cloud.doors, catalogue, NOW)
    assert (held.name, held.model, held.target, held.hourly) == ("fraud@eu-1/7", "fraud", "eu-1", Decimal("0.07"))
    assert held.price and held.price.source == "1.5 vCPU and 2 GiB used x a list"
    (untold,) = look(PLACE, cloud.doors, no_price, NOW)
    assert (untold.hourly, untold.why) == (None, UNTOLD)
    silent = Cloud(endpoints=[endpoint], use={"cpu_utilization": None, "memory_bytes": None})
    assert look(PLACE, silent.doors, catalogue, NOW)[0].why == "it told nothing of its use in the last 5 minutes"


def test_an_endpoint_with_machines_of_its_own_is_priced_by_these() -> None:
    variants = (Variant("7", "d", "ready", 100, machine="m5", replicas=3), Variant("6", "d", "starting", 0, machine="ml.m5"))
    cloud = Cloud(endpoints=[Endpoint("fraud", "eu-1", variants, {"team": "risk"})])
    new, old = look(PLACE, cloud.doors, catalogue, NOW)
    assert (new.name, new.machine, new.count, new.hourly, new.tags["team"]) == ("fraud@eu-1/7", "m5", 3, Decimal("0.6"), "risk")
    assert (old.count, old.hourly, old.why) == (1, None, "no price of ml.m5 in eu-west is known")


def test_an_endpoint_has_the_price_that_its_provider_takes_for_endpoints() -> None:
    """Never that of the plain machine, also where it is not known."""
    variants = (Variant("7", "d", "ready", 100, machine="m5", replicas=3), Variant("6", "d", "ready", 0, machine="m5 spot", replicas=1))
    cloud = Cloud(prices={"m5": ("0.1", "0.02")}, endpoints=[Endpoint("fraud", "eu-1", variants)])
    hosted = UnitPrice("m5", "eu-west", "h", Decimal("0.115"), "USD", "hosting", SINCE)
    doors = replace(cloud.doors, price_of_replica=lambda sku: ReplicaPrice(hosted if sku == "m5" else None, f"about {sku}"))
    first, second = look(PLACE, doors, catalogue, NOW)
    assert (first.hourly, first.price, first.why) == (Decimal("0.345"), hosted, "")
    assert (second.machine, second.spot, second.hourly, second.why) == ("m5", True, None, "about m5 spot")


def test_an_old_price_is_said_to_be_one() -> None:
    found = look(PLACE, Cloud([machine("i-1"), machine("i-2")]).doors, catalogue, NOW)
    for now, said in ((SINCE + STALE_AFTER, 0), (SINCE + STALE_AFTER + timedelta(seconds=1), 1)):
        lines = [block.text for block in live_views.live(found, now).blocks if isinstance(block, Status)]
        assert lines == ["m5 in eu-west: of 2026-11-05 (a list)"][:said]
        estimated = Estimated("acme", "1", (), None, now, (), tuple(found))
        shown = estimate_views.estimated([estimated], dry_run=False).blocks
        assert [block.text for block in shown if isinstance(block, Status)] == lines


def test_the_use_of_a_model_on_this_machine_is_read_from_its_log(tmp_path: Path) -> None:
    log = tmp_path / "usage/eu-1/fraud/7/run.jsonl"
    log.parent.mkdir(parents=True)
    common = {"pid": 1, "started": (NOW - 2 * WINDOW).timestamp(), "requests": 9, "errors": 0, "client_errors": 0}
    lines = [
        {"at": rfc3339(NOW - timedelta(minutes=minutes)), **common, "cpu_seconds": cpu, "rss_bytes": 2**29}
        for minutes, cpu in ((6, 0.0), (4, 60.0), (1, 60.0))
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = LocalMetrics(ProviderContext(Settings(), tmp_path, "eu-1", "eu-west"))
    endpoints = Cloud(endpoints=[Endpoint("fraud", "eu-1", (Variant("7", "d", "ready", 100),))])
    (held,) = look(PLACE, Doors(endpoints=endpoints, metrics=metrics), catalogue, NOW)  # type: ignore[arg-type]
    # 60 CPU seconds in the two minutes and none in the three after: a fifth of a CPU; half a GiB
    assert held.use == (Decimal("0.2"), Decimal("0.5"))
    assert held.hourly == Decimal("0.0105")


def test_tags_are_read_as_ingest_reads_them() -> None:
    assert tagged({"user:Model Name": "a", "other": "b"}, "x_Model") == "a"
    assert tagged({"model": "", "model_name": "b"}, "x_Model") == "b"
    assert tagged({}, "x_Model") == ""


def test_what_scripts_see() -> None:
    cloud = Cloud([machine("i-1", tags={"model": "fraud"}), machine("i-2", "x9")], {"m5": ("0.5", None), "x9": (None, None)})
    document = live_views.live(merged([look(PLACE, cloud.doors, no_price, NOW)]), NOW)
    assert (document.kind, document.version) == ("LiveCost", 1)
    assert document.items[0] == {
        "name": "i-1",
        "kind": "machine",
        "provider": "acme",
        "target": "eu-1",
        "region": "eu-west",
        "model": "fraud",
        "machine": "m5",
        "spot": False,
        "count": 1,
        "since": SINCE,
        "hourly_cost": Decimal("0.5"),
        "currency": "USD",
        "price_source": "price list of acme",
        "price_as_of": NOW,
        "why_no_price": None,
    }
    assert document.items[1]["hourly_cost"] is None
    assert document.items[1]["why_no_price"] == "no price of x9 in eu-west is known"


SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[providers.local.prices.eu-west-1]
vcpu_hour = 0.05
gib_hour = 0.01
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    return tmp_path


def test_a_machine_of_this_project_on_a_terminal_and_in_a_pipe(project: Path) -> None:
    prices = {"eu-west-1": Price(vcpu_hour=Decimal("0.05"), gib_hour=Decimal("0.01"))}
    instances = LocalInstances(ProviderContext(Settings(prices=prices), project / ".mcml/local", "eu-1", "eu-west-1"))
    made = instances.launch("local-1x2", "token", tags={"model": "fraud"})
    try:
        told = run(["cost", "live", "-o", "json"], cwd=project)
        assert told.code == 0, told.err
        (item,) = json.loads(told.out)["items"]
        assert (item["name"], item["target"], item["model"], item["hourly_cost"]) == (made.id, "eu-1", "fraud", "0.07")
        piped = run(["cost", "live", "-q"], cwd=project)
        assert piped.out.splitlines() == ["# Running now, in USD", "local\teu-1\tfraud\t1\t0.07\t1.68"]
        shown = run(["cost", "live", "--timeout", "1.5", "--every", "1"], cwd=project, terminal=True)
        assert shown.code == 0, shown.out
        for part in ("Running now, in USD", "fraud", "0.07", "1.68"):
            assert part in shown.out, part
    finally:
        instances.terminate(made.id)


def test_a_project_where_nothing_runs_says_so(project: Path) -> None:
    shown = run(["cost", "live", "--once"], cwd=project, terminal=True)
    assert shown.code == 0
    assert "nothing that is paid for by the hour runs" in shown.out
    assert json.loads(run(["cost", "live", "-o", "json"], cwd=project).out)["items"] == []


def test_a_cloud_that_does_not_answer_hides_no_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "mcml.toml").write_text(SETTINGS + '[targets.us-1]\nprovider = "aws"\nregion = "us-east-1"\n')
    files = {name: str(project / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    partly = run(["cost", "live", "-o", "json"], cwd=project, env={"AWS_EC2_METADATA_DISABLED": "true", **files})
    assert (partly.code, json.loads(partly.out)["items"]) == (7, [])
    assert "us-1" in partly.err
    assert "done: eu-1" in partly.err
