"""Every command that a provider names as the next step exists: of `aws` by the SDK's own models, of `mcml` by its parser.

Of `gcloud` and `az` there is nothing here to ask: theirs were looked up, and a new one has to be (and to be added below):
https://cloud.google.com/sdk/gcloud/reference and https://learn.microsoft.com/cli/azure/reference-index.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import mcml
from mcml.cli.lazy import WORDS, load

ROOT = Path(mcml.__file__).parent
LONGEST = 400  # what is longer is prose
# what the command line adds to the services' own operations: https://docs.aws.amazon.com/cli/latest/reference/
OWN_COMMANDS = {"s3 ls", "configure", "sso login", "eks get-token", "logs tail"}
OWN_OPTIONS = {"region", "profile", "query", "output", "source-group", "protocol"}

GCLOUD = """
    ai custom-jobs list|ai persistent-resources list|alpha services quota list|artifacts docker images list|artifacts repositories create
    auth application-default login|auth login|billing projects describe|components install gke-gcloud-auth-plugin
    compute instance-groups managed update-autoscaling|compute instances detach-disk|compute instances update
    compute machine-types list|compute networks subnets list|compute operations describe|compute project-info describe
    config set project|container clusters list|container operations list|iam service-accounts get-iam-policy|logging read
    projects get-iam-policy|services enable|sql instances delete|sql instances describe|sql instances patch|sql operations describe
    sql operations list|storage buckets list|storage rm
"""
AZ = """
    account list|account list-locations|account show|acr list|acr repository list|acr show|aks install-cli|aks nodepool list
    aks nodepool update|aks start|aks update|costmanagement export list|group list|lock delete|lock list|login|ml compute list
    ml compute list-usage|ml workspace list|ml workspace show|monitor action-group list|monitor autoscale list
    monitor metrics list-definitions|network vnet subnet show|policy assignment list|provider register|provider show
    resource delete|resource list|role assignment create|snapshot list|sql db list|sql db restore|storage account keys list
    storage account list|storage account management-policy show|storage account show|storage account show-connection-string
    storage account show-usage|storage blob set-tier|storage container delete|storage container list|vm create|vm delete
    vm disk detach|vm list|vm list-skus|vm list-usage
"""
LOOKED_UP = {"gcloud": re.split(r"[|\n]\s*", GCLOUD.strip()), "az": re.split(r"[|\n]\s*", AZ.strip())}
PROSE = {"gcloud name one"}


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module; what an f-string fills in is an X."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):  # breadth first: an f-string comes before its parts
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside and len(node.value) <= LONGEST:
            yield node.value


def commands(folder: str, tool: str) -> list[str]:
    """Return the commands of a tool that a folder's modules name, without the tool's own name."""
    command = re.compile(rf"(?<![\w./:`-]){tool} ([a-z][\w-]*(?: [\w./:{{}}-]+)*)")
    found = {match[1] for path in (ROOT / folder).glob("*.py") for text in texts(path) for match in command.finditer(text)}
    return sorted(found - {prose.partition(" ")[2] for prose in PROSE})


def verbs(command: str) -> str:
    """Return the beginning of a command that holds no name and no option."""
    words = [re.match(r"[a-z][a-z0-9-]*$", word) for word in command.split()]
    stop = words.index(None) if None in words else len(words)
    return " ".join(command.split()[:stop])


@cache
def service(name: str) -> Any:
    return botocore.session.get_session().get_service_model({"s3api": "s3"}.get(name, name))


@pytest.mark.parametrize("command", commands("providers/aws", "aws"))
def test_a_command_of_aws(command: str) -> None:
    if any(command == own or command.startswith(f"{own} ") for own in OWN_COMMANDS):
        return
    name, verb, *rest = command.split()
    if verb == "wait":
        waiters = botocore.session.get_session().get_waiter_model(name).waiter_names
        assert rest[0] in {xform_name(waiter, "-") for waiter in waiters}
        return
    operations = {xform_name(operation, "-"): operation for operation in service(name).operation_names}
    assert verb in operations
    shape = service(name).operation_model(operations[verb]).input_shape
    known = {xform_name(member, "-") for member in shape.members} | OWN_OPTIONS if shape else OWN_OPTIONS
    for option in (word.removeprefix("--") for word in rest if word.startswith("--")):
        assert option in known or option.removeprefix("no-") in known


@pytest.mark.parametrize(("folder", "tool"), [("providers/gcp", "gcloud"), ("providers/azure", "az")])
def test_a_command_of_the_other_clouds_was_looked_up(folder: str, tool: str) -> None:
    found = {verbs(command) for command in commands(folder, tool)}
    assert len(found) > 10
    assert {one for one in found if not any(one == known or one.startswith(f"{known} ") for known in LOOKED_UP[tool])} == set()


def test_a_command_of_mcml() -> None:
    """Those that an error or a check gives as the next step."""
    found = sorted({text.rpartition("then: ")[2] for path in ROOT.rglob("*.py") for text in next_steps(path)})
    assert len(found) > 20
    for command in found:
        word, *rest = command.split()[1:]
        assert word in (*WORDS, "--help"), command
        below: dict[str, Any] = getattr(load(word), "commands", {}) if word in WORDS else {}
        assert not below or not rest or not re.match(r"[a-z]{2,}$", rest[0]) or rest[0] in below, command


def next_steps(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg in ("next_step", "fix"):
            parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
            if text.startswith("mcml "):
                yield text
