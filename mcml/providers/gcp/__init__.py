"""Google Cloud: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.gcp"
_TO_COME = {capability.name: Offer(Support.NOT_YET, note="planned; use the local provider until then") for capability in ALL}

spec = ProviderSpec(
    name="gcp",
    summary="Google Cloud",
    extra="gcp",
    settings=f"{_HERE}.settings:Settings",
    capabilities=_TO_COME
    | {
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(
            Support.PARTIAL, f"{_HERE}.object_store:open_object_store", "signed URLs need a service account; no bulk path yet"
        ),
        "Buckets": Offer(
            Support.PARTIAL, f"{_HERE}.buckets:open_buckets", "always encrypted, by Google's keys; deleted is soft-deleted for a week"
        ),
    },
    schemes=("gs",),
)
