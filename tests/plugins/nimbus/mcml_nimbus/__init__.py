"""A fifth cloud. Only what mcml must know before it is used: nothing heavy is imported here."""

from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.spec import ProviderSpec

spec = ProviderSpec(
    name="nimbus",
    summary="A cloud in one SQLite file",
    extra="",
    settings="mcml_nimbus.settings:Settings",
    capabilities={
        "Identity": Offer(Support.FULL, "mcml_nimbus.identity:open_identity"),
        "ObjectStore": Offer(Support.FULL, "mcml_nimbus.objects:open_object_store"),
        "Buckets": Offer(Support.PARTIAL, "mcml_nimbus.buckets:open_buckets", "nothing expires, and nothing is encrypted"),
        "BillFormats": Offer(Support.FULL, "mcml_nimbus.bills:open_bill_formats"),
        "Registry": Offer(Support.IMPOSSIBLE, note="a nimbus keeps no images"),
    },
    schemes=("nimbus",),
)
