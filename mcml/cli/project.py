"""A new project: the questions of `mcml init` and the mcml.toml they lead to."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, Usage
from mcml.core.example import render
from mcml.core.files import write_atomic
from mcml.core.paths import CONFIG_NAME
from mcml.core.view import Document, Pairs, Text
from mcml.ui import prompt
from mcml.ui.streams import Streams

DEFAULT_MODEL = "fraud"
DEFAULT_TARGETS = ("aws-use1:us-east-1", "gcp-euw1:europe-west1")


@dataclass(frozen=True)
class Answers:
    """What a new project is called, its first model, its targets as NAME:REGION, and prices as REGION=VCPU_HOUR/GIB_HOUR."""

    name: str
    model: str
    targets: tuple[str, ...]
    prices: tuple[str, ...] = ()


def refuse_existing(folder: Path, *, force: bool) -> None:
    """Raise Conflict when the folder has an mcml.toml already, unless it may be replaced."""
    path = folder / CONFIG_NAME
    if path.exists() and not force:
        raise Conflict(f"{path} exists", why="it would be replaced", next_step="mcml init --force, or: mcml config show")


def ask_missing(given: Answers, folder: Path, streams: Streams) -> Answers:
    """Fill in what no flag said: by asking a person, else with the defaults."""
    name = re.sub(r"[^a-z0-9-]+", "-", folder.resolve().name.lower()).strip("-")[:60] or "mcml"
    default = Answers(given.name or name, given.model or DEFAULT_MODEL, given.targets or DEFAULT_TARGETS, given.prices)
    if not streams.can_prompt:
        return default
    return Answers(
        given.name or prompt.ask("Name of the project?", default.name, streams),
        given.model or prompt.ask("Name of the first model?", default.model, streams),
        given.targets or tuple(prompt.ask("Targets, as NAME:REGION with spaces between?", " ".join(default.targets), streams).split()),
        given.prices,
    )


def settings_of(answers: Answers, port: int) -> dict[str, Any]:
    """Return the settings that the answers mean. Raises Usage for a target that is not NAME:REGION, or is named twice."""
    targets: dict[str, Any] = {}
    for text in answers.targets:
        name, colon, region = text.partition(":")
        if not colon or not name or not region:
            raise Usage(f"{text!r} is no target", why="NAME:REGION is wanted", next_step="mcml init --target eu-1:europe-west1")
        if name in targets:
            raise Usage(f"the target {name!r} is named twice", next_step="mcml init --help")
        targets[name] = {"provider": "local", "region": region}
    prices = dict(_price(text) for text in answers.prices)
    return {
        "name": answers.name,
        "targets": targets,
        "models": {answers.model: {"source": f"models/{answers.model}", "targets": list(targets)}},
        "routes": {answers.model: {"score": {"latency": 0.4, "cost": 0.3, "reliability": 0.3}}},
        "router": {"port": port},
        **({"providers": {"local": {"prices": prices}}} if prices else {}),
    }


def _price(text: str) -> tuple[str, dict[str, float]]:
    found = re.fullmatch(r"([^=]+)=(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", text)
    if not found:
        raise Usage(f"{text!r} is no price", why="REGION=VCPU_HOUR/GIB_HOUR is wanted", next_step="mcml init --help")
    return found[1], {"vcpu_hour": float(found[2]), "gib_hour": float(found[3])}


def write_project(folder: Path, answers: Answers, *, port: int) -> Document:
    """Write mcml.toml and return what to do next. Raises Usage for answers that make no valid settings."""
    path = folder / CONFIG_NAME
    settings = settings_of(answers, port)
    _check(settings)
    write_atomic(path, render(settings).encode())
    pairs = Pairs((("written", str(path)), ("model", answers.model), ("targets", ", ".join(settings["targets"]))))
    next_steps = (
        f"next:  put a model.onnx into {folder / 'models' / answers.model}, or: mcml pipeline train {answers.model}\n"
        f"then:  mcml infra apply && mcml deploy model {answers.model} && mcml route serve"
    )
    return Document("Project", [{"name": answers.name, "path": str(path), "settings": settings}], (pairs, Text(next_steps, verbatim=True)))


def _check(settings: dict[str, Any]) -> None:
    from pydantic import ValidationError

    from mcml.core.schema import Settings

    try:
        Settings.model_validate(settings)
    except ValidationError as wrong:
        why = "\n".join(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in wrong.errors())
        raise Usage("that makes no valid mcml.toml", why=why, next_step="mcml init --help") from None
