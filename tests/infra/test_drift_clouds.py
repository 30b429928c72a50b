"""`mcml infra drift` on an account: changed, gone, in no state; what a part cannot tell; the journal. Moto is the account."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.aws_world import REGION, World, listed
from tests.infra.rig import Project
from tests.providers.aws import moto_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server.running(tmp_path_factory.mktemp("moto")) as listening:
        yield listening


@pytest.fixture
def world(project: Project, url: str, tmp_path: Path) -> World:
    project.targets = {}
    return World(project, url, tmp_path)


LOGS = """
resource "aws_cloudwatch_log_group" "app" {
  name              = "/acme/app"
  retention_in_days = 14
}
"""
LOCAL = ("use_path_style", "skip_requesting_account_id", "skip_credentials_validation")
TOPIC = 'resource "aws_sns_topic" "alarms" { name = "alarms" }\n'


def bucket(name: str) -> str:
    return f'resource "aws_s3_bucket" "data" {{ bucket = "{name}" }}\n'


def test_what_was_changed_and_what_is_gone(world: World) -> None:
    world.write(app=LOGS + TOPIC)
    world.apply()
    code, out, err = world.mcml("drift", "--detailed-exitcode")
    assert (code, "no drift" in out) == (0, True), out + err
    world.stub(found={"aws_cloudwatch_log_group": {"retention_in_days": 3}, "aws_sns_topic": None})
    code, out, err = world.mcml("drift", "--detailed-exitcode")
    assert code == 3, err
    items = world.items("drift")
    assert [(one["name"], one["drift"], one["fix"]) for one in items] == [
        ("aws_cloudwatch_log_group.app", "changed", ["mcml infra apply app"]),
        ("aws_sns_topic.alarms", "missing", ["mcml infra apply app"]),
    ]
    assert items[0]["detail"] == "retention_in_days: 14 -> 3"
    fact = world.facts("infra.drift_found")[-1]
    assert (fact["unit"], fact["missing"], fact["changed"]) == ("app", ["aws_sns_topic.alarms"], ["aws_cloudwatch_log_group.app"])
    assert fact["digest"]


def test_what_is_in_no_state_and_how_to_adopt_or_remove_it(world: World) -> None:
    name = f"{world.name}-data"
    world.stub(answers={"aws_s3_bucket.arn": f"arn:aws:s3:::{name}"})
    world.write(app=bucket(name))
    world.apply()
    world.bucket(name)
    loose, volume, balancer = world.bucket(f"{world.name}-loose"), world.volume(), world.load_balancer()
    world.volume(tags={"project": world.name, "environment": "prod"})
    items = world.items("drift", "--detailed-exitcode", code=3)
    assert {one["name"] for one in items} == {loose, volume, balancer}
    assert {one["unit"] for one in items} == {"aws eu-west-1"}
    fixes = {one["name"]: one["fix"] for one in items}
    remove = "remove: mcml infra destroy --unmanaged"
    assert fixes[loose] == [f"adopt: mcml infra import app aws_s3_bucket.NAME {world.name}-loose", f"{remove} {loose}"]
    assert fixes[volume] == [f"adopt: mcml infra import UNIT aws_ebs_volume.NAME {volume.rpartition('/')[2]}", f"{remove} {volume}"]
    assert fixes[balancer] == [f"adopt: mcml infra import UNIT aws_lb.NAME {balancer}", f"{remove} {balancer}"]
    assert sorted(world.facts("infra.drift_found")[-1]["unmanaged"]) == sorted([loose, volume, balancer])
    _, out, _ = world.mcml("drift")
    assert f"{remove} {volume}" in " ".join(out.split())
    for one in (loose, volume.rpartition("/")[2], balancer):
        world.done("destroy", "--unmanaged", one, "--yes")
    assert loose not in world.there()
    assert world.items("drift", "--detailed-exitcode") == []
    assert [fact["targets"] for fact in world.facts("infra.destroyed")] == [[loose], [volume], [balancer]]


def test_one_unit_that_fails_hides_nothing_of_the_others(world: World) -> None:
    world.write(app=LOGS, broken="resource nonsense {\n", gone=TOPIC)
    world.apply("app")
    world.stub(found={"aws_cloudwatch_log_group": {"retention_in_days": 3}})
    volume = world.volume()
    code, out, err = world.mcml("drift", "app", "broken", "--detailed-exitcode")
    assert code == 7, err
    assert "retention_in_days: 14 -> 3" in out
    assert "broken" in err
    assert volume not in out, "what is in the state of a unit that cannot be read is not known, so nobody can tell what is loose"
    assert "next:" in err
    (world.project.folder / "roots" / "gone" / "main.tf").unlink()
    (world.project.folder / "roots" / "broken" / "main.tf").unlink()
    code, out, err = world.mcml("drift", "app")
    assert code == 7, err
    assert "retention_in_days: 14 -> 3" in out
    assert "the unit gone has no Terraform root" in out + err
    world.write(app=LOGS)
    items = world.items("drift", "app")
    assert [one["name"] for one in items] == ["aws_cloudwatch_log_group.app", volume]


def test_an_account_that_does_not_answer_is_not_seen(world: World) -> None:
    world.write("http://127.0.0.1:9", app=LOGS)
    world.apply()
    world.stub(found={"aws_cloudwatch_log_group": {"retention_in_days": 3}})
    code, out, err = world.mcml("drift", "--detailed-exitcode")
    assert code == 7, err
    assert "retention_in_days: 14 -> 3" in out
    assert "aws eu-west-1" in out
    assert "mcml infra drift    # continues" in err
    code, out, err = world.mcml("destroy", "--yes")
    assert code == 7, err
    assert "aws_cloudwatch_log_group.app" in out, "what is known is shown"
    assert "aws eu-west-1" in err
    assert world.facts("infra.destroyed") == [], "nothing was touched"
    code, _, err = world.mcml("destroy", "--unmanaged", "vol-1", "--yes")
    assert code not in (0, 5), "it is not known to be nowhere"
    assert "cannot list what carries our tags" in err


def test_the_store_of_the_states_is_no_stray(world: World) -> None:
    """`bootstrap` gives it none of our tags; a person may."""
    about = 'environment = "dev"\nteam = "risk"\ncost_centre = "4711"'
    world.more = {"infra": about, "infra.clouds.aws": f'region = "{REGION}"\nlayers = ["network"]'}
    world.write()
    world.done("bootstrap", "aws", "--yes")
    (store,) = [one["Name"] for one in world.boto("s3").list_buckets()["Buckets"] if one["Name"].startswith(f"{world.name}-tfstate-")]
    assert f"arn:aws:s3:::{store}" not in world.there()
    world.boto("s3").put_bucket_tagging(Bucket=store, Tagging={"TagSet": listed(world.tags)})
    loose = world.volume()
    file = world.project.folder / "backends" / "aws.tfbackend"
    here = [f'endpoints = {{ s3 = "{world.url}" }}', *(f"{name} = true" for name in LOCAL)]
    file.write_text(file.read_text() + "\n".join(here) + "\n")
    assert [one["name"] for one in world.items("drift")] == [loose]
