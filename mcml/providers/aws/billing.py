"""Billing of AWS: the files of a Data Export where the settings name one (`billing_export`), else Cost Explorer.

An export is complete (resources, tags, prices) and costs its storage; Cost Explorer costs $0.01 a page and knows sums only.
https://docs.aws.amazon.com/cur/latest/userguide/what-is-data-exports.html
"""

from mcml.providers.api.billing import Billing
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.session import Session
from mcml.providers.resilience import Policy


def open_billing(ctx: ProviderContext) -> Billing:
    """Return the bill of the account whose credentials are in force, or of the export."""
    session = Session(ctx, policy=Policy(budget=ctx.budget))
    if session.settings.billing_export:
        from mcml.providers.aws.billing_export import ExportBilling

        return ExportBilling(session)
    from mcml.providers.aws.billing_explorer import ExplorerBilling

    return ExplorerBilling(session)
