"""The errors of mcml, each with an exit code and the three parts a person needs: what failed, why, what to try next.

    McmlError                1  failed
      Usage                  2  a flag, an argument or the configuration is wrong
      NotAuthenticated       4
      NotFound               5
      ProviderCannot         6  the capability is IMPOSSIBLE, NOT_YET or absent
      PartlyDone             7  some of the work is done; a re-run continues
      StillRunning           8  --timeout ran out, the work goes on
      Conflict               1  somebody else holds it, or it changed underneath
      QuotaExceeded          1
      InvalidRequest         1  the other side refused the content of the request
      Unavailable            1  time-out, refused connection, 429, 5xx: worth another try, `retry_after` seconds from now
      Interrupted          130
"""

from collections.abc import Iterable
from difflib import get_close_matches

from mcml.core import exits


class McmlError(Exception):
    """A failure that a person can understand and act on.

    `message` says what failed and on what, `why` the cause, `next_step` the command to try.
    """

    exit_code: int = exits.FAILED

    def __init__(self, message: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.next_step = next_step


class Usage(McmlError):
    """A flag, an argument or the configuration is wrong."""

    exit_code = exits.USAGE


class NotAuthenticated(McmlError):
    """No credentials, or the other side refused them."""

    exit_code = exits.NOT_AUTHENTICATED


class NotFound(McmlError):
    """The thing named does not exist."""

    exit_code = exits.NOT_FOUND


class ProviderCannot(McmlError):
    """The provider does not offer this capability."""

    exit_code = exits.PROVIDER_CANNOT


class PartlyDone(McmlError):
    """Some of the work is done and some is not; a re-run continues."""

    exit_code = exits.PARTLY_DONE


class StillRunning(McmlError):
    """The work goes on, but `--timeout` ran out."""

    exit_code = exits.STILL_RUNNING


class Conflict(McmlError):
    """Somebody else holds it, or it changed underneath."""


class QuotaExceeded(McmlError):
    """A limit of the account or the machine is reached."""


class InvalidRequest(McmlError):
    """The other side refused the content of the request."""


class Unavailable(McmlError):
    """A passing fault: time-out, refused connection, throttling, 5xx. `retry_after` is in seconds, when the other side said so."""

    def __init__(self, message: str, *, why: str = "", next_step: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, why=why, next_step=next_step)
        self.retry_after = retry_after


class Interrupted(McmlError):
    """The person pressed Ctrl-C; the message says what is half-done and how to resume."""

    exit_code = exits.INTERRUPTED


class TimeUp(KeyboardInterrupt):
    """`--timeout` ran out. As Ctrl-C, whatever is under way is left in order; no library may take it for a fault of its own and go on.

    The command makes a StillRunning of it, if nobody below does who has more to say.
    """


def said(error: McmlError) -> str:
    """Return an error as one line: what failed, and why."""
    return error.message + (f" ({error.why})" if error.why else "")


SHOWN = 20
"""Names that an error shows of many."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return 'did you mean X?' for the nearest known name, else the known names: none, all, or the first of many."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN + 1 else ""
    return f"known: {', '.join(names[:SHOWN] if more else names)}{more}" if names else ""


def unknown(what: str, name: str, known: Iterable[str], *, next_step: str = "") -> NotFound:
    """Build the NotFound for a name that is not among the known ones, with the nearest as a hint."""
    names = list(known)
    return NotFound(f"no {what} named {name!r}", why=did_you_mean(name, names) or f"no {what} is defined", next_step=next_step)
