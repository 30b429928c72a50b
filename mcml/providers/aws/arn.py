"""Amazon resource names: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html"""

import re
from dataclasses import dataclass

INSTANCE, GROUP = "ec2:instance", "autoscaling:autoScalingGroup"
_BARE = {"s3": "bucket", "sns": "topic", "sqs": "queue"}
"""Services whose ARNs end with a name alone, and what it names."""


@dataclass(frozen=True)
class Arn:
    """An ARN in its parts; `resource` is all after the account."""

    partition: str
    service: str
    region: str
    account: str
    resource: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def kind(self) -> str:
        """The service and the type: "ec2:volume", "rds:db", "s3:bucket"."""
        return f"{self.service}:{_BARE.get(self.service) or self._split[0]}"

    @property
    def name(self) -> str:
        """What comes after the type: "vol-1", "app/name/50dc6c49"; of an Auto Scaling group its name."""
        if self.kind == GROUP:
            return self.resource.partition("autoScalingGroupName/")[2]
        return self.resource if self.service in _BARE else self._split[1]

    @property
    def _split(self) -> tuple[str, str]:
        kind, *rest = re.split("[:/]", self.resource, maxsplit=1)
        return kind, rest[0] if rest else ""


def arn_of(text: str) -> Arn | None:
    """Read an ARN; None for what is none."""
    parts = text.split(":", 5)
    return Arn(*parts[1:]) if len(parts) == 6 and parts[0] == "arn" and parts[5] else None
