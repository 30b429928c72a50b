"""Microsoft Azure: nothing is imported from its SDK here; the spec says what is offered, and what of it is missing."""

from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.azure"

spec = ProviderSpec(
    name="azure",
    summary="Microsoft Azure",
    bills_as=("Microsoft", "Microsoft Azure"),
    extra="azure",
    settings=f"{_HERE}.settings:Settings",
    capabilities={
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(Support.FULL, f"{_HERE}.object_store:open_object_store"),
        "Buckets": Offer(
            Support.PARTIAL,
            f"{_HERE}.buckets:open_buckets",
            "with a login and a subscription; versioning goes on for the whole storage account and never off; an old version's days"
            " count from when it was written; with an account key alone, versioning and expiry are not changed",
        ),
        "Cluster": Offer(
            Support.PARTIAL,
            f"{_HERE}.cluster:open_cluster",
            "a cluster with local accounts only cannot be entered; a pool of several machine types, or with an autoscaler, is not scaled",
        ),
        "ModelEndpoint": Offer(
            Support.FULL,
            f"{_HERE}.endpoint:open_model_endpoint",
            "Azure ML managed online endpoints; a package folder or a registered model needs serving_image",
        ),
        "Jobs": Offer(
            Support.PARTIAL,
            f"{_HERE}.jobs:open_jobs",
            "Azure ML command jobs: containers only, on a compute cluster; the exit code as far as Azure's words name it",
        ),
        "DataAssets": Offer(Support.FULL, f"{_HERE}.data_assets:open_data_assets", "data assets of an Azure ML workspace"),
        "Computes": Offer(Support.FULL, f"{_HERE}.computes:open_computes", "AmlCompute clusters; spot is Azure's low priority"),
        "Registry": Offer(Support.FULL, f"{_HERE}.registry:open_registry"),
        "Warehouse": Offer(
            Support.IMPOSSIBLE,
            note="SQL over blobs is Synapse serverless or Fabric, over TDS, in a workspace that is not mcml's; what answers over HTTP is "
            "no way round: Blob query knows one blob, Data Explorer speaks another language, Databricks is an account of its own",
        ),
        "Billing": Offer(
            Support.PARTIAL,
            f"{_HERE}.billing:open_billing",
            "exports in Parquet go through `mcml data cp` and `mcml cost ingest`; the query API knows sums, no quantities or list prices",
        ),
        "BillFormats": Offer(
            Support.PARTIAL,
            f"{_HERE}.bill_formats:open_bill_formats",
            "ActualCost or AmortizedCost of a month (EA, MCA), one of the two; list prices only where the file has their cost",
        ),
        "Instances": Offer(
            Support.PARTIAL,
            f"{_HERE}.instances:open_instances",
            "a machine whose command has ended runs on until it is stopped; that a spot machine was taken away shows minutes later",
        ),
        "Groups": Offer(Support.FULL, f"{_HERE}.groups:open_groups"),
        "Snapshots": Offer(
            Support.PARTIAL, f"{_HERE}.snapshots:open_snapshots", "managed disks; Azure SQL keeps backups of its own (az sql db restore)"
        ),
        "Inventory": Offer(Support.FULL, f"{_HERE}.inventory:open_inventory"),
        "Database": Offer(
            Support.PARTIAL,
            f"{_HERE}.database:open_database",
            "Azure SQL Database only; how far a geo-replica lags is told by the database itself and not by Azure's API",
        ),
        "Metrics": Offer(
            Support.PARTIAL,
            f"{_HERE}.metrics:open_metrics",
            "platform metrics of the resource that `resource` names (of machines: `instance`), by Azure's eight steps; no percentiles",
        ),
        "Alarms": Offer(
            Support.PARTIAL,
            f"{_HERE}.alarms:open_alarms",
            "a rule looks at one period of one resource, and cannot fire for missing data",
        ),
    },
    schemes=("az",),
)
