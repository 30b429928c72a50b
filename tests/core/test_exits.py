"""Exit codes and errors: one line of the table is one test, and every error has its code."""

import pickle

import pytest

from mcml.core import errors, exits
from mcml.core.errors import McmlError, NotFound, Unavailable, did_you_mean, unknown

TABLE = {
    "DONE": (0, "done"),
    "FAILED": (1, "failed"),
    "USAGE": (2, "wrong usage: a flag, an argument, or a question nobody could answer"),
    "DIFFERENCES": (3, "differences found (only with --detailed-exitcode)"),
    "NOT_AUTHENTICATED": (4, "not authenticated"),
    "NOT_FOUND": (5, "not found"),
    "PROVIDER_CANNOT": (6, "the provider cannot do this"),
    "PARTLY_DONE": (7, "partly done: run the same command again to continue"),
    "STILL_RUNNING": (8, "still running when --timeout ran out"),
    "BUG": (70, "a bug in mcml"),
    "INTERRUPTED": (130, "interrupted"),
}
CODES = {
    "McmlError": 1,
    "Usage": 2,
    "NotAuthenticated": 4,
    "NotFound": 5,
    "ProviderCannot": 6,
    "PartlyDone": 7,
    "StillRunning": 8,
    "Conflict": 1,
    "QuotaExceeded": 1,
    "InvalidRequest": 1,
    "Unavailable": 1,
    "Interrupted": 130,
}


@pytest.mark.parametrize("name", TABLE)
def test_a_line_of_the_table_of_exit_codes(name: str) -> None:
    code, meaning = TABLE[name]
    assert getattr(exits, name) == code
    assert exits.MEANING[code] == meaning


def test_the_table_is_whole() -> None:
    assert {name: getattr(exits, name) for name in vars(exits) if name.isupper() and name != "MEANING"} == {
        name: code for name, (code, _) in TABLE.items()
    }
    assert list(exits.MEANING) == sorted(code for code, _ in TABLE.values())


def _error_classes() -> list[type[McmlError]]:
    return [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, McmlError)]


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_has_its_code_and_three_parts(kind: type[McmlError]) -> None:
    error = kind("cannot reach eu-1", why="refused", next_step="mcml doctor")
    assert kind.exit_code == CODES[kind.__name__]
    assert kind.exit_code in exits.MEANING
    assert (str(error), error.message, error.why, error.next_step) == ("cannot reach eu-1", "cannot reach eu-1", "refused", "mcml doctor")
    assert (kind("alone").why, kind("alone").next_step) == ("", "")
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), vars(copied)) == (kind, vars(error))
    assert f"{kind.__name__} " in (errors.__doc__ or ""), "the tree in the module's docstring is whole"


def test_every_error_is_in_the_table() -> None:
    assert {kind.__name__ for kind in _error_classes()} == set(CODES)


def test_unavailable_may_say_when_to_come_back() -> None:
    assert Unavailable("throttled").retry_after is None
    assert Unavailable("throttled", retry_after=1.5).retry_after == 1.5


def test_the_nearest_name_or_all_of_them() -> None:
    assert did_you_mean("eu1", ["us-1", "eu-1"]) == "did you mean 'eu-1'?"
    assert did_you_mean("tokyo", ["us-1", "eu-1"]) == "known: eu-1, us-1"
    assert did_you_mean("tokyo", []) == ""


def test_an_unknown_name_is_not_found() -> None:
    error = unknown("target", "eu1", iter(["eu-1"]), next_step="mcml infra apply")
    assert isinstance(error, NotFound)
    assert (error.message, error.why, error.next_step) == ("no target named 'eu1'", "did you mean 'eu-1'?", "mcml infra apply")
    assert unknown("target", "eu1", []).why == "no target is defined"


def test_of_many_names_an_error_shows_the_first() -> None:
    names = [f"n{number:02}" for number in range(30)]
    assert did_you_mean("tokyo", names) == f"known: {', '.join(names[:20])} and 10 more"
    assert did_you_mean("tokyo", names[:21]) == f"known: {', '.join(names[:21])}"
