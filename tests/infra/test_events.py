"""The stream of a run and its diagnostics, line by line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, McmlError
from mcml.infra.terraform.events import Diagnostic, Event, Tally, parse_line, to_error

LOCK_DETAIL = """resource temporarily unavailable
Lock Info:
  ID:        1c8f6d2e-6c6c-5a9e-2a0b-0c4b1c1f2a11
  Path:      terraform.tfstate.d/dev/terraform.tfstate
  Operation: OperationTypeApply
  Who:       ann@build-7
  Version:   1.11.4
  Created:   2026-11-21 21:57:12.37 +0000 UTC
  Info:


Terraform acquires a state lock to protect the state from being written
by multiple users at the same time."""


def line(**fields: Any) -> bytes:
    return json.dumps({"@level": "info", "@message": "text", "@module": "terraform.ui"} | fields).encode()


def test_an_event_of_a_resource() -> None:
    resource = {"addr": 'terraform_data.target["eu"]', "resource_key": "eu", "resource_type": "terraform_data"}
    found = parse_line(line(type="apply_complete", hook={"resource": resource, "action": "create", "elapsed_seconds": 3, "new_field": 1}))
    assert found == Event("apply_complete", 'terraform_data.target["eu"]', "eu", "create", 3.0)


def test_a_diagnostic() -> None:
    said = {"severity": "error", "summary": "S", "detail": "D", "range": {"filename": "main.tf", "start": {"line": 4}}, "snippet": {}}
    found = parse_line(line(type="diagnostic", diagnostic=said))
    assert found
    assert found.diagnostic == Diagnostic("error", "S", "D", "", "main.tf:4")


@pytest.mark.parametrize("text", [b"", b"Successfully configured", b"\x1b[0m", b"[1]", b"3", b"null", b'{"type": 3}', b'{"a": 1}', b"\xff"])
def test_what_is_no_event_is_none(text: bytes) -> None:
    assert parse_line(text) is None


@pytest.mark.parametrize("version", ["1.0", "1.2", "1.99"])
def test_a_new_minor_version_is_read(version: str) -> None:
    assert parse_line(line(type="version", terraform="1.20.0", ui=version)) == Event("version")


@pytest.mark.parametrize("version", ["2.0", "0.1", ""])
def test_another_major_version_is_refused(version: str) -> None:
    with pytest.raises(McmlError, match="machine-readable output"):
        parse_line(line(type="version", terraform="2.0.0", ui=version))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_no_json_at_all_breaks_the_reader(value: Any) -> None:
    assert parse_line(json.dumps(value).encode()) is None or isinstance(value, dict)


def test_the_lock_names_its_holder() -> None:
    error = to_error([Diagnostic("error", "Error acquiring the state lock", LOCK_DETAIL)], "planning")
    assert isinstance(error, Conflict)
    assert error.message == "ann@build-7 is changing this environment (apply) since 2026-11-21 21:57:12.37 +0000 UTC"
    assert error.why == "lock 1c8f6d2e-6c6c-5a9e-2a0b-0c4b1c1f2a11 on terraform.tfstate.d/dev/terraform.tfstate"
    assert "mcml infra status" in error.next_step


def test_a_lock_without_a_note_is_still_a_conflict() -> None:
    error = to_error([Diagnostic("error", "Error acquiring the state lock", "resource temporarily unavailable")], "planning")
    assert isinstance(error, Conflict)
    assert error.why == "resource temporarily unavailable"


def test_a_stale_plan_is_a_conflict() -> None:
    error = to_error([Diagnostic("error", "Saved plan is stale", "The given plan file can no longer be applied")], "applying dev")
    assert isinstance(error, Conflict)
    assert error.message == "the plan is older than the state: applying dev was refused"


def test_a_program_of_ours_speaks_for_itself() -> None:
    said = "error: cannot destroy the local target 'eu'\nwhy: models run there: a, b\n"
    said += "try: mcml deploy delete a --target eu\nmcml deploy delete b --target eu\n"
    detail = f"Error running command 'eu': exit status 1. Output: {said}"
    error = to_error([Diagnostic("error", "local-exec provisioner error", detail, 'terraform_data.target["eu"]', "main.tf:34")], "x")
    assert error.message == "cannot destroy the local target 'eu'"
    assert error.why == "models run there: a, b"
    assert error.next_step == "mcml deploy delete a --target eu\nmcml deploy delete b --target eu"


def test_a_program_that_only_died_is_told_in_terraforms_words() -> None:
    detail = "Error running command 'eu': exit status 1. Output: boom"
    found = Diagnostic("error", "local-exec provisioner error", detail, "t.t", "main.tf:34")
    error = to_error([found], "x", next_step="again")
    assert (error.message, error.next_step) == ("local-exec provisioner error (main.tf:34)", "again")
    assert error.why == "t.t: Error running command 'eu': exit status 1. Output: boom"


def test_several_errors_are_all_told_once_and_warnings_are_not() -> None:
    one, other = Diagnostic("error", "Bad name", "no such", "a.b"), Diagnostic("error", "Bad port", "too big", "c.d")
    error = to_error([Diagnostic("warning", "Old", ""), one, one, other, Diagnostic("error", "execution halted")], "x")
    assert error.message == "Bad name"
    assert error.why == "a.b: no such\nc.d: too big"


def test_without_a_diagnostic_the_last_words_count() -> None:
    error = to_error([], "planning", text="\n".join(f"line {number}" for number in range(40)))
    assert error.message == "Terraform failed while planning"
    assert error.why.splitlines()[-1] == "line 39"
    assert len(error.why.splitlines()) == 12
    assert to_error([], "planning").why == "it said nothing"


def event(kind: str, address: str, action: str) -> Event:
    return Event(kind, address, action=action)


def test_a_replacement_is_done_when_both_halves_are() -> None:
    tally = Tally({"a": ["delete", "create"], "b": ["create"], "c": ["create"]})
    for kind, address, action in [("apply_start", "a", "delete"), ("apply_complete", "a", "delete"), ("apply_start", "b", "create")]:
        tally.count(event(kind, address, action))
    assert (tally.done, tally.half_done, tally.untouched) == ([], ("a", "b"), ("c",))
    tally.count(event("apply_start", "a", "create"))
    tally.count(event("apply_complete", "a", "create"))
    tally.count(event("apply_errored", "b", "create"))
    assert (tally.done, tally.half_done, tally.untouched) == (["a"], ("b",), ("c",))


KINDS = st.sampled_from(["apply_start", "apply_complete", "apply_errored", "x"])


@given(st.lists(st.tuples(KINDS, st.sampled_from("abc"), st.sampled_from(["create", "delete"]))))
def test_whatever_comes_nothing_is_lost(events: list[tuple[str, str, str]]) -> None:
    tally = Tally({"a": ["delete", "create"], "b": ["create"]})
    for kind, address, action in events:
        tally.count(event(kind, address, action))
    known = {*tally.done, *tally.half_done, *tally.untouched}
    assert {"a", "b"} <= known
    assert not set(tally.done) & {*tally.half_done, *tally.untouched}
    assert len(tally.done) == len(set(tally.done))
