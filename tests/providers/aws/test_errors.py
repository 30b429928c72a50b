"""What AWS's errors become: class, reason, next step; and never a credential in any of it."""

import logging
import os
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.core import errors
from mcml.core.errors import McmlError, NotAuthenticated
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.aws.buckets import S3Buckets
from mcml.providers.aws.error_table import MOST_TEXT, retry_after, skew_of
from mcml.providers.aws.identity import AwsIdentity
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.resilience import REFUSED_STEP
from mcml.testing.stubs.faults import Answer, FaultProxy
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, MakeSession
from tests.providers.aws.test_faults import error

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
SSO_CONFIG = """
[profile dev]
sso_session = acme
sso_account_id = 123456789012
sso_role_name = ml
[sso-session acme]
sso_region = eu-west-1
sso_start_url = https://acme.awsapps.com/start
"""

QUOTAS = "aws service-quotas list-service-quotas --service-code s3"
TABLE = [
    (error(403, "ExpiredToken", "The provided token has expired."), "NotAuthenticated", "aws configure sso"),
    (error(403, "InvalidAccessKeyId", "does not exist in our records"), "NotAuthenticated", "aws configure sso"),
    (error(403, "SignatureDoesNotMatch", "check your key"), "NotAuthenticated", "aws configure sso"),
    (error(403, "AccessDenied", "not authorized to perform: s3:GetObject"), "NotAuthenticated", "aws sts get-caller-identity"),
    (error(403, "RequestTimeTooSkewed", "too large"), "NotAuthenticated", "sudo timedatectl set-ntp true"),
    (error(403, "SomethingNew"), "NotAuthenticated", "aws configure sso"),
    (error(404, "NoSuchBucket"), "NotFound", "aws s3 ls"),
    (error(404, "NoSuchKey"), "NotFound", ""),
    (error(400, "ResourceNotFoundException"), "NotFound", ""),
    (error(412, "PreconditionFailed"), "Conflict", ""),
    (error(409, "BucketNotEmpty"), "Conflict", ""),
    (error(400, "ResourceInUseException"), "Conflict", ""),
    (error(400, "TooManyBuckets"), "QuotaExceeded", QUOTAS),
    (error(400, "ServiceQuotaExceededException"), "QuotaExceeded", QUOTAS),
    (error(400, "VpcLimitExceeded"), "QuotaExceeded", QUOTAS),
    (error(400, "InvalidArgument"), "InvalidRequest", REFUSED_STEP),
    (error(501, "NotImplemented"), "InvalidRequest", REFUSED_STEP),
    (error(400, "InsufficientDBInstanceCapacity"), "QuotaExceeded", ""),
    (error(400, "SnapshotCreationPerVolumeRateExceeded"), "Unavailable", "mcml doctor"),
    (error(400, "ConcurrentModificationException"), "Unavailable", "mcml doctor"),
    (error(403, "AuthorizationError", "not authorized to perform: SNS:Publish"), "NotAuthenticated", "aws sts get-caller-identity"),
    (error(400, "RequestTimeout"), "Unavailable", "mcml doctor"),
    (error(503, "SlowDown"), "Unavailable", "mcml doctor"),
    (error(400, "ThrottlingException"), "Unavailable", "mcml doctor"),
    (error(400, "BadDigest"), "Unavailable", "mcml doctor"),
    (error(500, "SomethingNew"), "Unavailable", "mcml doctor"),
    (Answer(429), "Unavailable", "mcml doctor"),
    (Answer(200, {"Content-Type": "application/xml"}, b"<html>a login page</html"), "Unavailable", "mcml doctor"),
]


@pytest.mark.parametrize(("answer", "kind", "next_step"), TABLE, ids=lambda value: value if isinstance(value, str) else "")
def test_the_table(make_session: MakeSession, proxy: FaultProxy, answer: Answer, kind: str, next_step: str) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    proxy.script(*[answer] * 5)
    with pytest.raises(McmlError) as failed:
        list(store.list("some-bucket"))
    assert type(failed.value) is getattr(errors, kind)
    assert failed.value.message == "cannot list s3://some-bucket/"
    assert failed.value.next_step == next_step
    assert failed.value.why
    assert len(proxy.requests) == (5 if kind == "Unavailable" else 1)


def test_the_reason_is_what_aws_said(make_session: MakeSession, proxy: FaultProxy) -> None:
    said = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:ListBucket"
    proxy.script(error(403, "AccessDenied", said))
    with pytest.raises(NotAuthenticated) as denied:
        list(S3ObjectStore(make_session(endpoint_url=proxy.url)).list("some-bucket"))
    assert denied.value.why == f"{said} (AccessDenied)"


def test_the_reason_of_an_answer_without_a_body_is_asked_for(make_session: MakeSession, proxy: FaultProxy) -> None:
    """A HEAD says 400 or 403 and nothing else (the SDK asks the bucket for its region then); the GET after it says why."""
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    proxy.script(Answer(400), Answer(400), error(400, "ExpiredToken", "The provided token has expired."))
    with pytest.raises(NotAuthenticated) as expired:
        store.stat("some-bucket", "k")
    assert expired.value.why == "The provided token has expired. (ExpiredToken)"
    assert [seen.method for seen in proxy.requests] == ["HEAD", "HEAD", "GET"]


