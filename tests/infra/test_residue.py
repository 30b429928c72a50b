"""What is loose, what a cluster made, what stops a destroy: decided on values, in the spellings of all three clouds."""

import pytest

from mcml.core.errors import Conflict
from mcml.infra.accounts import Place
from mcml.infra.leftovers import left_by, now
from mcml.infra.plans.guarded import Guarded, Store, refuse
from mcml.infra.residue.adopt import adoption, check
from mcml.infra.residue.residue import Held, held_in, remains, unmanaged
from mcml.providers.api.inventory import Resource

DISK = "/subscriptions/S-1/resourceGroups/ML/providers/Microsoft.Compute/disks/D1"


def held(kind: str, **values: object) -> tuple[Held, ...]:
    instances = [{"attributes": values, "index_key": "a"}]
    one = {"mode": "managed", "module": "module.data", "type": kind, "name": "this", "instances": instances}
    return held_in("aws-data", {"resources": [one]})


@pytest.mark.parametrize(
    ("kind", "values", "found"),
    [
        ("aws_s3_bucket", {"arn": "arn:aws:s3:::b"}, ("s3:bucket", "arn:aws:s3:::b")),
        ("aws_nat_gateway", {"id": "nat-0123456789abcdef0"}, ("ec2:natgateway", "arn:aws:ec2:r:1:natgateway/nat-0123456789abcdef0")),
        ("aws_cloudwatch_log_group", {"arn": "arn:aws:logs:x:1:log-group:/a:*"}, ("logs:log-group", "arn:aws:logs:x:1:log-group:/a")),
        ("google_storage_bucket", {"url": "gs://b"}, ("bucket", "b")),
        ("google_compute_disk", {"id": "projects/p/zones/europe-west1-b/disks/d"}, ("disk", "europe-west1-b/d")),
        (
            "google_sql_database_instance",
            {"self_link": "https://sqladmin.googleapis.com/sql/v1beta4/projects/p/instances/n"},
            ("database", "n"),
        ),
        (
            "google_container_cluster",
            {"id": "projects/p/locations/r/clusters/c"},
            ("x", "container.googleapis.com/projects/7/zones/r/clusters/c"),
        ),
        ("azurerm_managed_disk", {"id": DISK}, ("Microsoft.Compute/disks", DISK.lower())),
    ],
    ids=["arn", "ec2-id", "log-group", "gs", "disk", "sql", "gke", "azure"],
)  # fmt: skip
def test_a_state_and_an_inventory_mean_the_same_thing(kind: str, values: dict[str, object], found: tuple[str, str]) -> None:
    there = Resource(*found, "somewhere")
    assert unmanaged([there], held(kind, **values)) == ()
    assert unmanaged([there], held(kind, id="other")) == (there,)


def test_what_a_living_cluster_made_is_not_loose_and_is_left_when_it_is_gone() -> None:
    owned = {"kubernetes.io/cluster/acme-dev": "owned"}
    volume = Resource("ec2:volume", "arn:aws:ec2:r:1:volume/vol-1", "r", {**owned, "CSIVolumeName": "pvc"})
    own = Resource("ec2:volume", "arn:aws:ec2:r:1:volume/vol-2", "r", owned)
    assert unmanaged([volume], held("aws_eks_cluster", name="acme-dev")) == ()
    made = left_by(["acme-dev"], Place("aws", "r"), [own, volume], ())
    assert [one.resource for one in made] == [volume], "a machine's own disk goes with the machine"
    assert now(made, []) == (), "what holds data and was not shown stays"
    assert now(made, made) == made
    assert left_by(["acme-prod"], Place("aws", "r"), [own, volume], ()) == ()


def test_what_was_destroyed_just_now_is_going_and_the_rest_is_left() -> None:
    key, other = Resource("kms:key", "arn:aws:kms:r:1:key/k", "r"), Resource("sns:topic", "arn:aws:sns:r:1:t", "r")
    before = held("aws_kms_key", arn=key.id)
    found = remains([key, other], before, ())
    assert (found.left, found.going) == ((other,), (key,))
    assert remains([key], held("aws_kms_key", arn=key.id, skip_destroy=True), ()).left == (key,)
    assert remains([key], before, before).going == ()


def test_a_stop_is_said_before_anything_is_touched() -> None:
    guarded = [Guarded("aws-data", "aws_db_instance.this", "deletion_protection is on")]
    asked = {"unprotect": False, "empty": False, "command": "mcml infra destroy"}
    with pytest.raises(Conflict, match="nothing was touched: aws-data") as refused:
        refuse(guarded, [], {"aws-data": True}, **asked)  # type: ignore[arg-type]
    assert refused.value.next_step == "mcml infra destroy --unprotect"
    refuse(guarded, [], {"aws-data": True}, **asked | {"unprotect": True})  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="protected"):
        refuse(guarded, [], {}, **asked | {"unprotect": True})  # type: ignore[arg-type]
    full = [Store("aws-data", "aws_s3_bucket.this", "aws", "b", reason="it holds objects")]
    with pytest.raises(Conflict, match="not empty, so nothing was touched: b") as refused:
        refuse([], full, {}, **asked)  # type: ignore[arg-type]
    assert refused.value.next_step.startswith("mcml infra destroy --empty-buckets")
    refuse([], full, {}, **asked | {"empty": True})  # type: ignore[arg-type]


def test_how_to_adopt_what_was_found() -> None:
    bucket, like = Resource("s3:bucket", "arn:aws:s3:::b", "r"), held("aws_s3_bucket", arn="arn:aws:s3:::other")
    assert adoption(bucket, like) == "mcml infra import aws-data 'module.data.aws_s3_bucket.this[\"NAME\"]' b"
    assert adoption(bucket, ()) == "mcml infra import UNIT aws_s3_bucket.NAME b"
    assert adoption(Resource("strange:thing", "arn:aws:strange:r:1:thing/x", "r"), ()) == ""
    with pytest.raises(Conflict, match="in the state of aws-data already"):
        check("aws-data", 'module.data.aws_s3_bucket.this["a"]', like)
