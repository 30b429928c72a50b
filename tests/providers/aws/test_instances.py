"""Instances on EC2: the contract on moto server (our corrections: `moto_ec2`) with a price list from a stub; parameters, states, errors."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mcml.core.errors import Conflict, InvalidRequest, QuotaExceeded
from mcml.providers.api.instances import Instance, Instances, InstanceState, MachineRequest, Noticed
from mcml.providers.api.snapshots import Snapshots
from mcml.providers.aws.instance_prices import listed_prices
from mcml.providers.aws.instances import Ec2Instances, run_parameters, to_instance
from mcml.providers.aws.session import Session
from mcml.providers.aws.snapshots import AwsSnapshots
from mcml.store.db import Store
from mcml.testing.contracts.instances import InstancesContract
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Reset
from tests.cost.spot.on_stub import Job, check
from tests.providers.aws.conftest import MakeSession

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOURLY = {"m5.large": "0.1070000000", "c5.large": "0.0960000000"}


def product(machine: str, price: str, *, unit: str = "Hrs", currency: str = "USD") -> str:
    """A document of the price list, as GetProducts gives it (shape: the example that the SDK ships)."""
    dimension = {"unit": unit, "beginRange": "0", "endRange": "Inf", "appliesTo": [], "rateCode": "S.T.R", "description": "per hour"}
    term = {"priceDimensions": {"S.T.R": {**dimension, "pricePerUnit": {currency: price}}}, "sku": "S", "offerTermCode": "T"}
    attributes = {"servicecode": "AmazonEC2", "instanceType": machine, "vcpu": "2", "memory": "8 GiB", "regionCode": "eu-west-1"}
    about = {"productFamily": "Compute Instance", "attributes": attributes, "sku": "S"}
    return json.dumps({"product": about, "serviceCode": "AmazonEC2", "terms": {"OnDemand": {"S.T": term}}, "version": "1"})


def get_products(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer by the filter on the type, one document a page."""
    wanted = {one["Field"]: one["Value"] for one in asked["Filters"]}.get("instanceType", "")
    texts = [product(machine, price) for machine, price in HOURLY.items() if wanted in ("", machine)]
    page = int(asked.get("NextToken", 0))
    more = {"NextToken": str(page + 1)} if page + 1 < len(texts) else {}
    return {"FormatVersion": "aws_v1", "PriceList": texts[page : page + 1], **more}


@pytest.fixture
def prices() -> Iterator[AwsModel]:
    with AwsModel("pricing") as stub:
        stub.on("pricing", "GetProducts", get_products)
        yield stub


@pytest.fixture
def priced(make_session: MakeSession, moto_url: str, prices: AwsModel, machine_image: str, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session for which all services are moto server, and the price list is the stub."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", prices.url)
    return make_session(endpoint_url="", image=machine_image, timeout=(5, 60))


@pytest.fixture
def instances(priced: Session) -> Ec2Instances:
    return Ec2Instances(priced)


