"""What an hour of an instance behind a SageMaker endpoint costs: the Price List, service code AmazonSageMaker, component Hosting.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html. There one instance has a product for each
thing it does (Hosting, Training, Notebook, Processing, AsyncInf ...), at prices of their own; `instanceName` is the plain type
("ml.m5.large") in all of them, `instanceType` has the component behind it ("ml.m5.large-Hosting"), the usage type of a hosting is
"USE1-Host:ml.m5.large", the unit Hrs. Storage of the instances and data in and out come on top of it and are not counted here.
"""

import json
from typing import Any

from mcml.providers.api.billing import UnitPrice
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.aws.instance_prices import PRICING_REGION, listed_prices
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import SOME_REGION, Session

SERVICE, COMPONENT = "AmazonSageMaker", "Hosting"
SOURCE = "AWS Price List, SageMaker hosting on demand"


def hosting_price(session: Session, machine: str) -> ReplicaPrice:
    """Return the price of an hour of an instance type ("ml.m5.large") in the session's region, and in all others: one question tells all.

    Raises as every call.
    """
    region = session.call("cannot tell the region", lambda: session.region) or SOME_REGION
    wanted = {"component": COMPONENT, "instanceName": machine}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    asked: dict[str, Any] = {"ServiceCode": SERVICE, "Filters": filters, "FormatVersion": "aws_v1"}
    doing, now = f"cannot read the price of {machine}", session.ctx.clock()
    by_region: dict[str, list[str]] = {}
    for text in paged(session, doing, "pricing", "get_products", "PriceList", region=PRICING_REGION, **asked):
        by_region.setdefault(json.loads(text)["product"]["attributes"].get("regionCode", ""), []).append(text)
    listed = {place: listed_prices(texts, "instanceName").get(machine) for place, texts in sorted(by_region.items())}
    prices = {place: UnitPrice(machine, place, "h", *found, SOURCE, now) for place, found in listed.items() if found and place}
    price = prices.pop(region, None)
    why = "" if price else f"AWS's price list has no hosting of {machine} in {region}"
    return ReplicaPrice(price, why, tuple(prices.values()))
