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
    prices: str = Field(
        default="https://prices.azure.com",
        description="Address of the public price list (no login), or of a test.",
        pattern=r"^https?://[^\s?#@;]+$",
    )
    subnet: str = Field(default="", description="Id of the subnet of machines that mcml starts (az network vnet subnet show --query id).")
    image: str = Field(
        default="",
        pattern=r"^(/subscriptions/\S+|[^\s:/]+(:[^\s:/]+){3})?$",
        description="Image of machines that mcml starts: publisher:offer:sku:version, or the id of one of your own; Linux with cloud-init.",
    )
    ssh_public_key: str = Field(default="", description="Public SSH key that machines let in (user mcml); empty: nobody can log in.")
    resource_group: str = Field(default="", description="Resource group of what names none (clusters, endpoints, databases, machines).")
    workspace: str = Field(default="", description="Azure Machine Learning workspace of endpoints and jobs: its name, or its whole id.")
    compute: str = Field(default="", description="Compute cluster of that workspace that jobs run on, where they name none.")
    serving_image: str = Field(default="", description="Image of a v2 model server, for endpoints that are made from a model's files.")
    registry: str = Field(
        default="",
        pattern=r"^([a-z0-9-]+(\.[a-z0-9-]+)*(:\d+)?)?$",
        description="Container registry: its name (acmeml), or its login server (acmeml.azurecr.io).",
    )

    billing_export: str = Field(
        default="",
        pattern=r"^(az://[a-z0-9$-]{3,63}/\S+)?$",
        description="Where a FocusCost export puts the bill (CSV): az://CONTAINER/DIRECTORY/EXPORT; empty: Cost Management is asked.",
    )
    billing_scope: str = Field(
        default="",
        pattern=r"^(/(subscriptions|providers)/[^\s?#]+)?$",
        description="Whose costs: /providers/Microsoft.Billing/billingAccounts/ID, a management group, ...; empty: the subscription.",
    )
    billing_tag: str = Field(default="", description="The tag whose values Cost Management is asked to tell; exports have them all.")

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str) -> str:
        """Refuse what is no plain address: a signed URL in a file would be a credential in a file."""
        if not endpoint.startswith(("https://", "http://")) or any(mark in endpoint for mark in "?#@; "):
            raise ValueError("it must be https://HOST[/PATH] without user, query or signature")
        return endpoint.rstrip("/")
