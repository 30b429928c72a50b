"""How Azurite gets here: what is locked, and that a machine without it skips with the reason and does not try again and again."""

import json
from pathlib import Path

import pytest

from tests.providers.azure.azurite_server import HERE, AzuriteMissing, install


def test_the_lock_is_whole_and_names_no_host() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert not any("resolved" in package for package in packages.values())
    assert packages["node_modules/azurite"]["version"] == "3.35.0"
    assert all(package["integrity"].startswith("sha") for name, package in packages.items() if name)


def test_without_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AzuriteMissing, match="needs node and npm"):
        install(tmp_path / "cache")


def test_an_install_that_fails_is_not_repeated_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\necho 'the network is away' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for _ in range(2):
        with pytest.raises(AzuriteMissing, match="the network is away"):
            install(tmp_path / "cache")
    assert (tmp_path / "runs").read_text() == "run\n"
