"""Google Cloud: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

spec = ProviderSpec(
    name="gcp",
    summary="Google Cloud",
    extra="gcp",
    settings="mcml.providers.gcp.settings:Settings",
    capabilities={capability.name: Offer(Support.NOT_YET, note="planned; use the local provider until then") for capability in ALL},
    schemes=("gs",),
)
