"""Microsoft Azure: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.azure"
_NOT_YET = {capability.name: Offer(Support.NOT_YET, note="planned; use the local provider until then") for capability in ALL}

spec = ProviderSpec(
    name="azure",
    summary="Microsoft Azure",
    extra="azure",
    settings=f"{_HERE}.settings:Settings",
    capabilities={
        **_NOT_YET,
        "Identity": Offer(
            Support.PARTIAL, f"{_HERE}.identity:open_identity", "the subscription is the one that is set; Azure is not asked about it"
        ),
        "ObjectStore": Offer(Support.FULL, f"{_HERE}.object_store:open_object_store"),
        "Buckets": Offer(
            Support.PARTIAL,
            f"{_HERE}.buckets:open_buckets",
            "versioning and expiry are settings of the whole storage account and are not changed from here; encryption is always on",
        ),
    },
    schemes=("az",),
)
