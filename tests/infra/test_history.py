"""Earlier versions of a state: kept, listed, compared and brought back, on this machine and in the stores."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, McmlError, NotFound
from mcml.core.fact import Fact
from mcml.infra.states import history
from mcml.infra.states.history import Change, Copies, Objects, Version
from mcml.infra.units.units import Folders, Unit
from mcml.providers.api.spec import ProviderContext
from mcml.testing.cli import run
from tests.infra import stores
from tests.infra.stores import REGION, Stores, apply, pulled, unit

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
UNIT = Unit("unit", "dev")


def state(serial: int = 1, resources: Any = (), outputs: Any = None, lineage: str = "one") -> dict[str, Any]:
    return {"version": 4, "serial": serial, "lineage": lineage, "outputs": outputs or {}, "resources": list(resources)}


def resource(name: str, *instances: dict[str, Any], module: str = "") -> dict[str, Any]:
    found = {"mode": "managed", "type": "t", "name": name, "instances": list(instances)}
    return {"module": module, **found} if module else found


def put(folders: Folders, document: dict[str, Any]) -> None:
    path = folders.tfstate(UNIT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_the_newest_copies_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    assert history.keep(UNIT, folders, NOON) is None, "before the first apply there is nothing to keep"
    for serial in range(1, history.MOST_COPIES + 4):
        put(folders, state(serial))
        history.keep(UNIT, folders, NOON + timedelta(seconds=serial))
    copies = Copies(history.folder_of(UNIT, folders))
    listed = history.log(copies, 100, ())
    assert [version.serial for version in listed] == list(range(history.MOST_COPIES + 3, 3, -1))
    again = history.keep(UNIT, folders, NOON + timedelta(hours=1))
    assert again
    assert again.stem == listed[0].id, "the same state is not kept twice"
    assert again.stat().st_mode & 0o777 == 0o600
    assert again.parent.stat().st_mode & 0o777 == 0o700
    (again.parent / "notes.tfstate").write_text("somebody's own")
    assert len(copies.list()) == history.MOST_COPIES


def test_a_version_is_found_by_its_id_or_serial(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for serial in (3, 4):
        put(folders, state(serial))
        history.keep(UNIT, folders, NOON + timedelta(seconds=serial))
    copies = Copies(history.folder_of(UNIT, folders))
    assert history.find(copies, "3", "unit")["serial"] == 3
    assert history.find(copies, "20261122T120004Z-4", "unit")["serial"] == 4
    with pytest.raises(NotFound, match="no version of the state named '7'") as missing:
        history.find(copies, "7", "unit")
    assert missing.value.next_step == "mcml infra state log unit"


def test_a_broken_copy_is_named(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    put(folders, state(3))
    copy = history.keep(UNIT, folders, NOON)
    assert copy
    for content in ("{", '{"version": 3}', "[]"):
        copy.write_text(content)
        with pytest.raises(McmlError, match=r"cannot read .*-3\.tfstate"):
            history.find(Copies(copy.parent), copy.stem, "unit")


def test_the_journal_tells_whose_apply_wrote_a_version() -> None:
    fact = Fact("infra.applied", "infra", facts={"digest": "abc", "duration_s": 60.0}, at=NOON, actor="ann@x")

    class One:
        def __init__(self, at: datetime) -> None:
            self.at = at

        def list(self) -> list[Version]:
            return [Version("v", self.at, 3)]

        def read(self, _: Version) -> dict[str, Any]:
            return state(7, [resource("a", {"index_key": 0}, {"index_key": 1})], {"o": {}})

    for seconds, digest in ((-70, ""), (-60, "abc"), (-1, "abc"), (1, "abc"), (20, "")):
        (version,) = history.log(One(NOON + timedelta(seconds=seconds)), 5, [fact])
        assert (version.digest, version.serial, version.resources, version.outputs) == (digest, 7, 2, 1)


def test_two_states_differ_by_names_and_never_by_values() -> None:
    old = state(1, [
        resource("same", {"attributes": {"a": 1}}),
        resource("gone", {"index_key": "x", "attributes": {"password": "hunter2"}}, module="module.m"),
        resource("other", {"index_key": 0, "attributes": {"size": 1, "tags": {"a": "hunter2"}}, "private": "1"}),
        resource("broken", {"attributes": {"a": 1}}),
    ], {"url": {"value": "hunter2", "sensitive": True}, "old": {"value": 1}})  # fmt: skip
    new = state(2, [
        resource("same", {"attributes": {"a": 1}, "private": "2"}),
        resource("other", {"index_key": 0, "attributes": {"size": 2, "tags": {"a": "hunter3"}}}),
        resource("broken", {"attributes": {"a": 1}, "status": "tainted"}),
        resource("new", {"attributes": {}}),
    ], {"url": {"value": "hunter3", "sensitive": True}})  # fmt: skip
    found = history.compare(old, new)
    assert found == [
        Change("resource", 'module.m.t.gone["x"]', "removed"),
        Change("resource", "t.broken", "changed", ("(half-made)",)),
        Change("resource", "t.new", "added"),
        Change("resource", "t.other[0]", "changed", ("size", "tags")),
        Change("output", "old", "removed"),
        Change("output", "url", "changed"),
    ]
    assert "hunter" not in str(found)


SERIAL = st.integers(0, 10**6)


@given(SERIAL, SERIAL)
def test_a_restored_state_is_newer_than_both(old: int, now: int) -> None:
    made = history.restored(state(old, [resource("a")]), state(now, [resource("b")]))
    assert made["serial"] == max(old, now) + 1
    assert made["resources"] == [resource("a")]
    assert made["lineage"] == "one"


def test_a_state_of_another_lineage_is_not_restored_over_one_that_lives() -> None:
    old = state(1, [resource("a")], lineage="another")
    with pytest.raises(Conflict, match="of another lineage"):
        history.restored(old, state(5, [resource("b")]))
    assert history.restored(old, state(5))["serial"] == 6, "where nothing is in the state, anything may be brought back"
    assert history.restored(old, None)["serial"] == 2


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with stores.running(tmp_path_factory.mktemp("stores")) as found:
        yield found


def objects(both: Stores, one: Unit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Objects:
    """The versions of a unit's state through the provider layer."""
    from mcml.providers.aws import buckets as s3_buckets
    from mcml.providers.aws import object_store as s3_objects
    from mcml.providers.aws.settings import Settings as Aws

    assert one.backend
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    aws = ProviderContext(Aws(endpoint_url=both.s3), tmp_path, region=REGION)
    key = one.backend.key("dev")
    return Objects(s3_buckets.open_buckets(aws), s3_objects.open_object_store(aws), one.backend.bucket, key)


