"""The stores of the states: made through the clouds' own APIs, since Terraform cannot make the place where it keeps what it made.

A store is a bucket (on Azure a container of a storage account that is there): versioned, encrypted, not public. Its name is made of the
project and of the account, so that a second run, and a colleague, find the same one; a name in the file `backends/<cloud>.tfbackend` goes
before it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mcml.core.errors import Conflict, McmlError, Usage, unknown
from mcml.core.fact import Fact
from mcml.core.files import write_atomic
from mcml.core.report import Reporter
from mcml.core.schema import Settings
from mcml.infra.states.backends import file_of, read_file
from mcml.infra.states.settings_file import parse, render
from mcml.infra.units.backend import KINDS, SCHEMES, BackendKind
from mcml.infra.units.clouds import REGION
from mcml.infra.units.schedule import Results
from mcml.infra.units.units import Unit
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.identity import Who

T = TypeVar("T")

HEAD = "# Where the states of {cloud}'s units are kept: mcml infra bootstrap made it. What tells one unit from another is added by mcml.\n"
WANTED = BucketConfig(versioning=True, encryption=True, block_public=True)


@dataclass(frozen=True)
class Store:
    """The store of one cloud, as it is to be. `settings` is all that its file is to say, `text` the whole file."""

    cloud: str
    kind: BackendKind
    who: Who
    settings: Mapping[str, object]
    file: Path
    text: str
    region: str = ""

    @property
    def bucket(self) -> str:
        """The bucket or container."""
        return str(self.settings["container_name" if self.kind == "azurerm" else "bucket"])

    @property
    def address(self) -> str:
        """Its URL."""
        return f"{SCHEMES[self.kind]}://{self.bucket}"

    @property
    def is_written(self) -> bool:
        """Tell whether the file says it already."""
        return self.file.is_file() and self.file.read_text(encoding="utf-8") == self.text


@dataclass(frozen=True)
class Made:
    """What was done for one cloud. `remarks` is what could not be set, each with the command that sets it."""

    store: Store
    created: bool
    config: BucketConfig
    written: bool
    remarks: tuple[str, ...] = field(default=())


def region_of(units: Iterable[Unit], cloud: str) -> str:
    """Return the region of a cloud's units."""
    found = (str(unit.variables[REGION[cloud]]) for unit in units if unit.cloud == cloud and REGION[cloud] in unit.variables)
    return next(found, "")


def design(cloud: str, settings: Settings, project: Path, who: Who, region: str, environ: Mapping[str, str]) -> Store:
    """Return what the store of a cloud is to be. What a file says already stays as it is, word for word. Raises Usage."""
    kind, file = KINDS[cloud], file_of(project, cloud)
    provider = settings.providers.get(cloud, {})
    account = str(provider.get("subscription") or who.account) if cloud == "azure" else who.account
    said = parse(file.read_text(encoding="utf-8")) if file.is_file() and _readable(file) else {}
    wanted = _wanted(kind, name_of(settings.name, account), settings.name, region)
    if kind == "azurerm" and "storage_account_name" not in said:
        wanted = {"storage_account_name": _storage_account(provider, environ, region)} | wanted
    missing = {name: value for name, value in wanted.items() if name not in said}
    before = file.read_text(encoding="utf-8") if file.is_file() else HEAD.format(cloud=cloud)
    text = before + ("" if before.endswith("\n") else "\n") + render(missing) if missing else before
    return Store(cloud, kind, who, {**missing, **said}, file, text, region)


def design_all(
    wanted: Sequence[str],
    settings: Settings,
    project: Path,
    units: Iterable[Unit],
    who_at: Callable[[str, str], Who],
    environ: Mapping[str, str],
) -> Results[Store]:
    """Return the stores of the clouds that are wanted, of all without one; `who_at(cloud, region)` tells who we are there.

    Raises Usage where mcml makes nothing on a cloud, NotFound for one on which it does not.
    """
    clouds = list(settings.infra.clouds)
    if not clouds:
        step = "add [infra.clouds.aws], [infra.clouds.gcp] or [infra.clouds.azure] to mcml.toml"
        raise Usage("mcml makes nothing on a cloud in this project", why="mcml.toml has no [infra.clouds]", next_step=step)
    for name in wanted:
        if name not in clouds:
            raise unknown("cloud of this project", name, clouds, next_step="mcml infra graph")
    regions = {cloud: region_of(units, cloud) for cloud in wanted or clouds}
    return _each(regions, lambda name: design(name, settings, project, who_at(name, regions[name]), regions[name], environ))


