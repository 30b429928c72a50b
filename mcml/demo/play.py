"""Play the demo: run its commands one after the other, wait for the recovery, stop at the first that fails."""

import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from mcml.core.errors import Conflict, Interrupted, McmlError, TimeUp
from mcml.core.process import free_port
from mcml.core.report import Reporter
from mcml.demo import script
from mcml.demo.script import Step

MARK = ".mcml/demo.json"
RECOVERY_SECONDS = 30.0


@dataclass
class Stage:
    """Where the demo plays: the folder, who is told, and what was run so far (argv and seconds)."""

    folder: Path
    reporter: Reporter
    ran: list[tuple[tuple[str, ...], float]] = field(default_factory=list)


def play(folder: Path, reporter: Reporter, *, keep: bool) -> Stage:
    """Play everything. `keep` leaves it running at the end.

    Raises Conflict when the folder is somebody else's, McmlError naming the command that failed.
    """
    stage = Stage(folder, reporter)
    _make_room(stage)
    command(stage, script.setup(str(folder), free_port()), cwd=Path.cwd())
    (folder / MARK).parent.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(json.dumps({"made_by": "mcml demo"}) + "\n")
    try:
        for step in script.BEFORE_THE_KILL:
            _step(stage, step)
        _wait_for_recovery(stage)
        for step in script.AFTER_RECOVERY:
            _step(stage, step)
    finally:
        if not keep:
            _clean_up(stage)
    return stage


def _make_room(stage: Stage) -> None:
    """Clear what an earlier demo left; refuse a folder that is no demo's."""
    folder = stage.folder
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise Conflict(f"{folder} is there and not empty", why="no demo made it", next_step="mcml demo --folder another-folder")
    stage.reporter.note(f"{folder} is an earlier demo's: cleaning it up first")
    _clean_up(stage)
    stage.ran.clear()
    import shutil

    shutil.rmtree(folder)


def _step(stage: Stage, step: Step) -> None:
    stage.reporter.note(f"\n== {step.title}")
    for arguments in step.commands:
        command(stage, arguments)


def command(stage: Stage, arguments: tuple[str, ...], *, cwd: Path | None = None) -> None:
    """Run one mcml command with our own streams. Raises McmlError when it fails, Interrupted on Ctrl-C."""
    line = shlex.join(("mcml", *arguments))
    stage.reporter.note(f"$ {line}")
    began = time.monotonic()
    try:
        code = subprocess.run([sys.executable, "-m", "mcml", *arguments], cwd=cwd or stage.folder, check=False).returncode
    except TimeUp:
        raise
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted in: {line}", next_step=f"cd {stage.folder}, or start over: mcml demo") from None
    stage.ran.append((arguments, time.monotonic() - began))
    if code:
        next_step = f"cd {stage.folder} && {line}"
        raise McmlError(f"the demo stopped: {line} ended with {code}", why="its own message is above", next_step=next_step)


def _wait_for_recovery(stage: Stage) -> None:
    """Wait until the router has taken the target back and the incident says so."""
    argv = [sys.executable, "-m", "mcml", "incident", "list", "--all", "-o", "json", "-q"]
    end = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < end:
        answer = subprocess.run(argv, cwd=stage.folder, capture_output=True, text=True, check=False)
        incidents = json.loads(answer.stdout)["items"] if answer.returncode == 0 else []
        if incidents and all(incident["recovered_at"] for incident in incidents):
            return
        time.sleep(0.5)
    raise McmlError(f"no recovery within {RECOVERY_SECONDS:g} s", next_step=f"cd {stage.folder} && mcml route status")


def _clean_up(stage: Stage) -> None:
    stage.reporter.note(f"\n== {script.CLEAN_UP.title}")
    failed: list[str] = []
    for arguments in script.CLEAN_UP.commands:
        try:
            command(stage, arguments)
        except McmlError as error:
            failed.append(error.message)
    if failed:
        stage.reporter.note("not everything could be cleaned up: " + "; ".join(failed))
