"""Backends: the file that names a store, and states that move into one and are never lost."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, NotFound, PartlyDone, Unavailable, Usage
from mcml.core.schema import Settings
from mcml.infra.states import backends, history
from mcml.infra.states.keeper import fate, store_failure
from mcml.infra.states.settings_file import parse, render
from mcml.infra.terraform.events import Diagnostic
from mcml.infra.terraform.runner import Ended
from mcml.infra.units.backend import SCHEMES, Backend
from mcml.infra.units.units import Unit, units_of
from tests.infra import stores
from tests.infra.stores import Stores, apply, in_other_environment, pulled, unit, until

VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), inner, max_size=3)),
    max_leaves=6,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), VALUES, max_size=5))
def test_what_is_written_is_read_back(settings: dict[str, object]) -> None:
    assert parse(render(settings)) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bucket", "line 1: expected '='"),
        ("\nbucket = name", "line 2: expected a value, not 'name'"),
        ('a = "1" b = "2"', "line 1: expected the end of the line"),
        ('a = "${var.x}"', "has an expression in it"),
        ("a = [", "expected more"),
        ('a = "1"\na = "2"', "a is there twice"),
        ("a = @", "line 1: cannot read"),
    ],
)
def test_what_is_no_setting_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        parse(text)


def test_comments_lists_and_objects_are_read() -> None:
    text = '# a\nbucket = "b" // c\nlist = ["a",\n  "b", ]\nassume_role = { role_arn = "r", n = 3 }\nencrypt=true\n'
    assert parse(text) == {"bucket": "b", "list": ["a", "b"], "assume_role": {"role_arn": "r", "n": 3}, "encrypt": True}


SETTINGS = {
    "name": "acme",
    "targets": {},
    "providers": {"aws": {"profile": "work", "role_arn": "arn:aws:iam::123456789012:role/x"}, "gcp": {"project": "p1"}},
    "infra": {
        "team": "risk", "cost_centre": "1",
        "clouds": {"aws": {"region": "eu-central-1", "layers": ["network"]}, "gcp": {"region": "europe-west1", "layers": ["network"]}},
        "units": {"extra": {"module": "extra"}},
    },
}  # fmt: skip


def of_project(folder: Path, **files: str) -> dict[str, Unit]:
    (folder / "backends").mkdir()
    for cloud, text in files.items():
        (folder / "backends" / f"{cloud}.tfbackend").write_text(text)
    units = units_of(Settings.model_validate(SETTINGS), folder, folder / ".mcml")
    return {one.name: one for one in backends.with_backends(units, folder)}


def test_a_file_gives_each_unit_of_its_cloud_a_place_of_its_own(tmp_path: Path) -> None:
    aws = 'bucket = "b"\nregion = "r"\nworkspace_key_prefix = "environments"\n'
    found = of_project(tmp_path, aws=aws, gcp='bucket = "g"\nprefix = "p"\n')
    assert {name: one.backend.kind if one.backend else None for name, one in found.items()} == {
        "local": None, "aws-network": "s3", "gcp-network": "gcs", "extra": None,
    }  # fmt: skip
    s3, gcs = found["aws-network"].backend, found["gcp-network"].backend
    assert s3
    assert gcs
    assert s3.address("dev") == "s3://b/environments/dev/acme/aws-network.tfstate"
    assert s3.address("default") == "s3://b/acme/aws-network.tfstate"
    assert gcs.address("dev") == "gs://g/p/gcp-network/dev.tfstate"
    assert (s3.settings["profile"], s3.settings["assume_role"]) == ("work", {"role_arn": "arn:aws:iam::123456789012:role/x"})


def test_a_unit_of_several_clouds_is_kept_on_the_first_with_a_store(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "gcp.tfbackend").write_text('bucket = "g"\n')
    login = {"gcp_login": {"impersonate_service_account": "x@y"}, "aws_login": {"profile": "work"}, "project": "acme"}
    (placed,) = backends.with_backends([Unit("vpn", "dev", variables=login, layer="vpn", accounts=("aws", "gcp"))], tmp_path)
    assert placed.backend == Backend("gcs", {"impersonate_service_account": "x@y", "bucket": "g", "prefix": "acme/vpn"})


def test_azurerm_is_given_what_its_documentation_wants() -> None:
    """With an account key it is tried below on Azurite. The login by Microsoft Entra, `use_azuread_auth`, is only compared with it."""
    one = Unit("azure-data", "prod", variables={"project": "acme", "subscription_id": "s", "tenant_id": None}, cloud="azure")
    made = backends.of_unit(one, "azure", {"storage_account_name": "acme", "container_name": "c", "use_azuread_auth": True})
    assert made.document == {
        "terraform": {"backend": {"azurerm": {
            "storage_account_name": "acme", "container_name": "c", "use_azuread_auth": True, "subscription_id": "s",
            "key": "acme/azure-data.tfstate",
        }}}
    }  # fmt: skip
    assert made.address("prod") == "az://c/acme/azure-data.tfstateenv:prod"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('bucket = "b"', "does not say region"),
        ('bucket = "b"\nregion = "r"\nsecret_key = "hunter2"', "holds a secret: secret_key"),
        ("bucket: b", "cannot read"),
    ],
)
def test_a_wrong_file_is_refused_with_a_step(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Usage, match=message) as refused:
        of_project(tmp_path, aws=text)
    assert refused.value.next_step
    assert "hunter2" not in f"{refused.value} {refused.value.why}"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with stores.running(tmp_path_factory.mktemp("stores")) as found:
        yield found


KIND = pytest.mark.parametrize("kind", ["s3", "gcs", "azurerm"])


@KIND
@pytest.mark.slow
def test_a_state_of_this_machine_moves_into_the_store_once(both: Stores, tmp_path: Path, kind: str) -> None:
    here, there = unit(None), unit(both.backend(kind))
    made = stores.project(tmp_path)
    for environment in ("dev", "prod"):
        apply(made, in_other_environment(here, environment))
    before = pulled(made, here)
    with made.fleet(there) as fleet:
        plans = fleet.plan()
        plans.raise_failures("")
        assert plans.changing == (), "what is applied is known in the store"
    after = pulled(made, there)
    assert (after["lineage"], after["resources"]) == (before["lineage"], before["resources"])
    assert not made.folders.tfstate(here).exists(), "nothing is left that could be read by mistake"
    copies = history.Copies(history.folder_of(here, made.folders))
    assert history.compare(copies.read(copies.list()[0]), before) == []
    prod = in_other_environment(here, "prod")
    assert made.folders.tfstate(prod).exists(), "another environment moves when it is worked on"
    assert pulled(made, in_other_environment(there, "prod"))["lineage"] != after["lineage"]
    assert not made.folders.tfstate(prod).exists()
    apply(made, unit(there.backend, size=2))
    assert pulled(made, there)["serial"] > after["serial"]


@pytest.mark.slow
def test_of_two_states_none_is_written_over_the_other(both: Stores, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mine, hers, backend = stores.project(tmp_path / "a"), stores.project(tmp_path / "b"), both.backend("s3")
    for made in (mine, hers):
        apply(made, unit(None))
    theirs = pulled(hers, unit(backend))
    with pytest.raises(Conflict, match=r"unit has a state in .*terraform\.tfstate and another one at s3://"):
        pulled(mine, unit(backend))
    assert mine.folders.tfstate(unit(None)).exists()
    assert pulled(hers, unit(backend)) == theirs


@pytest.mark.slow
def test_a_file_that_is_gone_or_names_another_store_is_no_empty_state(both: Stores, tmp_path: Path) -> None:
    made, backend = stores.project(tmp_path), both.backend("s3")
    apply(made, unit(backend))
    with pytest.raises(Conflict, match=r"is kept at s3://.*backends/aws\.tfbackend is gone") as refused, made.fleet(unit(None)) as fleet:
        fleet.plan().raise_failures("")
    assert "mcml infra bootstrap aws" in refused.value.next_step
    with pytest.raises(Conflict, match=r"backends/aws\.tfbackend names s3://"):
        pulled(made, unit(both.backend("s3")))
    moved = Backend("s3", {**backend.settings, "max_retries": 2})
    assert pulled(made, unit(moved))["resources"], "other settings of the same place are taken over"


@KIND
@pytest.mark.slow
def test_a_store_that_does_not_answer_is_named(both: Stores, tmp_path: Path, kind: str) -> None:
    backend = both.backend(kind)
    made = stores.project(tmp_path)
    apply(made, unit(backend))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        lost, there = both.away(made, backend, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(Unavailable, match=rf"does not answer: {SCHEMES[backend.kind]}://{backend.bucket}") as failed:
            pulled(lost, unit(there))
    assert "network" in failed.value.next_step
    assert pulled(made, unit(backend))["resources"]


@KIND
@pytest.mark.slow
def test_a_bucket_that_is_gone_is_named(both: Stores, tmp_path: Path, kind: str) -> None:
    backend = both.backend(kind)
    made = stores.project(tmp_path)
    gone = Backend(backend.kind, {**backend.settings, "container_name" if kind == "azurerm" else "bucket": "mcml-never-made"})
    with pytest.raises(NotFound, match=r"is gone: .*://mcml-never-made") as failed:
        apply(made, unit(gone))
    assert "mcml infra bootstrap" in failed.value.next_step


@pytest.mark.slow
def test_a_state_that_could_not_be_saved_is_kept_and_saved_first_by_the_next_run(both: Stores, tmp_path: Path) -> None:
    made, one = stores.project(tmp_path), unit(both.backend("s3"))
    assert one.backend
    apply(made, one)
    grown, client, hold = replace(one, variables={"size": 2}), stores.s3(both.s3), made.folders.infra / "hold"
    hold.touch()
    with made.fleet(grown) as fleet, ThreadPoolExecutor() as pool:
        plans = fleet.plan()
        ending = pool.submit(fleet.apply, plans)
        until(lambda: '"provision_start"' in "".join(log.read_text() for log in made.folders.runs(one).glob("*/apply.jsonl")))
        kept = stores.emptied(client, one.backend.bucket)
        hold.unlink()
        results = ending.result(60)
    stores.filled(client, one.backend.bucket, kept)
    failed = results.failed["unit"]
    assert isinstance(failed, PartlyDone)
    assert "its state could not be saved to s3://" in failed.message
    unsaved = history.unsaved(one, made.folders)
    assert unsaved.stat().st_mode & 0o777 == 0o600
    assert str(unsaved) in failed.why
    with made.fleet(grown) as fleet:
        plans = fleet.plan()
        plans.raise_failures("")
        assert plans.changing == (), "what was made is known again"
    assert not unsaved.exists()


@pytest.mark.parametrize(
    ("ours", "theirs", "unsaved", "then"),
    [
        (None, None, False, "keep"),
        ((3, "one", "a"), None, False, "push"),
        ((3, "one", "a"), (1, "two", ""), False, "push"),
        ((3, "one", ""), (1, "two", "a"), False, "keep"),
        ((3, "one", "a"), (1, "two", "a"), False, "refuse"),
        ((3, "one", "a"), (4, "one", "b"), False, "keep"),
        ((3, "one", "a"), (2, "one", "b"), False, "push"),
        ((3, "one", "a"), (4, "one", "a"), True, "keep"),
        ((3, "one", "a"), (3, "one", "b"), True, "refuse"),
    ],
)
def test_what_becomes_of_a_state_that_is_not_where_it_belongs(ours: Any, theirs: Any, unsaved: bool, then: str) -> None:
    def state(said: tuple[int, str, str] | None) -> dict[str, Any] | None:
        """A state by its serial, its lineage and the name of its resource."""
        if said is None:
            return None
        one = {"mode": "managed", "type": "t", "name": said[2], "instances": [{"attributes": {}}]}
        return {"version": 4, "serial": said[0], "lineage": said[1], "outputs": {}, "resources": [one] if said[2] else []}

    assert fate(state(ours), state(theirs), unsaved=unsaved) == then


REFUSED = "could not connect to registry.terraform.io: dial tcp: lookup registry.terraform.io: no such host"
LOST = 'error loading state: S3 bucket "b" NoSuchBucket'


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Diagnostic("error", "Failed to query available provider packages", REFUSED), None),
        (Diagnostic("error", "reading EC2", "dial tcp: connection refused", address="aws_vpc.this"), None),
        (Diagnostic("error", "configuring", "dial tcp: connection refused", where="main.tf:1"), None),
        (Diagnostic("error", "querying Cloud Storage failed: dial tcp: i/o timeout"), Unavailable),
        (Diagnostic("error", LOST), NotFound),
        (Diagnostic("error", "Unsupported argument"), None),
    ],
    ids=["providers", "resource", "configuration", "silent", "gone", "other"],
)
def test_only_trouble_with_the_store_is_said_to_be_its(said: Diagnostic, kind: type | None) -> None:
    one = unit(Backend("s3", {"bucket": "b", "key": "k"}))
    found = store_failure(one, Ended(1, (said,)))
    assert (type(found) if found else None) is kind
    assert store_failure(replace(one, backend=None), Ended(1, (said,))) is None
