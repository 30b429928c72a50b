"""The state of one unit as a thing of its own: carried into a store, read, replaced, and its lock looked at and broken.

Terraform does all of it, so that every backend of Terraform works, and its locks hold.
"""

import json
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mcml.core.errors import Conflict, McmlError, NotFound, PartlyDone, Unavailable
from mcml.core.files import read_json, write_json
from mcml.core.process import reference
from mcml.infra.states import history
from mcml.infra.states.backends import FILE
from mcml.infra.states.state import Lock, read_lock
from mcml.infra.terraform import google_login
from mcml.infra.terraform.events import LOCKED, Diagnostic
from mcml.infra.terraform.runner import Ended, Runner
from mcml.infra.units.backend import SCHEMES
from mcml.infra.units.units import Folders, Unit

LOCK_SECONDS = 10
NOBODY = "mcml.none"
"""An address of no resource: `taint` takes the lock, finds nothing, and changes nothing."""

GOOGLE = "https://storage.googleapis.com"

GONE = ("bucket doesn't exist", "NoSuchBucket", "ContainerNotFound", "The specified container does not exist")
SILENT = ("connection refused", "no such host", "i/o timeout", "handshake timeout", "network is unreachable", "deadline exceeded")

ELSEWHERE = ("provider packages", "install provider", "installing provider", "registry service")
"""What `init` says when it is not the store that it does not get at, but where providers and modules come from."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Keeper:
    """The state of one unit in one environment. `runner` makes what runs Terraform in a folder (None: the unit's own), `run` is the folder
    of this run's files, and `check(ended, doing)` raises the error of a run that failed.
    """

    unit: Unit
    folders: Folders
    run: Path
    runner: Callable[[Path | None], Runner]
    check: Callable[[Ended, str], None]

    @property
    def left_behind(self) -> tuple[Path, ...]:
        """States that are not where they belong: one on this machine of a unit that has a store, and one that could not be saved."""
        before = [self.folders.tfstate(self.unit)] if self.unit.backend and not self.unit.own else []
        return tuple(path for path in (*before, history.unsaved(self.unit, self.folders)) if path.is_file())

    def preparer(self, folder: Path | None = None) -> Runner:
        """Return what runs `init`: it refuses a workspace that is not there yet when others are; the other commands make it."""
        made = self.runner(folder)
        return replace(made, env={**made.env, "TF_WORKSPACE": "default"}) if self.unit.backend or self.unit.own else made

    async def knock(self) -> None:
        """Look whether the store answers, where Terraform would wait for it without an end and without a word.

        Raises Unavailable, NotAuthenticated.
        """
        if not self.unit.backend or self.unit.backend.kind != "gcs":
            return
        env, settings = self.runner(None).env, self.unit.backend.settings
        await google_login.check(env, settings)
        endpoint = str(settings.get("storage_custom_endpoint") or GOOGLE)
        if endpoint.startswith("https:") and (env.get("HTTPS_PROXY") or env.get("https_proxy")):
            return
        try:
            await google_login.reach(endpoint)
        except Unavailable as silent:
            raise _silent(self.unit, silent.why) from silent

    async def point(self) -> None:
        """Tell Terraform's own folder of this unit where the state is, without touching a state.

        In the root itself Terraform would ask what to do with states that lie there, and `-force-copy` would write them over whatever is in
        the store: so it is told in an empty folder. Raises Unavailable.
        """
        if not self.unit.backend:
            return
        seed = self.run / "seed"
        seed.mkdir(exist_ok=True)
        write_json(seed / FILE, self.unit.backend.document, durable=False)
        self.check(await self.preparer(seed).stream("init", "-input=false", "-reconfigure"), "reaching the state")

    async def carry(self) -> None:
        """Put states that are not where they belong there, unless they are; then put them away. What is there already is never lost.

        Raises Conflict when another state is there.
        """
        for left in self.left_behind:
            await self._carry(left)

    async def _carry(self, left: Path) -> None:
        try:
            ours: Any = read_json(left) if left.stat().st_size else None
        except ValueError as broken:
            raise McmlError(f"cannot read the Terraform state {left}", why=str(broken), next_step=f"ls {left.parent}") from broken
        theirs = await self.pull()
        match fate(ours, theirs, unsaved=left.name == history.UNSAVED):
            case "push":
                await self.push(ours)
            case "refuse":
                raise self._two_states(left, ours, theirs or {})
        history.put_away(self.unit, self.folders, left)

    def _two_states(self, left: Path, ours: Document, theirs: Document) -> Conflict:
        place = self.unit.backend.address(self.unit.environment) if self.unit.backend else self.folders.work(self.unit)
        return Conflict(
            f"{self.unit.name} has a state in {left} and another one at {place}",
            why=f"{history.about(ours)} here, {history.about(theirs)} there, and only one of them can go on",
            next_step=f"rm {left}    # if what it describes is gone or in the other one",
        )

    async def pull(self) -> Document | None:
        """Return the state's document; None when there is none."""
        ended = await self.runner(None).capture("state", "pull")
        self.check(ended, "reading the state")
        document: Document | None = json.loads(ended.stdout) if ended.stdout.strip() else None
        return document

    async def push(self, document: Document) -> None:
        """Make this the state. Terraform takes the lock, and refuses another lineage or a serial that is not higher. Raises Conflict."""
        file = self.run / "push.tfstate"
        write_json(file, document, mode=0o600, durable=False)
        try:
            ended = await self.runner(None).capture("state", "push", "-no-color", f"-lock-timeout={LOCK_SECONDS}s", str(file))
        finally:
            file.unlink(missing_ok=True)
        self.check(_with_lock(ended), "writing the state")

    async def lock(self) -> Lock | None:
        """Return who holds the lock, by trying to take it for a moment."""
        if not self.unit.backend and not self.unit.own:
            return read_lock(self.folders.tfstate(self.unit))
        ended = await self.runner(None).capture("taint", "-no-color", "-allow-missing", "-lock-timeout=0s", NOBODY)
        found = lock_of(ended.text)
        if not found:
            self.check(ended, "looking at the lock")
        return found

    async def unlock(self, lock: Lock) -> None:
        """Break a lock. Raises McmlError when it is another one by now, or gone."""
        ended = await self.runner(None).capture("force-unlock", "-no-color", "-force", lock.id)
        self.check(ended, f"breaking the lock {lock.id}")

    def at_work(self) -> int:
        """Return the process on this machine that works on this unit's state, besides us; 0 without one."""
        runs = self.folders.runs(self.unit)
        pids = [int(folder.name.partition("-")[0]) for folder in runs.glob("[0-9]*-*") if folder != self.run]
        return next((pid for pid in pids if reference(pid)), 0) or _terraform_in(self.folders.work(self.unit))


def store_failure(unit: Unit, ended: Ended) -> McmlError | None:
    """Return the error of a run that did not get at the store of its state; None for any other failure."""
    if not unit.backend:
        return None
    about = [f"{one.summary} {one.detail}" for one in ended.diagnostics if not one.address and not one.where] or [ended.text]
    said = " ".join(about[0].split())
    if any(mark in said for mark in ELSEWHERE):
        return None
    if any(mark in said for mark in GONE):
        return NotFound(
            f"the store of the state of {unit.name} is gone: {SCHEMES[unit.backend.kind]}://{unit.backend.bucket}",
            why=said,
            next_step=(
                "bring it back if the cloud can, with what was in it\n"
                f"mcml infra bootstrap {unit.backend.cloud}    # makes an empty one: what is applied is then in no state"
            ),
        )
    return _silent(unit, said) if any(mark in said for mark in SILENT) else None


def not_saved(unit: Unit, unsaved: Path, failed: McmlError | None, again: str) -> PartlyDone:
    """Return the error of an apply whose state Terraform could not save where it belongs; the next run puts it there first."""
    place = unit.backend.address(unit.environment) if unit.backend else "this machine's disk"
    why = next((line for line in (failed.why.splitlines() if failed else ()) if "saving state" in line), "Terraform could not write it")
    return PartlyDone(
        f"{unit.name} in {unit.environment} was changed, and its state could not be saved to {place}",
        why=f"{why}\nit is kept in {unsaved}: lose neither that file nor the time",
        next_step=f"{again}    # from this machine, when the store answers: it saves the state first, then continues",
    )


def _silent(unit: Unit, why: str) -> Unavailable:
    place = f"{SCHEMES[unit.backend.kind]}://{unit.backend.bucket}" if unit.backend else "?"
    step = "look at the network, then run the same command again: nothing was changed"
    return Unavailable(f"the store of the state of {unit.name} does not answer: {place}", why=why, next_step=step)


def refuse_living(unit: str, lock: Lock, pid: int, wanted: str = "") -> None:
    """Raise Conflict for a lock that is not to be broken: another one than was `wanted`, or that of a process on this machine (`pid`).

    A lock on this machine is the kernel's, and goes with its process.
    """
    if wanted and lock.id and wanted != lock.id:
        step = f"mcml infra unlock {unit}"
        raise Conflict(f"the lock of {unit} is not {wanted} but {lock.id}", why=f"{lock.who} took it", next_step=step)
    if not lock.id or (pid and lock.who.rpartition("@")[2] == socket.gethostname()):
        what = f"process {pid}" if pid else "a process"
        step = f"kill -INT {pid}    # it saves the state and ends" if pid else "wait for it"
        raise Conflict(f"{what} on this machine holds the lock of {unit}", why=f"{lock.operation} since {lock.created}", next_step=step)


def lock_of(text: str) -> Lock | None:
    """Read the block `Lock Info:` of what Terraform said, without colours; None where there is none."""
    said = dict(re.findall(r"^\s+(ID|Operation|Who|Created):[ \t]+(\S.*?)\s*$", text.partition("Lock Info:")[2], re.MULTILINE))
    if "ID" not in said:
        return None
    operation = said.get("Operation", "").removeprefix("OperationType").lower()
    return Lock(said.get("Who", "somebody"), operation or "change", said.get("Created", ""), said["ID"])


def _with_lock(ended: Ended) -> Ended:
    """Make a diagnostic of a held lock, which a command without `-json` tells in plain text only."""
    if ended.code == 0 or LOCKED not in ended.text:
        return ended
    return replace(ended, diagnostics=(Diagnostic("error", LOCKED, ended.text),))


def _is_empty(document: Document | None) -> bool:
    """Terraform writes a state without anything in it when it makes a workspace."""
    return not document or not (document.get("resources") or document.get("outputs"))


def fate(ours: Document | None, theirs: Document | None, *, unsaved: bool) -> Literal["push", "keep", "refuse"]:
    """Say what becomes of a state that is not where it belongs.

    What is there is kept when it is ours as it went on. What is `unsaved` did not go on there, unless it holds the same.
    """
    if not ours or _is_empty(ours):
        return "keep"
    if not theirs or _is_empty(theirs):
        return "push"
    if theirs.get("lineage") != ours.get("lineage"):
        return "refuse"
    if theirs["serial"] < ours["serial"]:
        return "push"
    return "refuse" if unsaved and history.compare(ours, theirs) else "keep"


def _terraform_in(folder: Path) -> int:
    """Return a Terraform that runs in a folder; after a `kill -9` of mcml it is still there while it saves the state."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == folder and (link.parent / "comm").read_text().strip() in ("terraform", "tofu"):
                return int(link.parent.name)
    return 0