def _each(names: Iterable[str], work: Callable[[str], T]) -> Results[T]:
    done: dict[str, T] = {}
    failed: dict[str, McmlError] = {}
    for name in names:
        try:
            done[name] = work(name)
        except McmlError as error:
            failed[name] = error
    return Results(done, failed)


def _readable(file: Path) -> bool:
    """Refuse a file with a secret or without sense before anything is made; one that lacks something is completed."""
    try:
        read_file(file)
    except Usage as wrong:
        if " does not say " not in wrong.message:
            raise
    return True


def name_of(project: str, account: str) -> str:
    """Return the name of a bucket, at most 63 characters: names of buckets are one space for all customers of a cloud."""
    digest = hashlib.sha256(account.encode()).hexdigest()[:10]
    return f"{project[:40].rstrip('-')}-tfstate-{digest}"


def _wanted(kind: BackendKind, bucket: str, project: str, region: str) -> dict[str, object]:
    match kind:
        case "s3":
            return {
                "bucket": bucket,
                "region": region,
                "workspace_key_prefix": "environments",
                "encrypt": True,
                "use_lockfile": True,
            }
        case "gcs":
            return {"bucket": bucket, "prefix": project}
        case _:
            return {"container_name": bucket, "use_azuread_auth": True}


def _storage_account(provider: Mapping[str, object], environ: Mapping[str, str], region: str) -> str:
    named = provider.get("storage_account") or environ.get("AZURE_STORAGE_ACCOUNT")
    if not named:
        make = f"az storage account create --name NAME --resource-group GROUP --location {region} --min-tls-version TLS1_2"
        closed = "--allow-blob-public-access false --allow-shared-key-access false"
        raise Usage(
            "no storage account is named for the states on azure",
            why="a container lives in a storage account, and mcml makes none",
            next_step=f"{make} {closed}\nset storage_account in [providers.azure] of mcml.toml",
        )
    return str(named)


def make(store: Store, buckets: Buckets) -> Made:
    """Make the store and then its file, or bring them up to date; a second time changes nothing.

    Raises Conflict when the name is somebody else's, and what the provider raises.
    """
    try:
        created = buckets.create(store.bucket)
    except Conflict as taken:
        name = "container_name" if store.kind == "azurerm" else "bucket"
        step = f'mkdir -p {store.file.parent} && echo \'{name} = "ANOTHER-NAME"\' >> {store.file}\nmcml infra bootstrap {store.cloud}'
        raise Conflict(taken.message, why=taken.why, next_step=step) from taken
    config = buckets.configure(store.bucket, WANTED)
    written = not store.is_written
    if written:
        write_atomic(store.file, store.text.encode())
    return Made(store, created, config, written, tuple(_remarks(store, config)))


def make_all(
    stores: Results[Store], open_buckets: Callable[[str, str], Buckets], reporter: Reporter, record: Callable[[Fact], object]
) -> Results[Made]:
    """Make every store, and append a fact for each at which something was done. What fails at one cloud does not stop another."""

    def one(name: str) -> Made:
        store = stores.done[name]
        reporter.start(name, f"making {store.address}")
        try:
            made = make(store, open_buckets(name, store.region))
        except McmlError:
            reporter.finish(name, "failed", ok=False)
            raise
        reporter.finish(name, "made" if made.created else "was there")
        if made.created or made.written:
            facts = {"cloud": name, "store": store.address, "account": store.who.account, "created": made.created}
            record(Fact("infra.store_made", "infra", facts=facts))
        return made

    made = _each(stores.done, one)
    return Results(made.done, {**stores.failed, **made.failed})


def _remarks(store: Store, config: BucketConfig) -> list[str]:
    found = []
    if not config.versioning:
        account = store.settings.get("storage_account_name")
        step = f"az storage account blob-service-properties update --account-name {account} --enable-versioning true"
        how = f": {step}" if account else ""
        found.append(f"old versions are not kept, so that no state can be brought back{how}")
    if not config.block_public:
        found.append("public access is not blocked")
    if store.kind == "s3" and store.settings.get("use_lockfile") is not True and "dynamodb_table" not in store.settings:
        found.append(f"nothing keeps two applies apart: set use_lockfile = true in {store.file}")
    return found
