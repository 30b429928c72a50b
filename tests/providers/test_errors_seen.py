"""What a person sees of every class of error on every cloud: message, reason, next step and exit code, as the command line says them.

By `mcml data` where a command meets the error; from the emulator itself where it can, else a proxy before it gives the cloud's own answer
(in the form of its documentation). What each code means is in the tables of test_errors.py, test_faults.py and their like, and that the
commands exist is in test_errors_seen_steps.py.
"""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from botocore import xform_name

from mcml.core import exits
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, ProviderCannot, QuotaExceeded, Unavailable
from mcml.providers.api.inventory import Resource
from mcml.providers.aws.inventory import AwsInventory
from mcml.providers.aws.session import Session as AwsSession
from mcml.providers.gcp.error_table import service_of
from mcml.providers.resilience import REFUSED_STEP
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, Delay, FaultProxy, Pass
from mcml.ui import failure
from mcml.ui.streams import Streams
from tests.cli.incidents import typed
from tests.cloud_project import PROVIDERS, CloudProject, aws_environment, cloud_project, clouds, no_credentials, nobody

__all__ = ["aws_environment", "cloud_project", "clouds", "no_credentials", "nobody"]
pytestmark = pytest.mark.cloud
EVERYTHING = 200
SCHEMES = ("s3", "gs", "az")


@dataclass(frozen=True)
class Meeting:
    """A cloud behind a proxy, and a bucket there with the object `k`."""

    project: CloudProject
    proxy: FaultProxy
    scheme: str
    bucket: str

    def typed(self, *words: str) -> tuple[int, str]:
        """Type `mcml data ...` (B is the bucket) and return the exit code and what an error says, with B for the bucket's name."""
        ended = typed(["data", *(word.replace("B", self.bucket) if word[0] == "B" else word for word in words)], cwd=self.project.folder)
        return ended.code, self.short("".join(line for line in ended.err.splitlines(True) if not line.startswith("data:")))

    def shown(self, kind: type[McmlError], call: Callable[[], object]) -> str:
        """Make a call that fails with this class, and return what the error says."""
        with pytest.raises(kind) as failed:
            call()
        return self.short(rendered(failed.value))

    def short(self, text: str) -> str:
        return text.replace(self.bucket, "B").replace(self.bucket.partition("://")[2], "B")


def rendered(error: McmlError) -> str:
    out = io.StringIO()
    failure.show(error, Streams(out, out, out, False, False, False, False, False, 100))
    return out.getvalue()


@pytest.fixture
def meet(cloud_project: CloudProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Meeting]]:
    standing: list[FaultProxy] = []

    def make(scheme: str) -> Meeting:
        bucket, where = cloud_project.bucket(scheme), cloud_project.clouds
        cloud_project.store(scheme).write(bucket.partition("://")[2], "k", [b"content"])
        proxy = FaultProxy({"s3": where.aws, "gs": where.gcp, "az": where.azure}[scheme])
        standing.append(proxy)
        if scheme == "gs":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        else:
            cloud_project.connect(**{PROVIDERS[scheme]: proxy.url})
        (cloud_project.folder / "here").write_text("x")
        return Meeting(cloud_project, proxy, scheme, bucket)

    yield make
    for proxy in standing:
        proxy.close()


def s3(status: int, code: str, said: str) -> Answer:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    body = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


def gs(status: int, reason: str, said: str) -> Answer:
    """https://cloud.google.com/storage/docs/json_api/v1/status-codes"""
    error = {"code": status, "message": said, "errors": [{"domain": "global", "reason": reason, "message": said}]}
    return Answer(status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode())


def az(status: int, code: str, said: str) -> Answer:
    """https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes"""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{said}</Message></Error>'
    return Answer(status, {"Content-Type": "application/xml", "x-ms-error-code": code}, body.encode())


@dataclass(frozen=True)
class Row:
    """What the cloud answers, and what is seen of it."""

    kind: type[McmlError]
    answer: Answer
    doing: str
    why: str
    step: str = ""

    @property
    def text(self) -> str:
        return text(self.doing, self.why, self.step)


