"""`mcml infra destroy` on an account, to the end: what stops it, what the clusters made, what is left. Moto is the account."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import PartlyDone, Unavailable
from mcml.core.schema import Settings
from mcml.infra.accounts import Account, Place, Scope
from mcml.infra.plans.policy import denied as denied_of
from mcml.infra.teardown import Wrecker
from mcml.infra.units.units import units_of
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.inventory import Blocker, Resource
from tests.infra.aws_world import ACCOUNT, REGION, World
from tests.infra.rig import Project
from tests.infra.test_baddays import begin, until
from tests.infra.test_fleet import own
from tests.infra.test_three_clouds import SETTINGS, clouds
from tests.providers.aws import moto_server
from tests.terraform.test_aws_moto import MIRROR, real_provider

__all__ = ["clouds"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server.running(tmp_path_factory.mktemp("moto")) as listening:
        yield listening


@pytest.fixture
def world(project: Project, url: str, tmp_path: Path) -> World:
    project.targets = {}
    return World(project, url, tmp_path)


TOPIC = 'resource "aws_sns_topic" "alarms" { name = "alarms" }\n'
DATABASE = """
resource "aws_db_instance" "this" {
  identifier          = "orders"
  instance_class      = "db.t4g.micro"
  deletion_protection = PROTECTED
  skip_final_snapshot = true
}
"""
HELD = """
resource "terraform_data" "held" {
  input      = aws_eks_cluster.this.name
  depends_on = [aws_eks_cluster.this]
  provisioner "local-exec" {
    when    = destroy
    command = "touch MARKS/begun; until [ -e MARKS/go ]; do sleep 0.05; done"
  }
}
"""


def cluster(name: str) -> str:
    return f"""
