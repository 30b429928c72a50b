"""Amazon Web Services: nothing is imported from its SDK here; the spec says what is offered."""

from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.aws"

spec = ProviderSpec(
    name="aws",
    summary="Amazon Web Services",
    bills_as=("AWS", "Amazon Web Services"),
    extra="aws",
    settings=f"{_HERE}.settings:Settings",
    capabilities={
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(Support.FULL, f"{_HERE}.object_store:open_object_store"),
        "Buckets": Offer(Support.FULL, f"{_HERE}.buckets:open_buckets"),
        "Cluster": Offer(
            Support.PARTIAL, f"{_HERE}.cluster:open_cluster", "pools are managed node groups; Fargate, Auto Mode and Karpenter have none"
        ),
        "ModelEndpoint": Offer(Support.FULL, f"{_HERE}.model_endpoint:open_model_endpoint"),
        "Registry": Offer(Support.FULL, f"{_HERE}.registry:open_registry"),
        "Jobs": Offer(
            Support.PARTIAL,
            f"{_HERE}.jobs:open_jobs",
            "SageMaker Processing; on a compute training jobs, there on spot machines too; no checkpoints",
        ),
        "DataAssets": Offer(
            Support.FULL, f"{_HERE}.data_assets:open_data_assets", "lineage artifacts of SageMaker, found among all its data sets"
        ),
        "Computes": Offer(
            Support.PARTIAL,
            f"{_HERE}.computes:open_computes",
            "AWS Batch before SageMaker's training jobs: a limit and a queue, no machine stands by (minimum 0); tried on its API's model",
        ),
        "Instances": Offer(
            Support.PARTIAL, f"{_HERE}.instances:open_instances", "EC2 does not change the type of a spot machine: it takes a new one"
        ),
        "Groups": Offer(Support.FULL, f"{_HERE}.groups:open_groups"),
        "Snapshots": Offer(Support.PARTIAL, f"{_HERE}.snapshots:open_snapshots", "EBS volumes and RDS instances; no Aurora clusters"),
        "Inventory": Offer(
            Support.PARTIAL, f"{_HERE}.inventory:open_inventory", "what AWS's tagging API shows, Auto Scaling groups; no IAM roles or users"
        ),
        "Database": Offer(Support.PARTIAL, f"{_HERE}.database:open_database", "RDS instances; an Aurora cluster shows as its members"),
        "Metrics": Offer(
            Support.PARTIAL,
            f"{_HERE}.metrics:open_metrics",
            "percentiles of one series only, from a start at a multiple of the step; memory, GPUs, disks of machines by its agent",
        ),
        "Alarms": Offer(Support.PARTIAL, f"{_HERE}.alarms:open_alarms", "over one metric; not over formulas, anomaly bands, other alarms"),
        "Warehouse": Offer(
            Support.PARTIAL,
            f"{_HERE}.warehouse:open_warehouse",
            "Athena loads CSV and JSON (Parquet needs a Glue crawler); tried on its API's model with DuckDB in its engine's place",
        ),
        "Billing": Offer(
            Support.PARTIAL,
            f"{_HERE}.billing:open_billing",
            "exports in Parquet go through `mcml data cp` and `mcml cost ingest`; Cost Explorer knows sums by service and usage type only",
        ),
        "BillFormats": Offer(Support.FULL, f"{_HERE}.bill_formats:open_bill_formats"),
    },
    schemes=("s3",),
)
