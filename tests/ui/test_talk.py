"""What is said on stderr: questions, failures, progress."""

import pytest

from mcml.core.errors import Interrupted, McmlError, Usage
from mcml.core.report import Silent
from mcml.ui import failure, progress, prompt
from tests.ui.streams import err_of, out_of, streams


def test_a_question_is_asked_on_stderr_and_yes_goes_on() -> None:
    made = streams(terminal=True, typed="y\n")
    prompt.confirm("Stop fraud?", made, yes=False)
    assert err_of(made) == "Stop fraud? [y/N] "
    assert out_of(made) == ""


@pytest.mark.parametrize("typed", ["n\n", "\n", "yess\n", ""])
def test_anything_else_changes_nothing(typed: str) -> None:
    with pytest.raises(Interrupted, match="nothing was changed"):
        prompt.confirm("Stop fraud?", streams(terminal=True, typed=typed), yes=False)


def test_without_a_terminal_the_error_names_the_flag() -> None:
    with pytest.raises(Usage) as raised:
        prompt.confirm("Stop fraud?", streams(), yes=False)
    assert raised.value.next_step == "add --yes to answer it beforehand"


def test_yes_answers_beforehand() -> None:
    made = streams()
    prompt.confirm("Stop fraud?", made, yes=True)
    prompt.confirm_by_name("Destroy dev?", "dev", made, yes=True)
    assert err_of(made) == ""


def test_destroying_wants_the_name() -> None:
    prompt.confirm_by_name("Destroy dev?", "dev", streams(terminal=True, typed="dev\n"), yes=False)
    with pytest.raises(Interrupted):
        prompt.confirm_by_name("Destroy dev?", "dev", streams(terminal=True, typed="prod\n"), yes=False)


def test_a_failure_says_what_why_and_what_next() -> None:
    made = streams()
    failure.show(McmlError("cannot start fraud", why="port 80 is taken\nby nginx", next_step="mcml doctor"), made)
    assert err_of(made) == "error: cannot start fraud\n  why:  port 80 is taken\n        by nginx\n  next: mcml doctor\n"


def test_debug_adds_the_traceback() -> None:
    made = streams()
    try:
        raise McmlError("broken")
    except McmlError as error:
        failure.show(error, made, debug=True)
    assert "Traceback (most recent call last)" in err_of(made)
    assert err_of(made).endswith("error: broken\n")


def test_into_a_pipe_one_line_a_step() -> None:
    made = streams()
    told = progress.reporter(made, quiet=False)
    told.start("eu-1", "deploying fraud")
    told.update("eu-1", "still at it")
    told.finish("eu-1", "serves")
    told.finish("us-1", "port taken", ok=False)
    told.note("done")
    lines = err_of(made).splitlines()
    assert lines[0] == "eu-1: deploying fraud"
    assert lines[1].startswith("eu-1: serves (")
    assert lines[2:] == ["us-1: FAILED: port taken", "done"]


def test_on_a_terminal_finished_steps_stay_and_the_live_part_goes() -> None:
    made = streams(terminal=True)
    told = progress.reporter(made, quiet=False)
    told.start("eu-1", "deploying")
    told.update("eu-1", "verifying")
    told.finish("eu-1", "serves")
    told.start("us-1", "deploying")
    progress.close(told)
    assert "✓ eu-1: serves" in err_of(made)


def test_quiet_is_silent() -> None:
    assert isinstance(progress.reporter(streams(), quiet=True), Silent)
