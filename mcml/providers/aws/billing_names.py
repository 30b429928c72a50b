"""What AWS's bill calls things: FOCUS categories of services, codes of the Price List, regions in usage types; pure.

Usage types: https://docs.aws.amazon.com/cur/latest/userguide/cur-data-view.html; services: the names of Cost Explorer.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Service(NamedTuple):
    """A service's code in the Price List, its FOCUS category and subcategory."""

    code: str
    category: str
    subcategory: str


def _services(text: str) -> dict[str, Service]:
    lines = (line.split("|") for line in text.strip().splitlines())
    return {name.strip(): Service(code.strip(), category.strip(), sub.strip()) for name, code, category, sub in lines}


SERVICES: Mapping[str, Service] = _services("""
    Amazon Elastic Compute Cloud - Compute | AmazonEC2 | Compute | Virtual Machines
    Amazon Elastic Compute Cloud | AmazonEC2 | Compute | Virtual Machines
    EC2 - Other | AmazonEC2 | Compute | Other (Compute)
    AWS Lambda | AWSLambda | Compute | Serverless Compute
    Amazon Elastic Container Service for Kubernetes | AmazonEKS | Compute | Containers
    Amazon Elastic Kubernetes Service | AmazonEKS | Compute | Containers
    Amazon Elastic Container Service | AmazonECS | Compute | Containers
    Amazon EC2 Container Registry (ECR) | AmazonECR | Compute | Containers
    Savings Plans for AWS Compute usage | ComputeSavingsPlans | Compute | Virtual Machines
    Savings Plans for AWS Machine Learning | MachineLearningSavingsPlans | AI and Machine Learning | Machine Learning
    Amazon SageMaker | AmazonSageMaker | AI and Machine Learning | Machine Learning
    Amazon Bedrock | AmazonBedrock | AI and Machine Learning | Generative AI
    Amazon Simple Storage Service | AmazonS3 | Storage | Object Storage
    Amazon Elastic File System | AmazonEFS | Storage | File Storage
    AWS Backup | AWSBackup | Storage | Backup Storage
    Amazon Relational Database Service | AmazonRDS | Databases | Relational Databases
    Amazon DynamoDB | AmazonDynamoDB | Databases | NoSQL Databases
    Amazon ElastiCache | AmazonElastiCache | Databases | Caching
    Amazon Redshift | AmazonRedshift | Databases | Data Warehouses
    Amazon Athena | AmazonAthena | Analytics | Analytics Platforms
    AWS Glue | AWSGlue | Analytics | Data Processing
    Amazon Kinesis | AmazonKinesis | Analytics | Streaming Analytics
    AWS Data Transfer | AWSDataTransfer | Networking | Network Infrastructure
    Amazon Virtual Private Cloud | AmazonVPC | Networking | Network Infrastructure
    Amazon Elastic Load Balancing | AWSELB | Networking | Application Networking
    Elastic Load Balancing | AWSELB | Networking | Application Networking
    Amazon CloudFront | AmazonCloudFront | Networking | Content Delivery
    Amazon Route 53 | AmazonRoute53 | Networking | Network Routing
    AmazonCloudWatch | AmazonCloudWatch | Management and Governance | Observability
    AWS CloudTrail | AWSCloudTrail | Management and Governance | Observability
    AWS Cost Explorer | AWSCostExplorer | Management and Governance | Cost Management
    AWS Key Management Service | awskms | Security | Security
    AWS Secrets Manager | AWSSecretsManager | Security | Secret Management
    Amazon Simple Queue Service | AWSQueueService | Integration | Messaging
    Amazon Simple Notification Service | AmazonSNS | Integration | Messaging
    Tax | | Other | Other (Other)
""")
OTHER = Service("", "Other", "Other (Other)")
_BY_CODE = {service.code: service for service in reversed(list(SERVICES.values())) if service.code}

_PREFIXES = """
    USE1=us-east-1 USE2=us-east-2 USW1=us-west-1 USW2=us-west-2 CAN1=ca-central-1 CAW1=ca-west-1 MXC1=mx-central-1 SAE1=sa-east-1
    EU=eu-west-1 EUW1=eu-west-1 EUW2=eu-west-2 EUW3=eu-west-3 EUC1=eu-central-1 EUC2=eu-central-2 EUN1=eu-north-1 EUS1=eu-south-1
    EUS2=eu-south-2 APN1=ap-northeast-1 APN2=ap-northeast-2 APN3=ap-northeast-3 APS1=ap-southeast-1 APS2=ap-southeast-2 APS3=ap-south-1
    APS4=ap-southeast-3 APS5=ap-south-2 APS6=ap-southeast-4 APE1=ap-east-1 MES1=me-south-1 MEC1=me-central-1 AFS1=af-south-1
    ILC1=il-central-1 UGW1=us-gov-west-1 UGE1=us-gov-east-1
"""
_REGIONS = dict(pair.split("=") for pair in _PREFIXES.split())


def service_of(name: str) -> Service:
    """Return what is known of a service, by its name or its code; "Other" for one that is in no table."""
    return SERVICES.get(name) or _BY_CODE.get(name) or OTHER


def region_of(usage_type: str) -> str | None:
    """Return the region in a usage type's prefix; None where there is none (us-east-1 then, or a service without regions)."""
    return _REGIONS.get(usage_type.partition("-")[0])


def is_spot(usage_type: str) -> bool:
    """Tell whether a usage type is that of a spot machine."""
    return "SpotUsage" in usage_type