@pytest.mark.parametrize(("ahead", "said"), [(90, "90 minutes ahead of"), (-17, "17 minutes behind")])
def test_a_wrong_clock_is_said_clearly(make_session: MakeSession, proxy: FaultProxy, ahead: int, said: str) -> None:
    """By the time in the answer, whatever the error's own words are."""
    session = make_session(endpoint_url=proxy.url, clock=lambda: NOW + timedelta(minutes=ahead))
    for code in ("RequestTimeTooSkewed", "AuthFailure"):
        proxy.script(error(403, code, "The difference is too large.", Date=DATE))
        with pytest.raises(NotAuthenticated) as skewed:
            list(S3ObjectStore(session).list("some-bucket"))
        assert skewed.value.why.startswith(f"the clock of this machine is {said} that of AWS; ")
        assert skewed.value.next_step == "sudo timedatectl set-ntp true"


def test_a_clock_that_is_right_is_not_blamed() -> None:
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": DATE}}}
    assert skew_of(answer, NOW + timedelta(minutes=4)) == ""
    assert skew_of(answer, NOW - timedelta(minutes=6)) == "the clock of this machine is 6 minutes behind that of AWS"
    assert skew_of({"Error": {"ServerTime": "2026-03-01T13:00:00Z"}} | answer, NOW).startswith("the clock of this machine is 60 minutes")
    for unknown in ({}, {"ResponseMetadata": {"HTTPHeaders": {"date": "yesterday"}}}):
        assert skew_of(unknown, NOW) == ""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:05 GMT", "date": DATE}, 5.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:05 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_the_cloud_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_no_credentials(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    session = make_session()
    for ask in (AwsIdentity(session).whoami, lambda: S3ObjectStore(session).stat("some-bucket", "k")):
        with pytest.raises(NotAuthenticated) as absent:
            ask()
        assert "credentials" in absent.value.why
        assert absent.value.next_step == "aws configure sso"


def test_half_a_credential(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NotAuthenticated) as partial:
        S3ObjectStore(make_session()).stat("some-bucket", "k")
    assert "AWS_SECRET_ACCESS_KEY" in partial.value.why


def test_a_profile_that_has_not_logged_in(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(SSO_CONFIG)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NotAuthenticated) as no_login:
        S3ObjectStore(make_session(profile="dev")).stat("some-bucket", "k")
    assert no_login.value.next_step == "aws sso login --profile dev"


def test_a_profile_that_is_not_there(make_session: MakeSession) -> None:
    with pytest.raises(NotAuthenticated) as unknown:
        S3ObjectStore(make_session(profile="nobody")).stat("some-bucket", "k")
    assert "nobody" in unknown.value.why
    assert unknown.value.next_step == "aws configure list-profiles"


def test_bad_values_are_refused_before_they_are_sent(make_session: MakeSession, proxy: FaultProxy) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    with pytest.raises(errors.InvalidRequest):
        store.stat("not/a bucket", "k")
    with pytest.raises(errors.InvalidRequest):
        store.delete("some-bucket", "")
    assert len(proxy.requests) == 0


ECHO = f"'{KEY_ID}' with '{SECRET}' and '{TOKEN}' (X-Amz-Signature=0123abc&X-Amz-Credential={KEY_ID}/20260301) " + "x" * 2000


def test_no_credential_is_in_any_text(make_session: MakeSession, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the other side says them: message, reason, traceback, repr and log of every method's failure."""
    caplog.set_level(logging.INFO)
    session = make_session(endpoint_url=proxy.url)
    store, buckets, identity = S3ObjectStore(session), S3Buckets(session), AwsIdentity(session)
    calls = [
        lambda: list(store.list("some-bucket")),
        lambda: list(store.read("some-bucket", "k")),
        lambda: store.write("some-bucket", "k", [b"x"]),
        lambda: store.stat("some-bucket", "k"),
        lambda: store.delete("some-bucket", "k"),
        lambda: buckets.create("some-bucket"),
        lambda: buckets.configure("some-bucket", BucketConfig()),
        lambda: buckets.versions("some-bucket", "k"),
        lambda: buckets.empty("some-bucket"),
        identity.whoami,
    ]
    texts = [repr(session), repr(store), repr(buckets), repr(identity)]
    for answer in (error(403, "AuthFailure", ECHO), error(500, "InternalError", ECHO), error(400, "InvalidArgument", ECHO)):
        for call in calls:
            proxy.script(*[answer] * 5)
            with pytest.raises(McmlError) as failed:
                call()
            told = failed.value
            assert len(told.why) <= MOST_TEXT + 40
            texts += [told.message, told.why, told.next_step, repr(told), "".join(traceback.format_exception(told))]
        proxy.script(*[answer] * 5)
        texts += [repr(check) for check in identity.check()]
    for secret in (*CREDENTIALS, "0123abc"):
        assert secret not in "\n".join([*texts, caplog.text])
    assert "[hidden]" in "\n".join(texts)
