"""A piece of AWS's price list as GetProducts answers it: SageMaker's products, picked by the filters as the real one does it.

Names, units and descriptions as the list has them ("USE1-Host:ml.m5.large", "$0.115 per Hosting ml.m5.large hour in US East").
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

import json
from typing import Any

REGIONS = {"us-east-1": "USE1", "eu-west-1": "EU"}
USAGE = {"Hosting": "Host", "Training": "Train", "Notebook": "Notebk", "AsyncInf": "AsyncInf"}


def product(machine: str, price: str, *, component: str = "Hosting", region: str = "us-east-1", **changed: Any) -> str:
    """A document of the list, on demand."""
    usage = f"{REGIONS[region]}-{USAGE[component]}:{machine}"
    sku = f"{abs(hash((usage, price))):016X}"[:16]
    dimension = {
        "unit": changed.get("unit", "Hrs"), "beginRange": "0", "endRange": "Inf", "appliesTo": [],
        "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7", "description": f"${price} per {component} {machine} hour in {region}",
        "pricePerUnit": {changed.get("currency", "USD"): price},
    }  # fmt: skip
    term = {"priceDimensions": {dimension["rateCode"]: dimension}, "sku": sku, "offerTermCode": "JRTCKXETXF", "termAttributes": {}}
    attributes = {
        "servicecode": "AmazonSageMaker", "servicename": "Amazon SageMaker", "component": component, "instanceName": machine,
        "instanceType": f"{machine}-{component}", "regionCode": region, "usagetype": usage, "operation": "RunInstance", "vCpu": "2",
    }  # fmt: skip
    about = {"productFamily": "ML Instance", "attributes": attributes, "sku": sku}
    return json.dumps({"product": about, "serviceCode": "AmazonSageMaker", "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}}})


PRODUCTS = [
    product("ml.m5.large", "0.1150000000"),
    product("ml.m5.large", "0.0900000000", component="Training"),
    product("ml.m5.large", "0.0800000000", component="AsyncInf"),
    product("ml.m5.large", "0.0700000000", component="Notebook"),
    product("ml.m5.large", "0.1280000000", region="eu-west-1"),
    product("ml.m5.xlarge", "0.2300000000"),
    product("ml.m5.4xlarge", "0.9220000000"),
    product("ml.g5.xlarge", "1.4080000000"),
    product("ml.c5.large", "0.0500000000", component="Training"),
]


def get_products(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer what all filters pick, one document a page; EC2's part of the list is empty."""
    wanted = {one["Field"]: one["Value"] for one in asked["Filters"]}
    found = [text for text in PRODUCTS if asked["ServiceCode"] == "AmazonSageMaker" and picks(wanted, text)]
    page = int(asked.get("NextToken", 0))
    more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
    return {"FormatVersion": "aws_v1", "PriceList": found[page : page + 1], **more}


def picks(wanted: dict[str, str], text: str) -> bool:
    """Tell whether a document has all these attributes."""
    attributes = json.loads(text)["product"]["attributes"]
    return all(attributes.get(name) == value for name, value in wanted.items())
