"""`[providers.aws]`: what it takes and what it refuses."""

import pytest
from pydantic import ValidationError

from mcml.providers.aws.settings import Settings


def test_nothing_is_needed() -> None:
    assert {name for name, value in Settings().model_dump().items() if value} == {"image"}


def test_what_is_right() -> None:
    said = {"profile": "dev", "role_arn": "arn:aws:iam::123456789012:role/team/ml", "region": "eu-west-1", "endpoint_url": "http://127.0.0.1:9000"}
    assert Settings.model_validate(said).model_dump(exclude_unset=True) == said
    gov = Settings(role_arn="arn:aws-us-gov:iam::123456789012:role/ml", region="us-gov-west-1", endpoint_url="https://minio.example.com/s3")
    assert (gov.profile, gov.region) == ("", "us-gov-west-1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"aws_secret_access_key": "x"},
        {"role_arn": "arn:aws:iam::123456789012:user/x"},
        {"role_arn": "ml"},
        {"region": "Ireland"},
        {"endpoint_url": "127.0.0.1:9000"},
        {"endpoint_url": "https://key:secret@minio.example.com"},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_every_field_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
