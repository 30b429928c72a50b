"""What a local target shows without being asked: another value after every change that the router must know of, and after no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcml.core.process import ProcessRef
from mcml.providers.api.endpoint import Stamped
from mcml.providers.local.endpoint import LocalModelEndpoint
from mcml.providers.local.layout import remove_folder
from mcml.providers.local.variant import Run, variant_folder, write_run, write_weights
from tests.providers.local.conftest import MakeContext


def written(root: Path, model: str, version: str) -> Run:
    folder = variant_folder(root, "eu-1", model, version)
    folder.mkdir(parents=True)
    run = Run(folder, version, "0" * 64, 20_001, folder / "usage", datetime(2026, 1, 1, tzinfo=UTC), ("x",), ProcessRef(1, 0.0))
    write_run(run)
    return run


CHANGES: dict[str, Callable[[Path, Run], object]] = {
    "another port": lambda _, run: write_run(replace(run, port=20_002)),
    "another process": lambda _, run: write_run(replace(run, process=ProcessRef(2, 0.0))),
    "a version": lambda root, _: written(root, "fraud", "3"),
    "a model": lambda root, _: written(root, "churn", "1"),
    "a version less": lambda _, run: remove_folder(run.folder),
    "shares": lambda root, _: write_weights(root, "eu-1", "fraud", {"1": 0, "2": 100}),
    "the same shares, written again": lambda root, _: write_weights(root, "eu-1", "fraud", {"1": 100, "2": 0}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_shows(root: Path, make_context: MakeContext, change: Callable[[Path, Run], object]) -> None:
    endpoints = LocalModelEndpoint(make_context("eu-1"), root, "eu-1")
    assert isinstance(endpoints, Stamped)
    assert endpoints.stamp() == ()
    run = written(root, "fraud", "1")
    written(root, "fraud", "2")
    write_weights(root, "eu-1", "fraud", {"1": 100, "2": 0})
    before = endpoints.stamp()
    assert endpoints.stamp() == before
    (run.folder / "server.log").write_text("it says something")
    written(root.parent / "another", "fraud", "1")
    assert endpoints.stamp() == before
    change(root, run)
    assert endpoints.stamp() != before
