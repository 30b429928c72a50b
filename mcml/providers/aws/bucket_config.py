"""How an S3 bucket is set up: read as it is, changed where it differs, the rules of others left alone."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from mcml.providers.api.buckets import BucketConfig
from mcml.providers.aws.error_table import code_of

ABORT_DAYS = 7
SMALLEST = "TransitionDefaultMinimumObjectSize"  # below which S3 moves no object to another storage class
EXPIRE, EXPIRE_OLD, ABORT = "mcml-expire", "mcml-expire-old", "mcml-abort-uploads"
_UNSET = (
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def read_config(s3: Any, bucket: str) -> BucketConfig:
    """Return how a bucket is set up. Raises what the SDK raises."""
    rules = {rule.get("ID"): rule for rule in _rules(s3, bucket)}
    return BucketConfig(
        versioning=s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled",
        encryption=bool(_encryption(s3, bucket)),
        block_public=_blocks_public(s3, bucket),
        expire_days=rules.get(EXPIRE, {}).get("Expiration", {}).get("Days"),
        expire_old_days=rules.get(EXPIRE_OLD, {}).get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
    )


def write_config(s3: Any, bucket: str, config: BucketConfig) -> None:
    """Change what differs. S3 always encrypts: a bucket with keys of its own keeps them, and encryption is never turned off."""
    now = read_config(s3, bucket)
    if config.versioning != now.versioning:
        status = "Enabled" if config.versioning else "Suspended"
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    if config.encryption and not now.encryption:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    if config.block_public != now.block_public:
        blocks = dict.fromkeys(_BLOCKS, config.block_public)
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=blocks)
    _write_rules(s3, bucket, config)


def lifecycle(config: BucketConfig, others: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rules that a bucket should have: those that are not ours, as they are, and ours."""
    ours: list[Mapping[str, Any]] = [_rule(ABORT, AbortIncompleteMultipartUpload={"DaysAfterInitiation": ABORT_DAYS})]
    if config.expire_days is not None:
        ours.append(_rule(EXPIRE, Expiration={"Days": config.expire_days}))
    if config.expire_old_days is not None:
        old = {"NoncurrentDays": config.expire_old_days}
        ours.append(_rule(EXPIRE_OLD, NoncurrentVersionExpiration=old, Expiration={"ExpiredObjectDeleteMarker": True}))
    return [*(rule for rule in others if rule.get("ID") not in (EXPIRE, EXPIRE_OLD, ABORT)), *ours]


def _rule(name: str, **does: object) -> Mapping[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": ""}, **does}


def _write_rules(s3: Any, bucket: str, config: BucketConfig) -> None:
    found = _lifecycle(s3, bucket)
    there = found.get("Rules", [])
    wanted = lifecycle(config, there)
    if _differ(there, wanted):
        kept = {name: found[name] for name in (SMALLEST,) if name in found}  # else S3 would take its own default for the rules of others
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": wanted}, **kept)


def _differ(there: list[Mapping[str, Any]], wanted: list[Mapping[str, Any]]) -> bool:
    by_name = {rule.get("ID"): rule for rule in there}
    return len(there) != len(wanted) or any(by_name.get(rule.get("ID")) != rule for rule in wanted)


def _rules(s3: Any, bucket: str) -> list[Mapping[str, Any]]:
    rules: list[Mapping[str, Any]] = _lifecycle(s3, bucket).get("Rules", [])
    return rules


def _lifecycle(s3: Any, bucket: str) -> Mapping[str, Any]:
    return _or_none(partial(s3.get_bucket_lifecycle_configuration, Bucket=bucket))


def _encryption(s3: Any, bucket: str) -> Any:
    return _or_none(partial(s3.get_bucket_encryption, Bucket=bucket)).get("ServerSideEncryptionConfiguration", {}).get("Rules")


def _blocks_public(s3: Any, bucket: str) -> bool:
    blocks = _or_none(partial(s3.get_public_access_block, Bucket=bucket)).get("PublicAccessBlockConfiguration", {})
    return all(blocks.get(name) for name in _BLOCKS)


def _or_none(ask: Callable[[], Any]) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = ask()
    except ClientError as failed:
        if code_of(failed) in _UNSET:
            return {}
        raise
    return answer
