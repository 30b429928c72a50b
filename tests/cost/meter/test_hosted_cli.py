"""A model on SageMaker as a person sees its price: what runs, its estimate, its places, the plan of a deploy; AWS is a stub over HTTP."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from mcml.cli.main import main
from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.model_endpoint import SageMakerEndpoint
from mcml.providers.aws.session import Session
from mcml.providers.aws.settings import Settings
from mcml.testing.cli import run
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.aws_sagemaker import SageMakerStub
from tests.providers.aws.price_list import get_products
from tests.serving import models

ROLE, IMAGE = "arn:aws:iam::123456789012:role/sagemaker", "123456789012.dkr.ecr.us-east-1.amazonaws.com/fraud:1"
PROJECT = """
name = "acme"
[targets.us-1]
provider = "aws"
region = "us-east-1"
[models.fraud]
source = "models/fraud"
targets = ["us-1"]
resources.us-1 = { machine = "ml.g5.xlarge", replicas = "2" }
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTKEY000000001", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true"}
NOTHING: dict[str, dict[str, Any]] = {"DescribeInstances": {"Reservations": []}, "DescribeSpotPriceHistory": {"SpotPriceHistory": []}}


@dataclass
class Cloud:
    """A project, and AWS with a model on it: `fraud` 1 on two ml.m5.large."""

    folder: Path
    aws: AwsModel
    said: pytest.CaptureFixture[str]

    def items(self, line: str) -> list[dict[str, Any]]:
        """Type a line in this process: that of AWS's SDK takes a second to import."""
        self.said.readouterr()
        code = main([*line.split(), "-o", "json"])
        told = self.said.readouterr()
        assert code == 0, f"{line}: {code}\n{told.out}\n{told.err}"
        found: list[dict[str, Any]] = json.loads(told.out)["items"]
        return found

    def deny_prices(self) -> None:
        def denied(asked: object) -> dict[str, Any]:
            raise AwsError("AccessDeniedException", "not authorized to perform: pricing:GetProducts")

        self.aws.on("pricing", "GetProducts", denied)

    @property
    def asked(self) -> int:
        return len(self.aws.requests("pricing", "GetProducts"))


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cloud]:
    monkeypatch.chdir(tmp_path)
    files = {name: str(tmp_path / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in {**KEYS, **files}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with AwsModel("sagemaker", "pricing", "ec2", "autoscaling", "sts") as aws:
        SageMakerStub(aws, polls=0)
        aws.on("pricing", "GetProducts", get_products)
        for operation, answer in NOTHING.items():
            aws.on("ec2", operation, answer)
        aws.on("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": []})
        aws.on("sts", "GetCallerIdentity", {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/x", "UserId": "x"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        context = ProviderContext(Settings(sagemaker_role=ROLE), tmp_path / "state", "us-1", "us-east-1")
        session = Session(context)
        resources = {"machine": "ml.m5.large", "replicas": "2"}
        SageMakerEndpoint(session).create(EndpointRequest("fraud", "1", "0" * 64, IMAGE, resources, tags={"team": "risk"}))
        session.close()
        (tmp_path / "mcml.toml").write_text(PROJECT)
        yield Cloud(tmp_path, aws, capsys)


def test_what_an_endpoint_costs_now_and_until_the_bill_comes(cloud: Cloud) -> None:
    (live,) = cloud.items("cost live")
    assert {name: live[name] for name in ("name", "kind", "model", "machine", "count", "hourly_cost", "currency", "price_source")} == {
        "name": "fraud@us-1/1",
        "kind": "endpoint",
        "model": "fraud",
        "machine": "ml.m5.large",
        "count": 2,
        "hourly_cost": "0.23",
        "currency": "USD",
        "price_source": "AWS Price List, SageMaker hosting on demand",
    }
    asked = cloud.asked
    assert asked > 0
    cloud.deny_prices()  # the catalogue has it by now
    (done,) = cloud.items("cost estimate")
    assert (done["provider"], done["rows"], done["unpriced"], done["currency"]) == ("aws", 1, [], "USD")
    assert Decimal(0) < Decimal(done["estimated_cost"]) <= Decimal("0.23")
    (line,) = cloud.items("cost report --by model,team,service")
    assert (line["name"], line["effective_cost"]) == ("fraud/risk/Model endpoints", done["estimated_cost"])
    listed = {item["region"]: item for item in cloud.items("cost prices") if item["sku"] == "ml.m5.large"}
    assert {region: item["price"] for region, item in listed.items()} == {"us-east-1": "0.115", "eu-west-1": "0.128"}
    assert listed["us-east-1"]["source"] == live["price_source"]
    assert cloud.asked == asked


def test_without_the_right_to_read_prices_it_has_none_and_says_why(cloud: Cloud) -> None:
    cloud.deny_prices()
    (live,) = cloud.items("cost live")
    assert (live["hourly_cost"], live["price_source"]) == (None, None)
    assert live["why_no_price"].startswith("cannot read the price of ml.m5.large (")
    assert "pricing:GetProducts" in live["why_no_price"]
    (done,) = cloud.items("cost estimate")
    assert (done["rows"], done["estimated_cost"]) == (0, None)
    assert done["unpriced"] == [{"name": "fraud@us-1/1", "why": live["why_no_price"]}]


def test_the_places_of_a_model_are_compared_at_what_they_take_for_it(cloud: Cloud) -> None:
    target, *regions = cloud.items("cost compare fraud")
    assert (target["target"], target["size"], target["hourly_price"], target["currency"]) == ("us-1", "2 x ml.m5.large", "0.23", "USD")
    assert [(item["region"], item["size"], item["hourly_price"], item["dearer_percent"]) for item in regions] == [
        ("us-east-1", "2 x ml.m5.large", "0.23", "0.0"),
        ("eu-west-1", "2 x ml.m5.large", "0.256", "11.3"),
    ]


def test_the_plan_of_a_deploy_says_what_the_new_version_will_cost(cloud: Cloud) -> None:
    x, y = (models.value(name, "FP32", [None, 1]) for name in ("x", "y"))
    models.package(cloud.folder / "models/fraud", [x], [y], [helper.make_node("Mul", ["x", "f"], ["y"])], {"f": np.float32(2)})
    step = next(item for item in cloud.items("deploy model fraud --dry-run") if "size" in item)
    assert {name: step[name] for name in ("target", "action", "size", "hourly_price", "monthly_price", "currency", "price_note")} == {
        "target": "us-1",
        "action": "create",
        "size": "2 x ml.g5.xlarge",
        "hourly_price": "2.816",
        "monthly_price": "2055.68",
        "currency": "USD",
        "price_note": "",
    }
    assert step["price_source"] == "AWS Price List, SageMaker hosting on demand"
    shown = run(["deploy", "model", "fraud", "--dry-run"], cwd=cloud.folder, terminal=True)
    assert "2,055.68" in shown.out, shown.err
    (cloud.folder / "mcml.toml").write_text(PROJECT.replace("ml.g5.xlarge", "ml.c5.large"))
    unknown = next(item for item in cloud.items("deploy model fraud --dry-run") if "size" in item)
    assert (unknown["hourly_price"], unknown["price_note"]) == (None, "AWS's price list has no hosting of ml.c5.large in us-east-1")
