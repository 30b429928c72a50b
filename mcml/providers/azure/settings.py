"""`[providers.azure]` of mcml.toml: which subscription, tenant and storage account; never a credential.

Credentials come from the environment: `AZURE_STORAGE_CONNECTION_STRING` or `AZURE_STORAGE_KEY` for a storage account's key, else
whatever azure-identity's default chain finds (service principal, workload or managed identity, `az login`).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

PUBLIC_ENDPOINT = "https://{account}.blob.core.windows.net"
AccountName = Annotated[str, StringConstraints(pattern="^[a-z0-9]{3,24}$")]


class Settings(BaseModel):
    """Settings of the Azure provider; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subscription: str = Field(default="", description="Id of the subscription; empty: AZURE_SUBSCRIPTION_ID.")
    tenant: str = Field(default="", description="Id or domain of the Microsoft Entra tenant to log in to; empty: the credential's own.")
    client_id: str = Field(default="", description="Client id of a managed identity of your own; empty: AZURE_CLIENT_ID, or the machine's.")
    storage_account: str = Field(
        default="",
        pattern="^([a-z0-9]{3,24})?$",
        description="Storage account of the containers; empty: AZURE_STORAGE_ACCOUNT, or that of the connection string.",
    )
    accounts: dict[str, AccountName] = Field(
        default_factory=dict, description="Storage account by container, for those that are not in `storage_account` (another region)."
    )
    endpoint: str = Field(
        default=PUBLIC_ENDPOINT,
        description="Blob endpoint of other clouds, private links or Azurite; {account} stands for the storage account.",
    )

    management: str = Field(
        default="https://management.azure.com",
        description="Address of Azure Resource Manager: other clouds, or a test; always https, tokens go there.",
        pattern=r"^https://[^\s?#@;]+$",
    )
    resource_group: str = Field(default="", description="Resource group of what names none (clusters, endpoints, databases, machines).")

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str) -> str:
        """Refuse what is no plain address: a signed URL in a file would be a credential in a file."""
        if not endpoint.startswith(("https://", "http://")) or any(mark in endpoint for mark in "?#@; "):
            raise ValueError("it must be https://HOST[/PATH] without user, query or signature")
        return endpoint.rstrip("/")
