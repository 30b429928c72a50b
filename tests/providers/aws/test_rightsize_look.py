"""What should become of a machine of EC2: its types, prices and metrics through the provider, on moto server; the price list is a stub."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.look import Site, inspect
from mcml.providers.api.instances import MachinePrice
from mcml.providers.aws.instances import Ec2Instances
from mcml.providers.aws.metrics import CloudWatchMetrics
from mcml.providers.aws.session import Session
from mcml.store.ledger.book import Ledger
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.conftest import MakeSession
from tests.providers.aws.test_instances import get_products

FIVE = timedelta(minutes=5)
RULES = Rightsizing(window="2h", minimum="30m")


class TwoTypes(Ec2Instances):
    """Prices of two types only: moto server takes long to tell all."""

    def prices(self, machines: Sequence[str] = ()) -> list[MachinePrice]:
        return super().prices(machines or ("m5.large", "c5.large"))


@pytest.fixture
def session(make_session: MakeSession, moto_url: str, machine_image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """All services are moto server, and the price list is the stub: an hour of m5.large is 0.107, of c5.large 0.096."""
    with AwsModel("pricing") as stub:
        stub.on("pricing", "GetProducts", get_products)
        monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", stub.url)
        yield make_session(endpoint_url="", image=machine_image, timeout=(5, 60))


@pytest.mark.slow
def test_a_machine_that_does_little(session: Session, machine_image: str, tmp_path: Path) -> None:
    asked = {"ImageId": machine_image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    made = session.client("ec2").run_instances(**asked)["Instances"][0]["InstanceId"]
    instances = TwoTypes(session)
    launched = next(one.launched for one in instances.list() if one.id == made)
    site = Site("euw1", "aws", "eu-west-1", instances, CloudWatchMetrics(session))
    now = launched + timedelta(minutes=65)

    def put(name: str, value: float, **labels: str) -> None:
        namespace, _, metric = name.partition(":")
        about = {"MetricName": metric, "Dimensions": [{"Name": key, "Value": said} for key, said in labels.items()], "Value": value}
        samples = [{**about, "Timestamp": launched + number * FIVE} for number in range(14)]
        session.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=samples)

    put("AWS/EC2:CPUUtilization", 10, InstanceId=made)
    (blind,) = inspect(site, RULES, Ledger(tmp_path), now, made)
    assert (blind.recommendation.action, blind.recommendation.proposed) == ("keep", None), "its memory is not known"
    assert "MemoryUnknown" in [reason.code for reason in blind.recommendation.reasons]

    put("CWAgent:mem_used_percent", 20, InstanceId=made, ImageId=machine_image, InstanceType="m5.large")
    (seen,) = inspect(site, RULES, Ledger(tmp_path), now, made)
    found = seen.recommendation
    assert seen.usage is not None
    assert launched <= seen.usage.start <= launched + FIVE, "what came before its start does not count"
    assert (found.action, found.proposed and found.proposed.machine) == ("shrink", "c5.large")
    assert (found.saving, found.currency) == (Decimal("8.03"), "USD"), "0.011 x 730"
    needs = {fit.measure: (fit.needed, fit.has) for fit in found.fits if fit.measured}
    assert needs == {"machine.cpu": (0.25, 2.0), "machine.memory": (2.0, 4.0)}
