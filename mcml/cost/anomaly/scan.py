"""From the ledger's groups to the anomalies of each scope: daily series, which of their days are complete, findings, what moved. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Literal

from mcml.cost.anomaly.daily import Day, Finding, Kind, Limits, find
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import product, total

Key = tuple[str | None, ...]
Verdict = Literal["expected", "wrong"]

PARTS = ("sku", "resource", "team")
"""What a change is split by, each on its own."""
ASKED = ("provider", "source", "day")
"""What the ledger must be asked for besides the scope, in this order, at the end."""
RIPENING = 5
"""Days before the newest charge that may still lack rows."""
COMPLETE = 0.7
"""A day with fewer rows than this part of the median of its weekdays before is not complete yet."""
GROWN = 0.98
"""A day that had fewer rows than this part of what it has now was not complete then."""
AS_LARGE = Decimal("1.5")
"""What is up to so many times an expected anomaly is expected, too."""
LARGER = Decimal("1.1")
"""After a wrong alarm only what is so many times larger is told."""
ONE_DAY = timedelta(days=1)
LEFT = timedelta(days=45)
"""A provider that has charged nothing for longer, while others did, has left; some bills come once a month, and those are waited for."""


@dataclass(frozen=True)
class Moved:
    """How much more one part of a scope cost than in the days it is compared with; None: all that has no such name, `others` the rest."""

    name: str | None
    before: Decimal
    after: Decimal
    others: int = 0

    @property
    def delta(self) -> Decimal:
        """The exact difference."""
        return total((self.after, self.before.copy_negate()))


@dataclass(frozen=True)
class Feedback:
    """What a person said of an anomaly, with what is needed to know the next one like it."""

    verdict: Verdict
    by: tuple[str, ...]
    key: Key
    currency: str
    kind: Kind
    impact: Decimal
    note: str = ""


@dataclass(frozen=True)
class Anomaly:
    """A finding in its scope. `feedback` is why it is silent, `ongoing` when its last day is the newest complete one."""

    by: tuple[str, ...]
    key: Key
    currency: str
    finding: Finding
    ongoing: bool
    feedback: Feedback | None = None

    @property
    def id(self) -> str:
        """Name it by its scope and first day, the same at every look."""
        text = "\0".join((*self.by, *(part if part is not None else "\1" for part in self.key), self.currency, str(self.finding.first)))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:10]

    @property
    def name(self) -> str:
        """The scope as people read it."""
        return "/".join(part or "-" for part in self.key) or "everything"

    @property
    def state(self) -> str:
        """What a person may do with it: `expected` (silent), `open` (goes on), `new level`, `growing` or `over`."""
        if self.feedback:
            return self.feedback.verdict
        kinds = {"shift": "new level", "drop": "new level", "leak": "growing"}
        return kinds.get(self.finding.kind, "open" if self.ongoing else "over")


def scan(
    by: Sequence[str],
    groups: Iterable[Group],
    limits: Limits,
    said: Sequence[Feedback] = (),
    ripe_until: Mapping[str | None, date] | None = None,
) -> list[Anomaly]:
    """Return the anomalies of each scope; `groups` are by `(*by, *ASKED)`, `ripe_until` the first day that a provider's bill usually lacks.

    Estimates are no costs yet: they are left out, and a day that has some is not complete.
    """
    every, until = list(groups), ripe_until or {}
    complete = {provider: ripe_days(several, until.get(provider, date.max)) for provider, several in _by_provider(every).items()}
    found = []
    for (key, currency), mine in _series(every, len(by)).items():
        own = [each for each in said if (each.by, each.key, each.currency) == (tuple(by), key, currency)]
        days = _days(mine, [complete[group.key[-3]] for group in mine])
        newest = max((day.day for day in days if day.ripe), default=date.min)
        for finding in find(days, _raised(limits, own)):
            anomaly = Anomaly(tuple(by), key, currency, finding, finding.last >= newest, _expected(finding, own))
            found.append(anomaly)
    return sorted(found, key=lambda each: (each.finding.first, each.finding.impact.copy_abs()), reverse=True)


def ripening(then: Iterable[Group], now: Iterable[Group], at: date) -> dict[str | None, int]:
    """Return how many days old a day of each provider was when its rows were all there, from what the ledger was on the day `at`.

    Both are by provider and day, of the days before `at`: as the ledger was then, and as it is now.
    """
    known, today = (Counter[Key](), Counter[Key]())
    for counter, groups in ((known, then), (today, now)):
        for group in groups:
            counter[group.key] += group.rows
    ages: dict[str | None, int] = {key[0]: 0 for key in known}
    for key, rows in today.items():
        if key[0] in ages and known[key] < GROWN * rows:
            ages[key[0]] = max(ages[key[0]], (at - date.fromisoformat(str(key[1]))).days + 1)
    return ages


def ripe_days(groups: Iterable[Group], until: date = date.max) -> dict[date, bool]:
    """Return the days of a provider from its first to its newest, and which of them have all their rows, as far as one can tell.

    The newest is the one that the newest charge reached when it was ingested: what is charged in advance is no news of tomorrow. A day is
    complete when it is before `until`, a charge ends after it, it holds no estimate, and, of the last RIPENING days, it has about as many
    rows as its weekdays before.
    """
    rows: dict[date, int] = {}
    estimated = set()
    last = datetime.min.replace(tzinfo=UTC)
    for group in groups:
        day = day_of(group)
        rows[day] = rows.get(day, 0) + group.rows
        if group.key[-2] == "estimate":
            estimated.add(day)
        else:
            last = max(last, min(group.last, group.ingested))
    first, newest = min(rows), min(max(rows), last.date())
    found = {}
    for number in range((newest - first).days + 1):
        day = first + number * ONE_DAY
        before = [rows.get(day - 7 * week * ONE_DAY, 0) for week in range(1, 5) if day - 7 * week * ONE_DAY >= first]
        enough = (newest - day).days >= RIPENING or not before or rows.get(day, 0) >= COMPLETE * median(before)
        ended = last >= datetime.combine(day + ONE_DAY, datetime.min.time(), UTC)
        found[day] = day < until and day not in estimated and enough and ended
    return found


def explain(before: Iterable[Group], after: Iterable[Group], most: int = 3) -> dict[str, list[Moved]]:
    """Split the change between two spans by SKU, by resource and by team; each split adds up to the whole change, to the last digit.

    `before` and `after` are by PARTS. The largest `most` are named, the rest is one line.
    """
    was, now = list(before), list(after)
    return {part: _largest(_sums(was, at), _sums(now, at), most) for at, part in enumerate(PARTS)}


def compared_with(finding: Finding) -> tuple[date, date]:
    """Return the first and last day that an anomaly is explained against: as many whole weeks before as it takes, for a leak three."""
    weeks = 3 if finding.kind == "leak" else (finding.last - finding.first).days // 7 + 1
    return finding.first - 7 * weeks * ONE_DAY, finding.last - 7 * weeks * ONE_DAY


def day_of(group: Group) -> date:
    """Return the day of a group whose last dimension is the day."""
    return date.fromisoformat(str(group.key[-1]))


def _by_provider(groups: Iterable[Group]) -> dict[str | None, list[Group]]:
    found: dict[str | None, list[Group]] = {}
    for group in groups:
        found.setdefault(group.key[-3], []).append(group)
    return found


def _series(groups: Iterable[Group], width: int) -> dict[tuple[Key, str], list[Group]]:
    found: dict[tuple[Key, str], list[Group]] = {}
    for group in groups:
        found.setdefault((group.key[:width], group.currency), []).append(group)
    return found


def _days(groups: Sequence[Group], complete: Sequence[Mapping[date, bool]]) -> list[Day]:
    """Return a scope's days from its first charge to the newest day of its providers; a day without rows cost nothing."""
    costs: dict[date, list[Decimal]] = {}
    for group in groups:
        costs.setdefault(day_of(group), []).extend([group.effective] if group.key[-2] != "estimate" else [])
    first, newest = min(costs), max((max(known) for known in complete if known), default=date.min)
    days = [first + number * ONE_DAY for number in range((newest - first).days + 1)]
    known = list({id(each): each for each in complete if each}.values())
    return [Day(day, total(costs.get(day, ())), all(_complete(each, day, newest) for each in known)) for day in days]


