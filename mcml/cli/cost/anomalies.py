"""`mcml cost anomalies`: list, check, mark, metric."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.cost import common
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.cost.anomaly.desk import Question

app = group(
    "anomalies",
    "Days that cost more, or less, than they usually do, and unusual values of metrics: list, check, mark, metric.",
    examples=(
        "mcml cost anomalies",
        "mcml cost anomalies --by team --since 7d",
        "mcml cost anomalies check            # from cron, every few hours",
        "mcml cost anomalies mark 3f9a0c11de expected --note 'load test'",
    ),
    default="list",
)


class Verdict(StrEnum):
    """What a person says of an anomaly."""

    expected = "expected"
    wrong = "wrong"
    forget = "forget"


By = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        help="What makes a scope: service, provider, team, account ... (repeatable, or with commas; default: cost.anomalies.by).",
        autocompletion=common.complete_dimension,
        show_default=False,
    ),
]
Since = Annotated[str, typer.Option("--since", help="30d, 2026-11-01: with a day since then.")]


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)


@command(app, "list", examples=("mcml cost anomalies", "mcml cost anomalies --by team,service --where provider=AWS -o json"))
def list_anomalies(
    session: Session,
    by: By = None,
    where: common.Where = None,
    since: Since = "30d",
    everything: Annotated[bool, typer.Option("--all", help="Also those that somebody expects.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 20,
) -> Document:
    """List what is unusual: when, where, what was expected, what it cost, and what most of it is. Nothing is written."""
    from mcml.cost.anomaly import desk, views

    question = _question(session, by, where, since)
    found = desk.look(common.ledger(session), session.store, question)
    told = [each for each in found if everything or not each.feedback]
    explained = [(each, desk.explain(common.ledger(session), each, question.filters)) for each in told[:limit]]
    known = None if found else desk.days_known(common.ledger(session), question)
    return _made_of(session, question, views.anomalies(explained, silent=len(found) - len(told), more=len(told[limit:]), known=known))


@command(app, "check", examples=("mcml cost anomalies check", "mcml cost anomalies check --since 7d"), changes=True)
def check(session: Session, by: By = None, where: common.Where = None, since: Since = "30d") -> Document:
    """Write each anomaly into the journal that it has not heard of, and show these. Once each, however often it runs."""
    from mcml.cost.anomaly import desk, views

    question = _question(session, by, where, since)
    found = desk.look(common.ledger(session), session.store, question)
    fresh = desk.untold(session.store, found) if session.dry_run else desk.tell(session.store, found, session.clock)
    explained = [(each, desk.explain(common.ledger(session), each, question.filters)) for each in fresh]
    return _made_of(session, question, views.anomalies(explained))


def _made_of(session: Session, question: "Question", document: Document) -> Document:
    """Add what the costs that were looked at are made of."""
    from mcml.cost.anomaly import views
    from mcml.store.ledger.book import Scope

    looked_at = Scope(question.since, filters=question.filters)
    return views.of_bills(common.sourced(common.ledger(session), document, looked_at=looked_at))


@command(app, "mark", examples=("mcml cost anomalies mark 3f9a0c11de expected --note 'load test'",), changes=True)
def mark(
    session: Session,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The id, as the list has it.")],
    verdict: Annotated[Verdict, typer.Argument(help="expected: its like is silent. wrong: only what is larger is told. forget: neither.")],
    note: Annotated[str, typer.Option("--note", help="Why; shown with --all.")] = "",
    by: By = None,
    where: common.Where = None,
    since: Since = "30d",
) -> Document | None:
    """Say what an anomaly was, so that the next one like it is judged better. Give --by and --where as they were in the list."""
    from mcml.cost.anomaly import desk, views

    if verdict == Verdict.forget:
        desk.forget(session.store, identifier.strip().lower(), session.clock, dry_run=session.dry_run)
        return None
    found = desk.look(common.ledger(session), session.store, _question(session, by, where, since))
    anomaly = desk.pick(found, identifier)
    said = desk.mark(session.store, anomaly, note, session.clock, wrong=verdict == Verdict.wrong, dry_run=session.dry_run)
    return views.marked(anomaly, said)


class Statistic(StrEnum):
    """How the samples of a step become one value."""

    average = "average"
    sum = "sum"
    maximum = "maximum"
    minimum = "minimum"
    counted = "count"
    p50 = "p50"
    p90 = "p90"
    p99 = "p99"


@command(app, "metric", examples=("mcml cost anomalies metric aws-use1 CPUUtilization --label InstanceId=i-0a1b --since 7d",))
def metric(
    session: Session,
    target: Annotated[str, typer.Argument(help="A target of mcml.toml.", autocompletion=complete_target)],
    name: Annotated[str, typer.Argument(metavar="METRIC", help="The provider's own name of the metric.")],
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE that must match (repeatable).", show_default=False)] = None,
    since: Annotated[str, typer.Option("--since", help="From when on; what comes first teaches.")] = "7d",
    step: Annotated[str, typer.Option("--step", help="The time between two values.")] = "5m",
    statistic: Annotated[Statistic, typer.Option("--statistic", help="How the samples of a step become one value.")] = Statistic.average,
) -> Document:
    """List the unusual values of a metric: spikes, drops and new levels, by one rule for every metric."""
    from mcml.core.when import duration, moment
    from mcml.cost.anomaly.metric import unusual, view
    from mcml.providers.api.capability import METRICS
    from mcml.providers.api.metrics import SeriesQuery, Window

    now = session.clock()
    query = SeriesQuery(name, dict(_pair(text) for text in label or ()), statistic.value)
    points = session.open(METRICS, target).query(query, Window(moment(since, now), now, duration(step)))
    return view(name, target, unusual(points))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Usage(f"{text!r} is no label", why="expected NAME=VALUE", next_step="mcml cost anomalies metric --help")
    return name, value


def _question(session: Session, by: list[str] | None, where: list[str] | None, since: str) -> "Question":
    from decimal import Decimal

    from mcml.core.when import moment
    from mcml.cost.anomaly.daily import Limits
    from mcml.cost.anomaly.desk import Question

    settings = session.settings.cost.anomalies
    scope = common.names(by, settings.by)
    if days := [name for name in scope if name in ("day", "week", "month")]:
        raise Usage(f"a {days[0]} is no scope", why="each scope is watched day by day", next_step="mcml cost anomalies --by service")
    limits = Limits(Decimal(str(settings.minimum)), settings.percent / 100)
    now = session.clock()
    return Question(scope, moment(since, now), now, limits, common.filters(where))
