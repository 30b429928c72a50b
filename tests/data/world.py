"""A project with buckets, for the tests of the data room: real files, the real local provider, and stores that misbehave."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Literal

from mcml.core.plan import Plan
from mcml.core.report import Silent
from mcml.data import copy
from mcml.data.address import parse
from mcml.data.ends import ends
from mcml.data.plan import Rules
from mcml.data.work import Outcome
from mcml.providers import discovery
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.capability import BUCKETS, OBJECT_STORE
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext

SETTINGS = 'name = "acme"\n[targets.eu-1]\nprovider = "local"\n'
MIB = 1 << 20


def context(project: Path) -> ProviderContext:
    settings = discovery.settings_model(discovery.spec("local"))()
    return ProviderContext(settings=settings, state=project / ".mcml" / "local")


def project(folder: Path, *buckets: str) -> ObjectStore:
    """Make a project and its buckets; return the object store."""
    (folder / "mcml.toml").write_text(SETTINGS)
    made: Buckets = discovery.open_capability(discovery.spec("local"), BUCKETS, context(folder))
    for bucket in buckets:
        made.create(bucket)
    return discovery.open_capability(discovery.spec("local"), OBJECT_STORE, context(folder))


def content(store: ObjectStore, bucket: str, key: str) -> bytes:
    return b"".join(store.read(bucket, key))


def keys(store: ObjectStore, bucket: str) -> list[str]:
    return [stat.key for stat in store.list(bucket)]


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Store:
    """A real store behind hooks: each may change what passes, or do something in between."""

    real: ObjectStore
    on_read: Callable[[str, int, Iterator[bytes]], Iterator[bytes]] = lambda key, start, chunks: chunks
    on_write: Callable[[str, Iterable[bytes]], Iterable[bytes]] = lambda key, chunks: chunks
    hide_checksum: Callable[[ObjectStat], ObjectStat] = lambda stat: stat
    reads: list[tuple[str, int]] = field(default_factory=list)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        return (self.hide_checksum(stat) for stat in self.real.list(bucket, prefix))

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.reads.append((key, start))
        return self.on_read(key, start, self.real.read(bucket, key, version=version, start=start, end=end))

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        return self.hide_checksum(self.real.write(bucket, key, self.on_write(key, chunks), if_match=if_match))

    def delete(self, bucket: str, key: str) -> None:
        self.real.delete(bucket, key)

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        return self.hide_checksum(self.real.stat(bucket, key, version=version))

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        return self.real.sign(bucket, key, method, ttl)


def job(
    store: ObjectStore, source: str, destination: str, *, recursive: bool = False, rules: Rules | None = None, jobs: int = 2
) -> copy.Copy:
    """Return a copy between two addresses, whatever the scheme."""
    both = ends(parse(source), parse(destination), lambda scheme: store, recursive=recursive, stdin=BytesIO)
    return copy.Copy(both, rules or Rules(), Silent(), jobs, again="again")


def planned(
    store: ObjectStore, source: str, destination: str, *, recursive: bool = False, rules: Rules | None = None
) -> dict[str, tuple[str, str]]:
    """Return what would be done with each thing, and why."""
    plan = copy.look(job(store, source, destination, recursive=recursive, rules=rules))
    return {step.name: (step.kind if step.kind == "refused" else step.action, step.reason) for step in plan.steps}


def copied(
    store: ObjectStore, source: str, destination: str, *, recursive: bool = False, rules: Rules | None = None, jobs: int = 2
) -> list[Outcome]:
    """Plan and copy; return how each step ended, in the order of their names."""
    made = job(store, source, destination, recursive=recursive, rules=rules, jobs=jobs)
    plan: Plan = copy.look(made)
    return sorted(copy.run(made, plan), key=lambda outcome: outcome.step.name)
