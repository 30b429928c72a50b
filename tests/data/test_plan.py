"""The plan: values in, values out; applied to the facts and planned again it is empty."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.plan import Plan
from mcml.data.entry import Entry
from mcml.data.plan import Pair, Rules, plan_copy, plan_delete, total_size

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
NAMES = st.sampled_from(["a", "a/b", "c", "d/e", "../x", "/abs", "f//g", "two\nlines", "marker/", ".a.mcml-partial"])
CHECKSUMS = st.sampled_from(["", "md5:00", "md5:01", "sha256:00", "odd:00-2"])
ENTRIES = st.builds(Entry, NAMES, st.integers(0, 3), CHECKSUMS, st.just("e"), st.just(""), st.sampled_from([NOON, LATER]))
BY_NAME = st.lists(ENTRIES, max_size=8, unique_by=lambda entry: entry.name)


def plan(source: Sequence[Entry], there: Sequence[Entry], rules: Rules, *, to_folder: bool) -> Plan:
    pairs = [Pair(entry, entry.name, f"s3://b/{entry.name}", f"out/{entry.name}") for entry in source]
    return plan_copy(pairs, {entry.name: entry for entry in there}, rules, to_folder=to_folder)


@given(BY_NAME, BY_NAME, st.booleans(), st.booleans())
def test_applied_and_planned_again_it_is_empty(source: list[Entry], there: list[Entry], clobber: bool, to_folder: bool) -> None:
    rules = Rules(clobber=clobber)
    first = plan(source, there, rules, to_folder=to_folder)
    after = {entry.name: entry for entry in there}
    by_name = {entry.name: entry for entry in source}
    for step in first.changes:
        after[str(step.values["to"])] = replace(by_name[str(step.values["from"])], modified=LATER)
    second = plan(source, list(after.values()), rules, to_folder=to_folder)
    assert second.changes == ()
    assert [step.kind for step in second.steps] == [step.kind for step in first.steps]
    if not clobber:
        assert {step.action for step in first.changes} <= {"create"}


@given(BY_NAME, BY_NAME)
def test_every_entry_has_one_step_and_no_bad_name_is_written(source: list[Entry], there: list[Entry]) -> None:
    made = plan(source, there, Rules(force=True), to_folder=True)
    assert [step.values["from"] for step in made.steps] == [entry.name for entry in source]
    assert not {"../x", "/abs", "f//g", ".a.mcml-partial"} & {str(step.values["to"]) for step in made.changes}


@pytest.mark.parametrize(
    ("entry", "there", "rules", "wanted"),
    [
        (Entry("a", 1), None, Rules(), ("create", "missing")),
        (Entry("a", 1), Entry("a", 2), Rules(), ("update", "1 bytes, not 2")),
        (Entry("a", 1, "md5:00"), Entry("a", 1, "md5:00"), Rules(), ("keep", "same md5")),
        (Entry("a", 1, "md5:00"), Entry("a", 1, "md5:01"), Rules(), ("update", "another md5")),
        (Entry("a", 1, "md5:00"), Entry("a", 1, "md5:00"), Rules(force=True), ("update", "forced")),
        (Entry("a", 1), Entry("a", 2), Rules(clobber=False), ("keep", "already there")),
        (Entry("a", None), Entry("a", 2), Rules(), ("update", "from a stream")),
        (
            Entry("a", 1, "md5:00", modified=NOON),
            Entry("a", 1, "sha256:00", modified=LATER),
            Rules(),
            ("keep", "same size and not older; checksums cannot be compared"),
        ),
        (
            Entry("a", 1, modified=LATER),
            Entry("a", 1, modified=NOON),
            Rules(),
            ("update", "newer at the source, checksums cannot be compared"),
        ),
    ],
)
def test_what_differs(entry: Entry, there: Entry | None, rules: Rules, wanted: tuple[str, str]) -> None:
    (step,) = plan([entry], [there] if there else [], rules, to_folder=False).steps
    assert (step.action, step.reason) == wanted


def test_a_path_cannot_be_a_file_and_a_folder() -> None:
    made = plan([Entry("a", 1), Entry("a/b", 1), Entry("ab", 1)], [], Rules(), to_folder=True)
    assert [(step.name, step.kind) for step in made.steps] == [("out/a", "copy"), ("out/a/b", "refused"), ("out/ab", "copy")]


def test_a_deletion_counts_its_bytes() -> None:
    made = plan_delete([(Entry("a", 1), "s3://b/a"), (Entry("b", 2), "s3://b/b"), (Entry("link"), "link")])
    assert (len(made.changes), total_size(made)) == (3, 3)
