"""The promises of mcml's protocols, as any provider's author checks them: by the classes that mcml ships."""

from pathlib import Path
from uuid import uuid4

import pytest
from mcml_nimbus.bills import open_bill_formats
from mcml_nimbus.buckets import open_buckets
from mcml_nimbus.identity import open_identity
from mcml_nimbus.objects import open_object_store
from mcml_nimbus.settings import Settings

from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.identity import Identity
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.testing.contracts.bill_formats import BillFormatsContract
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.contracts.identity import IdentityContract
from mcml.testing.contracts.object_store import ObjectStoreContract


@pytest.fixture
def ctx(tmp_path: Path) -> ProviderContext:
    return ProviderContext(Settings(), tmp_path / "state")


class TestIdentity(IdentityContract):
    @pytest.fixture
    def identity(self, ctx: ProviderContext) -> Identity:
        return open_identity(ctx)


class TestBillFormats(BillFormatsContract):
    @pytest.fixture
    def formats(self, ctx: ProviderContext) -> BillFormats:
        return open_bill_formats(ctx)

    @pytest.fixture
    def records(self) -> list[Record]:
        return [{"day": "2026-05-01", "what": "rain", "nimbles": "3", "price": "0.5"}]


class TestObjectStore(ObjectStoreContract):
    more_than_a_page = 503

    @pytest.fixture
    def object_store(self, ctx: ProviderContext) -> ObjectStore:
        return open_object_store(ctx)

    @pytest.fixture
    def bucket(self, ctx: ProviderContext) -> str:
        open_buckets(ctx).create("some-bucket")
        return "some-bucket"


class TestBuckets(BucketsContract):
    cannot = frozenset({"encryption", "expire_days", "expire_old_days"})

    @pytest.fixture
    def buckets(self, ctx: ProviderContext) -> Buckets:
        return open_buckets(ctx)

    @pytest.fixture
    def object_store(self, ctx: ProviderContext) -> ObjectStore:
        return open_object_store(ctx)

    @pytest.fixture
    def new_bucket(self) -> str:
        return f"box-{uuid4().hex[:8]}"