resource "aws_eks_cluster" "this" {{
  name     = "{name}"
  role_arn = "arn:aws:iam::123456789012:role/x"
  vpc_config {{
    subnet_ids = ["subnet-1"]
  }}
}}
"""


def owned(name: str, **more: str) -> dict[str, str]:
    """The tags of what the controllers of a cluster make."""
    return {f"kubernetes.io/cluster/{name}": "owned", **more}


def claim(name: str) -> dict[str, str]:
    return owned(name, **{"kubernetes.io/created-for/pvc/name": "models", "CSIVolumeName": "pvc-1"})


def volumes(world: World) -> set[str]:
    listed = world.boto("ec2").describe_volumes()["Volumes"]
    return {one["VolumeId"] for one in listed}


def balancers(world: World) -> set[str]:
    return {one["LoadBalancerArn"] for one in world.boto("elbv2").describe_load_balancers()["LoadBalancers"]}


def test_what_is_protected_in_a_root_of_ones_own_is_refused_before_anything_is_touched(world: World) -> None:
    world.write(app=TOPIC, db=DATABASE.replace("PROTECTED", "true"))
    world.apply()
    for more in ((), ("--unprotect",)):
        code, _, err = world.mcml("destroy", "--yes", *more)
        assert code == 1, err
        assert "protected from deletion, so nothing was touched: db" in err
        assert "aws_db_instance.this: deletion_protection is on" in err
        assert "mcml infra apply db    # after switching it off in the root of db" in err
    assert world.facts("infra.destroyed") == []
    code, out, _ = world.mcml("destroy", "--dry-run")
    assert (code, "db: aws_db_instance.this: deletion_protection is on" in " ".join(out.split())) == (0, True), out
    world.write(app=TOPIC, db=DATABASE.replace("PROTECTED", "false"))
    world.apply("db")
    world.done("destroy", "--yes")
    assert {fact["unit"] for fact in world.facts("infra.destroyed")} == {"app", "db"}


def test_protection_is_lifted_in_the_roots_of_mcml_and_then_all_goes(project: Project, url: str, tmp_path: Path) -> None:
    project.targets = {}
    world = World(project, url, tmp_path, shipped=True)
    world.more = {
        "infra": 'team = "risk"\ncost_centre = "4711"',
        "infra.clouds.aws": f'region = "{REGION}"\nlayers = ["network", "data"]',
        "infra.clouds.aws.settings.data": "deletion_protection = true",
    }
    world.write()
    world.apply()
    code, _, err = world.mcml("destroy", "--yes")
    assert code == 1, err
    assert "protected from deletion, so nothing was touched: aws-data" in err
    assert "mcml infra destroy --unprotect" in err
    assert world.facts("infra.destroyed") == []
    code, out, err = world.mcml("destroy", "--yes", "--unprotect")
    assert code == 0, (out, err)
    assert "deletion protection is switched off: aws-data" in err
    lifted = world.facts("infra.applied")[-1]
    assert (lifted["unit"], lifted["update"], lifted["create"], lifted["delete"]) == ("aws-data", 1, 0, 0)
    assert [fact["unit"] for fact in world.facts("infra.destroyed")] == ["aws-data", "aws-network"]
    assert "nothing with the environment's tags is left" in out


@dataclass
class Nothing:
    """An account with nothing in it but what is `found` under any tags."""

    found: Sequence[Resource] = ()

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        return list(self.found)

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        return []

    def delete(self, resource: Resource) -> bool:
        return False


def no_buckets() -> Buckets:
    raise AssertionError("no bucket is emptied here")


@pytest.mark.timeout(600)
def test_production_on_three_clouds_is_unprotected_by_that_alone_and_destroyed(clouds: Project) -> None:
    """A lift changes nothing but the protection: last snapshots are taken for all that."""
    infra = {**SETTINGS["infra"], "profile": "prod"}
    made = units_of(Settings.model_validate({**SETTINGS, "infra": infra}), clouds.folder, clouds.state)
    with clouds.fleet(*(unit for unit in made if unit.name != "local")) as fleet:
        plans = fleet.plan()
        denied = sorted({one.rule for planned in plans.planned for one in denied_of(planned.verdicts)})
        assert fleet.apply(fleet.gate(plans, denied)).failed == {}
        wrecker = Wrecker(fleet, Scope("acme", "dev"), lambda place: Account(place, Nothing(), no_buckets))
        found = wrecker.plan()
        assert {one.unit for one in found.guarded} >= {"aws-data", "gcp-cluster", "gcp-data", "azure-cluster", "azure-data"}
        assert all(wrecker.switchable()[one.unit] for one in found.guarded)
        wrecker.lift(found, denied)
        document = json.loads(clouds.folders.tfstate(next(unit for unit in made if unit.name == "aws-data")).read_text())
        kept = [one["attributes"] for kind in document["resources"] if kind["type"] == "aws_db_instance" for one in kind["instances"]]
        assert [(one["deletion_protection"], one["skip_final_snapshot"], one["delete_automated_backups"]) for one in kept] == [
            (False, False, False)
        ]
        results = wrecker.destroy(wrecker.gate(wrecker.plan_again(found), denied))
        assert {name: f"{error.message}: {error.why}" for name, error in results.failed.items()} == {}
        assert {name: (one.left, one.going) for name, one in wrecker.sweep(found).done.items()} == {
            "aws eu-central-1": ((), ()), "azure westeurope": ((), ()), "gcp europe-west1": ((), ()),
        }  # fmt: skip


def test_a_full_bucket_is_refused_then_emptied_with_its_versions(world: World) -> None:
    name = f"{world.name}-data"
    arn = world.bucket(name, ["a", "b/c"])
    world.stub(answers={"aws_s3_bucket.arn": arn})
    world.write(app=f'resource "aws_s3_bucket" "data" {{ bucket = "{name}" }}\n')
    world.apply()
    code, _, err = world.mcml("destroy", "--yes")
    assert code == 1, err
    assert f"not empty, so nothing was touched: {name}" in err
    assert "mcml infra destroy --empty-buckets    # deletes all that is in them, with old versions" in err
    versions = world.boto("s3").list_object_versions(Bucket=name)["Versions"]
    assert len(versions) == 4
    out = world.done("destroy", "--yes", "--empty-buckets")
    assert f"app: {name}: bucket {name} holds objects" in " ".join(out.split()), "what is emptied is said before"
    assert "Versions" not in world.boto("s3").list_object_versions(Bucket=name)
    assert "1 more are destroyed and still listed" in out, "the stub destroys nothing in the account: it is as if the index were behind"


def test_what_the_cluster_made_is_shown_drained_and_gone(world: World) -> None:
    name, other = f"{world.name}-dev", f"{world.name}-other"
    world.write(app=TOPIC, eks=cluster(name), other=cluster(other))
    world.apply()
    balancer, volume = world.load_balancer(owned(name)), world.volume(claim(name))
    own_disk, theirs = world.volume(owned(name)), world.load_balancer(owned(other))
    code, out, err = world.mcml("destroy", "eks", "--dry-run", "-o", "json")
    assert code == 0, err
    assert balancer in out
    assert volume in out
    assert theirs not in out, "another cluster lives on"
    assert balancer not in world.done("destroy", "app", "--dry-run")
    code, out, err = world.mcml("destroy", "eks", "--yes")
    assert (code, "loses its data" in out) == (7, True), err
    assert (balancer in balancers(world), theirs in balancers(world)) == (False, True)
    assert volume.rpartition("/")[2] not in volumes(world)
    assert own_disk.rpartition("/")[2] in volumes(world), "a machine's own disk goes with its machine, so here it is left"
    facts = world.facts("infra.destroyed")
    assert [fact["targets"] for fact in facts if fact.get("unmanaged")] == [[balancer], [volume]]
    assert facts[0]["unit"] == "eks", "the cluster goes first: it would make them anew"
    assert world.facts("infra.swept")[-1]["left"] == [own_disk]
    world.boto("ec2").delete_volume(VolumeId=own_disk.rpartition("/")[2])
    out = world.done("destroy", "--yes")
    assert f"nothing with the environment's tags is left: aws {REGION}" in out
    assert theirs not in balancers(world)
    swept = world.facts("infra.swept")[-1]
    assert {name: swept[name] for name in ("environment", "left", "going", "not_seen")} == {
        "environment": "dev", "left": [], "going": 0, "not_seen": [],
    }  # fmt: skip


def test_what_is_left_is_listed(world: World) -> None:
    world.write(app=TOPIC)
    world.apply()
    volume = world.volume()
    code, out, err = world.mcml("destroy", "--yes")
    assert code == 7, err
    assert f"mcml infra destroy --unmanaged {volume}" in " ".join(out.split())
    assert world.facts("infra.swept")[-1]["left"] == [volume]
    code, out, err = world.mcml("destroy", "--yes", "-o", "json")
    assert code == 7, "a destroy of nothing sweeps all the same"
    assert volume in out
    world.done("destroy", "--unmanaged", volume, "--yes")
    assert "nothing with the environment's tags is left" in world.done("destroy", "--yes")


def test_a_missing_root_outside_the_filter_stops_no_destroy(world: World) -> None:
    world.write(app=TOPIC, gone=TOPIC)
    world.apply("app")
    (world.project.folder / "roots" / "gone" / "main.tf").unlink()
    code, out, err = world.mcml("destroy", "app", "--yes")
    assert code == 7, err
    assert "the unit gone has no Terraform root" in out, "so nobody can tell what is left"
    assert [fact["unit"] for fact in world.facts("infra.destroyed")] == ["app"]
    assert world.facts("infra.swept")[-1]["not_seen"] == [f"aws {REGION}"]


def typed(world: World, word: str) -> tuple[int, str]:
    """Type `mcml infra destroy` at a terminal, and a word at its question; return its exit code and what the terminal shows."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "mcml.cli.main", "infra", "destroy"]
    env: dict[str, Any] = {**world.project.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(argv, cwd=world.project.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                got = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            shown += got
            if b"Destroy all of dev?" in shown and word:
                os.write(ours, f"{word}\n".encode())
                word = ""
        code = process.wait(60)
    os.close(ours)
    return code, shown.decode(errors="replace")


def test_the_name_of_the_environment_is_typed(world: World) -> None:
    world.write(app=TOPIC)
    world.apply()
    code, shown = typed(world, "prod")
    assert code != 0 and "the answer was not 'dev'" in shown, shown
    assert world.facts("infra.destroyed") == []
    code, shown = typed(world, "dev")
    assert code == 0, shown
    assert [fact["unit"] for fact in world.facts("infra.destroyed")] == ["app"]


def test_a_destroy_that_is_killed_is_continued(world: World, tmp_path: Path) -> None:
    name = f"{world.name}-dev"
    world.write(app=TOPIC, eks=cluster(name) + HELD.replace("MARKS", str(tmp_path)))
    world.apply()
    balancer = world.load_balancer(owned(name))
    process = begin(world.project, "destroy", "--yes")
    try:
        until((tmp_path / "begun").exists)
    finally:
        process.kill()
    process.communicate(timeout=60)
    assert balancer in balancers(world)
    (tmp_path / "go").touch()
    code, out, err = world.mcml("destroy", "--yes")
    assert code == 0, out + err
    assert balancer not in balancers(world)
    assert "nothing with the environment's tags is left" in out


def test_a_drain_that_fails_is_continued(world: World) -> None:
    """The load balancer is protected by somebody: the cluster is gone, its things are not; the next run says the same, then goes on."""
    name = f"{world.name}-dev"
    world.write(app=TOPIC, eks=cluster(name))
    world.apply()
    balancer = world.load_balancer({**owned(name), **world.tags})
    protect = {"Key": "deletion_protection.enabled", "Value": "true"}
    world.boto("elbv2").modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[protect])
    code, out, err = world.mcml("destroy", "--yes")
    assert code == 7, out + err
    assert "is protected from deletion" in err
    assert "aws elbv2 modify-load-balancer-attributes" in err
    world.boto("elbv2").modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[{**protect, "Value": "false"}])
    code, out, err = world.mcml("destroy", "--yes")
    assert code == 7, "the cluster of a root of one's own is not known any more: what it made is listed"
    assert balancer in out


