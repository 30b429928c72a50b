"""Data assets as lineage artifacts on a stub of SageMaker that the SDK's model judges: the contract, and what goes wrong."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotAuthenticated, QuotaExceeded, Unavailable
from mcml.providers.api.data_assets import DataAssets
from mcml.providers.aws.data_assets import SageMakerDataAssets, open_data_assets
from mcml.providers.aws.session import Session
from mcml.testing.contracts.data_assets import DataAssetsContract
from mcml.testing.stubs.aws_lineage import ArtifactsStub
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeContext, Waits

PLACE = "s3://lake/train/"
Open = Callable[..., SageMakerDataAssets]


@pytest.fixture
def aws() -> Iterator[AwsModel]:
    with AwsModel("sagemaker") as served:
        yield served


@pytest.fixture
def stub(aws: AwsModel) -> ArtifactsStub:
    return ArtifactsStub(aws)


@pytest.fixture
def open_on(make_context: MakeContext, aws: AwsModel, stub: ArtifactsStub, waits: Waits) -> Iterator[Open]:
    made: list[Session] = []

    def opened(url: str = aws.url, *, timeout: tuple[float, float] = (5, 5), attempts: int = 9) -> SageMakerDataAssets:
        made.append(Session(make_context(endpoint_url=url), timeout, waits.policy(60, attempts)))
        return SageMakerDataAssets(made[-1])

    yield opened
    for session in made:
        session.close()


class TestDataAssets(DataAssetsContract):
    @pytest.fixture
    def assets(self, open_on: Open) -> DataAssets:
        return open_on()

    @pytest.fixture
    def place(self) -> str:
        return PLACE


def test_opens_without_a_network(make_context: MakeContext) -> None:
    assert open_data_assets(make_context(endpoint_url="http://127.0.0.1:9")) is not None


def test_what_sagemaker_is_told(open_on: Open, aws: AwsModel) -> None:
    made = open_on().register("Fraud_train", PLACE, token="t", tags={"team": "Fraud"})
    (asked,) = aws.requests("sagemaker", "CreateArtifact")
    assert asked["ArtifactName"].startswith("mcml-fraud-train-")
    assert asked["ArtifactType"] == "DataSet"
    source = [{"SourceIdType": "Custom", "Value": f"mcml/Fraud_train/{made.version}"}]
    assert asked["Source"] == {"SourceUri": PLACE, "SourceTypes": source}
    assert asked["Tags"] == [{"Key": "managed-by", "Value": "mcml"}, {"Key": "team", "Value": "Fraud"}]


def test_what_sagemaker_made_itself_is_not_ours(open_on: Open, stub: ArtifactsStub) -> None:
    assets = open_on()
    made = assets.register("fraud", PLACE, token="t")
    for source in ({"SourceUri": PLACE}, {"SourceUri": PLACE, "SourceTypes": [{"SourceIdType": "Custom", "Value": "a/b/c"}]}):
        stub.CreateArtifact({"ArtifactName": f"sm-{len(stub.artifacts)}", "ArtifactType": "DataSet", "Source": source})
    assert assets.list() == assets.list("fraud") == [made]


def test_a_listing_that_is_behind_is_asked_again(open_on: Open, aws: AwsModel, stub: ArtifactsStub, waits: Waits) -> None:
    behind = [True, True]
    aws.on("sagemaker", "ListArtifacts", lambda asked: {"ArtifactSummaries": []} if behind and behind.pop() else stub.ListArtifacts(asked))
    assert open_on().register("fraud", PLACE, token="t").uri == PLACE
    assert waits.seconds == [1.0, 1.0]


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message}).encode())


METHODS: dict[str, Callable[[SageMakerDataAssets, str], object]] = {
    "register": lambda assets, version: assets.register("fraud", PLACE, token="t2").version != version,
    "list": lambda assets, version: [one.version for one in assets.list()] == [version],
    "describe": lambda assets, version: assets.describe("fraud", version).uri == PLACE,
    "delete": lambda assets, version: assets.delete("fraud", version),
}
FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(503, "ServiceUnavailable")],
    "unanswered": [Delay(30), HalfBody(), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}
WRITES = {"register": "CreateArtifact", "delete": "DeleteArtifact"}


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_goes_on_after_faults(method: str, faults: str, open_on: Open, aws: AwsModel, stub: ArtifactsStub) -> None:
    version = open_on().register("fraud", PLACE, token="t1").version
    operation = WRITES.get(method, "ListArtifacts")
    with FaultProxy(aws.url) as proxy:
        proxy.script(*FAULTS[faults], only=lambda request: request.headers["X-Amz-Target"].endswith(operation))
        assert METHODS[method](open_on(proxy.url, timeout=(5, 0.5)), version)
        assert proxy.unused == []
    assert len(stub.artifacts) == {"register": 2, "delete": 0}.get(method, 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "ResourceLimitExceeded", "The account-level service limit is 0"), QuotaExceeded),
        (error(400, "AccessDeniedException", "is not authorized"), NotAuthenticated),
        (error(400, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(400, "ValidationException", "1 validation error detected"), InvalidRequest),
        (error(500, "InternalFailure"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(answer: Answer, kind: type[McmlError], open_on: Open, aws: AwsModel) -> None:
    with FaultProxy(aws.url) as proxy:
        proxy.script(answer)
        with pytest.raises(kind) as told:
            open_on(proxy.url, attempts=1).register("fraud", PLACE, token="t1")
        assert told.value.message == "cannot register the data set 'fraud'"


def test_no_credential_is_shown(open_on: Open, aws: AwsModel, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FaultProxy(aws.url) as proxy:
        assets = open_on(proxy.url, attempts=1)
        seen = [repr(assets), repr(vars(assets))]
        for fault in (error(400, "ExpiredTokenException", f"expired {TOKEN}"), error(400, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")):
            for do in METHODS.values():
                proxy.script(fault)
                with pytest.raises(McmlError) as failed:
                    do(assets, "0" * 16)
                seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    for secret in CREDENTIALS:
        assert secret not in "\n".join(seen) + caplog.text