@pytest.mark.slow
def test_an_old_version_in_a_store_is_listed_compared_and_brought_back(
    both: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3; fake-gcs-server lists one version only, and the versions of Cloud Storage and Azure are tested with their providers."""
    made, one = stores.project(tmp_path), unit(both.backend("s3"))
    for size in (1, 2):
        apply(made, replace(one, variables={"size": size}))
        time.sleep(1.1)  # S3 tells whole seconds
    versions = objects(both, one, monkeypatch, tmp_path)
    listed = history.log(versions, 20, made.facts)
    assert listed[0].resources == 3
    first = next(version for version in listed if version.resources == 2)
    assert first.digest == made.facts[0].facts["digest"]
    assert listed[0].digest == made.facts[1].facts["digest"]
    changes = history.compare(history.find(versions, first.id, "unit"), pulled(made, one))
    assert Change("resource", "terraform_data.many[1]", "added") in changes
    before = pulled(made, one)
    with made.fleet(one) as fleet:
        fleet.at_desk(lambda desk: desk.restore(history.find(versions, first.id, "unit"), first.id))
    after = pulled(made, one)
    assert after["serial"] > before["serial"]
    assert after["lineage"] == before["lineage"]
    assert history.compare(history.find(versions, first.id, "unit"), after) == []
    assert history.log(versions, 20, made.facts)[0].resources == 2
    fact = made.facts[-1]
    assert (fact.kind, fact.facts["version"], fact.facts["was"]) == ("infra.state_restored", first.id, before["serial"])
    assert "hunter2" not in str(made.facts)


TARGETS = 'name = "acme"\n' + "".join(f'[targets.{name}]\nprovider = "local"\nregion = "eu-1"\n' for name in ("one", "two"))


@pytest.mark.slow
def test_the_verbs_on_this_machine(tmp_path: Path) -> None:
    """Apply two targets, take one away, look back, and bring the state of two back; the plan then sees what is really there."""
    file = tmp_path / "mcml.toml"

    file.write_text(TARGETS)

    def mcml(*args: str, code: int = 0, stdin: str = "", terminal: bool = False) -> Any:
        said = run(["infra", *args], cwd=tmp_path, stdin=stdin, terminal=terminal)
        assert said.code == code, said.err + said.out
        return json.loads(said.out)["items"] if "json" in args and not code else said.out + said.err

    assert mcml("state", "log", "local", "-o", "json") == []
    mcml("apply", "--yes")
    file.write_text(TARGETS.partition("[targets.two]")[0])
    mcml("apply", "--yes")
    newest, oldest = mcml("state", "log", "local", "-o", "json")
    assert (newest["resources"], oldest["resources"]) == (1, 2)
    assert newest["digest"] != oldest["digest"] != ""
    assert newest["actor"] == oldest["actor"] != ""
    serial = str(oldest["serial"])
    changes = mcml("state", "diff", "local", serial, "-o", "json")
    assert {"action": "removed", "kind": "resource", "name": 'terraform_data.target["two"]', "attributes": [], "differing": ""} in changes
    assert mcml("state", "diff", "local", serial, newest["name"], "-o", "json") == changes
    dry = mcml("state", "restore", "local", serial, "--dry-run", "-o", "json")
    assert [change["action"] for change in dry if "two" in change["name"]] == ["added"]
    assert "the answer was not 'local'" in mcml("state", "restore", "local", serial, code=130, stdin="dev\n", terminal=True)
    (restored,) = mcml("state", "restore", "local", serial, "--yes", "-o", "json")
    assert restored["serial"] > newest["serial"]
    assert mcml("state", "log", "local", "-o", "json")[0]["resources"] == 2
    assert "no version of the state named 'v9'" in mcml("state", "diff", "local", "v9", code=5)
    assert "two\tto be removed" in mcml("status"), "the state knows two again"
    assert "infra.state_restored" in run(["journal", "list"], cwd=tmp_path).out
