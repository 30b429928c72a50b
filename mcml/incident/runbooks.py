"""Runbooks: one Markdown file an alert, with YAML front matter (`alert`, `severity`, `summary`) and steps for a person.

The body may name `{incident}`, `{target}` and `{model}`; they are filled in from the incident, so a step can be pasted as it stands.
A project's own `runbooks/` folder comes before the ones that ship with mcml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcml.core.errors import InvalidRequest
from mcml.core.paths import shipped
from mcml.incident.names import name
from mcml.incident.react import SEVERITIES
from mcml.store.incidents import Incident

FENCE = "---"


@dataclass(frozen=True)
class Runbook:
    """One runbook. `alert` is the part of an incident's key before its colon; `body` is Markdown."""

    alert: str
    severity: str
    summary: str
    body: str
    source: str = ""


def parse(text: str, source: str) -> Runbook:
    """Read a runbook from its text; `source` names it in errors. Raises InvalidRequest saying what is wrong with it."""
    import yaml

    lines = text.splitlines()
    if not lines or lines[0].strip() != FENCE or FENCE not in (line.strip() for line in lines[1:]):
        raise _broken(source, f"it does not begin with front matter between two lines of {FENCE}")
    end = next(index for index, line in enumerate(lines[1:], 1) if line.strip() == FENCE)
    try:
        front = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as wrong:
        raise _broken(source, " ".join(str(wrong).split())) from wrong
    if not isinstance(front, dict):
        raise _broken(source, "its front matter is no mapping")
    values = {key: front.get(key) for key in ("alert", "severity", "summary")}
    missing = [key for key, value in values.items() if not isinstance(value, str) or not value.strip()]
    if missing:
        raise _broken(source, f"its front matter lacks {', '.join(missing)}")
    if values["severity"] not in SEVERITIES:
        raise _broken(source, f"severity {values['severity']!r} is none of {', '.join(SEVERITIES)}")
    body = "\n".join(lines[end + 1 :]).strip()
    return Runbook(str(values["alert"]), str(values["severity"]), str(values["summary"]), body, source)


def find(alert: str, folders: Sequence[Path]) -> Runbook | None:
    """Return the runbook for an alert from the first folder that has one, or None. Raises InvalidRequest for a broken file.

    A broken file about something else is passed over: it must not hide the one that is needed now.
    """
    for folder in folders:
        broken: InvalidRequest | None = None
        for path in sorted(folder.glob("*.md")):
            try:
                runbook = parse(path.read_text(), str(path))
            except (InvalidRequest, UnicodeDecodeError) as wrong:
                if path.stem.replace("-", "_") == alert:
                    broken = wrong if isinstance(wrong, InvalidRequest) else _broken(str(path), "it is not UTF-8 text")
                continue
            if runbook.alert == alert:
                return runbook
        if broken:
            raise broken
    return None


def look_up(incident: Incident, folders: Sequence[Path]) -> tuple[Runbook | None, str]:
    """Return the runbook of an incident, or None and the sentence that says why there is none.

    Nothing is raised: a broken runbook must not take the screen away from somebody who needs the rest of it.
    """
    alert = alert_of(incident)
    try:
        runbook = find(alert, folders)
    except InvalidRequest as broken:
        return None, f"{broken.message}: {broken.why}"
    return runbook, "" if runbook else f"there is none for {alert!r} yet: write runbooks/{alert.replace('_', '-')}.md in your project"


def folders(project: Path) -> list[Path]:
    """Return where runbooks are looked for: the project's own folder, then the ones that ship with mcml."""
    return [project / "runbooks", shipped("runbooks")]


def steps_for(runbook: Runbook, incident: Incident) -> str:
    """Return the runbook's body with the incident's own names filled in."""
    names: Mapping[str, str] = {"incident": name(incident.id), "target": incident.target, "model": incident.model}
    body = runbook.body
    for placeholder, value in names.items():
        body = body.replace(f"{{{placeholder}}}", value or placeholder.upper())
    return body


def alert_of(incident: Incident) -> str:
    """Return the alert that an incident is about: the part of its key before the colon."""
    return incident.key.partition(":")[0]


def _broken(source: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"the runbook {source} cannot be read", why=why, next_step="mend its first lines: alert, severity, summary")
