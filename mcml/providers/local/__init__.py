"""This machine as a cloud: folders, processes, and measured use as the bill; the demo, the reference and the test double at once."""

from mcml.providers.api.capability import Offer, Support
from mcml.providers.api.spec import ProviderSpec

_HERE = "mcml.providers.local"

spec = ProviderSpec(
    name="local",
    summary="this machine: folders, processes, measured use as bills",
    bills_as=("mcml local",),
    extra="serve",
    settings=f"{_HERE}.settings:Settings",
    schemes=("local",),
    capabilities={
        "Identity": Offer(Support.FULL, f"{_HERE}.identity:open_identity"),
        "ObjectStore": Offer(Support.PARTIAL, f"{_HERE}.object_store:open_object_store", "no signed URLs: no server answers for a folder"),
        "Buckets": Offer(Support.PARTIAL, f"{_HERE}.buckets:open_buckets", "no encryption: the disk's own is in force"),
        "Cluster": Offer(Support.IMPOSSIBLE, note="one machine has no Kubernetes API; models run as processes"),
        "ModelEndpoint": Offer(Support.FULL, f"{_HERE}.endpoint:open_model_endpoint", protocols=frozenset({"http", "grpc"})),
        "Billing": Offer(Support.FULL, f"{_HERE}.billing:open_billing"),
        "Metrics": Offer(Support.FULL, f"{_HERE}.metrics:open_metrics"),
        "Instances": Offer(Support.PARTIAL, f"{_HERE}.instances:open_instances", "a machine is a process, its memory limit per process"),
        "Groups": Offer(Support.PARTIAL, f"{_HERE}.groups:open_groups", "a dead member is replaced by the next resize, not by itself"),
        "Snapshots": Offer(Support.PARTIAL, f"{_HERE}.snapshots:open_snapshots", "a disk is copied file by file, not as of one instant"),
        "Inventory": Offer(Support.FULL, f"{_HERE}.inventory:open_inventory"),
        "Database": Offer(Support.FULL, f"{_HERE}.database:open_database"),
        "Registry": Offer(Support.FULL, f"{_HERE}.registry:open_registry"),
        "Alarms": Offer(Support.PARTIAL, f"{_HERE}.alarms:open_alarms", "a state is worked out when it is asked for: nobody is notified"),
        "Jobs": Offer(Support.PARTIAL, f"{_HERE}.jobs:open_jobs", "no containers, no GPUs: a job is a command of this machine"),
        "Warehouse": Offer(Support.FULL, f"{_HERE}.warehouse:open_warehouse"),
        "DataAssets": Offer(Support.FULL, f"{_HERE}.data_assets:open_data_assets"),
        "Computes": Offer(
            Support.PARTIAL, f"{_HERE}.computes:open_computes", "a machine is a share of this one; a spot machine is never taken away"
        ),
        "BillFormats": Offer(Support.IMPOSSIBLE, note="it has no bills but its own FOCUS rows"),
    },
)
