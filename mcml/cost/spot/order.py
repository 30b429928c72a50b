"""A job that is run on spot: what was ordered, and what became of it so far. Both are kept as one document, so that any mcml can go on."""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from mcml.core.errors import InvalidRequest
from mcml.cost.spot.job import Choice, Job

KIND = "cost.spot"
RUNS = 20
"""How many earlier runs of a name are remembered: what they left is cleaned with the last one."""
HISTORY = 2000
"""Ticks of the market that are remembered: the belief of the policy forgets older ones."""
State = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Candidate:
    """A type of machine on a target: a place where spot may be had."""

    target: str
    machine: str

    @property
    def name(self) -> str:
        """TARGET/MACHINE."""
        return f"{self.target}/{self.machine}"


@dataclass(frozen=True)
class Fallback:
    """On demand on a target: a stopped machine that runs the job when it is started, a type of machine that is launched for it, or an empty
    group whose template runs the job."""

    target: str
    instance: str = ""
    machine: str = ""
    group: str = ""


@dataclass(frozen=True)
class Order:
    """What to run, where it may run, and by when. Seconds: `work` is what it takes without a stop, `restart` what a machine needs until the
    job makes progress on it, `checkpoint` how often it saves, `tick` how often we look. `progress` is where the job says how far it has
    saved: a path or a URL of an object store."""

    command: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    fallback: Fallback
    work: int
    deadline: int
    restart: int
    checkpoint: int
    tick: int
    progress: str

    def job(self, spot: Decimal, on_demand: Decimal) -> Job:
        """Return the job at these prices: what a checkpoint has not saved is lost with the machine, so it counts as part of a restart.

        Spot that costs more than on demand is priced as dear as that: there is nothing to gain. Raises InvalidRequest.
        """
        return Job(self.work, self.deadline, self.restart + self.checkpoint, self.tick, on_demand, min(spot, on_demand))


@dataclass(frozen=True)
class Place:
    """Where it runs: a Choice, the target, the type and id of the machine, what an hour costs, since when.

    `token` is what asks for the machine: that of a request, or the id of a stopped one or the name of a `group`, which have no `machine`
    here. An empty `instance` was asked for, and the answer is not known yet; it may stand for `several`, asked for under other tokens
    before it. `noticed` is when its provider will take it away, once that is known.
    """

    choice: int
    target: str
    machine: str
    instance: str
    token: str
    price: Decimal
    since: datetime
    noticed: datetime | None = None
    group: bool = False
    several: bool = False

    @property
    def name(self) -> str:
        """TARGET/MACHINE of one that was asked for, TARGET/ID of a stopped one or of a group."""
        return f"{self.target}/{self.machine or self.token}".rstrip("/")

    @property
    def word(self) -> str:
        """`spot` or `on-demand`."""
        return "spot" if self.choice == Choice.SPOT else "on-demand"


@dataclass(frozen=True)
class Record:
    """How a job stands. `saved` is the share of the work that its checkpoints hold (0 to 1), `pace` how much slower it is than was ordered,
    `history` whether spot was to be had, tick by tick, `leaving` the machines that are still to be stopped. `found` is the share that was
    saved before it began, `run` what tells it from other jobs of its name (empty: begun before there was such a thing), `earlier` the runs
    of its name before it."""

    name: str
    order: Order
    started: datetime
    looked: datetime
    state: State = "running"
    currency: str = ""
    on_demand: Decimal = Decimal(0)
    place: Place | None = None
    leaving: tuple[Place, ...] = ()
    attempt: int = 0
    saved: float = 0.0
    saved_at: datetime | None = None
    pace: float = 1.0
    cost: Decimal = Decimal(0)
    spot_seconds: float = 0.0
    on_demand_seconds: float = 0.0
    interruptions: int = 0
    switches: int = 0
    failures: int = 0
    history: tuple[bool, ...] = field(default=())
    ended: datetime | None = None
    late: bool = False
    found: float = 0.0
    run: str = ""
    earlier: tuple[str, ...] = ()

    @property
    def due(self) -> datetime:
        """When it must be done."""
        return self.started + timedelta(seconds=self.order.deadline)

    @property
    def document(self) -> dict[str, Any]:
        """The record as a document."""
        return asdict(self)

    def tick(self, *, up: bool) -> "Record":
        """Return the record with one more tick of the market."""
        return replace(self, history=(*self.history, up)[-HISTORY:])


@dataclass(frozen=True)
class Planning:
    """Where a job would run: the places in the order they are asked with their spot price and what is remembered of them, what is taken
    first, and its cost: expected, and on demand alone."""

    places: tuple[tuple[str, Decimal, Any], ...]
    first: str
    expected: Decimal
    dear: Decimal
    on_demand: Decimal
    currency: str


def read(content: object) -> Record:
    """Return the record of a document. Raises InvalidRequest for one that this version does not understand."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Record).validate_python(content)
    except ValidationError as wrong:
        why = wrong.errors()[0]["msg"]
        raise InvalidRequest("the state of this spot job cannot be read", why=why, next_step="mcml cost spot run NAME --help") from None
