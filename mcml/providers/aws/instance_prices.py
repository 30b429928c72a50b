"""What machines of EC2 cost: the price list (on demand) and the spot price history, beside what the types have (`machine_types`).

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.instances import MachinePrice
from mcml.providers.aws.machine_types import MachineType, machine_type_of
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import SOME_REGION, Session

PRICING_REGION = "us-east-1"  # the price list of all regions is asked for there
MOST_NAMES = 100
_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def read_prices(session: Session, machines: Sequence[str]) -> list[MachinePrice]:
    """Return the prices of the named machine types in their order, or of all in the region. Raises InvalidRequest for an unknown type."""
    region = session.call("cannot tell the region", lambda: session.region) or SOME_REGION
    types = _types(session, machines)
    missing = [name for name in machines if name not in types]
    if missing:
        raise InvalidRequest(f"cannot find the price of {missing[0]!r}", why=f"EC2 has no such type in {region}")
    spot, demand = _spot(session, machines), _on_demand(session, region, machines)
    now = session.ctx.clock()
    found = []
    for name in machines or sorted(types):
        price, currency = demand.get(name, (None, "USD"))
        found.append(MachinePrice(name, region, on_demand=price, spot=spot.get(name), currency=currency, as_of=now, **vars(types[name])))
    return found


def listed_prices(texts: Iterable[str], attribute: str = "instanceType") -> dict[str, tuple[Decimal, str]]:
    """Return the hourly price on demand and its currency by type, from the documents of a price list; the lowest of several.

    `attribute` is the one of the product that names the type.
    """
    found: dict[str, tuple[Decimal, str]] = {}
    for text in texts:
        said = json.loads(text)
        name = said["product"]["attributes"].get(attribute, "")
        for term in said.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                for currency, amount in dimension["pricePerUnit"].items():
                    price = Decimal(amount)
                    if dimension.get("unit") == "Hrs" and price > 0 and (name not in found or price < found[name][0]):
                        found[name] = (price.normalize(), currency)
    return found


def _on_demand(session: Session, region: str, machines: Sequence[str]) -> dict[str, tuple[Decimal, str]]:
    fields = {**_LINUX, "regionCode": region}
    texts: list[str] = []
    for name in machines or ("",):
        wanted = {**fields, "instanceType": name} if name else fields
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in sorted(wanted.items())]
        asked: dict[str, Any] = {"ServiceCode": "AmazonEC2", "Filters": filters, "FormatVersion": "aws_v1"}
        texts += paged(session, "cannot read the price list", "pricing", "get_products", "PriceList", region=PRICING_REGION, **asked)
    return listed_prices(texts)


def _spot(session: Session, machines: Sequence[str]) -> dict[str, Decimal]:
    """Return the price of the cheapest zone: of each the last of the history, which starts now.

    So it is the price in force; of a clock that is behind that of AWS it begins earlier, and has those of before, too.
    """
    asked: dict[str, Any] = {"ProductDescriptions": ["Linux/UNIX"], "StartTime": session.ctx.clock()}
    newest: dict[tuple[str, str], tuple[datetime, Decimal]] = {}
    for names in _portions(machines):
        some = {**asked, **({"InstanceTypes": names} if names else {})}
        for one in paged(session, "cannot read the spot prices", "ec2", "describe_spot_price_history", "SpotPriceHistory", **some):
            place, told = (one["InstanceType"], one["AvailabilityZone"]), (one["Timestamp"], Decimal(one["SpotPrice"]))
            newest[place] = max(told, newest.get(place, told))
    lowest: dict[str, Decimal] = {}
    for (machine, _), (_, price) in newest.items():
        lowest[machine] = min(price, lowest.get(machine, price))
    return lowest


def _types(session: Session, machines: Sequence[str]) -> dict[str, MachineType]:
    """Return what each type has."""
    found: dict[str, MachineType] = {}
    for names in _portions(machines):
        some: dict[str, Any] = {"InstanceTypes": names} if names else {}
        doing = f"cannot describe the machine types {' '.join(names)}".rstrip()
        for one in paged(session, doing, "ec2", "describe_instance_types", "InstanceTypes", **some):
            found[one["InstanceType"]] = machine_type_of(one)
    return found


def _portions(machines: Sequence[str]) -> Iterable[list[str]]:
    """Yield the names in portions that a request may hold; of no names, one portion without any."""
    names = list(dict.fromkeys(machines))
    return (names[start : start + MOST_NAMES] for start in range(0, max(1, len(names)), MOST_NAMES))
