"""Documents about states: the stores that were made, locks, versions, and how two versions differ (pure)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from mcml.core.view import Block, Column, Document, Level, Pairs, State, Status, Table, Text
from mcml.core.when import span
from mcml.infra.states.bootstrap import Made, Store
from mcml.infra.states.history import Change, Version
from mcml.infra.states.state import Lock
from mcml.infra.units.schedule import Results

STORES = (
    Column("name", "Cloud"), Column("store", "Store"), Column("account", "Account"), Column("file", "File"),
    Column("result", "Result", "state"),
)  # fmt: skip


def stores_document(stores: Results[Store]) -> Document:
    """Show the stores that would be made."""
    rows = [_store(store) | {"result": State("as it is" if store.is_written else "to make", "idle")} for store in stores.done.values()]
    return Document("InfraStores", rows, (Table(STORES, rows), *_failures(stores)))


def bootstrap_document(made: Results[Made]) -> Document:
    """Show what was made, and what could not be set."""
    rows = [
        _store(one.store)
        | {
            "result": State(_result(one), "warn" if one.remarks else "ok"),
            "kept": _kept(one),
            "versioning": one.config.versioning,
            "encryption": one.config.encryption,
            "block_public": one.config.block_public,
            "remarks": list(one.remarks),
        }
        for one in made.done.values()
    ]
    remarks: list[Block] = [Status(State("note", "warn"), f"{name}: {said}") for name, one in made.done.items() for said in one.remarks]
    files = ", ".join(str(one.store.file) for one in made.done.values() if one.written)
    more = [Text(f"put {files} into version control; states on this machine move there at the next plan")] if files else []
    columns = [*STORES, Column("kept", "It is")]
    return Document("InfraStores", rows, (Table(columns, rows), *remarks, *more))


def _store(store: Store) -> dict[str, object]:
    return {"name": store.cloud, "store": store.address, "region": store.region, "account": store.who.account, "file": str(store.file)}


def _kept(made: Made) -> str:
    said = {"versioned": made.config.versioning, "encrypted": made.config.encryption, "private": made.config.block_public}
    return ", ".join(word if so else f"not {word}" for word, so in said.items())


def _result(made: Made) -> str:
    if made.created:
        return "made"
    return "there; file written" if made.written else "as it was"


def _failures(results: Results[Store]) -> list[Status]:
    return [Status(State("failed", "bad"), f"{name}: {error.message}") for name, error in results.failed.items()]


def lock_document(unit: str, environment: str, lock: Lock | None, *, broken: bool = False) -> Document:
    """Show who holds, or held, the lock of a state."""
    if not lock:
        return Document("InfraLock", [], (Status(State("ok"), f"nobody holds the lock of {unit} in {environment}"),))
    row = {"name": unit, "environment": environment, "who": lock.who, "operation": lock.operation, "since": lock.created, "id": lock.id}
    row["state"] = "broken" if broken else "held"
    shown = [("Unit", unit), ("Held by", lock.who), ("To", lock.operation), ("Since", lock.created), ("Lock", lock.id)]
    level: Level = "ok" if broken else "warn"
    return Document("InfraLock", [row], (Pairs(shown), Status(State(row["state"], level), f"the lock of {unit}")))


def log_document(unit: str, place: str, versions: Sequence[Version], now: datetime) -> Document:
    """Show the versions of a state, newest first."""
    rows = [_version(version, now) for version in versions]
    columns = [
        Column("name", "Version"), Column("age", "Age"), Column("serial", "Serial", "number"), Column("resources", "Resources", "number"),
        Column("outputs", "Outputs", "number"), Column("size", "Size", "bytes"), Column("plan", "Plan"), Column("actor", "Who"),
    ]  # fmt: skip
    table = Table(columns, rows, title=f"{unit}: {place}", empty="no version is kept yet; the first comes with the next mcml infra apply")
    return Document("InfraStateVersions", rows, (table,))


def _version(version: Version, now: datetime) -> dict[str, object]:
    return {
        "name": version.id,
        "at": version.at,
        "age": span(max(timedelta(), now - version.at).total_seconds()),
        "serial": version.serial,
        "lineage": version.lineage,
        "resources": version.resources,
        "outputs": version.outputs,
        "size": version.size,
        "digest": version.digest,
        "plan": version.digest[:12],
        "actor": version.actor,
    }


def diff_document(unit: str, old: str, new: str, changes: Sequence[Change]) -> Document:
    """Show how two versions differ: names, never values."""
    rows = [_change(change) for change in changes]
    if not rows:
        return Document("InfraStateDiff", [], (Status(State("ok"), f"{unit}: {old} and {new} are the same"),))
    columns = [Column("action", "Action"), Column("kind", "What"), Column("name", "Name"), Column("differing", "Attributes")]
    return Document("InfraStateDiff", rows, (Table(columns, rows, title=f"{unit}: from {old} to {new}"),))


def _change(change: Change) -> dict[str, object]:
    return {
        "action": change.action,
        "kind": change.kind,
        "name": change.name,
        "attributes": list(change.attributes),
        "differing": ", ".join(change.attributes),
    }


def restored_document(unit: str, environment: str, version: str, document: Mapping[str, object]) -> Document:
    """Show that a version is the state again."""
    row = {"name": unit, "environment": environment, "version": version, "serial": document["serial"], "result": "restored"}
    text = f"{unit} in {environment}: the state is {version} again, as serial {document['serial']}"
    step = f"what is really there may differ from it: mcml infra plan {unit}"
    return Document("InfraStateRestored", [row], (Status(State("done"), text), Text(step)))
