"""What of Terraform's stream reaches a program that reads along, and what a person is told of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.infra import outcome
from mcml.infra.stream import handed_on
from mcml.infra.terraform.events import Event, parse_line
from mcml.infra.units.units import Unit
from tests.infra.rig import Project, Recorder
from tests.infra.screens import LOCAL, unit
from tests.infra.test_command import Typed, mcml  # noqa: F401 - a fixture

SECRET = "hunter2-hunter2"

RESOURCE = {"addr": 'aws_subnet.this["a"]', "resource_key": "a", "resource_type": "aws_subnet"}


def said(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@level": "info", "@message": "text", "@module": "terraform.ui", "@timestamp": "2026-01-02T03:04:05Z", "type": kind} | fields


def test_an_event_keeps_terraforms_own_fields() -> None:
    hook = {"resource": RESOURCE, "action": "create", "elapsed_seconds": 3}
    found = handed_on(said("apply_complete", hook=hook, new_field=1))
    assert found == {"@level": "info", "@message": "text", "@timestamp": "2026-01-02T03:04:05Z", "type": "apply_complete", "hook": hook}


def test_what_a_provisioner_writes_and_what_outputs_hold_is_left_out() -> None:
    assert handed_on(said("provision_progress", hook={"output": SECRET}, **{"@message": SECRET})) is None
    outputs = handed_on(said("outputs", outputs={"password": {"sensitive": False, "type": "string", "value": SECRET, "action": "create"}}))
    assert outputs
    assert outputs["outputs"] == {"password": {"sensitive": False, "action": "create"}}
    assert SECRET not in json.dumps(outputs)
    about = {"severity": "error", "summary": "local-exec provisioner error", "detail": SECRET, "snippet": {"code": SECRET}}
    assert SECRET not in json.dumps(handed_on(said("diagnostic", diagnostic=about)))
    other = handed_on(said("diagnostic", diagnostic={"severity": "error", "summary": "no", "detail": "why", "snippet": {"code": SECRET}}))
    assert other
    assert other["diagnostic"] == {"severity": "error", "summary": "no", "detail": "why"}


FIELDS = st.sampled_from(["type", "hook", "outputs", "diagnostic", "change"])


@given(st.dictionaries(FIELDS, st.none() | st.integers() | st.lists(st.text())))
def test_nothing_breaks_it(fields: dict[str, Any]) -> None:
    found = handed_on(fields)
    assert found is None or set(found) <= set(fields)


class Watcher(Recorder):
    """A reporter that also shows what is expected."""

    def expect(self, key: str, seconds: float) -> None:
        self.told.append(("expect", key, f"{seconds:g}"))


def told(of: Unit, reporter: Recorder, label: str, *kinds: str, **resource: str) -> list[tuple[str, str, str]]:
    for kind in kinds:
        line = said(kind, hook={"resource": RESOURCE | resource, "action": "create"})
        event = parse_line(json.dumps(line).encode())
        assert event
        outcome.tell(event, reporter, of, label, lambda kind, action: 30.0 if (kind, action) == ("aws_subnet", "create") else None)
    return reporter.told


def test_a_resource_is_a_part_of_its_unit_and_has_its_whole_address() -> None:
    name = 'aws-network: aws_subnet.this["a"]'
    assert told(unit("aws-network"), Watcher(), "aws-network: ", "apply_start", "apply_progress", "apply_complete") == [
        ("start", name, "creating"), ("expect", name, "30"), ("update", name, "still creating"), ("finish", name, "created")
    ]  # fmt: skip
    assert told(unit("aws-network"), Recorder(), "aws-network: ", "apply_start", "apply_errored") == [
        ("start", name, "creating"), ("failed", name, "creating failed")
    ]  # fmt: skip


def test_a_target_has_its_own_name() -> None:
    address = 'terraform_data.target["eu"]'
    assert told(LOCAL, Watcher(), "", "apply_start", addr=address, resource_key="eu") == [("start", "eu", "creating")]


def test_a_program_is_given_the_event_and_not_the_step() -> None:
    class Program(Recorder):
        def event(self, of: str, fields: dict[str, object]) -> None:
            self.told.append(("event", of, str(fields["type"])))

    found = told(unit("aws-network"), Program(), "aws-network: ", "apply_start", "provision_progress", "apply_complete")
    assert found == [("event", "aws-network", "apply_start"), ("event", "aws-network", "apply_complete")]


def test_two_events_are_the_same_whatever_else_their_lines_say() -> None:
    assert Event("version", said={"a": 1}) == Event("version")


def test_with_o_json_the_stream_is_on_stderr_and_one_document_on_stdout(mcml: Typed) -> None:  # noqa: F811
    assert mcml("apply", "--yes", "-o", "json") == 0
    assert [item["result"] for item in mcml.items()] == ["created", "created"]
    events = [json.loads(line) for line in mcml.err.splitlines() if line.startswith("{")]
    assert {"step_start", "step_finish", "apply_start", "apply_complete", "change_summary"} <= {event["type"] for event in events}
    made = [event for event in events if event["type"] == "apply_complete"]
    assert [event["unit"] for event in made] == ["local", "local"]
    assert {event["hook"]["resource"]["resource_key"] for event in made} == {"eu", "us"}
    assert all(event["time"].endswith("Z") for event in events)
    assert "provision_progress" not in mcml.err
    assert mcml("plan", "-o", "json", "-q") == 0
    assert mcml.err == ""


SENSITIVE_ROOT = """
terraform {
  required_version = ">= 1.11"
}
variable "password" {
  type      = string
  sensitive = true
  default   = "hunter2-hunter2"
}
resource "terraform_data" "one" {
  input = var.password
  provisioner "local-exec" {
    command = "echo from-the-provisioner"
  }
}
output "password" {
  value     = var.password
  sensitive = true
}
output "plain" {
  value = { network = { id = "n-1", zones = ["a", "b"] } }
}
"""


@pytest.mark.slow
def test_no_secret_of_a_root_of_ones_own_is_shown_anywhere(mcml: Typed) -> None:  # noqa: F811
    folder: Path = mcml.project.folder
    (folder / "own").mkdir()
    (folder / "own" / "main.tf").write_text(SENSITIVE_ROOT)
    with (folder / "mcml.toml").open("a") as config:
        config.write('\n[infra.units.own]\nmodule = "own"\n')
    heard = ""
    commands = (
        ("plan",), ("plan", "-o", "json"), ("apply", "--yes", "-o", "json"), ("output",), ("output", "own", "-o", "json"),
        ("status",), ("status", "-o", "json"),
    )  # fmt: skip
    for command in commands:
        assert mcml(*command) == 0, mcml.err
        heard += mcml.out + mcml.err
    assert SECRET not in heard
    assert "from-the-provisioner" not in heard
    assert mcml("output", "own", "-o", "json") == 0
    assert [(item["name"], item["value"], item["sensitive"]) for item in mcml.items()] == [
        ("plain", {"network": {"id": "n-1", "zones": ["a", "b"]}}, False), ("password", None, True)
    ]  # fmt: skip
    assert mcml("output") == 0
    assert "plain.network.zones\ta,b" in mcml.out
    assert mcml("status", "-o", "json") == 0
    assert [(item["name"], item["state"]) for item in mcml.items() if item["kind"] == "unit"] == [("local", "applied"), ("own", "applied")]


MADE = 'resource "terraform_data" "one" {\n  count = 2\n}\n'
BROKEN = 'resource "terraform_data" "one" {\n  provisioner "local-exec" {\n    command = "exit 3"\n  }\n}\n'


def test_each_unit_is_a_step_and_its_resources_are_parts_of_it(project: Project) -> None:
    made = []
    for name, text in (("good", MADE), ("bad", BROKEN)):
        folder = project.folder / name
        folder.mkdir()
        (folder / "main.tf").write_text(text)
        made.append(Unit(name, "dev", module=str(folder), own=True))
    with project.fleet(*made) as fleet:
        results = fleet.apply(fleet.plan())
    assert (list(results.done), list(results.failed)) == (["good"], ["bad"])
    of_units = [(verb, key, text) for verb, key, text in project.reporter.told if key in ("good", "bad")]
    assert sorted(of_units) == [
        ("failed", "bad", "0 of 1 changes done"),
        ("finish", "bad", "1 to change"),
        ("finish", "good", "2 of 2 changes done"),
        ("finish", "good", "2 to change"),
        ("start", "bad", "applying"),
        ("start", "bad", "planning"),
        ("start", "good", "applying"),
        ("start", "good", "planning"),
    ]
    parts = [(verb, key) for verb, key, _ in project.reporter.told if ": " in key]
    wanted = [("finish", "good: terraform_data.one[0]"), ("finish", "good: terraform_data.one[1]"), ("failed", "bad: terraform_data.one")]
    assert set(wanted) <= set(parts)