def _complete(known: Mapping[date, bool], day: date, newest: date) -> bool:
    """Tell whether a provider's bill has a day: before its first there is nothing to come, nor after its last when it has left."""
    return known.get(day, day < min(known) or max(known) + LEFT < newest)


def _raised(limits: Limits, said: Iterable[Feedback]) -> Limits:
    """A wrong alarm raises what is worth telling in this scope above it."""
    wrong = [product(each.impact.copy_abs(), LARGER) for each in said if each.verdict == "wrong"]
    return Limits(max(limits.minimum, *wrong), limits.relative) if wrong else limits


def _expected(finding: Finding, said: Iterable[Feedback]) -> Feedback | None:
    alike = (each for each in said if each.verdict == "expected" and each.kind == finding.kind)
    return next((each for each in alike if finding.impact.copy_abs() <= product(each.impact.copy_abs(), AS_LARGE)), None)


def _sums(groups: Iterable[Group], at: int) -> dict[str | None, Decimal]:
    found: dict[str | None, list[Decimal]] = {}
    for group in groups:
        found.setdefault(group.key[at], []).append(group.effective)
    return {name: total(amounts) for name, amounts in found.items()}


def _largest(was: Mapping[str | None, Decimal], now: Mapping[str | None, Decimal], most: int) -> list[Moved]:
    moved = [Moved(name, was.get(name, Decimal(0)), now.get(name, Decimal(0))) for name in dict.fromkeys((*now, *was))]
    moved = sorted((each for each in moved if each.delta), key=lambda each: each.delta.copy_abs(), reverse=True)
    rest = moved[most:]
    if len(rest) < 2:
        return moved
    return [*moved[:most], Moved(None, total(each.before for each in rest), total(each.after for each in rest), len(rest))]
