"""The shape of [cost] in mcml.toml."""

from mcml.core.schema_base import Strict


class Cost(Strict):
    """What the cost room is told: who owns what, what may be spent, what is to be watched."""
