"""What right-sizing is about: a machine and what it did, what should be changed and why, and what a change is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from mcml.providers.api.instances import Architecture, Instance, MachinePrice
from mcml.providers.api.metrics import MachineMetric

Action = Literal["shrink", "grow", "change", "keep", "unknown"]
"""change: another family or architecture of about the same size. unknown: too little is known to say anything."""
Risk = Literal["very low", "low", "medium", "high"]
"""How likely the proposed type is to be too small, from the room that the tightest measure leaves."""


@dataclass(frozen=True)
class Step:
    """What was measured in one step: its average and its highest sample."""

    at: datetime
    average: float
    highest: float


@dataclass(frozen=True)
class Usage:
    """What a machine did from `start` to `end`, by measure: steps with a sample only. A measure that is not there is unknown.

    `steps` is how many steps the span has, so that its coverage can be told, less the `off` ones, in which we had turned it off. What was
    measured before the machine had its present type is not in it.
    """

    start: datetime
    end: datetime
    step: timedelta
    measured: Mapping[MachineMetric, tuple[Step, ...]]
    off: int = 0

    @property
    def steps(self) -> int:
        """How many steps of the span it could be measured in."""
        return -((self.start - self.end) // self.step) - self.off


@dataclass(frozen=True)
class Need:
    """What one measure asks of a type, in the unit of the metric: shares of what the machine has, or bytes a second.

    `used` is the percentile of the averages, or the highest sample of what is held; `needed` is that with the headroom. `steps` is how
    many steps had a sample. `pinned`: it hit the ceiling, so what would have been used without one is not known.
    """

    measure: MachineMetric
    used: float
    needed: float
    highest: float
    steps: int
    pinned: bool = False


@dataclass(frozen=True)
class Subject:
    """A machine on a target, what its type is and costs by the price list, and since when it has that type (None: not known)."""

    target: str
    provider: str
    region: str
    instance: Instance
    type: MachinePrice
    resized: datetime | None = None

    @property
    def key(self) -> str:
        """TARGET/ID: what people name it by."""
        return f"{self.target}/{self.instance.id}"


@dataclass(frozen=True)
class Reason:
    """Why, in the words of Compute Optimizer ("CPUOverprovisioned", "MemoryUnderprovisioned", ...) or ours, and as a sentence with numbers.

    https://docs.aws.amazon.com/compute-optimizer/latest/APIReference/API_Recommendation.html
    """

    code: str
    said: str


@dataclass(frozen=True)
class Fit:
    """How one measure fits a type: what is needed, with the headroom, what the highest sample was, and what the type has, in `unit`.

    `used` is what is needed without the headroom. Where it was not `measured`, all are what the present type has: what is unknown is not
    made smaller.
    """

    measure: MachineMetric
    needed: float
    highest: float
    has: float | None
    unit: str
    used: float = 0.0
    measured: bool = True

    @property
    def fits(self) -> bool:
        """Whether the type has it: what is not known to be there does not fit."""
        return self.has is not None and self.needed <= self.has and self.highest <= self.has


@dataclass(frozen=True)
class Recommendation:
    """What should become of a machine. `proposed` is None for keep and unknown; `fits` is the certificate of the proposed type (of its own
    for keep), `rejected` says of cheaper types why not. `saving` is per month of 730 hours at the effective rate, negative when it costs
    more, None where that is not known; `list_saving` is the same by the price list.
    """

    subject: Subject
    action: Action
    proposed: MachinePrice | None = None
    reasons: tuple[Reason, ...] = ()
    fits: tuple[Fit, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    risk: Risk | None = None
    saving: Decimal | None = None
    list_saving: Decimal | None = None
    currency: str = ""
    architecture: Architecture = ""

    @property
    def key(self) -> str:
        """TARGET/ID of its machine."""
        return self.subject.key
