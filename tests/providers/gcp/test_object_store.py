"""The object store on fake-gcs-server, and on our stub for what that server does not do faithfully."""

import uuid

import pytest

from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.object_store import open_object_store
from mcml.testing.contracts.object_store import ObjectStoreContract
from tests.providers.gcp.conftest import MakeContext


class TestOnFakeGcs(ObjectStoreContract):
    @pytest.fixture
    def object_store(self, fake_gcs: ProviderContext) -> ObjectStore:
        return open_object_store(fake_gcs)

    @pytest.fixture
    def bucket(self, fake_gcs: ProviderContext) -> str:
        name = f"contract-{uuid.uuid4().hex}"
        open_buckets(fake_gcs).create(name)
        return name


class TestOnTheStub(ObjectStoreContract):
    @pytest.fixture
    def object_store(self, make_context: MakeContext) -> ObjectStore:
        return open_object_store(make_context())

    @pytest.fixture
    def bucket(self, make_context: MakeContext) -> str:
        open_buckets(make_context()).create("contract")
        return "contract"
