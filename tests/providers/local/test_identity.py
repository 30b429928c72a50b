"""Identity on `local`: the contract, and each check when it fails."""

import getpass
import socket
from pathlib import Path

import pytest

from mcml.providers.api.identity import Check, Identity
from mcml.providers.local.identity import open_identity
from mcml.providers.local.target import create_target
from mcml.testing.contracts.identity import IdentityContract
from tests.providers.local.conftest import MakeContext


class TestIdentity(IdentityContract):
    @pytest.fixture
    def identity(self, make_context: MakeContext, root: Path) -> Identity:
        create_target(root, "eu-1", "eu", 2)
        return open_identity(make_context())


def checks(make_context: MakeContext) -> dict[str, Check]:
    return {check.name: check for check in open_identity(make_context()).check()}


def test_the_host_is_the_account(make_context: MakeContext) -> None:
    who = open_identity(make_context()).whoami()
    assert (who.account, who.principal, who.method) == (socket.gethostname(), getpass.getuser(), "operating system user")


def test_a_fresh_machine_is_fine_and_is_left_untouched(make_context: MakeContext, root: Path) -> None:
    found = checks(make_context)
    assert list(found) == ["folder", "disk", "model server"]
    assert all(check.ok for check in found.values())
    assert not root.exists()


def test_a_folder_that_cannot_be_written(make_context: MakeContext) -> None:
    found = open_identity(make_context(root="/proc/mcml")).check()[0]
    assert (found.name, found.ok, found.fix) == ("folder", False, "chmod u+w /proc")
    assert "cannot be written" in found.detail


def test_ports_that_others_took(make_context: MakeContext, root: Path) -> None:
    first, second = create_target(root, "eu-1", "eu", 2).ports
    with socket.create_server(("127.0.0.1", first)):
        assert checks(make_context)["ports of eu-1"] == Check(
            "ports of eu-1", True, f"1 of 2 leased ports are free; another program has {first}"
        )
        with socket.create_server(("127.0.0.1", second)):
            found = checks(make_context)["ports of eu-1"]
            assert (found.ok, found.fix) == (False, "ss -ltnp")
            assert str(second) in found.detail
    assert checks(make_context)["ports of eu-1"].detail == "2 of 2 leased ports are free"


def test_a_broken_target_is_a_failed_check(make_context: MakeContext, root: Path) -> None:
    create_target(root, "eu-1", "eu", 2)
    (root / "targets/eu-1/target.json").write_text("{")
    found = checks(make_context)["targets"]
    assert not found.ok
    assert "mcml infra apply" in found.fix
