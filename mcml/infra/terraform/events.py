"""Terraform's `-json` stream, read line by line into values, and its diagnostics into errors a person can act on (pure).

https://developer.hashicorp.com/terraform/internals/machine-readable-ui, version 1: unknown types and fields are ignored, a new major
version is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcml.core.errors import Conflict, McmlError, NotAuthenticated
from mcml.infra.terraform.complaints import Place, recognise

UI_MAJOR = "1"
LOCKED = "Error acquiring the state lock"
STALE = "Saved plan is stale"
HALTED = "execution halted"
NOISE = "Terraform encountered problems during initialisation"
SHOWN_LINES = 12


@dataclass(frozen=True)
class Diagnostic:
    """One problem in Terraform's words; `where` is `file:line`, `address` the resource, either may be empty."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""
    where: str = ""


@dataclass(frozen=True)
class Event:
    """One line of the stream. `action` is create, update, delete or read; `text` is what a program on the way said; `said` is the line."""

    type: str
    address: str = ""
    key: str = ""
    action: str = ""
    seconds: float = 0.0
    text: str = ""
    diagnostic: Diagnostic | None = None
    said: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def parse_line(line: bytes) -> Event | None:
    """Read one line; None for one that is no event (Terraform mixes plain text in here and there).

    Raises McmlError when the stream is of a major version that we do not know.
    """
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("type"), str):
        return None
    if said["type"] == "version" and str(said.get("ui", "")).partition(".")[0] != UI_MAJOR:
        raise McmlError(
            f"this Terraform speaks version {said.get('ui')!r} of its machine-readable output",
            why=f"mcml reads version {UI_MAJOR}",
            next_step="install a newer mcml, or set infra.binary to an older Terraform",
        )
    hook = said.get("hook") or said.get("change") or {}
    resource = hook.get("resource") or {}
    return Event(
        type=said["type"],
        address=str(resource.get("addr", "")),
        key=str(resource.get("resource_key") or ""),
        action=str(hook.get("action", "")),
        seconds=float(hook.get("elapsed_seconds") or 0),
        text=str(hook.get("output", "")),
        diagnostic=_diagnostic(said["diagnostic"]) if said["type"] == "diagnostic" else None,
        said=said,
    )


def _diagnostic(said: Mapping[str, Any]) -> Diagnostic:
    place = said.get("range") or {}
    line = (place.get("start") or {}).get("line")
    where = f"{place['filename']}:{line}" if place.get("filename") and line else str(place.get("filename", ""))
    return Diagnostic(
        severity=str(said.get("severity", "error")),
        summary=str(said.get("summary", "")),
        detail=str(said.get("detail", "")),
        address=str(said.get("address", "")),
        where=where,
    )


