"""Billing of Azure: the files of a FocusCost export where the settings name one (`billing_export`), else Cost Management's query API.

An export is complete (resources, all tags, prices, quantities); the query is free and knows sums only.
https://learn.microsoft.com/azure/cost-management-billing/costs/tutorial-improved-exports
"""

from mcml.providers.api.billing import Billing
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy


def open_billing(ctx: ProviderContext) -> Billing:
    """Return the bill of the scope in the settings, of the subscription, or of the export."""
    session = Session(ctx, policy=Policy(budget=ctx.budget))
    if session.settings.billing_export:
        from mcml.providers.azure.billing_export import ExportBilling

        return ExportBilling(session)
    from mcml.providers.azure.billing_query import QueryBilling

    return QueryBilling(session)