ROLE = (
    "az role assignment create --role 'Storage Blob Data Contributor' --assignee YOU "
    "--scope $(az storage account show --name devstoreaccount1 --query id --output tsv)"
)
G_QUOTA = "gcloud alpha services quota list --service=storage.googleapis.com --consumer=projects/stub-project"
A_QUOTA = "aws service-quotas list-service-quotas --service-code s3"
ANSWERED = {
    "s3": [
        Row(NotAuthenticated, s3(403, "ExpiredToken", "Expired."), "cannot list B/", "Expired. (ExpiredToken)", "aws configure sso"),
        Row(NotAuthenticated, s3(403, "AccessDenied", "No."), "cannot list B/", "No. (AccessDenied)", "aws sts get-caller-identity"),
        Row(QuotaExceeded, s3(400, "ServiceQuotaExceeded", "Full."), "cannot list B/", "Full. (ServiceQuotaExceeded)", A_QUOTA),
        Row(InvalidRequest, s3(400, "InvalidArgument", "Wrong."), "cannot list B/", "Wrong. (InvalidArgument)", REFUSED_STEP),
        Row(Unavailable, s3(503, "SlowDown", "Slow down."), "cannot list B/", "Slow down. (SlowDown)", "mcml doctor"),
    ],
    "gs": [
        Row(
            NotAuthenticated, gs(401, "authError", "Invalid Credentials"), "cannot look at bucket 'B'",
            "Anonymous credentials cannot be refreshed.",  # the emulator's; what a real login gets is in test_faults.py
            "gcloud auth application-default login",
        ),
        Row(
            NotAuthenticated, gs(403, "forbidden", "No."), "cannot list B/", "Google answered 403: No.",
            "gcloud projects get-iam-policy stub-project",
        ),
        Row(QuotaExceeded, gs(403, "quotaExceeded", "Full."), "cannot look at bucket 'B'", "Google answered 403: Full.", G_QUOTA),
        Row(InvalidRequest, gs(400, "invalid", "Wrong."), "cannot look at bucket 'B'", "Google answered 400: Wrong.", REFUSED_STEP),
        Row(Unavailable, gs(503, "backendError", "Oops."), "cannot look at bucket 'B'", "Google answered 503: Oops.", "mcml doctor"),
    ],
    "az": [
        Row(
            NotAuthenticated, az(403, "AuthorizationPermissionMismatch", "No."), "cannot list B/",
            "the credentials are good, but they lack the role for it (403, AuthorizationPermissionMismatch)", ROLE,
        ),
        Row(
            NotAuthenticated, az(401, "InvalidAuthenticationInfo", "Expired."), "cannot list B/",
            "Azure does not accept the token: it is expired, or for another tenant (401, InvalidAuthenticationInfo)", "az login",
        ),
        Row(
            QuotaExceeded, az(409, "AccountLimitExceeded", "Full."), "cannot list B/", "Full. (409, AccountLimitExceeded)",
            "az storage account show-usage --location REGION",
        ),
        Row(InvalidRequest, az(400, "InvalidHeaderValue", "Wrong."), "cannot list B/", "Wrong. (400, InvalidHeaderValue)", REFUSED_STEP),
        Row(Unavailable, az(503, "ServerBusy", "Busy."), "cannot list B/", "Busy. (503, ServerBusy)", "mcml doctor"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_cloud_answers(meet: Callable[[str], Meeting], scheme: str) -> None:
    met = meet(scheme)
    for row in ANSWERED[scheme]:
        met.proxy.script(*[row.answer] * EVERYTHING)
        assert met.typed("ls", "B") == (row.kind.exit_code, row.text)
        if row.kind is not Unavailable:
            with pytest.raises(row.kind) as told:
                list(met.project.store(scheme).list(met.bucket.partition("://")[2]))
            assert type(told.value) is row.kind


NO_BUCKET = {
    "s3": ("cannot list s3://no-such/", "The specified bucket does not exist (NoSuchBucket)", "aws s3 ls"),
    "gs": ("cannot look at bucket 'no-such'", "Google answered 404: Not Found", "gcloud storage buckets list --project=stub-project"),
    "az": (
        "cannot list az://no-such/", "The specified container does not exist. (404, ContainerNotFound)",
        "az storage container list --auth-mode login --account-name devstoreaccount1",
    ),
}  # fmt: skip
NOT_EMPTY = {
    "s3": ("cannot delete bucket 'B'", "The bucket you tried to delete is not empty (BucketNotEmpty)"),
    "gs": ("cannot delete bucket 'B'", "it is not empty: objects or old versions are left"),
    "az": ("B is not empty", "it holds k, maybe more, or old versions of them"),
}
REFUSED = {
    "s3": ("cannot list B/", 'Could not connect to the endpoint URL: "PROXY/B"'),
    "gs": ("cannot look at bucket 'B'", "no connection: Connection refused"),
    "az": (
        "cannot list B/",
        "no whole answer came: HTTPConnection(HOST): Failed to establish a new connection: [Errno 111] Connection refused",
    ),
}


def text(doing: str, why: str, step: str = "") -> str:
    return f"error: {doing}\n" + (f"  why:  {why}\n" if why else "") + (f"  next: {step}\n" if step else "")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_not_there(meet: Callable[[str], Meeting], scheme: str) -> None:
    met = meet(scheme)
    assert met.typed("ls", f"{scheme}://no-such") == (exits.NOT_FOUND, text(*NO_BUCKET[scheme]))
    assert met.typed("cat", "B/none") == (exits.NOT_FOUND, text("nothing at B/none", "", "mcml data ls B/"))


def test_a_name_that_no_container_has(meet: Callable[[str], Meeting]) -> None:
    said = text("no container 'Bad!' in Azure", "no container can have this name", NO_BUCKET["az"][2])
    assert meet("az").typed("ls", "az://Bad!/x") == (exits.NOT_FOUND, said)


def test_a_name_that_no_bucket_has(meet: Callable[[str], Meeting]) -> None:
    """botocore refuses it, with two regular expressions."""
    why = "no bucket is named \"Bad!\": it takes 3 to 63 of a-z, 0-9, '-' and '.', a letter or digit at both ends"
    assert meet("s3").typed("ls", "s3://Bad!/x") == (exits.FAILED, text("cannot list s3://Bad!/x/", why, "aws s3 ls"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_in_the_way(meet: Callable[[str], Meeting], scheme: str) -> None:
    """Conflict, and InvalidRequest without asking the cloud."""
    met = meet(scheme)
    store, name = met.project.store(scheme), met.bucket.partition("://")[2]
    in_the_way = met.shown(Conflict, lambda: met.project.buckets(scheme).delete(name))
    assert in_the_way == text(*NOT_EMPTY[scheme], "empty it, with its versions")
    taken = met.shown(Conflict, lambda: store.write(name, "k", [b"1"], if_match=""))
    assert taken.startswith("error: cannot write B/k\n  why:  ")
    outside = met.shown(InvalidRequest, lambda: list(store.read(name, "k", start=100)))
    assert "of B/k\n  why:  it has 7 bytes\n" in outside


CHANGED = {
    "s3": (s3(412, "PreconditionFailed", "Not met."), "there is one already"),
    "gs": (gs(412, "conditionNotMet", "Not met."), "there is one already"),
    "az": (az(409, "BlobAlreadyExists", "It exists."), "It exists. (409, BlobAlreadyExists)"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_came_in_between(meet: Callable[[str], Meeting], scheme: str) -> None:
    """Conflict by a command: another wrote the object after we had looked, and it was not to be overwritten."""
    met = meet(scheme)
    answer, why = CHANGED[scheme]
    met.proxy.script(*[answer] * EVERYTHING, only=lambda request: request.method in ("PUT", "POST"))
    said = text("cannot write B/new", f"it was not to be overwritten: {why}", "run the same command again: it keeps what is there")
    assert met.typed("cp", "--no-clobber", "here", "B/new") == (exits.FAILED, said)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cloud_that_is_away_or_goes_away(meet: Callable[[str], Meeting], scheme: str) -> None:
    """Unavailable, and PartlyDone when it goes after the first of two objects."""
    met = meet(scheme)
    (met.project.folder / "tree").mkdir()
    for name in "ab":
        (met.project.folder / "tree" / name).write_text(name)
    busy = next(row for row in ANSWERED[scheme] if row.kind is Unavailable)
    met.proxy.script(Pass(), *[busy.answer] * EVERYTHING, only=lambda request: request.method in ("PUT", "POST"))
    code, said = met.typed("cp", "-r", "--jobs", "1", "tree", "B/t")
    why = f"B/t/b: cannot write B/t/b ({busy.why})"
    assert (code, said) == (
        exits.PARTLY_DONE, text("1 copied, 0 kept as they were, 1 failed", why, "mcml data cp --recursive tree B/t"),
    )  # fmt: skip
    met.proxy.refuse()
    doing, why = REFUSED[scheme]
    why = why.replace("PROXY", met.proxy.url).replace("HOST", f"host='127.0.0.1', port={met.proxy.port}")
    assert met.typed("ls", "B") == (exits.FAILED, text(doing, why, "mcml doctor"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cloud_that_is_too_slow_and_a_person_who_stops(meet: Callable[[str], Meeting], scheme: str) -> None:
    """StillRunning and Interrupted, of a process of its own: both come by a signal."""
    met = meet(scheme)
    again = "run the same command again"
    for more, stopped, code, said in (
        (["--timeout", "3"], False, exits.STILL_RUNNING, text("not done after 3 s", "--timeout ran out", f"{again} to continue")),
        ([], True, exits.INTERRUPTED, text("interrupted", "", f"{again}: it continues where it stopped")),
    ):
        met.proxy.script(*[Delay(60.0)] * EVERYTHING)
        met.proxy.requests.clear()
        words = [sys.executable, "-m", "mcml", "data", "ls", f"{met.bucket}/t/", *more]  # on s3: over obstore
        with subprocess.Popen(words, cwd=met.project.folder, stderr=subprocess.PIPE, text=True) as process:
            if stopped:
                while not met.proxy.requests and process.poll() is None:
                    time.sleep(0.02)
                process.send_signal(signal.SIGINT)
            assert (process.communicate(timeout=60)[1], process.returncode) == (said, code)


@pytest.mark.parametrize(
    ("scheme", "instead", "said"),
    [
        (
            "s3", ('region = "eu-west-1"\nendpoint_url', "regoin = 1\nendpoint_url"),
            text(
                "the settings of provider 'aws' are wrong", "providers.aws.regoin: unknown key (did you mean 'region'?)",
                "mcml config show --origin",
            ),
        ),
        (
            "gs", ('endpoint = ""\n', 'endpoint = "http://example.com"\n'),
            text(
                "the settings of provider 'gcp' are wrong",
                "providers.gcp.endpoint: Value error, an endpoint is https://host[:port]: tokens go there; plain http only to this machine",
                "mcml config show --origin",
            ),
        ),
        (
            "az", ('storage_account = "devstoreaccount1"\n', ""),
            text(
                "no storage account is named for the container 'models'", "a container lives in a storage account",
                "set storage_account in [providers.azure] of mcml.toml, or AZURE_STORAGE_ACCOUNT",
            ),
        ),
    ],
)  # fmt: skip
def test_wrong_settings(meet: Callable[[str], Meeting], scheme: str, instead: tuple[str, str], said: str) -> None:
    met = meet(scheme)
    settings = met.project.folder / "mcml.toml"
    assert instead[0] in settings.read_text()
    settings.write_text(settings.read_text().replace(*instead))
    assert met.typed("ls", f"{scheme}://models") == (exits.USAGE, said)


def test_what_a_provider_cannot(meet: Callable[[str], Meeting]) -> None:
    code, said = meet("az").typed("query", "select 1", "--provider", "azure")
    assert (code, said.splitlines()[0]) == (exits.PROVIDER_CANNOT, "error: provider azure cannot do Warehouse (impossible)")
    assert said.splitlines()[1].startswith("  why:  SQL over blobs is ")
    assert said.splitlines()[2] == "  next: mcml plugins list"
    met = meet("s3")
    session = AwsSession(met.project.context("aws"))
    key = session.client("kms").create_key(Tags=[{"TagKey": "project", "TagValue": "x"}])["KeyMetadata"]
    left = met.shown(ProviderCannot, lambda: AwsInventory(session).delete(Resource("kms:key", key["Arn"], "eu-west-1")))
    assert left == text(
        f"cannot delete kms:key '{key['KeyId']}'", "mcml does not delete resources of kms",
        f"aws resourcegroupstaggingapi get-resources --resource-arn-list {key['Arn']}   # what it is; who made it deletes it",
    )  # fmt: skip
    met = meet("gs")
    unsigned = met.shown(ProviderCannot, lambda: met.project.store("gs").sign(met.bucket.partition("://")[2], "k", "GET", timedelta(1)))
    assert unsigned == text(
        "cannot sign a GET URL for B/k",
        "these credentials cannot sign (no credentials: STORAGE_EMULATOR_HOST is set): a service account can",
        'set impersonate_service_account = "NAME@PROJECT.iam.gserviceaccount.com" under [providers.gcp]',
    )


@pytest.mark.parametrize(
    ("service", "operation", "code", "named"),
    [
        ("ec2", "DescribeVolumes", "InstanceLimitExceeded", "ec2"),
        ("sagemaker", "ListEndpoints", "ResourceLimitExceeded", "sagemaker"),
        ("autoscaling", "DescribeAutoScalingGroups", "LimitExceeded", "autoscaling"),
        ("cloudwatch", "ListMetrics", "LimitExceededException", "monitoring"),
        ("rds", "DescribeDBInstances", "InstanceQuotaExceeded", "rds"),
    ],
)
def test_a_quota_is_that_of_the_service(cloud_project: CloudProject, service: str, operation: str, code: str, named: str) -> None:
    """The command names the service that said it, and no other."""

    def refuse(_: object) -> dict[str, object]:
        raise AwsError(code, "Full.")

    with AwsModel(service) as stub:
        stub.on(service, operation, refuse)
        cloud_project.connect(aws=stub.url)
        session = AwsSession(cloud_project.context("aws"))
        with pytest.raises(QuotaExceeded) as full:
            session.call("cannot", lambda: getattr(session.client(service), xform_name(operation))())
        session.close()
    assert full.value.next_step == f"aws service-quotas list-service-quotas --service-code {named}"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/endpoints", "aiplatform.googleapis.com"),
        ("https://compute.googleapis.com/compute/v1/projects/p/zones", "compute.googleapis.com"),
        ("https://gateway.example.com/upload/storage/v1/b/box/o", "storage.googleapis.com"),
        ("https://gateway.example.com/v1/projects/p/locations", "SERVICE"),
        ("", "SERVICE"),
    ],
)
def test_a_service_of_google_is_told_by_the_address(url: str, named: str) -> None:
    assert service_of(url) == named
