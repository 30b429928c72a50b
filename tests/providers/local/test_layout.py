"""Names, resource files, locks and removals below the root."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest
from mcml.core.process import ProcessRef
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import (
    LocalResource,
    locked,
    read_process,
    read_resource,
    read_resources,
    remove_folder,
    root_of,
    safe_name,
    write_process,
    write_resource,
)
from mcml.providers.local.settings import Settings

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def resource(kind: str, name: str) -> LocalResource:
    return LocalResource(kind, name, "eu", "eu-1", NOON, {"team": "risk"})


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", ".a", "a b", "a\n", "ü", "a" * 201])
def test_a_name_is_one_part_of_a_path(name: str) -> None:
    with pytest.raises(InvalidRequest):
        safe_name(name, "thing")


@given(st.text())
def test_no_name_leaves_its_folder(name: str) -> None:
    try:
        safe_name(name, "thing")
    except InvalidRequest:
        return
    assert (Path("/root") / name).resolve().parent == Path("/root")


def test_resources_are_leaves_and_dot_folders_are_not_there(tmp_path: Path) -> None:
    for folder in ("buckets/b", "buckets/b/objects/inner", "usage/x", "locks/y", "jobs/.staged", "jobs/eu-1/j"):
        (tmp_path / folder).mkdir(parents=True)
        write_resource(tmp_path / folder, resource(folder.split("/")[0], folder))
    assert [found.id for found in read_resources(tmp_path)] == ["buckets/b", "jobs/eu-1/j"]
    assert [found.id for found in read_resources(tmp_path, "jobs")] == ["jobs/eu-1/j"]
    (found,) = read_resources(tmp_path, "buckets")
    assert (found.tags, found.created, found.folder) == ({"team": "risk"}, NOON, tmp_path / "buckets/b")


def test_a_broken_resource_file_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        write_resource(tmp_path / "jobs" / name, resource("job", name))
    (tmp_path / "jobs/b/resource.json").write_text('{"kind": "job"')
    assert [found.id for found in read_resources(tmp_path)] == ["a", "c"]
    with pytest.raises(ValueError, match=r"jobs/b/resource\.json"):
        read_resource(tmp_path / "jobs/b")


def test_the_root_is_the_state_folder_or_relative_to_the_project(tmp_path: Path) -> None:
    state = tmp_path / "project/.mcml/local"
    assert root_of(ProviderContext(Settings(), state)) == state
    assert root_of(ProviderContext(Settings(root="elsewhere"), state)) == tmp_path / "project/elsewhere"
    assert root_of(ProviderContext(Settings(root=str(tmp_path / "x")), state)) == tmp_path / "x"


def test_remove_folder_once(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert remove_folder(tmp_path / "a") is True
    assert remove_folder(tmp_path / "a") is False
    assert list(tmp_path.iterdir()) == []


def test_a_process_record(tmp_path: Path) -> None:
    assert read_process(tmp_path) is None
    write_process(tmp_path, ProcessRef(7, 12.5))
    assert read_process(tmp_path) == ProcessRef(7, 12.5)
    (tmp_path / "process.json").write_text("[]")
    assert read_process(tmp_path) is None


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    with locked(tmp_path, "ports"), pytest.raises(Conflict, match="ports"), locked(tmp_path, "ports", seconds=0.05):
        pass
    with locked(tmp_path, "ports", seconds=0.05):
        pass
