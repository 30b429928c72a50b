"""Documents about mcml itself: capabilities, checks, configuration, help topics; values in, documents out."""

from collections.abc import Iterator, Mapping, Sequence

from mcml.core import exits
from mcml.core.errors import McmlError
from mcml.core.secret import hide_password
from mcml.core.settings import Config
from mcml.core.view import Column, Document, Level, Pairs, Section, State, Table, Text, listing
from mcml.providers.api.capability import ALL, Support
from mcml.providers.api.identity import Check
from mcml.providers.api.spec import ProviderSpec

LEVELS: Mapping[Support, Level] = {Support.FULL: "ok", Support.PARTIAL: "warn", Support.NOT_YET: "idle", Support.IMPOSSIBLE: "idle"}


def capability_table(providers: Mapping[str, ProviderSpec | McmlError]) -> Document:
    """Show capabilities as rows and providers as columns; below, every note; a broken plugin is named with its error."""
    working = {name: spec for name, spec in providers.items() if isinstance(spec, ProviderSpec)}
    broken = {name: spec for name, spec in providers.items() if isinstance(spec, McmlError)}
    rows, notes = [], []
    for capability in ALL:
        row: dict[str, object] = {"capability": capability.name, "summary": capability.summary}
        for name, spec in working.items():
            offer = spec.offer(capability)
            row[name] = State(offer.support.value, LEVELS[offer.support])
            if offer.note and offer.support is not Support.NOT_YET:
                notes.append({"provider": name, "capability": capability.name, "support": offer.support.value, "note": offer.note})
        rows.append(row)
    columns = [Column("capability", "Capability"), *(Column(name, name, "state") for name in working), Column("summary", "What for")]
    noted = Table([Column("provider", "Provider"), Column("capability", "Capability"), Column("note", "Note")], notes)
    blocks = [Table(columns, rows)]
    blocks += [noted] if notes else []
    failures = [Section(f"{name} does not load", (Text(f"{error.message}: {error.why}"),)) for name, error in broken.items()]
    items = [*_by_provider(working), *({"name": name, "error": error.message, "why": error.why} for name, error in broken.items())]
    return Document("PluginList", items, (*blocks, *failures))


def _by_provider(working: Mapping[str, ProviderSpec]) -> Sequence[Mapping[str, object]]:
    return [
        {
            "name": name,
            "summary": spec.summary,
            "extra": spec.extra,
            "capabilities": {
                capability.name: {"support": offer.support.value, "note": offer.note}
                for capability, offer in ((capability, spec.offer(capability)) for capability in ALL)
            },
        }
        for name, spec in working.items()
    ]


def exit_codes() -> Document:
    """Show the table of exit codes."""
    rows = [{"code": code, "meaning": meaning} for code, meaning in exits.MEANING.items()]
    return listing("ExitCodeList", [Column("code", "Code", "number"), Column("meaning", "Meaning")], rows, name_key="code")


def topic(name: str, pairs: Sequence[tuple[str, str]]) -> Document:
    """Show a help topic made of names and explanations."""
    return Document("HelpTopic", [{"name": key, "text": text} for key, text in pairs], (Section(name, (Pairs(pairs),)),))


def config_document(config: Config, *, origin: bool) -> Document:
    """Show the settings as dotted paths; values that nobody set come from `default`. A password in a URL is hidden."""
    rows = [
        {"name": path, "value": hide_password(value) if isinstance(value, str) else value, "origin": config.origins.get(path, "default")}
        for path, value in _flat(config.settings.model_dump(mode="json"), "")
    ]
    columns = [Column("name", "Setting"), Column("value", "Value")] + ([Column("origin", "Origin")] if origin else [])
    return listing("ConfigShow", columns, rows)


def _flat(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_list(checks: Sequence[Check]) -> Document:
    """Show what was looked at; a failed check has its fix beside it."""
    rows = [
        {"name": check.name, "state": State("ok" if check.ok else "failed", "ok" if check.ok else "bad"), "ok": check.ok}
        | {"detail": check.detail, "fix": check.fix}
        for check in checks
    ]
    columns = [Column("name", "Check"), Column("state", "State", "state"), Column("detail", "Detail"), Column("fix", "To mend it")]
    return listing("CheckList", columns, rows)
