"""Google Cloud: nothing is imported from its SDK here; the spec says what is offered, and what of it is missing."""

from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.gcp"

spec = ProviderSpec(
    name="gcp",
    summary="Google Cloud",
    bills_as=("Google Cloud", "Google"),
    extra="gcp",
    settings=f"{_HERE}.settings:Settings",
    capabilities={
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(
            Support.PARTIAL, f"{_HERE}.object_store:open_object_store", "signed URLs need a service account"
        ),
        "Buckets": Offer(
            Support.PARTIAL, f"{_HERE}.buckets:open_buckets", "always encrypted, by Google's keys; deleted is soft-deleted for a week"
        ),
        "Cluster": Offer(Support.FULL, f"{_HERE}.cluster:open_cluster"),
        "ModelEndpoint": Offer(
            Support.PARTIAL,
            f"{_HERE}.endpoint:open_model_endpoint",
            "one version cannot be addressed alone; a package folder needs serving_image and staging_bucket",
        ),
        "Registry": Offer(Support.FULL, f"{_HERE}.registry:open_registry"),
        "Billing": Offer(
            Support.PARTIAL,
            f"{_HERE}.billing:open_billing",
            "needs the billing export to BigQuery (billing_table); a commitment's fee is not spread over what it covers",
        ),
        "BillFormats": Offer(Support.FULL, f"{_HERE}.bill_formats:open_bill_formats"),
        "Warehouse": Offer(
            Support.PARTIAL,
            f"{_HERE}.warehouse:open_warehouse",
            "BigQuery; of this machine one file a load, several from a bucket; results up to a million rows",
        ),
        "Jobs": Offer(
            Support.PARTIAL, f"{_HERE}.jobs:open_jobs", "containers only; the exit code as far as Vertex AI tells it; log lines come late"
        ),
        "DataAssets": Offer(Support.FULL, f"{_HERE}.data_assets:open_data_assets", "artifacts of Vertex ML Metadata"),
        "Computes": Offer(
            Support.PARTIAL,
            f"{_HERE}.computes:open_computes",
            "persistent resources of Vertex AI: at least one machine runs at all times, and none is a spot machine",
        ),
        "Instances": Offer(
            Support.PARTIAL,
            f"{_HERE}.instances:open_instances",
            "no prices of f1, g1, memory-optimized and local-SSD types; max_price is held against the list price: Google takes no bids",
        ),
        "Groups": Offer(Support.PARTIAL, f"{_HERE}.groups:open_groups", "a group whose autoscaler is on is not resized, but says how"),
        "Snapshots": Offer(
            Support.PARTIAL,
            f"{_HERE}.snapshots:open_snapshots",
            "disks only: a Cloud SQL backup has no labels and restores over an instance that exists",
        ),
        "Inventory": Offer(
            Support.PARTIAL,
            f"{_HERE}.inventory:open_inventory",
            "deletes instances, disks, snapshots, buckets and databases; Google's index follows a change after minutes",
        ),
        "Database": Offer(Support.FULL, f"{_HERE}.database:open_database", "a password only where IAM authentication is on: a token"),
        "Metrics": Offer(
            Support.FULL,
            f"{_HERE}.metrics:open_metrics",
            "the minimum and maximum of a distribution are bounds of its buckets; memory, GPUs and disks of machines need the Ops Agent",
        ),
        "Alarms": Offer(
            Support.PARTIAL,
            f"{_HERE}.alarms:open_alarms",
            "the state is worked out from the metric, for the API tells no incidents; whole minutes; no p90",
        ),
    },
    schemes=("gs",),
)