class TestEc2Instances(InstancesContract):
    @pytest.fixture
    def instances(self, instances: Ec2Instances) -> Instances:
        return instances

    @pytest.fixture
    def request_for_spot(self) -> MachineRequest:
        return MachineRequest("m5.large", uuid4().hex, tags={"team": uuid4().hex})

    @pytest.fixture
    def other_machine(self) -> str:
        return "c5.large"

    @pytest.fixture
    def take_away(self, moto_url: str) -> Callable[[str], None]:
        def interrupt(instance: str) -> None:
            with urllib.request.urlopen(f"{moto_url}/interrupt/{instance}", data=b"", timeout=10):
                pass

        return interrupt

    @pytest.fixture
    def snapshots(self, priced: Session) -> Snapshots:
        return AwsSnapshots(priced)

    @pytest.fixture
    def resizable(self, priced: Session) -> Instance:
        """One on demand: EC2 does not change the type of a spot machine."""
        asked = {"ImageId": priced.settings.image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
        return to_instance(priced.client("ec2").run_instances(**asked)["Instances"][0])


@pytest.fixture
def interrupt(moto_url: str) -> Iterator[Callable[[Instance], None]]:
    """Takes a machine away, and has no other of its type on the spot market until the test is over."""

    def tell(path: str) -> None:
        with urllib.request.urlopen(f"{moto_url}/{path}", data=b"", timeout=10):
            pass

    def end(one: Instance) -> None:
        tell(f"sold-out/{one.machine}")
        tell(f"interrupt/{one.id}")

    yield end
    tell("sold-out/none")


def test_a_spot_job_falls_back_on_demand_and_leaves_nothing_running(
    instances: Ec2Instances, interrupt: Callable[[Instance], None], tmp_path: Path
) -> None:
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        check(Job(instances, "c5.large", interrupt), store)


@pytest.mark.slow
def test_cost_spot_run_from_its_order_to_its_end(
    instances: Ec2Instances, interrupt: Callable[[Instance], None], tmp_path: Path, machine_image: str
) -> None:
    """In a process of its own; there are eight seconds of slack, of which the interruption takes some, and then it is on demand."""
    target = '[targets.eu-1]\nprovider = "aws"\nregion = "eu-west-1"\n'
    (tmp_path / "mcml.toml").write_text(f'name = "acme"\n{target}[providers.aws]\nimage = "{machine_image}"\n')
    name = f"train-{uuid4().hex[:8]}"
    places = ["--on", "eu-1/c5.large", "--fallback", "eu-1/c5.large", "--progress", "progress"]
    times = ["--work", "100s", "--deadline", "110s", "--restart", "1s", "--checkpoint", "1s", "--tick", "1s"]
    argv = [sys.executable, "-m", "mcml", "cost", "spot", "run", name, *places, *times, "-o", "json", "--", "python", "train.py"]

    def running(*, spot: bool) -> Instance:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for one in instances.list({"mcml-spot-job": name}):
                if (one.spot, one.state) == (spot, "running"):
                    return one
            time.sleep(0.05)
        raise TimeoutError

    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as mcml:
        interrupt(running(spot=True))
        running(spot=False)
        (tmp_path / "progress").write_text("1")
        out, said = mcml.communicate(timeout=60)
    assert mcml.returncode == 0, said
    (job,) = json.loads(out)["items"]
    assert (job["state"], job["late"], job["interruptions"], job["currency"]) == ("done", False, 1, "USD")
    found = {one.spot: one for one in instances.list({"mcml-spot-job": name})}
    assert [found[spot].state for spot in (True, False)] == ["interrupted", "stopped"]
    assert f"{name}: interrupted eu-1/c5.large" in said


def test_a_spot_machine_keeps_its_type(instances: Ec2Instances) -> None:
    spot = instances.request(MachineRequest("m5.large", uuid4().hex))
    with pytest.raises(InvalidRequest) as refused:
        instances.resize(spot.id, "c5.large")
    assert refused.value.why == "EC2 does not change the type of a spot machine"
    assert instances.resize(spot.id, "m5.large").machine == "m5.large"


def test_listed_over_many_pages(instances: Ec2Instances) -> None:
    team = uuid4().hex
    made = {instances.request(MachineRequest("m5.large", uuid4().hex, tags={"team": team})).id for _ in range(7)}
    pages = Ec2Instances(instances.session, page=5)
    assert {one.id for one in pages.list({"team": team})} == made
    assert made <= {one.id for one in pages.list()}


def test_a_value_with_a_wildcard_is_taken_as_it_is(instances: Ec2Instances) -> None:
    instances.request(MachineRequest("m5.large", uuid4().hex, tags={"team": "abc"}))
    assert instances.list({"team": "a*c"}) == []


def test_a_token_stands_for_one_request(instances: Ec2Instances) -> None:
    token = uuid4().hex
    instances.request(MachineRequest("m5.large", token))
    with pytest.raises(InvalidRequest, match="could be had"):
        instances.request(MachineRequest("c5.large", token))


def test_what_is_asked_for() -> None:
    idle = run_parameters(MachineRequest("m5.large", "t", max_price=Decimal("1E-2"), tags={"team": "risk"}), "ami-1", "subnet-1")
    assert idle["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop", "MaxPrice": "0.01"},
    }
    assert (idle["ImageId"], idle["SubnetId"], len(idle["ClientToken"])) == ("ami-1", "subnet-1", 64)
    assert idle["TagSpecifications"][0] == {
        "ResourceType": "instance", "Tags": [{"Key": "managed-by", "Value": "mcml"}, {"Key": "team", "Value": "risk"}],
    }  # fmt: skip
    busy = run_parameters(MachineRequest("m5.large", "t", ("python", "train.py", "--name", "a b")), "resolve:ssm:/x", "")
    assert busy["UserData"] == "#!/bin/sh\npython train.py --name 'a b'\nshutdown -h now\n"
    assert busy["InstanceMarketOptions"]["SpotOptions"] == {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    assert busy["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "SubnetId" not in busy
    calm = run_parameters(MachineRequest("m5.large", "t", ("train",), spot=False), "ami-1", "")
    assert "InstanceMarketOptions" not in calm
    assert (calm["InstanceInitiatedShutdownBehavior"], calm["UserData"]) == ("terminate", "#!/bin/sh\ntrain\nshutdown -h now\n")
    assert [one["ResourceType"] for one in calm["TagSpecifications"]] == ["instance", "volume"], "EC2 refuses tags of no spot request"


def test_an_interruption_notice_is_read_from_outside(make_session: MakeSession, ec2: AwsModel) -> None:
    """Codes and times as the page on the status of spot requests has them; two pages."""

    def requests(asked: dict[str, Any]) -> dict[str, Any]:
        codes = ["marked-for-termination", "fulfilled"] if not asked.get("NextToken") else ["marked-for-stop", "instance-stopped-by-user"]
        first = 1 if not asked.get("NextToken") else 3
        found = [
            {"InstanceId": f"i-{first + number}", "SpotInstanceRequestId": "sir-1", "Status": {"Code": code, "UpdateTime": NOON}}
            for number, code in enumerate(codes)
        ]
        return {"SpotInstanceRequests": found, **({"NextToken": "2"} if first == 1 else {})}

    ec2.on("ec2", "DescribeSpotInstanceRequests", requests)
    instances = stubbed(make_session, ec2)
    assert isinstance(instances, Noticed)
    until = NOON + timedelta(minutes=2)
    assert instances.notices(["i-1", "i-2", "i-3", "i-4"]) == {"i-1": until, "i-3": until}
    (asked, _) = ec2.requests("ec2", "DescribeSpotInstanceRequests")
    assert asked["Filters"] == [{"Name": "instance-id", "Values": ["i-1", "i-2", "i-3", "i-4"]}]
    assert instances.notices([]) == {}


@pytest.mark.parametrize(
    ("name", "reason", "state"),
    [
        ("pending", "", "pending"),
        ("running", "", "running"),
        ("stopping", "Client.UserInitiatedShutdown", "running"),
        ("stopped", "Client.UserInitiatedShutdown", "stopped"),
        ("stopped", "Server.SpotInstanceShutdown", "interrupted"),
        ("terminated", "Server.SpotInstanceTermination", "interrupted"),
        ("terminated", "Client.InstanceInitiatedShutdown", "terminated"),
        ("shutting-down", "", "terminated"),
    ],
)
def test_states(name: str, reason: str, state: InstanceState) -> None:
    said = {"InstanceId": "i-1", "InstanceType": "m5.large", "LaunchTime": NOON, "State": {"Name": name}, "StateReason": {"Code": reason}}
    assert (to_instance(said).state, to_instance(said).group) == (state, "")
    member = to_instance(said | {"Tags": [{"Key": "aws:autoscaling:groupName", "Value": "workers"}]})
    assert member.group == "workers"


@pytest.fixture
def ec2() -> Iterator[AwsModel]:
    with AwsModel("ec2", "pricing") as stub:
        yield stub


def stubbed(make_session: MakeSession, stub: AwsModel) -> Ec2Instances:
    return Ec2Instances(make_session(endpoint_url=stub.url, clock=lambda: NOON))


@pytest.mark.parametrize(
    "code", ["SpotMaxPriceTooLow", "InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"]
)
def test_none_to_be_had(make_session: MakeSession, ec2: AwsModel, code: str) -> None:
    """At once: trying again soon helps little, and another type or zone more."""

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise AwsError(code, "We currently do not have it.", 500 if "Capacity" in code else 400)

    ec2.on("ec2", "RunInstances", refuse)
    ec2.on("ec2", "StartInstances", refuse)
    instances = stubbed(make_session, ec2)
    with pytest.raises(QuotaExceeded) as none:
        instances.request(MachineRequest("p5.48xlarge", "t"))
    assert (none.value.message, none.value.why) == ("no spot p5.48xlarge could be had", f"We currently do not have it. ({code})")
    assert none.value.next_step
    with pytest.raises(QuotaExceeded):
        instances.start("i-0123456789abcdef0")
    assert len(ec2.requests("ec2", "RunInstances")) == 1


def test_started_while_the_spot_market_holds_it(make_session: MakeSession, ec2: AwsModel) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise AwsError("IncorrectSpotRequestState", "the spot request is not in a state that allows it")

    ec2.on("ec2", "StartInstances", refuse)
    with pytest.raises(Conflict):
        stubbed(make_session, ec2).start("i-0123456789abcdef0")


def price_services(ec2: AwsModel) -> None:
    """Have the stub answer for two types, one of which has a price; all of it in pages."""

    def types(asked: dict[str, Any]) -> dict[str, Any]:
        sizes = {"m5.large": (2, 8192), "t3.nano": (2, 512)}
        return {
            "InstanceTypes": [
                {"InstanceType": name, "VCpuInfo": {"DefaultVCpus": vcpus}, "MemoryInfo": {"SizeInMiB": memory}}
                for name, (vcpus, memory) in sizes.items()
                if name in asked.get("InstanceTypes", sizes)
            ]
        }

    def history(asked: dict[str, Any]) -> dict[str, Any]:
        zone, price = ("b", "0.038100") if asked.get("NextToken") else ("a", "0.040200")
        place = {"AvailabilityZone": f"eu-west-1{zone}", "InstanceType": "m5.large", "ProductDescription": "Linux/UNIX"}
        more = {} if asked.get("NextToken") else {"NextToken": "2"}
        return {"SpotPriceHistory": [{**place, "SpotPrice": price, "Timestamp": NOON}], **more}

    ec2.on("ec2", "DescribeInstanceTypes", types)
    ec2.on("ec2", "DescribeSpotPriceHistory", history)
    ec2.on("pricing", "GetProducts", get_products)


def test_prices_survive_faults(make_session: MakeSession, ec2: AwsModel) -> None:
    """Every page of every service fails in each way."""
    price_services(ec2)
    kinds: list[Fault] = [Reset(), Answer(429, {"Retry-After": "7"}), Answer(500), HalfBody(), Delay(30), Reset(reaches_server=True)]
    with FaultProxy(ec2.url) as proxy:
        session = make_session(endpoint_url=proxy.url, timeout=(5, 0.5), attempts=9, budget=1000, clock=lambda: NOON)
        proxy.script(*[fault for kind in kinds for fault in (kind, Pass())])
        assert [price.on_demand for price in Ec2Instances(session).prices(["m5.large", "t3.nano"])] == [Decimal("0.107"), None]
        assert len(proxy.unused) <= 4


def test_the_spot_price_of_a_zone_is_its_last_one(make_session: MakeSession, ec2: AwsModel) -> None:
    """This clock is behind that of AWS: the history begins with what a zone cost before."""
    before = NOON - timedelta(hours=1)
    told = [("a", "0.0402", NOON), ("a", "0.0100", before), ("b", "0.0100", before), ("b", "0.0450", NOON)]
    price_services(ec2)
    common = {"InstanceType": "m5.large", "ProductDescription": "Linux/UNIX"}
    rows = [{**common, "AvailabilityZone": f"eu-west-1{zone}", "SpotPrice": price, "Timestamp": at} for zone, price, at in told]
    ec2.on("ec2", "DescribeSpotPriceHistory", {"SpotPriceHistory": rows})
    (m5,) = stubbed(make_session, ec2).prices(["m5.large"])
    assert m5.spot == Decimal("0.0402")


def test_prices_are_those_of_the_region_and_the_cheapest_zone(make_session: MakeSession, ec2: AwsModel) -> None:
    """From three services, two of them in pages; the price list is asked in us-east-1."""
    price_services(ec2)
    instances = stubbed(make_session, ec2)
    (m5,) = instances.prices(["m5.large"])
    assert (m5.on_demand, m5.spot) == (Decimal("0.107"), Decimal("0.0381"))
    assert (m5.vcpus, m5.memory_gib) == (Decimal(2), Decimal(8))
    assert (m5.currency, m5.region, m5.as_of) == ("USD", "eu-west-1", NOON)
    every = {price.machine: price for price in instances.prices()}
    assert sorted(every) == ["m5.large", "t3.nano"]
    assert (every["t3.nano"].on_demand, every["t3.nano"].spot, every["t3.nano"].memory_gib) == (None, None, Decimal("0.5"))
    filters = {one["Field"]: one["Value"] for one in ec2.requests("pricing", "GetProducts")[0]["Filters"]}
    assert filters == {
        "operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used", "regionCode": "eu-west-1",
        "instanceType": "m5.large",
    }  # fmt: skip
    assert "us-east-1/pricing" in next(call.headers["Authorization"] for call in ec2.calls if call.service == "pricing")
    with pytest.raises(InvalidRequest, match="lagre"):
        instances.prices(["m5.lagre"])


def test_of_several_documents_the_lowest_hourly_price_counts() -> None:
    texts = [product("m5.large", price) for price in ("0.2", "0.1", "0.0")] + [product("m5.large", "0.01", unit="Quantity")]
    assert listed_prices([*texts, product("m6.large", "7", currency="CNY")]) == {
        "m5.large": (Decimal("0.1"), "USD"), "m6.large": (Decimal("7"), "CNY"),
    }  # fmt: skip
