"""Two spans side by side: what each line cost in both, what is new, what is gone, and what moved most. Pure: no I/O, no clock, no float."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from mcml.core.errors import Usage
from mcml.cost.report import TIMES, others
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import product, quotient, tidy, total

Fate = Literal["up", "down", "same", "new", "gone"]


@dataclass(frozen=True)
class Move:
    """What one line cost before and now, in effective cost. `others`: how many lines are folded into it (0: it is one itself)."""

    key: tuple[str | None, ...]
    before: Decimal
    after: Decimal
    fate: Fate
    others: int = 0

    @property
    def delta(self) -> Decimal:
        """How much more it costs now."""
        return tidy(total((self.after, self.before.copy_negate())))  # `-before` would round to 28 digits

    @property
    def percent(self) -> Decimal | None:
        """How much more as a percentage of before, with one decimal; None where it cost nothing before, or less than that."""
        return quotient(product(self.delta, 100), self.before, places=1) if self.before > 0 else None


@dataclass(frozen=True)
class MoveTable:
    """The lines of one currency, those that moved most first, and all of them together."""

    currency: str
    moves: tuple[Move, ...]
    whole: Move


def compare(by: Sequence[str], before: Iterable[Group], after: Iterable[Group], *, limit: int = 0) -> list[MoveTable]:
    """Set the groups of two spans side by side; beyond `limit` lines (0: no limit) the smallest moves are folded into one.

    A line is new when it has no row before, and gone when it has none now. Raises Usage when a dimension is one of time.
    """
    comparable(by)
    sides = (_sums(before), _sums(after))
    tables = []
    for currency in sorted({currency for side in sides for currency, _ in side}):
        keys = {key for side in sides for found, key in side if found == currency}
        moves = sorted((_move(currency, key, *sides) for key in keys), key=lambda move: (-abs(move.delta), tuple(map(str, move.key))))
        tables.append(MoveTable(currency, _folded(moves, limit, len(by)), _together(moves, (), 0)))
    return tables


def comparable(by: Sequence[str]) -> tuple[str, ...]:
    """Return dimensions by which two spans can be compared. Raises Usage when one is of time: then no line could be in both."""
    times = [name for name in by if name in TIMES]
    if times:
        why = "each line would be in one of the spans only"
        raise Usage(f"costs by {times[0]} cannot be compared", why=why, next_step="mcml cost report --help")
    return tuple(by)


def _sums(groups: Iterable[Group]) -> dict[tuple[str, tuple[str | None, ...]], Decimal]:
    return {(group.currency, group.key): group.effective for group in groups}


def _move(
    currency: str,
    key: tuple[str | None, ...],
    before: Mapping[tuple[str, tuple[str | None, ...]], Decimal],
    after: Mapping[tuple[str, tuple[str | None, ...]], Decimal],
) -> Move:
    was, now = before.get((currency, key)), after.get((currency, key))
    fate: Fate = "new" if was is None else "gone" if now is None else "same" if was == now else "up" if now > was else "down"
    return Move(key, tidy(was or Decimal(0)), tidy(now or Decimal(0)), fate)


def _folded(moves: list[Move], limit: int, width: int) -> tuple[Move, ...]:
    if not limit or len(moves) <= limit:
        return tuple(moves)
    rest = moves[limit:]
    return (*moves[:limit], _together(rest, (others(len(rest)), *[None] * (width - 1)), len(rest)))


def _together(moves: Sequence[Move], key: tuple[str | None, ...], count: int) -> Move:
    before, after = (tidy(total(amounts)) for amounts in ([move.before for move in moves], [move.after for move in moves]))
    return Move(key, before, after, "same" if before == after else "up" if after > before else "down", count)
