"""What the control port and the metrics are answered from: the newest status and counters, the history. One thread writes, others read."""

from collections.abc import Mapping
from typing import Any

from mcml.route.show.history import History
from mcml.route.weights.measure import Counters


class Board:
    """The newest of everything; each attribute is replaced as a whole, so a reader never sees half of it."""

    def __init__(self) -> None:
        self.told: Mapping[str, Any] = {}
        self.totals: Mapping[str, Counters] = {}
        self.copies: Mapping[tuple[str, str, str], int] = {}
        self.history = History()

    def show(self, told: Mapping[str, Any], totals: Mapping[str, Counters]) -> None:
        """Take the status of this second and the counters of every backend."""
        self.told, self.totals = told, totals
        self.history.add(told)