def test_an_account_that_does_not_answer_hides_no_other(project: Project) -> None:
    queue = Resource("sqs:queue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:jobs", REGION)

    def open_account(place: Place) -> Account:
        if place.cloud == "gcp":
            raise Unavailable("Google does not answer", next_step="mcml doctor")
        return Account(place, Nothing([queue]), no_buckets)

    one = 'resource "terraform_data" "x" {}\n'
    units = [replace(own(project, name, one), cloud=cloud, accounts=(cloud,)) for name, cloud in (("a", "aws"), ("g", "gcp"))]
    with project.fleet(*units) as fleet:
        assert fleet.apply(fleet.plan()).failed == {}
        wrecker = Wrecker(fleet, Scope("acme", "dev"), open_account)
        found = wrecker.plan()
        assert list(found.not_seen) == ["gcp"]
        error = found.unseen("mcml infra destroy")
        assert isinstance(error, PartlyDone), "exit 7"
        assert error.message == "failed: gcp; planned: a, g"
        assert "Google does not answer" in error.why
        account, resource = wrecker.stray("jobs")
        assert (account.place.cloud, resource) == ("aws", queue)
        with pytest.raises(PartlyDone, match="failed: gcp; looked at: aws"):
            wrecker.stray("nowhere")
        assert wrecker.destroy(found).failed == {}
        swept = wrecker.sweep(found)
    assert {name: one.left for name, one in swept.done.items()} == {"aws": (queue,)}
    assert (list(swept.failed), project.facts[-1].facts["not_seen"]) == (["gcp"], ["gcp"])


