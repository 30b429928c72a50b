"""Athena's stub over moto's S3, and a warehouse on it, for the tests of the warehouse."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from mcml.providers.aws.session import Session
from mcml.providers.aws.warehouse import AthenaWarehouse
from mcml.testing.stubs.aws_model import AwsModel
from tests.providers.aws.athena_world import AthenaWorld, router
from tests.providers.aws.conftest import MakeSession

Put = Callable[[str, bytes], str]


@pytest.fixture
def stub() -> Iterator[AwsModel]:
    with AwsModel("athena") as standing:
        yield standing


@pytest.fixture
def world(stub: AwsModel, moto_url: str) -> AthenaWorld:
    return AthenaWorld(stub, moto_url)


@pytest.fixture
def address(stub: AwsModel, world: AthenaWorld, moto_url: str) -> Iterator[str]:
    with router(stub.url, moto_url) as url:
        yield url


@pytest.fixture
def make_warehouse(address: str, make_session: MakeSession, s3_bucket: str) -> Callable[..., AthenaWarehouse]:
    def make(url: str = address, **options: Any) -> AthenaWarehouse:
        output = options.pop("athena_output", f"s3://{s3_bucket}/athena/")
        return AthenaWarehouse(make_session(endpoint_url=url, athena_output=output, **options))

    return make


@pytest.fixture
def warehouse(make_warehouse: Callable[..., AthenaWarehouse]) -> AthenaWarehouse:
    return make_warehouse()


@pytest.fixture
def fresh_dataset(world: AthenaWorld) -> Iterator[str]:
    name = f"ds_{uuid4().hex[:12]}"
    yield name
    if name in [one["Name"] for one in world.glue.get_databases()["DatabaseList"]]:
        world.glue.delete_database(Name=name)


@pytest.fixture
def dataset(fresh_dataset: str) -> str:
    return fresh_dataset


@pytest.fixture
def put(put_object: Put) -> Put:
    return put_object


@pytest.fixture
def put_object(session: Session, s3_bucket: str) -> Put:
    def put(name: str, data: bytes) -> str:
        session.client("s3").put_object(Bucket=s3_bucket, Key=f"in/{name}", Body=data)
        return f"s3://{s3_bucket}/in/{name}"

    return put


def keys(world: AthenaWorld, bucket: str) -> list[str]:
    return [one["Key"] for one in world.s3.list_objects_v2(Bucket=bucket, Prefix="athena/").get("Contents", ())]
