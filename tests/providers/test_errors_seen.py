"""What a person sees of every class of error on every cloud: message, reason, next step and exit code, as the command line says them.

By `mcml data` where a command meets the error; from the emulator itself where it can, else a proxy before it gives the cloud's own answer
(in the form of its documentation). What each code means is in the tables of test_errors.py, test_faults.py and their like, and that the
commands exist is in test_errors_seen_steps.py.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from mcml.core import exits
from mcml.core.errors import McmlError
from mcml.providers.api.buckets import Buckets
from mcml.providers.api.capability import BUCKETS
from mcml.providers.aws.session import Session as AwsSession
from mcml.testing.stubs.aws_model import AwsError, AwsModel
from mcml.testing.stubs.faults import Answer, FaultProxy, Pass, Request
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

    def shown(self, call: Callable[[], object]) -> tuple[int, str]:
        """Make a call that fails and return the same of its error."""
        with pytest.raises(McmlError) as failed:
            call()
        return failed.value.exit_code, self.short(rendered(failed.value))

    def short(self, text: str) -> str:
        return text.replace(self.bucket, "B").replace(self.bucket.partition("://")[2], "B")

    def buckets(self) -> Buckets:
        return self.project.open(BUCKETS, PROVIDERS[self.scheme])


def rendered(error: McmlError) -> str:
    out = io.StringIO()
    failure.show(error, Streams(io.StringIO(), io.StringIO(), out))
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


ANSWERED: list[tuple[Answer, str, int, str, str]] = [
    (
        s3(403, "ExpiredToken", "The provided token has expired."),
        "NotAuthenticated", exits.NOT_AUTHENTICATED, "The provided token has expired. (ExpiredToken)", "aws configure sso",
    ),
    (
        s3(403, "AccessDenied", "ada is not authorized to perform: s3:ListBucket"),
        "NotAuthenticated", exits.NOT_AUTHENTICATED, "ada is not authorized to perform: s3:ListBucket (AccessDenied)",
        "aws sts get-caller-identity",
    ),
    (
        s3(400, "ServiceQuotaExceededException", "No more."),
        "QuotaExceeded", exits.FAILED, "No more. (ServiceQuotaExceededException)",
        "aws service-quotas list-service-quotas --service-code s3",
    ),
    (s3(400, "InvalidArgument", "Wrong."), "InvalidRequest", exits.FAILED, "Wrong. (InvalidArgument)", ""),
    (s3(503, "SlowDown", "Reduce your rate."), "Unavailable", exits.FAILED, "Reduce your rate. (SlowDown)", "mcml doctor"),
    (
        gs(403, "forbidden", "ada does not have storage.objects.list access."),
        "NotAuthenticated", exits.NOT_AUTHENTICATED, "Google answered 403: ada does not have storage.objects.list access.",
        "gcloud projects get-iam-policy stub-project",
    ),
    (
        gs(403, "quotaExceeded", "No more."),
        "QuotaExceeded", exits.FAILED, "Google answered 403: No more.",
        "gcloud alpha services quota list --service=storage.googleapis.com --consumer=projects/stub-project",
    ),
    (gs(400, "invalid", "Wrong."), "InvalidRequest", exits.FAILED, "Google answered 400: Wrong.", ""),
    (gs(503, "backendError", "Backend Error"), "Unavailable", exits.FAILED, "Google answered 503: Backend Error", "mcml doctor"),
    (
        az(403, "AuthorizationPermissionMismatch", "No."),
        "NotAuthenticated", exits.NOT_AUTHENTICATED,
        "the credentials are good, but they lack the role for it (403, AuthorizationPermissionMismatch)",
        "az role assignment create --role 'Storage Blob Data Contributor' --assignee YOU "
        "--scope $(az storage account show --name devstoreaccount1 --query id --output tsv)",
    ),
    (
        az(409, "AccountLimitExceeded", "No more."),
        "QuotaExceeded", exits.FAILED, "No more. (409, AccountLimitExceeded)", "az storage account show-usage --location REGION",
    ),
    (az(400, "InvalidHeaderValue", "Wrong."), "InvalidRequest", exits.FAILED, "Wrong. (400, InvalidHeaderValue)", ""),
    (az(503, "ServerBusy", "The server is busy."), "Unavailable", exits.FAILED, "The server is busy. (503, ServerBusy)", "mcml doctor"),
]  # fmt: skip
BY_SCHEME = {
    scheme: [row for row in ANSWERED if (b"<?xml" in row[0].body) * "az" + (b"{" == row[0].body[:1]) * "gs" in (scheme, "" if scheme == "s3" else scheme)]
    for scheme in SCHEMES
}


def test_placeholder() -> None:
    assert Pass and Request and timedelta and AwsSession and AwsModel and AwsError
