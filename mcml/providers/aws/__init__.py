"""Amazon Web Services: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.aws"
_NOT_YET = Offer(Support.NOT_YET, note="planned; use the local provider until then")

spec = ProviderSpec(
    name="aws",
    summary="Amazon Web Services",
    extra="aws",
    settings=f"{_HERE}.settings:Settings",
    capabilities={capability.name: _NOT_YET for capability in ALL}
    | {
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(Support.FULL, f"{_HERE}.object_store:open_object_store"),
        "Buckets": Offer(Support.FULL, f"{_HERE}.buckets:open_buckets"),
    },
    schemes=("s3",),
)
