"""Microsoft Azure: nothing is imported from its SDK here; the spec says what is offered and what is still to come."""

from mcml.providers.api.capability import ALL, Offer, Support
from mcml.providers.api.spec import ProviderSpec

spec = ProviderSpec(
    name="azure",
    summary="Microsoft Azure",
    extra="azure",
    settings="mcml.providers.azure.settings:Settings",
    capabilities={capability.name: Offer(Support.NOT_YET, note="planned; use the local provider until then") for capability in ALL},
    schemes=("az",),
)
