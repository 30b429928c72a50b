"""Amazon Web Services: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

spec = ProviderSpec(
    name="aws",
    summary="Amazon Web Services",
    extra="aws",
    settings="mcml.providers.aws.settings:Settings",
    capabilities={capability.name: Offer(Support.NOT_YET, note="planned; use the local provider until then") for capability in ALL},
    schemes=("s3",),
)
