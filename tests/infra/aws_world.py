"""A project on AWS for tests: roots of one's own on the stub of the provider, and moto as the account; as it is typed.

The stub remembers nothing but the state, so what a root says it made is made on moto by the test, with the same ids, where that matters.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

from tests.infra.rig import Project
from tests.infra.test_baddays import begin
from tests.terraform.modules import SCHEMAS
from tests.terraform.roots import ANSWERS, merged_schemas
from tests.terraform.stub_provider import mirror

REGION, ACCOUNT = "eu-west-1", "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
DENIED = ("tags", "public-bucket", "encryption-at-rest", "deletion-protection")
HEAD = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
variable "region" { default = "eu-west-1" }
provider "aws" {
  region = var.region
}
"""


PATH_STYLE = "s3_use_path_style = true\nregion = var"


@dataclass
class World:
    """A project whose things are tagged with its `name`, and the account at `url`."""

    project: Project
    url: str
    folder: Path
    name: str = field(default_factory=lambda: f"acme-{uuid4().hex[:8]}")
    more: Mapping[str, Any] = field(default_factory=dict)
    """More tables of mcml.toml, as text by their heads."""
    shipped: bool = False
    """Whether the roots are mcml's own, which use more of the provider than one's own here do."""

    real: Path | None = None
    """A mirror with the real provider, which then works on moto too."""

    def __post_init__(self) -> None:
        if self.real:
            here = {"AWS_ENDPOINT_URL": self.url}
            self.project.environ = {**self.project.environ, **mirror.environment(self.real, self.folder), **KEYS, **here}
            return
        self.stub()
        schemas = merged_schemas(self.folder) if self.shipped else SCHEMAS
        mirror.install(self.folder / "mirror", "hashicorp/aws", "5.100.0", schemas / "aws.json", self.folder / "more.json")
        self.project.environ = {**self.project.environ, **mirror.environment(self.folder / "mirror", self.folder), **KEYS}

    def stub(self, answers: Mapping[str, Any] | None = None, found: Mapping[str, Any] | None = None) -> None:
        """Say what the stub of the provider answers from now on."""
        told = json.loads((SCHEMAS / "aws.more.json").read_text()) | {"found": found or {}}
        told["answers"] |= {**ANSWERS["aws"], **(answers or {})} if self.shipped else answers or {}
        (self.folder / "more.json").write_text(json.dumps(told))

    def write(self, endpoint: str = "", **roots: str) -> None:
        """Write mcml.toml and these roots of one's own; `endpoint` is where the account is, if not on moto."""
        tables = [f'name = "{self.name}"', f'[providers.aws]\nregion = "{REGION}"\nendpoint_url = "{endpoint or self.url}"']
        for name, text in roots.items():
            folder = self.project.folder / "roots" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "main.tf").write_text((HEAD.replace("region = var", PATH_STYLE) if self.real else HEAD) + text)
            tables.append(f'[infra.units.{name}]\nmodule = "roots/{name}"\nclouds = ["aws"]\nvariables = {{ region = "{REGION}" }}')
        tables += [f"[{head}]\n{text}" for head, text in self.more.items()]
        (self.project.folder / "mcml.toml").write_text("\n".join(tables) + "\n")

    def mcml(self, *args: str) -> tuple[int, str, str]:
        """Type `mcml infra ...`; return its exit code and what it said."""
        process = begin(self.project, *args)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def done(self, *args: str) -> str:
        """Type it, which must succeed; return what it said."""
        code, out, err = self.mcml(*args)
        assert code == 0, (code, out, err)
        return out

    def apply(self, *filters: str) -> None:
        """Apply; the roots here say only what a test is about, which the policies do not like."""
        self.done("apply", *filters, "--yes", *(word for rule in DENIED for word in ("--accept", rule)))

    def items(self, *args: str, code: int = 0) -> list[dict[str, Any]]:
        """Type it with -o json; return the items of its document."""
        ended, out, err = self.mcml(*args, "-o", "json")
        assert ended == code, (ended, out, err)
        found: list[dict[str, Any]] = json.loads(out)["items"]
        return found

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """Return the facts of one kind in the journal, oldest first."""
        argv = [sys.executable, "-m", "mcml.cli.main", "journal", "list", "--kind", kind, "-o", "json"]
        env = dict(self.project.environ)
        told = subprocess.run(argv, cwd=self.project.folder, env=env, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        return [item["facts"] for item in json.loads(told.stdout)["items"]]

    def boto(self, service: str) -> Any:
        """A client of the account."""
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, **keys)

    @property
    def tags(self) -> dict[str, str]:
        """What all that belongs to the environment carries."""
        return {"project": self.name, "environment": "dev"}

    def bucket(self, name: str, objects: Sequence[str] = (), tags: Mapping[str, str] | None = None) -> str:
        """Make a versioned bucket with objects that have two versions; return its ARN."""
        s3 = self.boto("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": listed(self.tags if tags is None else tags)})
        for key in objects:
            s3.put_object(Bucket=name, Key=key, Body=b"old")
            s3.put_object(Bucket=name, Key=key, Body=b"new")
        return f"arn:aws:s3:::{name}"

    def volume(self, tags: Mapping[str, str] | None = None) -> str:
        """Make a disk; return its ARN."""
        said = [{"ResourceType": "volume", "Tags": listed(self.tags if tags is None else tags)}]
        made = self.boto("ec2").create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=said)
        return f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/{made['VolumeId']}"

    def load_balancer(self, tags: Mapping[str, str] | None = None) -> str:
        """Make a load balancer in a network of its own; return its ARN."""
        ec2 = self.boto("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]["SubnetId"]
            for n, zone in enumerate("ab")
        ]
        asked = {"Name": f"k8s-{uuid4().hex[:12]}", "Subnets": subnets, "Tags": listed(self.tags if tags is None else tags)}
        return str(self.boto("elbv2").create_load_balancer(**asked)["LoadBalancers"][0]["LoadBalancerArn"])

    def there(self) -> set[str]:
        """The ARNs of all in the account that carries the environment's tags."""
        filters = [{"Key": key, "Values": [value]} for key, value in self.tags.items()]
        listed_now = self.boto("resourcegroupstaggingapi").get_resources(TagFilters=filters)["ResourceTagMappingList"]
        return {one["ResourceARN"] for one in listed_now}


def listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
