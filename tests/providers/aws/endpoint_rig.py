"""SageMaker's stub, and endpoints on it, for the tests of SageMaker endpoints."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from mcml.providers.api.endpoint import EndpointRequest
from mcml.providers.aws.model_endpoint import SageMakerEndpoint
from mcml.providers.aws.session import Session
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.aws_sagemaker import SageMakerStub
from tests.providers.aws.conftest import MakeContext, Waits
from tests.providers.aws.price_list import get_products

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/fraud:1"
ATTEMPTS = 9
Open = Callable[..., SageMakerEndpoint]


@pytest.fixture
def aws() -> Iterator[AwsModel]:
    with AwsModel("sagemaker", "pricing") as served:
        served.on("pricing", "GetProducts", get_products)
        yield served


@pytest.fixture
def stub(aws: AwsModel) -> SageMakerStub:
    return SageMakerStub(aws)


@pytest.fixture
def open_on(make_context: MakeContext, waits: Waits, stub: SageMakerStub, aws: AwsModel) -> Iterator[Open]:
    """Opens endpoints of a target; keywords are settings, and those of the session."""
    made: list[Session] = []

    def opened(url: str = aws.url, target: str = "aws-1", *, timeout: tuple[float, float] = (5, 5), **settings: Any) -> SageMakerEndpoint:
        ready = settings.pop("ready", 600.0)
        context = make_context(endpoint_url=url, **{"sagemaker_role": ROLE, **settings})
        made.append(Session(replace(context, target=target), timeout, waits.policy(60, ATTEMPTS)))
        return SageMakerEndpoint(made[-1], ready_seconds=ready)

    yield opened
    for session in made:
        session.close()


def request_for(name: str, version: str, *, content: int = 1, image: str = IMAGE) -> EndpointRequest:
    tags = {"team": "risk", "cost": "42"}
    return EndpointRequest(name, version, f"{content:064x}", image, {"machine": "ml.g5.xlarge"}, {"THREADS": "2"}, tags)


def left(stub: SageMakerStub) -> tuple[int, int, int]:
    return len(stub.endpoints), len(stub.configs), len(stub.models)
