"""The shape of [cost] in mcml.toml."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mcml.core.errors import Usage
from mcml.core.schema_base import NAMES_ONLY, Name, Strict
from mcml.core.when import duration


class IdleSignal(Strict):
    """A metric that says whether a machine does anything."""

    metric: str = Field(description="The provider's own name of the metric.", examples=["AWS/EC2:CPUUtilization"])
    below: float = Field(description="It idles while every value is below this.", examples=[5])
    label: str = Field(default="InstanceId", description="The label of the metric that says which machine it is of.")
    value: Literal["id", "name"] = Field(
        default="id", description="What stands in it: the machine's id as mcml shows it, or the part behind the last slash."
    )


class Idle(Strict):
    """When a machine is turned off within its hours: all signals agree, and all of them are known."""

    lasts: str = Field(default="2h", description="For how long nothing must have happened.")
    signals: tuple[IdleSignal, ...] = Field(min_length=2, description="At least two metrics; what is not measured never counts as idle.")

    @field_validator("lasts")
    @classmethod
    def _some_time(cls, lasts: str) -> str:
        try:
            length = duration(lasts)
        except Usage as wrong:
            raise ValueError(f"{wrong.message}: {wrong.next_step}") from wrong
        if not length:
            raise ValueError("nothing idles for no time")
        return lasts


class Schedule(Strict):
    """Machines and groups that run in their hours only."""

    hours: tuple[str, ...] = Field(
        min_length=1,
        description="When they run: days and times of day; up to the next day when they end before they begin.",
        examples=[["mon-fri 08:00-18:00"]],
    )
    zone: str = Field(description="The time zone of the hours, of the IANA database.", examples=["Europe/Berlin"])
    holidays: str = Field(
        default="", description="Country, or part of one, on whose public holidays they do not run; empty: none.", examples=["DE-BY"]
    )
    match: dict[str, str] = Field(min_length=1, description="The tags that they all carry.", examples=[{"environment": "dev"}])
    kinds: tuple[Literal["instances", "groups"], ...] = Field(default=("instances", "groups"), min_length=1, description="What is meant.")
    targets: tuple[str, ...] = Field(default=(), description="Where; empty: on all targets.")
    idle: Idle | None = Field(default=None, description="Turn machines off within their hours, too, while they idle.")


class AllocationRule(Strict):
    """One rule of the allocation: which costs it takes, and to whom they go."""

    name: Name = Field(description="The rule's name; it stands in every line that it made.", examples=["platform"])
    where: tuple[str, ...] = Field(
        default=(),
        description="Conditions that all hold, as of --where; none: all that no rule before took.",
        examples=[["service~Amazon*"]],
    )
    to: str = Field(default="", description="Who bears these costs: a team or project.", examples=["risk"])
    by: str = Field(default="", description="Or: the dimension whose value says who does, tag:KEY among them.", examples=["tag:owner"])
    map: dict[str, str] = Field(
        default_factory=dict,
        description="What the values of `by` mean, by pattern, first match wins; a value without a match is left to the next rule.",
        examples=[{"*@risk.example.com": "risk"}],
    )
    split: Literal["", "even", "proportional", "requests", "weights"] = Field(
        default="",
        description="Or: these costs are shared by all. even: the same for each; proportional: to direct cost; requests: to requests "
        "served; weights: fixed.",
    )
    weights: dict[str, Decimal] = Field(default_factory=dict, description="Who bears how many parts.", examples=[{"risk": 2, "ads": 1}])
    among: tuple[str, ...] = Field(default=(), description="Who shares; none: everyone with direct cost.", examples=[["risk", "ads"]])

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.to, self.by, self.split))) != 1:
            raise ValueError("a rule has one of `to`, `by` and `split`")
        if bool(self.weights) != (self.split == "weights"):
            raise ValueError('`weights` and split = "weights" go together')
        if any(weight < 0 for weight in self.weights.values()) or (self.weights and not any(self.weights.values())):
            raise ValueError("weights are not negative, and one of them is more than zero")
        if (self.map and not self.by) or (self.among and self.split in ("", "weights")):
            raise ValueError("`map` goes with `by`, and `among` with a `split` other than weights")
        return self


class Allocation(Strict):
    """Who bears which costs."""

    rules: tuple[AllocationRule, ...] = Field(
        default=(), description="In order: the first rule that takes a cost allocates it. Without any, costs go to the team in their tags."
    )

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two rules have one name")
        return self


class Anomalies(Strict):
    """Which days are told as unusual."""

    by: tuple[str, ...] = Field(default=("service",), description="What makes a scope: each is watched on its own.", examples=[["team"]])
    minimum: float = Field(default=10, ge=0, description="Only what is off by more than this, in the currency of the costs.")
    percent: float = Field(default=25, ge=0, description="And by more than this share of what was expected.")


IDLE = Idle(
    signals=(
        IdleSignal(metric="machine.cpu", below=0.05, label="instance"),
        IdleSignal(metric="machine.network", below=10_000, label="instance"),
    )
)
"""A machine that uses less than 5 % of its CPUs and moves less than 10 kB a second, by the names that every provider knows."""


class BudgetAction(Strict):
    """What is done once so much of a budget is spent."""

    at: float = Field(gt=0, description="Once this share of the amount is spent, in percent.", examples=[100])
    do: Literal["stop-idle", "refuse-gpu-deploys"] = Field(
        description="stop-idle: what carries the tags of `match` is stopped while it idles. refuse-gpu-deploys: `mcml deploy` "
        "starts no new version on a GPU, of models that the budget is for, until the period ends."
    )
    match: dict[str, str] = Field(
        default_factory=dict, description="stop-idle: the tags that the machines all carry.", examples=[{"environment": "dev"}]
    )
    kinds: tuple[Literal["instances", "groups"], ...] = Field(
        default=("instances",), min_length=1, description="stop-idle: what is meant; a group idles when each of its machines does."
    )
    targets: tuple[str, ...] = Field(default=(), description="stop-idle: where; empty: on all targets.", examples=[["eu-1"]])
    idle: Idle = Field(default=IDLE, description="stop-idle: when a machine idles.")

    @model_validator(mode="after")
    def _tags_for_machines(self) -> Self:
        if bool(self.match) != (self.do == "stop-idle"):
            raise ValueError('`match` and do = "stop-idle" go together')
        return self


class Budget(Strict):
    """What may be spent, over all clouds at once, and when to say so."""

    amount: float = Field(gt=0, description="What may be spent in a period.", examples=[2000])
    currency: str = Field(pattern="^[A-Z]{3}$", description="Others are named and not counted, unless `convert`.", examples=["USD"])
    per: Literal["day", "week", "month", "quarter"] = Field(default="month", description="The period: of the calendar, in UTC.")
    where: tuple[str, ...] = Field(
        default=(), description="Which costs: conditions that all hold, as --where takes them.", examples=[["team=risk", "charge!=Tax"]]
    )
    actual: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(50, 80, 100), description="Alert when this share of it is spent, in percent."
    )
    forecast: float = Field(default=100, ge=0, description="Alert when this share will be spent by the end, in percent; 0: never.")
    burn: float = Field(
        default=2, ge=0, description="Alert when the last day and the last seven both burned so many times the even pace; 0: never."
    )
    incident: bool = Field(default=False, description="An alert opens an incident.")
    convert: bool = Field(default=False, description="Costs in other currencies count, too, by the dated rates of [cost.rates].")
    actions: tuple[BudgetAction, ...] = Field(default=(), description="What is done besides, each until it is undone or the period ends.")
    act: bool = Field(
        default=False,
        description="`mcml cost budgets check` carries the actions out unasked; false: it only says what it would do, unless --act.",
    )

    @model_validator(mode="after")
    def _actions_once(self) -> Self:
        if len({(action.do, action.at) for action in self.actions}) < len(self.actions):
            raise ValueError("two actions do the same at the same share")
        return self


class Rates(Strict):
    """Dated exchange rates, for who asks for all costs in one currency."""

    file: str = Field(
        default="",
        description="A CSV file, relative to this one: date,from,to,rate, or eurofxref-hist.csv of the European Central Bank.",
        examples=["rates/eurofxref-hist.csv"],
    )
    source: str = Field(
        default="", description="Whose rates they are, as reports say it; empty: the name of the file.", examples=["European Central Bank"]
    )
    max_age: Annotated[int, Field(strict=True, ge=0, le=366)] = Field(
        default=7, description="A day without a rate takes the last one before it, unless that is more days older than this."
    )


class HealthSignal(Strict):
    """A metric that says that a machine is not well after a change."""

    metric: str = Field(description="The provider's own name of the metric, or a common one.", examples=["machine.memory"])
    above: float = Field(description="The change is taken back when a value is above this.", examples=[0.97])
    label: str = Field(default="instance", description="The label of the metric that says which machine it is of.")
    value: Literal["id", "name"] = Field(
        default="id", description="What stands in it: the machine's id as mcml shows it, or the part behind the last slash."
    )


class Rightsizing(Strict):
    """How large a machine should be, and how a change is watched."""

    window: str = Field(default="14d", description="How far back is looked; what was before the machine's last resize does not count.")
    minimum: str = Field(default="7d", description="For less than this, nothing is said.")
    coverage: float = Field(default=80, gt=0, le=100, description="And so many percent of the steps must have a sample.")
    percentile: float = Field(default=95, gt=50, le=100, description="What counts of CPU, GPU and network: this percentile of averages.")
    headroom: float = Field(default=25, ge=0, description="Percent more than that a type must have; of memory, more than the highest.")
    machines: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Which types may be proposed, as patterns.", examples=[["m7i.*", "m7g.*"]]
    )
    architectures: tuple[Literal["x86_64", "arm64"], ...] = Field(
        default=(), description="To which other architectures a machine may move: its image must run there.", examples=[["arm64"]]
    )
    saving: float = Field(default=5, ge=0, description="What saves less than so many percent is not proposed.")
    leave: dict[str, str] = Field(
        default_factory=dict, description="Machines with one of these tags are left alone.", examples=[{"pinned": "yes"}]
    )
    watch: str = Field(default="30m", description="How long a change is watched before it counts as done.")
    health: tuple[HealthSignal, ...] = Field(default=(), description="What must not happen meanwhile; full memory always is.")


class Warehouse(Strict):
    """A table of costs in a company's warehouse, which `mcml cost report --engine warehouse` asks in place of the ledger."""

    provider: Name = Field(description="Whose warehouse.", examples=["gcp"])
    engine: Literal["bigquery", "athena", "duckdb"] = Field(
        description="Which SQL it speaks. BigQuery's is proven against the ledger on its emulator, DuckDB's on the provider local; "
        "Athena's is translated and parsed in the tests, and was not run there."
    )
    table: str = Field(
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){1,2}$",
        description="A table with the columns of FOCUS, 1.0 or later: dataset.table, before it a project or a catalogue.",
        examples=["acme-data.finops.focus"],
    )
    price_per_tib: Decimal | None = Field(
        default=None, ge=0, description="What reading 1 TiB costs, in USD; shown before a query where the engine tells what it will read."
    )


class Cost(Strict):
    """What the cost room is told: who owns what, what may be spent, what is to be watched."""

    schedules: dict[Name, Schedule] = Field(
        default_factory=dict, description="Office hours of machines and groups.", json_schema_extra=NAMES_ONLY
    )
    allocation: Allocation = Field(default=Allocation(), description="Who bears which costs.")
    anomalies: Anomalies = Field(default=Anomalies(), description="Which days are told as unusual.")
    budgets: dict[Name, Budget] = Field(default_factory=dict, description="What may be spent.", json_schema_extra=NAMES_ONLY)
    rates: Rates = Field(default=Rates(), description="Dated exchange rates.")
    rightsizing: Rightsizing = Field(default=Rightsizing(), description="How large machines should be.")
    warehouse: Warehouse | None = Field(default=None, description="A company's table of costs.")

    def named_targets(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield which targets are named, with the place where."""
        for name, schedule in self.schedules.items():
            yield f"cost.schedules.{name}.targets", schedule.targets
        for name, budget in self.budgets.items():
            for action in budget.actions:
                yield f"cost.budgets.{name}.actions", action.targets
