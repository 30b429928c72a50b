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
    account: str = Field(
        default="", pattern=r"^(\d{12})?$", description="Account that `mcml infra` works on; Terraform refuses credentials of another one."
    )
    region: str = Field(default="", pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$", description="Region of what names none; empty: the SDK's chain.")
    endpoint_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#@]+)?$", description="Other address of all services: an S3-compatible store, or a test."
    )
    image: str = Field(
        default="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
        pattern=r"^(ami-[0-9a-f]+|resolve:ssm:\S+)$",
        description="Image of the spot machines that mcml asks for: its id, or an SSM parameter that holds it, as resolve:ssm:NAME.",
    )
    subnet: str = Field(
        default="", pattern=r"^(subnet-[0-9a-f]+)?$", description="Subnet of those machines; empty: one of the account's default VPC."
    )
    billing_export: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9.-]{3,63}/\S+)?$",
        description="Where Data Exports puts the bill (FOCUS or CUR 2.0, CSV in gzip): s3://BUCKET/PREFIX/EXPORT; empty: Cost Explorer.",
    )
    billing_tag: str = Field(
        default="", description="Cost Explorer tells usage types, or one tag's values instead: that tag (it must be a cost allocation tag)."
    )
    athena_output: str = Field(
        default="", pattern=r"^(s3://[a-z0-9.-]{3,63}/\S*)?$", description="Where Athena writes results; empty: where its workgroup says."
    )
    athena_workgroup: str = Field(default="", description="Workgroup of Athena's queries; empty: primary.")
    database_user: str = Field(
        default="", description="User of RDS databases that are entered with an IAM token; empty: the master user, by RDS's secret if any."
    )
    sagemaker_role: str = Field(
        default="",
        pattern=r"^(arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)?$",
        description="Role that SageMaker takes for what it runs: endpoints and jobs need one.",
    )
    serving_image: str = Field(
        default="", description="Image (in ECR) that serves a model package on SageMaker: it answers /ping and /invocations."
    )
    staging: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9.-]{3,63}(/\S*)?)?$",
        description="Where model packages and the output of jobs go for SageMaker: s3://BUCKET/PREFIX.",
    )
