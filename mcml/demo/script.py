"""The demo as data: every step is a heading, why it is there, and the command lines a person would type in the same folder."""

from dataclasses import dataclass

MODEL = "tumor"
VICTIM = "aws-use1"
TARGETS = ("aws-use1:us-east-1", "aws-euw1:eu-west-1", "gcp-euw4:europe-west4")
PRICES = ("us-east-1=0.048/0.0053", "eu-west-1=0.053/0.0058", "europe-west4=0.050/0.0055")


@dataclass(frozen=True)
class Step:
    """A heading and its commands, each an argv without `mcml`."""

    title: str
    commands: tuple[tuple[str, ...], ...]


def setup(folder: str, port: int) -> tuple[str, ...]:
    """Return the command that makes the demo's project."""
    targets = [part for target in TARGETS for part in ("--target", target)]
    prices = [part for price in PRICES for part in ("--price", price)]
    return ("init", folder, "--name", "mcml-demo", "--model", MODEL, *targets, *prices, "--port", str(port), "--force")


BEFORE_THE_KILL = (
    Step(
        "Train a model on real data, measure it, package it as ONNX",
        (("pipeline", "train", MODEL, "--dataset", "breast-cancer", "--min-accuracy", "0.9"),),
    ),
    Step("Three targets, through a real Terraform run", (("infra", "plan"), ("infra", "apply", "--yes"))),
    Step("The model on all three, each verified from outside", (("deploy", "model", MODEL), ("deploy", "list"))),
    Step(
        "What it costs: our prices into the catalogue, a real public bill into the ledger",
        (("cost", "ingest", "--provider", "local", "--sample"),),
    ),
    Step(
        "One endpoint over all of them: Envoy in front, weights by latency, cost and reliability",
        (("route", "serve", "--detach"), ("route", "status")),
    ),
    Step(f"Load on the endpoint, and kill -9 on {VICTIM} in the middle", (("route", "drill", MODEL, "--kill", VICTIM, "--yes"),)),
    Step("The incident opened by itself", (("incident", "list"), ("incident", "ack", "latest"))),
    Step("Deploy again: what is dead is started, the rest is kept", (("deploy", "model", MODEL),)),
)

AFTER_RECOVERY = (
    Step("Why every target has its weight", (("route", "explain", MODEL),)),
    Step("The whole story, from the journal", (("incident", "show", "latest"), ("incident", "resolve", "latest", "--note", "redeployed"))),
    Step(
        "The bill: measured use of the local processes beside the public sample",
        (("cost", "ingest", "--provider", "local"), ("cost", "report")),
    ),
    Step("The postmortem, written from those facts", (("postmortem", "draft", "latest"),)),
    Step("Nothing was changed behind our back", (("infra", "drift"), ("journal", "verify"))),
)

CLEAN_UP = Step(
    "Clean up",
    (("route", "stop"), ("deploy", "delete", MODEL, "--yes"), ("infra", "destroy", "--yes")),
)
