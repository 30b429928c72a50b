"""A router with three backends, fresh for a test or shared by those that only look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcml.core.schema_routes import Route
from tests.route.rig import TARGETS, Rig, Upstream


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A running router over eu-1, eu-2 and us-1 that the test may break."""
    with Rig(tmp_path / "route", [Upstream(target) for target in TARGETS]) as running:
        yield running


@pytest.fixture(scope="package")  # not the session: an idle router takes 2 % of a processor
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running router that no test breaks: routes `fraud`, `public` (the same model under another name) and `empty`."""
    routes = {"fraud": Route(), "public": Route(model="fraud"), "empty": Route()}
    with Rig(tmp_path_factory.mktemp("shared") / "route", [Upstream(target) for target in TARGETS], routes=routes) as running:
        yield running
