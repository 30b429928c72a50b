"""What is shown of states: pinned fields, and the same on a terminal and in a pipe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.core.errors import Conflict
from mcml.core.schema import Settings
from mcml.core.view import Document
from mcml.infra.states.bootstrap import Made, design
from mcml.infra.states.history import Change, Version
from mcml.infra.states.state import Lock
from mcml.infra.units.schedule import Results
from mcml.infra.views import state_views
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.identity import Who
from mcml.ui import render
from tests.infra.screens import lines
from tests.ui.streams import out_of, streams

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VERSION = Version("v7", NOW - timedelta(minutes=5), 2048, 7, 3, 1, "one", "abcdef0123456789", "ann@x")


def documents(folder: Path) -> dict[str, Document]:
    store = design("aws", Settings.model_validate({"name": "acme"}), folder, Who("1", "ann", "a test"), "eu-west-1", {})
    made = Made(store, True, BucketConfig(versioning=False), True, ("old versions are not kept",))
    failed = {"gcp": Conflict("cannot create bucket 'x'")}
    lock = Lock("ann@x", "apply", "noon", "77")
    return {
        "stores": state_views.stores_document(Results({"aws": store}, failed)),
        "bootstrap": state_views.bootstrap_document(Results({"aws": made}, failed)),
        "lock": state_views.lock_document("aws-data", "dev", lock),
        "log": state_views.log_document("aws-data", "s3://b/k", [VERSION], NOW),
        "diff": state_views.diff_document("aws-data", "v7", "current", [Change("resource", "t.a", "changed", ("size",))]),
        "restored": state_views.restored_document("aws-data", "dev", "v7", {"serial": 9}),
    }


FIELDS = {
    "stores": {"name", "store", "region", "account", "file", "result"},
    "bootstrap": {
        "name", "store", "region", "account", "file", "result", "kept", "versioning", "encryption", "block_public", "remarks",
    },
    "lock": {"name", "environment", "who", "operation", "since", "id", "state"},
    "log": {"name", "at", "age", "serial", "lineage", "resources", "outputs", "size", "digest", "plan", "actor"},
    "diff": {"action", "kind", "name", "attributes", "differing"},
    "restored": {"name", "environment", "version", "serial", "result"},
}  # fmt: skip
SAID = {
    "stores": ["aws", "to make", "gcp: cannot create bucket 'x'"],
    "bootstrap": ["made", "not versioned, encrypted, private", "aws: old versions are not kept", "into version control"],
    "lock": ["ann@x", "apply", "noon", "77", "held"],
    "log": ["v7", "5m", "abcdef012345", "ann@x"],
    "diff": ["changed", "t.a", "size"],
    "restored": ["the state is v7 again, as serial 9", "mcml infra plan aws-data"],
}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields_are_pinned_and_a_person_sees_what_counts(tmp_path: Path, name: str) -> None:
    document = documents(tmp_path)[name]
    assert set(document.items[0]) == FIELDS[name]
    shown = "\n".join(lines(document))
    for part in SAID[name]:
        assert part in shown


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_it_is_drawn_on_a_terminal_and_in_a_pipe(tmp_path: Path, name: str) -> None:
    for terminal in (True, False):
        told = streams(terminal=terminal)
        render.show(documents(tmp_path)[name], "table", told, NOW)
        assert SAID[name][0] in out_of(told)


def test_nothing_to_tell_is_told() -> None:
    assert lines(state_views.lock_document("aws-data", "dev", None)) == ["ok: nobody holds the lock of aws-data in dev"]
    assert lines(state_views.diff_document("aws-data", "v7", "current", [])) == ["ok: aws-data: v7 and current are the same"]
