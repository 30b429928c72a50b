"""The actions of budgets as a person and cron run them: a machine that is a real process, and a deploy that is refused."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.deploy.guard import asks_for_gpu, require_allowed
from mcml.cli.main import main
from mcml.cli.session import Common, Session
from mcml.core.clock import rfc3339
from mcml.core.errors import InvalidRequest, QuotaExceeded
from mcml.core.plan import Plan, Step
from mcml.cost.budget import act
from mcml.cost.budget.desk import look
from mcml.providers.api.endpoint_size import ReplicaSize
from mcml.providers.api.instances import MachinePrice, MachineRequest
from mcml.providers.api.metrics import SeriesQuery, Window
from mcml.providers.local.instances import open_instances, read_slot, write_slot
from mcml.providers.local.layout import root_of
from mcml.providers.local.metrics import open_metrics
from mcml.store import refusals
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.testing.cli import run
from tests.cost.focus import text_row, write_csv
from tests.deploy.test_deploy import write_model

SETTINGS = """
name = "acme"
[targets.eu-1]
provider = "local"
region = "eu-west-1"
[models.fraud]
source = "models/fraud"
targets = ["eu-1"]
team = "risk"
[models.fraud.resources]
eu-1 = { gpu = "1" }
[cost.budgets.risk]
amount = 20
currency = "USD"
where = ["team=risk", "service!=Support"]
"""
ACTIONS = """
actions = [
  { at = 100, do = "stop-idle", match = { environment = "dev" }, idle = { lasts = "1m", signals = [
    { metric = "machine.cpu", below = 2, label = "instance" }, { metric = "machine.memory", below = 2, label = "instance" } ] } },
  { at = 120, do = "refuse-gpu-deploys" },
]
"""
SIGNALS = ("machine.cpu", "machine.memory")
ACTION_FIELDS = ["name", "do", "at_percent", "what", "text", "undo", "machines"]
MACHINE_FIELDS = ["name", "budget", "what", "reason", "next_step"]


def actions() -> str:
    """Return them as TOML, whose inline tables stand on one line."""
    return " ".join(ACTIONS.split()) + "\n"


def spend(project: Path, cost: str) -> None:
    """Book today's costs of the team."""
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = {
        "BillingPeriodStart": now.replace(day=1).isoformat(),
        "BillingPeriodEnd": (now.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat(),
        "ChargePeriodStart": now.isoformat(),
        "ChargePeriodEnd": (now + timedelta(days=1)).isoformat(),
    }
    bill = write_csv(project / "bill.csv", [text_row(**times, x_Team="risk", EffectiveCost=cost)])
    Intake(project / ".mcml" / "cost", agree=lambda _: None).files([bill])  # midnight may lie between two of them


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose team spent one and a half budgets."""
    (tmp_path / "mcml.toml").write_text(SETTINGS + actions())
    monkeypatch.chdir(tmp_path)
    spend(tmp_path, "30")
    return tmp_path


@pytest.fixture
def machine(project: Path) -> Iterator[str]:
    """A machine for development that does nothing."""
    session = Session(Common())
    instances: Any = open_instances(session.context("local", "eu-1"))
    made = instances.request(MachineRequest("local-1x1", "idle", tags={"environment": "dev"}, spot=False))
    window = Window(made.launched, made.launched + timedelta(minutes=1), timedelta(minutes=1))
    metrics = open_metrics(session.context("local", "eu-1"))
    try:
        until = time.monotonic() + 20
        while not all(metrics.query(SeriesQuery(name, {"instance": made.id}), window)[0].value is not None for name in SIGNALS):
            assert time.monotonic() < until, "it measures itself about once a second"
            time.sleep(0.05)
        folder = root_of(session.context("local", "eu-1")) / "instances" / made.id
        slot = read_slot(folder)
        assert slot
        write_slot(folder, replace(slot, launched=rfc3339(made.launched - timedelta(minutes=2))))  # long enough ago to idle for a minute
        yield made.id
    finally:
        instances.terminate(made.id)
        session.close()


def state_of(instance: str) -> str:
    session = Session(Common())
    try:
        return next(one.state for one in open_instances(session.context("local", "eu-1")).list() if one.id == instance)
    finally:
        session.close()


def checked(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, dict[str, Any]]:
    assert main(["cost", "budgets", "check", "-o", "json", *options]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert [list(action) for action in item["actions"]] == [ACTION_FIELDS] * 2
    return {action["do"]: action for action in item["actions"]}


def kinds(project: Path) -> list[str]:
    session = Session(Common())
    try:
        return [entry.kind for entry in session.store.entries() if not entry.kind.endswith("alerted")]
    finally:
        session.close()


def test_an_idle_machine_is_stopped_when_told_and_given_back(
    project: Path, machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = checked(capsys)
    assert {do: action["what"] for do, action in told.items()} == {"stop-idle": "would act", "refuse-gpu-deploys": "would act"}
    (would,) = told["stop-idle"]["machines"]
    assert list(would) == MACHINE_FIELDS
    assert (would["name"], would["what"], state_of(machine)) == (f"eu-1/{machine}", "would stop", "running")
    assert would["reason"].startswith("idle for 1m: machine.cpu below 2 and machine.memory below 2")
    assert checked(capsys, "--act", "--dry-run")["stop-idle"]["what"] == "would act"
    assert main(["cost", "budgets", "check", "--act"]) == 2
    assert "Stop 1 idle machine?" in capsys.readouterr().err
    assert (kinds(project), state_of(machine)) == (["cost.budget_would_act"] * 2, "running")

    acted = checked(capsys, "--act", "--yes")["stop-idle"]
    assert (acted["what"], acted["undo"], state_of(machine)) == ("acts", "mcml cost budgets undo risk", "stopped")
    assert [each["what"] for each in acted["machines"]] == ["stopped"]
    again = checked(capsys, "--act", "--yes")["stop-idle"]
    assert (again["what"], [each["reason"] for each in again["machines"]]) == ("holds", ["it is off"])

    assert main(["cost", "budgets", "undo", "risk", "--dry-run"]) == 0
    assert "would start" in capsys.readouterr().out
    assert main(["cost", "budgets", "undo", "risk", "--yes", "-o", "json"]) == 0
    (back,) = json.loads(capsys.readouterr().out)["items"]
    assert (list(back), back["what"], state_of(machine)) == (MACHINE_FIELDS, "started", "running")
    assert {action["what"] for action in checked(capsys, "--act", "--yes").values()} == {"lifted"}
    assert main(["cost", "budgets", "list", "-o", "json"]) == 0
    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["actions"] == [
        {"do": "stop-idle", "at_percent": 100, "state": "lifted"},
        {"do": "refuse-gpu-deploys", "at_percent": 120, "state": "lifted"},
    ]
    assert kinds(project)[2:] == [*["cost.budget_acted"] * 2, "cost.turned_off", "cost.budget_lifted", "cost.turned_on"]


def test_what_people_see_on_a_terminal_and_in_a_pipe(project: Path, machine: str) -> None:
    shown = run(["cost", "budgets", "check"], cwd=project, terminal=True)
    for part in ("would act", "risk stop-idle at 100%: 150% of 20 USD is spent", "it acts with --act", "would stop"):
        assert part in shown.out, shown.out
    piped = run(["cost", "budgets", "show", "risk"], cwd=project)
    assert "\x1b" not in piped.out
    assert "announced" in piped.out


@pytest.mark.slow
def test_a_deploy_on_a_gpu_is_refused_until_somebody_lifts_that(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(project, 1.0)
    assert main(["infra", "apply", "--yes"]) == 0
    capsys.readouterr()
    checked(capsys, "--act", "--yes")
    for line in (["deploy", "model", "fraud"], ["deploy", "model", "fraud", "--dry-run"]):
        assert main(line) == 1
        said = capsys.readouterr().err
        assert "fraud is not started on eu-1: it asks for a GPU" in said
        assert "budget risk: 150% of 20 USD is spent, so GPU deploys are refused until" in said
        assert "mcml cost budgets lift risk" in said
    assert main(["cost", "budgets", "lift", "risk"]) == 0
    assert main(["deploy", "model", "fraud", "--dry-run", "-o", "json"]) == 0
    assert [step["action"] for step in json.loads(capsys.readouterr().out)["items"]] == ["create"]
    assert checked(capsys, "--act", "--yes")["refuse-gpu-deploys"]["what"] == "lifted"
    assert main(["cost", "budgets", "lift", "risk"]) == 0
    assert "risk refused nothing" in capsys.readouterr().err


def test_a_larger_amount_ends_the_refusal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(capsys, "--act", "--yes")
    text = (project / "mcml.toml").read_text()
    (project / "mcml.toml").write_text(text.replace("amount = 20", "amount = 200"))
    assert {action["what"] for action in checked(capsys).values()} == {"ended"}
    session = Session(Common())
    with session.store.reading() as connection:
        assert refusals.in_force(connection, refusals.GPU_DEPLOYS, session.clock()) == []
    session.close()


class Catalogue:
    """Prices of two machine types."""

    def prices(self, machines: list[str]) -> list[MachinePrice]:
        gpus = {"g5.xlarge": 1, "m5.large": 0}
        now = datetime.now(UTC)
        return [
            MachinePrice(name, "eu", Decimal(4), Decimal(16), None, None, "USD", now, gpus=Decimal(gpus[name]))
            for name in machines
            if name in gpus
        ]


class Asked(Session):
    """A session whose target sells the machines of the catalogue."""

    def open(self, capability: object, target: str) -> Any:
        return Catalogue()


class Managed:
    """An endpoint that gives each replica a machine, under names of its own."""

    def size(self, resources: dict[str, str]) -> ReplicaSize:
        if "replicas" in resources:
            raise InvalidRequest("a model", why="that is no number")
        return ReplicaSize(type=resources.get("machine", "ml.m5.large").removeprefix("ml."))

    def machines(self) -> dict[str, str]:
        return {}

    def series(self, name: str, version: str) -> dict[Any, Any]:
        return {}


class Plain:
    """An endpoint that tells nothing of sizes."""


def refused(where: tuple[str, ...], resources: dict[str, str], step: Step, endpoint: Any) -> bool:
    session = Asked(Common(quiet=True))
    model = session.settings.models["fraud"].model_copy(update={"resources": {"eu-1": resources}})
    session.settings.models["fraud"] = model
    now = session.clock()
    refusal = refusals.Refusal(
        refusals.GPU_DEPLOYS, "budget:risk", "it is spent", "lift", now - timedelta(1), now + timedelta(1), where
    )
    with session.store.writing() as connection:
        refusals.put(connection, refusal)
    try:
        require_allowed(session, Plan("deploy", (step,)), {"eu-1": endpoint})
    except QuotaExceeded:
        return True
    finally:
        session.close()
    return False


NEW = Step("create", "version", "fraud", "eu-1")


@pytest.mark.parametrize(
    ("where", "resources", "step", "expected"),
    [
        ((), {"gpu": "1"}, NEW, True),
        ((), {"nvidia.com/gpu": "2"}, NEW, True),
        ((), {"gpu": "0", "cpu": "4"}, NEW, False),
        ((), {"accelerator": "nvidia-l4"}, NEW, True),
        ((), {"machine": "g5.xlarge"}, NEW, True),
        ((), {"machine": "ml.g5.xlarge"}, NEW, True),
        ((), {"machine": "ml.m5.large"}, NEW, False),
        ((), {"machine": "unheard.of"}, NEW, False),
        ((), {"machine": "g5.xlarge", "replicas": "no"}, NEW, False),
        ((), {}, NEW, False),
        (("team=risk", "service~*SageMaker*"), {"gpu": "1"}, NEW, True),
        (("team=ads",), {"gpu": "1"}, NEW, False),
        (("team!=ads", "target=eu-*"), {"gpu": "1"}, NEW, False),
        (("model~fra*",), {"gpu": "1"}, NEW, True),
        (("provider=mcml local",), {"gpu": "1"}, NEW, True),
        (("provider=AWS",), {"gpu": "1"}, NEW, False),
        (("provider!=mcml local",), {"gpu": "1"}, NEW, False),
        ((), {"gpu": "1"}, Step("update", "version", "fraud", "eu-1"), False),
        ((), {"gpu": "1"}, Step("keep", "version", "fraud", "eu-1"), False),
    ],
)
def test_which_deploys_are_refused(project: Path, where: tuple[str, ...], resources: dict[str, str], step: Step, expected: bool) -> None:
    assert refused(where, resources, step, Managed()) == expected


def test_where_nobody_tells_sizes_the_machine_is_taken_at_its_word(project: Path) -> None:
    assert refused((), {"machine": "g5.xlarge"}, NEW, Plain())
    assert not refused((), {"machine": "m5.large"}, NEW, Plain())


def test_what_names_a_gpu() -> None:
    assert not asks_for_gpu({"machine": "gpu-box", "accelerator_count": "1"})
    assert asks_for_gpu({"amd.com/gpu": "1"})


@pytest.mark.parametrize(
    ("change", "arguments", "code", "said"),
    [
        ("", ["undo", "rsk"], 5, "did you mean 'risk'?"),
        ("", ["lift", "rsk"], 5, "did you mean 'risk'?"),
        ('do = "stop-idle", match = { environment = "dev" }|do = "stop-idle"', ["check"], 2, "`match` and do"),
        ('do = "stop-idle", |do = "stop-idle", targets = ["eu-2"], ', ["list"], 2, "did you mean 'eu-1'?"),
        ('lasts = "1m"|lasts = "soon"', ["list"], 2, "'soon' is no span of time"),
        ('lasts = "1m"|lasts = "0s"', ["list"], 2, "nothing idles for no time"),
        ("amount = 20|amount = inf", ["list"], 2, "amount"),
        ("amount = 20|amount = 20\nactual = [nan]", ["list"], 2, "actual"),
        ("amount = 20|amount = 20\nactual = [-5]", ["list"], 2, "actual"),
        ("at = 120|at = -1", ["list"], 2, "at"),
    ],
    ids=["undo", "lift", "no tags", "no target", "no span", "no time", "no amount", "no number", "no alert", "no share"],
)
def test_what_goes_wrong_is_said(
    project: Path, change: str, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, _, new = change.partition("|")
    file = project / "mcml.toml"
    file.write_text(file.read_text().replace(old, new) if old else file.read_text())
    assert main(["cost", "budgets", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_target_that_does_not_answer_is_told_and_the_next_run_goes_on(
    project: Path, machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two targets one has a provider that nobody has installed."""
    file = project / "mcml.toml"
    file.write_text(file.read_text().replace("[models.fraud]", '[targets.zz-1]\nprovider = "nimbus"\n[models.fraud]', 1))
    assert main(["cost", "budgets", "check", "--act", "--yes"]) == 7
    said = capsys.readouterr()
    assert (f"stopped\teu-1/{machine}" in said.out, state_of(machine)) == (True, "stopped")
    assert "zz-1: " in said.err
    assert "mcml cost budgets check" in said.err
    file.write_text(SETTINGS + actions())
    held = checked(capsys, "--act", "--yes")["stop-idle"]
    assert (held["what"], [each["name"] for each in held["machines"]]) == ("holds", [f"eu-1/{machine}"])


def test_who_was_killed_before_the_machines_were_stopped_is_made_good(
    project: Path, machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is written down, nothing is stopped yet: the action holds, and the next run stops what idles."""
    session = Session(Common())
    budgets, now = session.settings.cost.budgets, session.clock()
    standings = look(Ledger(project / ".mcml" / "cost"), session.store, budgets, now)
    assert len(act.settle(session.store, act.due(session.store, standings, budgets, ["risk"]), now)) == 2
    session.close()
    assert state_of(machine) == "running"
    held = checked(capsys, "--act", "--yes")["stop-idle"]
    assert (held["what"], [each["what"] for each in held["machines"]]) == ("holds", ["stopped"])
    assert kinds(project) == ["cost.budget_acted", "cost.budget_acted", "cost.turned_off"]
