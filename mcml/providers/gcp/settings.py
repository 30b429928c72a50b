"""`[providers.gcp]` of mcml.toml: where to work and as whom; never a credential, those are found by Google's own default chain."""

import ipaddress
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Settings(BaseModel):
    """Settings of the provider; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str = Field(default="", description="Project id; empty: that of the credentials, of GOOGLE_CLOUD_PROJECT or of gcloud.")
    impersonate_service_account: str = Field(
        default="",
        pattern=r"^([^@\s/]+@[^@\s/]+)?$",
        description="Email of a service account to act as, with the credentials found as the source.",
    )
    endpoint: str = Field(
        default="",
        description="One base URL instead of Google's for every API (tests, a private gateway); https, or http on this machine.",
    )

    billing_table: str = Field(
        default="",
        pattern=r"^([^.`\s]+\.[^.`\s]+\.[^.`\s]+)?$",
        description="PROJECT.DATASET.TABLE of the billing export to BigQuery (standard, detailed or FOCUS).",
    )
    pricing_table: str = Field(
        default="",
        pattern=r"^([^.`\s]+\.[^.`\s]+\.[^.`\s]+)?$",
        description="PROJECT.DATASET.cloud_pricing_export; empty: prices come from the Cloud Billing Catalog.",
    )
    zone: str = Field(
        default="",
        pattern=r"^([a-z]+-[a-z]+\d+-[a-z])?$",
        description="Zone of new machines and disks (europe-west1-b); empty: the first of the target's region that has room.",
    )
    network: str = Field(default="global/networks/default", description="VPC network of new machines; they get no address outside it.")
    subnetwork: str = Field(default="", description="Subnetwork of new machines (regions/REGION/subnetworks/NAME); or the network's.")
    image: str = Field(
        default="projects/debian-cloud/global/images/family/debian-12", description="Image or image family that new machines boot from."
    )
    service_account: str = Field(
        default="",
        pattern=r"^([^@\s/]+@[^@\s/]+)?$",
        description="Email of the service account that new machines run as; empty: none, they reach no Google API.",
    )
    grpc_endpoint: str = Field(
        default="",
        pattern=r"^((localhost|127\.0\.0\.1|\[::1\]):\d+)?$",
        description="host:port on this machine instead of Google's, in plain text, for the APIs that speak gRPC only (tests).",
    )

    serving_image: str = Field(default="", description="Image of a v2 model server, for endpoints that are made from a package folder.")
    staging_bucket: str = Field(default="", description="Bucket that such package folders are copied to, without gs://.")

    @field_validator("endpoint")
    @classmethod
    def _is_safe(cls, endpoint: str) -> str:
        if not endpoint:
            return ""
        parts = urlsplit(endpoint)
        if parts.username or parts.password or parts.query or parts.path.strip("/"):
            raise ValueError("an endpoint is scheme://host[:port] and nothing more")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))):
            raise ValueError("an endpoint is https://host[:port]: tokens go there; plain http only to this machine")
        return endpoint.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
