"""Machines of a cloud, as its API lists them (moto), become estimates until the bill comes, and a burn rate now."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.providers.api.instances import MachineRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.instances import Ec2Instances
from mcml.providers.aws.session import Session
from mcml.providers.aws.settings import Settings
from mcml.testing.cli import run
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws import moto_server
from tests.providers.aws.test_instances import get_products

REGION = "us-east-1"
PROJECT = """
name = "acme"
[targets.us-1]
provider = "aws"
region = "us-east-1"
[targets.us-2]
provider = "aws"
region = "us-east-1"
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTKEY000000001", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A moto server, which with a stub of the price list is all that AWS is here."""
    files = {name: str(tmp_path / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in {**KEYS, **files}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    folder = tmp_path / "moto"
    folder.mkdir()
    with moto_server.running(folder) as url, AwsModel("pricing") as listed:
        listed.on("pricing", "GetProducts", get_products)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", listed.url)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("cloud")
def test_a_machine_that_two_targets_list_is_estimated_once(tmp_path: Path) -> None:
    (tmp_path / "mcml.toml").write_text(PROJECT)
    session = Session(ProviderContext(Settings(image="ami-03cf127a"), tmp_path / "state", region=REGION))
    made = Ec2Instances(session).request(MachineRequest("m5.large", "token", tags={"model": "fraud", "target": "us-2"}))
    session.close()

    told = run(["cost", "live", "-o", "json"], cwd=tmp_path)
    assert told.code == 0, told.err
    (item,) = json.loads(told.out)["items"]
    assert (item["name"], item["target"], item["model"], item["machine"], item["spot"]) == (made.id, "us-2", "fraud", "m5.large", True)
    assert Decimal(item["hourly_cost"]) > 0

    done = run(["cost", "estimate", "-o", "json"], cwd=tmp_path)
    assert done.code == 0, done.err
    (estimated,) = json.loads(done.out)["items"]
    assert (estimated["provider"], estimated["account"], estimated["currency"]) == ("aws", "123456789012", "USD")
    (line,) = json.loads(run(["cost", "report", "--by", "target,model,account,pricing", "-o", "json"], cwd=tmp_path).out)["items"]
    assert line["name"] == "us-2/fraud/123456789012/Dynamic"
    assert line["effective_cost_by_source"] == {"estimate": estimated["estimated_cost"]}