@dataclass
class Tally:
    """What an apply was to do and what it has done so far, by resource address; a replacement is done when both halves are.

    `wanted` holds, per address, the actions that are still to come.
    """

    wanted: dict[str, list[str]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def count(self, event: Event) -> None:
        """Take an event into account."""
        left = self.wanted.get(event.address)
        if event.type == "apply_start" and event.address not in self.begun:
            self.begun.append(event.address)
        elif event.type == "apply_errored":
            self.failed.append(event.address)
        elif event.type == "apply_complete" and left and event.action in left:
            left.remove(event.action)
            if not left:
                self.done.append(event.address)

    @property
    def half_done(self) -> tuple[str, ...]:
        """What was begun and is not done."""
        return tuple(address for address in self.begun if address not in self.done)

    @property
    def untouched(self) -> tuple[str, ...]:
        """What was not even begun."""
        return tuple(address for address in self.wanted if address not in self.begun and address not in self.done)


def to_error(
    diagnostics: Iterable[Diagnostic], doing: str, *, text: str = "", next_step: str = "", place: Place | None = None
) -> McmlError:
    """Make the error of a run that failed while `doing` something; `text` is what Terraform said outside of the stream.

    `place` is what commands are to name. Without a login nothing else counts; of others the first decides what kind of error it is.
    """
    errors = [found for found in diagnostics if found.severity == "error" and found.summary != HALTED]
    errors = [found for found in errors if not found.summary.startswith(NOISE)] or errors
    if not errors:
        return McmlError(f"Terraform failed while {doing}", why=_last_lines(text) or "it said nothing", next_step=next_step)
    first = errors[0]
    if first.summary == LOCKED:
        return _locked(first)
    if first.summary == STALE:
        return Conflict(f"the plan is older than the state: {doing} was refused", why=first.detail, next_step="make a new plan")
    if len(errors) == 1:
        own_words = _own_words(first)
        if own_words:
            return own_words
    if known := _known(errors, doing, next_step, place or Place()):
        return known
    where = f" ({first.where})" if first.where else ""
    return McmlError(f"{first.summary}{where}", why="\n".join(explain(errors)), next_step=next_step)


def _known(errors: Sequence[Diagnostic], doing: str, next_step: str, place: Place) -> McmlError | None:
    """Return what is known of the errors as one: the first that wants a login, or the first error when it is known."""
    meant = [(_own_words(one) or recognise(f"{one.summary}\n{one.detail}", one.address, place)) for one in errors]
    login = next((error for error in meant if isinstance(error, NotAuthenticated)), None)
    leading = login or meant[0]
    if leading is None:
        return None
    told = []
    for error, one in zip(meant, errors, strict=True):
        why = error.why if error else f"{one.summary}: {one.detail.strip()}".rstrip(": ")
        told.append(f"{one.address}: {why}" if one.address and not one.address.startswith("provider[") else why)
    steps = [error.next_step for error in meant if error and error.next_step] if not login else [login.next_step]
    step = "\n".join(dict.fromkeys(steps)) or next_step
    return type(leading)(f"{leading.message}: {doing} failed", why="\n".join(dict.fromkeys(told)), next_step=step)


def explain(errors: Sequence[Diagnostic]) -> list[str]:
    """Say several problems, one paragraph each, without saying one twice."""
    said = []
    for error in errors:
        own_words = _own_words(error)
        told = f"{own_words.message}: {own_words.why}" if own_words else error.detail.strip() or error.summary
        said.append(f"{error.address}: {told}" if error.address else told)
    return list(dict.fromkeys(said))


def _locked(found: Diagnostic) -> Conflict:
    """https://developer.hashicorp.com/terraform/language/state/locking: the detail ends with a block of `Name:  value` lines."""
    holder = dict(re.findall(r"^\s+(ID|Path|Operation|Who|Created):[ \t]+(\S.*?)\s*$", found.detail, re.MULTILINE))
    if not holder:
        return Conflict("the state of this environment is locked", why=found.detail.strip(), next_step="mcml infra status")
    doing = holder.get("Operation", "").removeprefix("OperationType").lower() or "change"
    return Conflict(
        f"{holder.get('Who', 'somebody')} is changing this environment ({doing}) since {holder.get('Created', 'an unknown time')}",
        why=f"lock {holder.get('ID', '?')} on {holder.get('Path', 'the state')}",
        next_step="wait for it, then run the same command again; who holds it: mcml infra status",
    )


def _own_words(found: Diagnostic) -> McmlError | None:
    """Return what a program of ours said through a provisioner, as the error it was: `error:`, `why:` and `try:` lines."""
    said = found.detail.partition("Output: ")[2] if found.summary.startswith("local-exec") else ""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in said.splitlines():
        name, colon, rest = line.partition(": ")
        if colon and name in ("error", "why", "try"):
            current = parts.setdefault(name, [])
            current.append(rest)
        else:
            current.append(line)
    if "error" not in parts:
        return None
    return McmlError(*parts["error"][:1], why="\n".join(parts.get("why", [])).strip(), next_step="\n".join(parts.get("try", [])).strip())


def _last_lines(text: str) -> str:
    lines = [line.strip(" ╷│╵\t") for line in text.splitlines()]
    return "\n".join([line for line in lines if line][-SHOWN_LINES:])
