"""`[providers.aws]` of mcml.toml: which of the person's own credentials to use, and where; never a credential itself."""

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of the provider; an unknown key is refused. What is empty is left to the SDK's own chain (environment, ~/.aws, machine)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(default="", description="Profile of ~/.aws/config; empty: AWS_PROFILE, else the SDK's default chain.")
    role_arn: str = Field(
        default="",
        pattern=r"^(arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)?$",
        description="Role to assume with those credentials, through STS, for every call.",
    )
    region: str = Field(default="", pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$", description="Region of what names none; empty: the SDK's chain.")
    endpoint_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#@]+)?$", description="Other address of all services: an S3-compatible store, or a test."
    )
