"""A stub of the Azure Retail Prices API, in the shape that its documentation gives
(https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices), with pages of three rows."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

PAGE = 3
_KNOWN = {"serviceName", "priceType", "armRegionName", "armSkuName", "meterId"}


def row(machine: str, price: float, *, spot: bool = False, product: str = "Virtual Machines DSv3 Series", **changed: Any) -> dict[str, Any]:
    """Return a row of the price list, as the documentation shows one."""
    short = machine.removeprefix("Standard_").replace("_", " ") + (" Spot" if spot else "")
    return {
        "currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": price, "unitPrice": price, "armRegionName": "westeurope",
        "location": "EU West", "effectiveStartDate": "2024-06-01T00:00:00Z", "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923",
        "meterName": short, "productId": "DZH318Z0BQPS", "skuId": "DZH318Z0BQPS/00TG", "productName": product, "skuName": short,
        "serviceName": "Virtual Machines", "serviceId": "DZH313Z7MMC8", "serviceFamily": "Compute", "unitOfMeasure": "1 Hour",
        "type": "Consumption", "isPrimaryMeterRegion": True, "armSkuName": machine, **changed,
    }  # fmt: skip


ROWS = [
    row("Standard_D2s_v3", 0.11, effectiveStartDate="2020-06-01T00:00:00Z"),
    row("Standard_D2s_v3", 0.12),
    row("Standard_D2s_v3", 9.99, effectiveStartDate="2999-01-01T00:00:00Z"),
    row("Standard_D2s_v3", 0.212, product="Virtual Machines DSv3 Series Windows"),
    row("Standard_D2s_v3", 0.024, spot=True),
    row("Standard_D2s_v3", 0.05, spot=True, product="Virtual Machines DSv3 Series Windows"),
    row("Standard_D2s_v3", 0.013, skuName="D2s v3 Low Priority", meterName="D2s v3 Low Priority"),
    row("Standard_D4s_v3", 0.24),
    row("Standard_D4s_v3", 0.048, spot=True),
    row("Standard_D2s_v3", 700.0, type="Reservation", reservationTerm="1 Year"),
    row("Standard_D2s_v3", 0.5, armRegionName="brazilsouth"),
]


@contextmanager
def serving(rows: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """Serve the rows; gives the address."""
    table = ROWS if rows is None else rows

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            if urlsplit(self.path).path != "/api/retail/prices" or not set(query) <= {"$filter", "$skip"}:
                return self._send(400, {"error": {"code": "BadRequest"}})
            found = [one for one in table if picks(query["$filter"], one)]
            skip = int(query.get("$skip", "0"))
            following = urlencode({"$filter": query["$filter"], "$skip": skip + PAGE})
            more = f"https://prices.azure.com:443/api/retail/prices?{following}" if skip + PAGE < len(found) else None
            items = found[skip : skip + PAGE]
            head = {"BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail"}
            return self._send(200, {**head, "Items": items, "NextPageLink": more, "Count": len(items)})

        def _send(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def picks(wanted: str, one: dict[str, Any]) -> bool:
    """Tell whether an OData filter of "A eq 'x' and (B eq 'y' or B eq 'z')" picks a row; a field that cannot be asked for fails."""
    said = {**one, "priceType": one["type"]}
    names = re.findall(r"(\w+) eq '", wanted)
    assert names
    assert set(names) <= _KNOWN
    parts = re.split(r" and ", wanted)
    return all(any(said[name] == value for name, value in re.findall(r"(\w+) eq '([^']*)'", part)) for part in parts)