@real_provider
@pytest.mark.timeout(600)
def test_the_real_provider_on_an_account(project: Project, url: str, tmp_path: Path) -> None:
    """What the stub cannot show: an account that Terraform itself changes, seen by both."""
    project.targets = {}
    world = World(project, url, tmp_path, real=Path(MIRROR))
    bucket, topic = f"{world.name}-data", f"{world.name}-alarms"
    tags = f'tags = {{ project = "{world.name}", environment = "dev" }}'
    world.write(
        app=f'resource "aws_sns_topic" "alarms" {{\n  name = "{topic}"\n  {tags}\n}}\n'
        f'resource "aws_cloudwatch_log_group" "app" {{\n  name = "/{world.name}"\n  {tags}\n}}\n',
        data=f'resource "aws_s3_bucket" "data" {{\n  bucket = "{bucket}"\n  {tags}\n}}\n'
        'resource "aws_s3_bucket_versioning" "data" {\n  bucket = aws_s3_bucket.data.bucket\n'
        '  versioning_configuration {\n    status = "Enabled"\n  }\n}\n',
    )
    world.apply()
    assert world.items("drift", "--detailed-exitcode") == [], "what is in a state is no stray"
    sns, s3, volume = world.boto("sns"), world.boto("s3"), world.volume()
    sns.set_topic_attributes(TopicArn=f"arn:aws:sns:{REGION}:{ACCOUNT}:{topic}", AttributeName="DisplayName", AttributeValue="Other")
    world.boto("logs").delete_log_group(logGroupName=f"/{world.name}")
    found = {one["name"]: (one["drift"], one["detail"]) for one in world.items("drift", "--detailed-exitcode", code=3)}
    assert found["aws_sns_topic.alarms"] == ("changed", 'display_name: "" -> Other')
    assert found["aws_cloudwatch_log_group.app"][0] == "missing"
    assert found[volume][0] == "unmanaged"
    assert len(found) == 3
    world.done("destroy", "--unmanaged", volume, "--yes")
    for body in (b"old", b"new"):
        s3.put_object(Bucket=bucket, Key="a", Body=body)
    code, _, err = world.mcml("destroy", "--yes")
    assert (code, f"not empty, so nothing was touched: {bucket}" in err) == (1, True), err
    out = world.done("destroy", "--yes", "--empty-buckets")
    assert f"nothing with the environment's tags is left: aws {REGION}" in out
    assert bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    assert world.there() == set()
