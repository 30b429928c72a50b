"""A nimbus tells its costs in a file of its own: `day,what,nimbles,price`."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from mcml.core.errors import InvalidRequest
from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.api.billing import FocusRow
from mcml.providers.api.spec import ProviderContext

NOTHING = ("BillingAccountName", "HostProviderName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit")


def open_bill_formats(ctx: ProviderContext) -> BillFormats:
    """Return the one format there is."""
    return (Receipt(),)


class Receipt:
    """A line a day and thing."""

    name = "Nimbus receipt"

    def recognises(self, header: Sequence[str]) -> bool:
        """Only a nimbus counts in nimbles."""
        return "nimbles" in header

    def rows(self, records: Iterable[Record]) -> Iterator[FocusRow]:
        """Yield a charge a line."""
        for record in records:
            try:
                day = datetime.fromisoformat(str(record["day"])).replace(tzinfo=UTC)
                cost = Decimal(str(record["nimbles"])) * Decimal(str(record["price"]))
            except (ArithmeticError, KeyError, ValueError) as wrong:
                raise InvalidRequest("the receipt cannot be read", why=repr(wrong)) from wrong
            month = day.replace(day=1)
            yield {
                **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
                **dict.fromkeys(NOTHING),
                "BillingCurrency": "EUR", "BillingAccountId": "sky", "ChargeCategory": "Usage", "ServiceCategory": "Other",
                "BillingPeriodStart": month, "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
                "ChargePeriodStart": day, "ChargePeriodEnd": day + timedelta(days=1),
                "InvoiceIssuerName": "Nimbus", "ServiceProviderName": "Nimbus", "ServiceName": str(record["what"]),
            }  # fmt: skip
