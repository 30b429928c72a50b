"""What SageMaker takes for an instance behind an endpoint: over HTTP from a piece of the price list."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mcml.core.errors import NotAuthenticated, Unavailable
from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import Priced
from mcml.providers.aws.instance_prices import listed_prices
from mcml.providers.aws.model_endpoint import SageMakerEndpoint
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Reset
from tests.providers.aws.conftest import MakeSession
from tests.providers.aws.price_list import PRODUCTS, get_products, product

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def listed() -> Iterator[AwsModel]:
    with AwsModel("pricing") as stub:
        stub.on("pricing", "GetProducts", get_products)
        yield stub


def endpoints(make_session: MakeSession, listed: AwsModel, region: str = "us-east-1") -> SageMakerEndpoint:
    return SageMakerEndpoint(make_session(endpoint_url=listed.url, region=region, clock=lambda: NOON))


def test_hosting_has_a_price_of_its_own_in_each_region(make_session: MakeSession, listed: AwsModel) -> None:
    """The list has other prices of the same instance: for training, notebooks, asynchronous inference."""
    here = endpoints(make_session, listed)
    assert isinstance(here, Priced)
    source = "AWS Price List, SageMaker hosting on demand"
    found = here.replica_price("ml.m5.large")
    assert found.price == UnitPrice("ml.m5.large", "us-east-1", "h", Decimal("0.115"), "USD", source, NOON)
    assert found.elsewhere == (UnitPrice("ml.m5.large", "eu-west-1", "h", Decimal("0.128"), "USD", source, NOON),)
    there = endpoints(make_session, listed, "eu-west-1").replica_price("ml.m5.large").price
    assert there is not None
    assert (there.region, there.price) == ("eu-west-1", Decimal("0.128"))
    asked = listed.requests("pricing", "GetProducts")[0]
    assert asked["ServiceCode"] == "AmazonSageMaker"
    filters = {one["Field"]: one["Value"] for one in asked["Filters"]}
    assert filters == {"component": "Hosting", "instanceName": "ml.m5.large"}
    assert {one["Type"] for one in asked["Filters"]} == {"TERM_MATCH"}
    assert all("us-east-1/pricing" in call.headers["Authorization"] for call in listed.calls), "it answers there about all regions"


@pytest.mark.parametrize("machine", ["ml.c5.large", "ml.none.large", "ml.m5.4xlarge-Hosting"])
def test_what_is_not_hosted_there_has_no_price_and_says_so(make_session: MakeSession, listed: AwsModel, machine: str) -> None:
    told = endpoints(make_session, listed).replica_price(machine)
    assert (told.price, told.why) == (None, f"AWS's price list has no hosting of {machine} in us-east-1")


def test_what_is_hosted_elsewhere_only_has_its_price_there(make_session: MakeSession, listed: AwsModel) -> None:
    told = endpoints(make_session, listed, "eu-west-1").replica_price("ml.g5.xlarge")
    assert (told.price, told.why) == (None, "AWS's price list has no hosting of ml.g5.xlarge in eu-west-1")
    assert [(price.region, price.price) for price in told.elsewhere] == [("us-east-1", Decimal("1.408"))]


def test_who_may_not_ask_is_told(make_session: MakeSession, listed: AwsModel) -> None:
    def denied(asked: object) -> dict[str, object]:
        raise AwsError("AccessDeniedException", "User: x is not authorized to perform: pricing:GetProducts", 400)

    listed.on("pricing", "GetProducts", denied)
    with pytest.raises(NotAuthenticated, match=r"cannot read the price of ml\.m5\.large"):
        endpoints(make_session, listed).replica_price("ml.m5.large")


def test_it_survives_faults(make_session: MakeSession, listed: AwsModel) -> None:
    kinds: list[Fault] = [Reset(), Answer(429, {"Retry-After": "7"}), Answer(500), Answer(503), HalfBody(), Delay(30)]
    with FaultProxy(listed.url) as proxy:
        session = make_session(endpoint_url=proxy.url, region="us-east-1", timeout=(5, 0.5), attempts=9, budget=1000)
        proxy.script(*kinds, Pass())
        found = SageMakerEndpoint(session).replica_price("ml.g5.xlarge").price
        assert found is not None
        assert found.price == Decimal("1.408")
        assert not proxy.unused
        proxy.script(*[Answer(503)] * 40)
        with pytest.raises(Unavailable):
            SageMakerEndpoint(session).replica_price("ml.g5.xlarge")


def test_only_prices_by_the_hour_count() -> None:
    texts = [product("ml.m5.large", "0.01", unit="Requests"), product("ml.m5.large", "0.0000000000"), *PRODUCTS[:1]]
    assert listed_prices(texts, "instanceName") == {"ml.m5.large": (Decimal("0.115"), "USD")}
    assert listed_prices([product("ml.m5.large", "0.8", currency="CNY")], "instanceName") == {"ml.m5.large": (Decimal("0.8"), "CNY")}
