"""What the SDK's management clients do by themselves and must not do here: register a resource provider with the subscription."""

from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.core.exceptions import ARMErrorFormat


class NoRegistration(SansIOHTTPPolicy[Any, Any]):  # type: ignore[misc]
    """Keeps the SDK from registering a provider: a change that nobody asked for, with waits of 10 s that no budget knows."""

    def on_response(self, _request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Raise ARM's own error before the SDK's policy sees it. Raises HttpResponseError."""
        answer = response.http_response
        if answer.status_code == 409:
            if hasattr(answer, "read"):
                answer.read()
            failed = HttpResponseError(response=answer, error_format=ARMErrorFormat)
            if failed.error is not None and failed.error.code == "MissingSubscriptionRegistration":
                raise failed
