"""A project with two local targets on the Terraform of this machine."""

from pathlib import Path

import pytest

from tests.infra.rig import Project, terraform


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, {"eu": "eu-1", "us": "us-1"}, terraform())
