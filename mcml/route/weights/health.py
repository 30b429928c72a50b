"""Is a backend up? A small state machine over what Envoy sees, so that one outage is one `down` and one `up`; pure values.

    joining --first good reading--> up <--proved itself-- trial <--Envoy takes it back-- out
    joining or up --Envoy takes it out--> out          trial --out again--> out (the same outage goes on)
    up or trial --its answers break off--> out         (Envoy sees a good answer from its first byte on: only one that ended was whole)

A backend proves itself on the smallest share of traffic: by `TRIAL_SECONDS` without a failed attempt when its health check had failed
too; by `TRIAL_SUCCESSES` whole answers, or a long quiet time, when only its answers were bad (its health check says nothing about those).
"""

from dataclasses import dataclass, replace

from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Seen
from mcml.route.weights.score import Place

TRIAL_SECONDS = 2.0
TRIAL_SUCCESSES = 3
TRIAL_QUIET_SECONDS = 15.0

BROKEN = 3
"""Answers that broke off, with none that was whole between them, after which a backend is out: clients lose each of them."""

BROKEN_SECONDS, MOST_BROKEN_SECONDS = 5.0, 60.0
"""How long it is out then, unless it is asked all the same and an answer is whole; twice as long each time that it breaks off again
before an answer was whole."""

TOLD_SECONDS = 2.0
"""An answer is timed at its end, and Envoy tells that within so many seconds."""


@dataclass(frozen=True)
class Health:
    """A backend's place and how it came there; times are monotonic seconds.

    `out_since` and `reason` are of the outage that is going on; `check_failed`: its health check failed in it; `begun` and `ended`: answers
    since it came back, or last failed; `broken`: answers that broke off in a row, since `broken_at`; `until`: it is not tried again
    before, having been out for `pause` seconds.
    """

    place: Place = "joining"
    since: float = 0.0
    out_since: float = 0.0
    reason: str = ""
    check_failed: bool = False
    begun: int = 0
    ended: int = 0
    broken: int = 0
    broken_at: float = 0.0
    until: float = 0.0
    pause: float = 0.0


def step(health: Health, seen: Seen, added: Counters, now: float) -> Health:
    """Return the health after one more reading; `added` is what was counted since the one before."""
    if health.place == "joining" and seen.pending:
        return health
    if seen.out:
        return _out(health, seen, added, now)
    if health.place == "joining":
        return Health("up", now)
    if health.place == "out":
        whole = added.succeeded > seen.active or _ended_since(health, added, now) > 0
        return health if now < health.until and not whole else replace(health, place="trial", since=now, begun=0, ended=0)
    whole = added.succeeded > seen.active or added.timed > 0
    if health.place == "up":
        return replace(health, broken=0, pause=0.0) if whole else _up(health, seen, added, now)
    return _broken_off(health, added.broken, now) if added.broken and not whole else _trial(health, seen, added, now)


def _up(health: Health, seen: Seen, added: Counters, now: float) -> Health:
    """Return the health of one that is up, and had no whole answer since the reading before."""
    if added.broken:
        health = replace(health, broken=health.broken + added.broken, broken_at=health.broken_at if health.broken else now)
    # where many answers are under way, others may just have ended well: that is told a little later
    certain = health.broken > seen.active or now - health.broken_at >= TOLD_SECONDS
    return _broken_off(health, health.broken, now) if health.broken >= BROKEN and certain else health


def _broken_off(health: Health, broken: int, now: float) -> Health:
    pause = min(2 * health.pause, MOST_BROKEN_SECONDS) or BROKEN_SECONDS
    if health.place == "trial":
        return replace(health, place="out", since=now, until=now + pause, pause=pause)
    reason = f"its answers break off ({broken} in a row)"
    return Health("out", now, out_since=now, reason=reason, until=now + pause, pause=pause)


def _out(health: Health, seen: Seen, added: Counters, now: float) -> Health:
    check_failed = health.check_failed or seen.failing
    if health.place == "out":
        return replace(health, check_failed=check_failed)
    if health.place == "trial":
        return replace(health, place="out", since=now, check_failed=check_failed)
    return Health("out", now, out_since=now, reason=_reason(seen, added), check_failed=seen.failing)


def _trial(health: Health, seen: Seen, added: Counters, now: float) -> Health:
    if added.failed:
        return replace(health, since=now, begun=0, ended=0)
    health = replace(health, begun=health.begun + added.succeeded, ended=health.ended + _ended_since(health, added, now))
    waited = now - health.since
    # what is under way may still break off, so of those that were begun as many are not whole
    proved = max(health.begun - seen.active, health.ended) >= TRIAL_SUCCESSES
    quiet = health.check_failed or (waited >= TRIAL_QUIET_SECONDS and not seen.active)
    if waited >= TRIAL_SECONDS and (proved or quiet):
        return Health("up", now, out_since=health.out_since, reason=health.reason, pause=0.0 if proved else health.pause)
    return health


def _ended_since(health: Health, added: Counters, now: float) -> int:
    """Return how many answers were timed that surely ended since the backend has its place, or last failed."""
    return added.timed if now - health.since >= TOLD_SECONDS else 0


def _reason(seen: Seen, added: Counters) -> str:
    bad_answers = max(0, added.failed - added.refused - added.timed_out)
    causes = {"refused connections": added.refused, "attempts over the time limit": added.timed_out, "failed answers": bad_answers}
    said = ", ".join(f"{count} {cause}" for cause, count in causes.items() if count)
    if seen.failing:
        return f"its health check fails ({said})" if said else "its health check fails"
    return f"ejected after failures in a row ({said})" if said else "ejected after failures in a row"
