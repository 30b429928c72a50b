"""Endpoints on a stub of SageMaker that checks every request by the SDK's model: the contract, the states, and what goes wrong."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mcml.core.credential import SigningKeys
from mcml.core.errors import (
    InvalidRequest,
    QuotaExceeded,
    StillRunning,
    Usage,
)
from mcml.core.package import folder_digest
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import EndpointRequest, ModelEndpoint
from mcml.providers.aws.endpoint_state import DIGEST, VERSION
from mcml.providers.aws.model_endpoint import open_model_endpoint
from mcml.providers.aws.model_source import container
from mcml.providers.aws.sagemaker import endpoint_name, percents, variant_name
from mcml.providers.aws.session import Session
from mcml.testing.contracts.endpoint import EndpointContract, MakeRequest, weights
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.aws_sagemaker import SageMakerStub
from tests.providers.aws.conftest import KEY_ID, SECRET, TOKEN, MakeContext, MakeSession
from tests.providers.aws.endpoint_rig import IMAGE, ROLE, Open, aws, left, open_on, request_for, stub

__all__ = ["aws", "open_on", "stub"]


class TestEndpoint(EndpointContract):
    @pytest.fixture
    def endpoints(self, open_on: Open) -> ModelEndpoint:
        return open_on()

    @pytest.fixture
    def make_request(self) -> MakeRequest:
        return request_for

    @pytest.fixture
    def broken_request(self) -> EndpointRequest:
        return request_for("fraud", "1", image="registry/broken:1")


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_model_endpoint(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_what_sagemaker_is_told(open_on: Open, aws: AwsModel) -> None:
    open_on().create(request_for("Fraud_2", "2026.05", content=7))
    (model,) = aws.requests("sagemaker", "CreateModel")
    assert model["PrimaryContainer"] == {"Image": IMAGE, "Environment": {"THREADS": "2"}}
    assert model["ExecutionRoleArn"] == ROLE
    tags = {tag["Key"]: tag["Value"] for tag in model["Tags"]}
    assert (tags[VERSION], tags[DIGEST], tags["managed-by"], tags["team"]) == ("2026.05", f"{7:064x}", "mcml", "risk")
    (config,) = aws.requests("sagemaker", "CreateEndpointConfig")
    (variant,) = config["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"], variant["InitialVariantWeight"]) == ("ml.g5.xlarge", 1, 100.0)
    name = endpoint_name("aws-1", "Fraud_2")
    assert model["ModelName"].startswith(name)
    assert config["EndpointConfigName"].startswith(name)
    (told,) = open_on().describe("Fraud_2")[0].variants
    assert (told.address, told.machine, told.replicas) == (name, "ml.g5.xlarge", 1)


def test_a_second_version_keeps_the_first_as_it_is(open_on: Open, aws: AwsModel, stub: SageMakerStub) -> None:
    endpoints = open_on()
    for version in ("1", "2", "3"):
        endpoints.create(request_for("fraud", version, content=int(version)))
    endpoints.shift_traffic("fraud", {"1": 20, "3": 80})
    assert weights(endpoints.create(request_for("fraud", "4", content=4))) == {"1": 20, "2": 0, "3": 80, "4": 0}
    assert all(asked["RetainAllVariantProperties"] for asked in aws.requests("sagemaker", "UpdateEndpoint"))
    assert left(stub) == (1, 1, 4)
    assert endpoints.delete("fraud", "2") is True
    assert left(stub) == (1, 1, 3)
    assert endpoints.delete("fraud", "3") is True
    assert weights(endpoints.describe("fraud")[0]) == {"1": 100, "4": 0}
    assert endpoints.delete("fraud", "1") is True  # the one with all the traffic: it goes to the newest first
    assert weights(endpoints.describe("fraud")[0]) == {"4": 100}
    assert endpoints.delete("fraud") is True
    assert left(stub) == (0, 0, 0)


def test_targets_do_not_see_each_other_and_listings_come_in_pages(open_on: Open, stub: SageMakerStub) -> None:
    stub.tag_page = 2
    one, other = open_on(), open_on(target="aws-2")
    for number in range(3):
        one.create(request_for(f"m{number}", "1", content=number))
    other.create(request_for("m1", "1", content=9))
    assert [endpoint.name for endpoint in one.describe()] == ["m0", "m1", "m2"]
    assert [(endpoint.target, endpoint.variants[0].digest) for endpoint in other.describe()] == [("aws-2", f"{9:064x}")]
    assert one.delete("m1")
    assert other.describe("m1") != []


def test_invoke_target_names_the_variant(open_on: Open) -> None:
    endpoints = open_on()
    endpoints.create(request_for("fraud", "1.0+a"))
    target = endpoints.invoke_target("fraud")
    assert (target.auth, target.service, target.region, target.health_path) == ("sigv4", "sagemaker", "eu-west-1", "")
    assert target.infer_path == f"/endpoints/{endpoint_name('aws-1', 'fraud')}/invocations"
    assert target.headers == {"X-Amzn-SageMaker-Target-Variant": variant_name("1.0+a")}
    assert target.token is None


def test_invoke_target_has_the_keys_in_force_and_signs(open_on: Open) -> None:
    endpoints = open_on()
    endpoints.create(request_for("fraud", "1"))
    target = endpoints.invoke_target("fraud")
    assert target.keys == SigningKeys(Secret(KEY_ID), Secret(SECRET), Secret(TOKEN))
    assert target.expires is None
    assert target.sign is not None
    signed = target.sign(target.url + target.infer_path, b"{}", target.headers)
    assert f"Credential={KEY_ID}/" in signed["Authorization"]
    assert "x-amzn-sagemaker-target-variant" in signed["Authorization"]
    assert signed["X-Amz-Security-Token"] == TOKEN


def test_the_runtime_of_a_region(make_context: MakeContext, open_on: Open) -> None:
    endpoints = open_on()
    endpoints.create(request_for("fraud", "1"))
    session = Session(make_context(endpoint_url=""))
    assert session.client("sagemaker-runtime").meta.endpoint_url == "https://runtime.sagemaker.eu-west-1.amazonaws.com"
    session.close()


def test_a_version_that_does_not_come_up_is_rolled_back(open_on: Open, stub: SageMakerStub) -> None:
    endpoints = open_on()
    before = endpoints.create(request_for("fraud", "1"))
    with pytest.raises(InvalidRequest) as refused:
        endpoints.create(request_for("fraud", "2", content=2, image="registry/broken:2"))
    assert "did not pass the ping health check" in refused.value.why
    assert refused.value.next_step == f"aws logs tail /aws/sagemaker/Endpoints/{endpoint_name('aws-1', 'fraud')}"
    assert endpoints.describe("fraud") == [before]
    assert left(stub) == (1, 1, 1)


def test_no_machine_is_a_quota(open_on: Open, stub: SageMakerStub) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        open_on().create(request_for("fraud", "1", image="registry/full:1"))
    assert "ml.g5.xlarge" in refused.value.why
    assert left(stub) == (0, 0, 0)


def test_a_machine_that_does_not_exist_is_refused(open_on: Open, stub: SageMakerStub) -> None:
    request = replace(request_for("fraud", "1"), resources={"machine": "ml.none"})
    with pytest.raises(InvalidRequest, match="cannot deploy fraud version 1 on aws-1") as refused:
        open_on().create(request)
    assert "ml.none" in refused.value.why
    assert left(stub) == (0, 0, 0)


def test_a_failed_endpoint_is_made_again_with_all_its_versions(open_on: Open, stub: SageMakerStub) -> None:
    endpoints = open_on()
    endpoints.create(request_for("fraud", "1"))
    endpoints.create(request_for("fraud", "2", content=2))
    (found,) = stub.endpoints.values()
    found.status, found.reason = "Failed", "The execution role was deleted"
    (failed,) = endpoints.describe("fraud")
    assert {(variant.state, variant.detail) for variant in failed.variants} == {("failed", "The execution role was deleted")}
    again = endpoints.create(request_for("fraud", "2", content=2))
    assert [(variant.version, variant.state) for variant in again.variants] == [("1", "ready"), ("2", "ready")]
    assert left(stub) == (1, 1, 2)


def test_states_on_the_way(open_on: Open, stub: SageMakerStub) -> None:
    """While SageMaker works, what runs is ready and what comes is starting; whoever asks to create waits for it."""
    endpoints = open_on()
    stub.polls = 10**6
    with pytest.raises(StillRunning) as late:
        open_on(ready=30.0).create(request_for("fraud", "1"))
    assert "Creating for 0 minutes" in late.value.why or "Creating for 1 minutes" in late.value.why
    assert [variant.state for variant in endpoints.describe("fraud")[0].variants] == ["starting"]
    (found,) = stub.endpoints.values()
    found.left = stub.polls = 2
    assert endpoints.create(request_for("fraud", "1")).variants[0].state == "ready"

    stub.polls = 10**6
    with pytest.raises(StillRunning):
        open_on(ready=30.0).create(request_for("fraud", "2", content=2))
    seen = endpoints.describe("fraud")[0]
    assert [(variant.version, variant.state, variant.weight) for variant in seen.variants] == [("1", "ready", 100), ("2", "starting", 0)]
    found.left = stub.polls = 2
    assert weights(endpoints.create(request_for("fraud", "2", content=2))) == {"1": 100, "2": 0}
    assert len(stub.models) == 2


def test_two_at_once_make_one_endpoint(open_on: Open, stub: SageMakerStub) -> None:
    """And both are given it; what the slower one made is deleted."""
    every = [open_on() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda endpoints: endpoints.create(request_for("fraud", "1")), every))
    assert [made[0]] * 3 == made
    assert every[0].describe("fraud") == [made[0]]
    assert left(stub) == (1, 1, 1)


def test_a_folder_is_packed_to_the_staging_area(
    make_session: MakeSession, s3_bucket: str, tmp_path: Path, session: Session, make_context: MakeContext
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"weights")
    request = EndpointRequest("fraud", "1", folder_digest(folder), str(folder))
    made = container(make_session(staging=f"s3://{s3_bucket}/ml/", serving_image=IMAGE), request)
    key = f"ml/models/fraud/{request.digest}.tar.gz"
    assert made == {"Image": IMAGE, "ModelDataUrl": f"s3://{s3_bucket}/{key}"}
    assert session.client("s3").head_object(Bucket=s3_bucket, Key=key)["ContentLength"] > 0
    with pytest.raises(InvalidRequest, match="cannot deploy fraud"):
        container(make_session(staging=f"s3://{s3_bucket}", serving_image=IMAGE), replace(request, digest="0" * 64))


def test_sources(make_session: MakeSession, tmp_path: Path) -> None:
    session, request = make_session(serving_image=IMAGE), request_for("fraud", "1")
    assert container(session, replace(request, source="s3://b/k.tar.gz", environment={})) == {"Image": IMAGE, "ModelDataUrl": "s3://b/k.tar.gz"}
    prefix = container(session, replace(request, source="s3://b/k/", resources={"image": "other"}, environment={}))
    assert prefix["Image"] == "other"
    assert prefix["ModelDataSource"]["S3DataSource"] == {"S3Uri": "s3://b/k/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    for wrong, kind in (
        (replace(request, source="/no/such/folder"), InvalidRequest),
        (replace(request, resources={"gpu": "1"}), InvalidRequest),
        (replace(request, source=str(tmp_path)), Usage),
    ):
        with pytest.raises(kind):
            container(session, wrong)
    with pytest.raises(Usage, match="cannot deploy"):
        container(make_session(), replace(request, source="s3://b/k/"))


def test_without_a_role_nothing_is_asked(open_on: Open, aws: AwsModel) -> None:
    with pytest.raises(Usage) as refused:
        open_on(sagemaker_role="").create(request_for("fraud", "1"))
    assert "sagemaker_role" in refused.value.next_step
    assert not aws.calls


def test_shares_of_weights() -> None:
    assert percents({"a": 1.0, "b": 1.0, "c": 1.0}) == {"a": 34, "b": 33, "c": 33}
    assert percents({"a": 0.0, "b": 0.0}) == {"a": 0, "b": 100}
    assert percents({"a": 20.0, "b": 80.0}) == {"a": 20, "b": 80}
    assert percents({}) == {}
