"""Identity on AWS against a moto server: the contract, roles, profiles, and what is missing."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import NotAuthenticated
from mcml.providers.api.identity import Check, Identity, Who
from mcml.providers.aws.identity import AwsIdentity
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.session import Session
from mcml.testing.contracts.identity import IdentityContract
from mcml.testing.stubs.faults import Answer, FaultProxy, Refuse
from tests.providers.aws.conftest import KEY_ID, SECRET, MakeSession


class TestContract(IdentityContract):
    @pytest.fixture
    def identity(self, session: Session) -> Identity:
        return AwsIdentity(session)


ROLE = "arn:aws:iam::123456789012:role/ml"


def test_who_we_are(session: Session) -> None:
    assert AwsIdentity(session).whoami() == Who("123456789012", "arn:aws:sts::123456789012:user/moto", "env")


def test_a_role_is_assumed(make_session: MakeSession, s3_bucket: str) -> None:
    session = make_session(role_arn=ROLE)
    who = AwsIdentity(session).whoami()
    assert who == Who("123456789012", "arn:aws:sts::123456789012:assumed-role/ml/mcml", "assume-role")
    assert list(S3ObjectStore(session).list(s3_bucket)) == []


def test_the_role_is_assumed_once(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    session = make_session(role_arn=ROLE, endpoint_url=proxy.url)
    for _ in range(3):
        S3ObjectStore(session).write(s3_bucket, "k", [b"1"])
    assert [seen.method for seen in proxy.requests] == ["POST", "PUT", "PUT", "PUT"]


def test_a_role_that_is_not_ours(make_session: MakeSession, proxy: FaultProxy) -> None:
    said = f"User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    body = f"<ErrorResponse><Error><Code>AccessDenied</Code><Message>{said}</Message></Error></ErrorResponse>"
    proxy.script(Answer(403, {"Content-Type": "text/xml"}, body.encode()))
    with pytest.raises(NotAuthenticated) as refused:
        S3ObjectStore(make_session(role_arn=ROLE, endpoint_url=proxy.url)).stat("some-bucket", "k")
    assert refused.value.why == f"{said} (AccessDenied)"
    assert refused.value.next_step.startswith("aws iam get-role --role-name ml")


def test_a_profile(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    written = f"[dev]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\nregion = eu-north-1\n"
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text(written)
    session = make_session(profile="dev", region="")
    assert AwsIdentity(session).whoami().method == "shared-credentials-file, profile dev"
    assert session.region == "eu-north-1"


def checks(session: Session) -> dict[str, Check]:
    return {check.name: check for check in AwsIdentity(session).check()}


def test_all_is_well(session: Session) -> None:
    found = checks(session)
    assert list(found) == ["credentials", "identity", "clock", "region"]
    assert all(check.ok for check in found.values())
    assert found["identity"].detail == "account 123456789012, arn:aws:sts::123456789012:user/moto"
    assert found["region"].detail == "eu-west-1"


def test_what_is_missing_is_said_with_the_fix(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    found = checks(make_session(region=""))
    assert [(check.name, check.ok) for check in found.values()] == [("credentials", False), ("region", False)]
    assert found["credentials"].fix == "aws configure sso"
    assert found["region"].fix.startswith("aws configure set region")


def test_an_unknown_profile_is_said(make_session: MakeSession) -> None:
    found = checks(make_session(profile="nobody", region=""))
    assert [(check.ok, check.fix) for check in found.values()] == [(False, "aws configure list-profiles")] * 2


def test_a_wrong_clock_is_seen_before_it_hurts(make_session: MakeSession) -> None:
    found = checks(make_session(clock=lambda: utc_now() + timedelta(hours=2)))
    assert (found["clock"].ok, found["clock"].fix) == (False, "sudo timedatectl set-ntp true")
    assert found["clock"].detail == "the clock of this machine is 120 minutes ahead of that of AWS"


def test_a_server_that_is_down_is_said(make_session: MakeSession, proxy: FaultProxy) -> None:
    proxy.script(Refuse(60))
    found = checks(make_session(endpoint_url=proxy.url))
    assert found["identity"].detail.startswith("cannot tell who we are on AWS: Could not connect")
    assert not found["identity"].ok
