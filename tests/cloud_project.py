"""A project with AWS, GCP and Azure, each an emulator, and an environment that holds the credentials: as a person has it.

A test file takes the fixtures by importing them: `clouds` (the emulators, one set a file) and `cloud_project` (a folder with its
mcml.toml, and the environment), with the three that keep the machine's own logins out.
"""

from collections.abc import Iterator
from contextlib import ExitStack, chdir
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from mcml.cli.session import Common, Session
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.capability import BUCKETS, OBJECT_STORE
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from tests.providers.aws import moto_server
from tests.providers.aws.conftest import aws_environment
from tests.providers.azure import azurite_server
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY, AzuriteMissing
from tests.providers.azure.conftest import SUBSCRIPTION, no_credentials
from tests.providers.gcp import fake_gcs_server
from tests.providers.gcp.conftest import PROJECT, nobody

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]
REGION = "eu-west-1"
PROVIDERS = {"s3": "aws", "gs": "gcp", "az": "azure", "local": "local"}
SETTINGS = """
name = "acme"
[providers.aws]
region = "{region}"
endpoint_url = "{aws}"
[providers.gcp]
project = "{project}"
endpoint = "{gcp}"
[providers.azure]
subscription = "{subscription}"
storage_account = "{account}"
endpoint = "{azure}"
[targets.one]
provider = "aws"
region = "{region}"
[targets.two]
provider = "gcp"
region = "europe-west1"
[targets.three]
provider = "azure"
region = "westeurope"
"""


@dataclass(frozen=True)
class Clouds:
    """Where the three emulators listen."""

    aws: str
    gcp: str
    azure: str


@dataclass(frozen=True)
class CloudProject:
    """The project's folder, and what it is connected to."""

    folder: Path
    clouds: Clouds

    def connect(self, **elsewhere: str) -> None:
        """Write mcml.toml; `aws`, `gcp` or `azure` (origins) lead elsewhere than to the emulators."""
        places = {"aws": self.clouds.aws, "gcp": "", "azure": self.clouds.azure, **elsewhere}
        places["azure"] += "/{account}"
        text = SETTINGS.format(region=REGION, project=PROJECT, account=ACCOUNT, subscription=SUBSCRIPTION, **places)
        (self.folder / "mcml.toml").write_text(text)

    def context(self, provider: str) -> ProviderContext:
        """Return the context of a provider."""
        with chdir(self.folder):
            return Session(Common()).context(provider)

    def store(self, scheme: str) -> ObjectStore:
        """Open the object store of a URL scheme."""
        with chdir(self.folder):
            return Session(Common()).open_provider(OBJECT_STORE, PROVIDERS[scheme])

    def buckets(self, scheme: str) -> Buckets:
        """Open the buckets of a URL scheme."""
        with chdir(self.folder):
            return Session(Common()).open_provider(BUCKETS, PROVIDERS[scheme])

    def bucket(self, scheme: str) -> str:
        """Make a bucket and return its address."""
        name = f"mcml-{uuid4().hex[:16]}"
        self.buckets(scheme).create(name)
        return f"{scheme}://{name}"


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """The emulators, until the file's tests are done; skips, with the reason, where one cannot be installed."""
    with ExitStack() as running:
        aws = running.enter_context(moto_server.running(tmp_path_factory.mktemp("moto")))
        gcp = running.enter_context(fake_gcs_server.running(tmp_path_factory.mktemp("fake-gcs")))
        try:
            azure = running.enter_context(azurite_server.running(tmp_path_factory.mktemp("azurite") / "log"))
        except AzuriteMissing as missing:
            pytest.skip(str(missing))
        yield Clouds(aws, gcp, azure.origin)


@pytest.fixture
def cloud_project(
    clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aws_environment: None, nobody: None, no_credentials: None
) -> CloudProject:
    """A project that is connected to all three, and the person's environment: AWS's keys, a storage account's key, Google's emulator."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", clouds.gcp)
    folder = tmp_path / "project"
    folder.mkdir()
    made = CloudProject(folder, clouds)
    made.connect()
    return made
