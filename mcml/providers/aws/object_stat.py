"""What S3 says of an object, as an `ObjectStat`: pure functions from the SDK's answers."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mcml.core.clock import Clock
from mcml.providers.api.object_store import ObjectStat

ALGORITHMS = ("SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32")
_MD5 = re.compile(r"[0-9a-f]{32}")


def from_head(bucket: str, key: str, answer: Mapping[str, Any]) -> ObjectStat:
    """Return what HeadObject or GetObject said."""
    etag = unquoted(answer["ETag"])
    checksum = checksum_of(answer) or _of_etag(etag, answer)
    return ObjectStat(bucket, key, size_of(answer), checksum, etag, answer["LastModified"], answer.get("VersionId", ""))


def from_write(bucket: str, key: str, size: int, checksum: str, answer: Mapping[str, Any], clock: Clock) -> ObjectStat:
    """Return what PutObject or CompleteMultipartUpload said of the object that we sent."""
    return ObjectStat(bucket, key, size, checksum, unquoted(answer["ETag"]), _date_of(answer, clock), answer.get("VersionId", ""))


def from_listing(bucket: str, found: Mapping[str, Any], version: str = "") -> ObjectStat:
    """Return what a listing says of one object or version; it says no checksum."""
    return ObjectStat(bucket, found["Key"], found["Size"], "", unquoted(found["ETag"]), found["LastModified"], version)


def checksum_of(answer: Mapping[str, Any]) -> str:
    """Return the checksum of the whole object as `algorithm:hex`; empty when S3 has none, or only one made of its parts' checksums."""
    if answer.get("ChecksumType") == "COMPOSITE":
        return ""
    for algorithm in ALGORITHMS:
        value = answer.get(f"Checksum{algorithm}", "")
        if value and "-" not in value:
            return f"{algorithm.lower()}:{binascii.hexlify(base64.b64decode(value)).decode()}"
    return ""


def size_of(answer: Mapping[str, Any]) -> int:
    """Return the size of the whole object, of which the answer may hold a range."""
    return int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else int(answer["ContentLength"])


def unquoted(etag: str) -> str:
    """Return an etag without its quotation marks."""
    return etag.strip('"')


def _of_etag(etag: str, answer: Mapping[str, Any]) -> str:
    """Without SSE-KMS or a key of the customer's own, the etag of an object written in one piece is its MD5."""
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer
    return f"md5:{etag}" if plain and _MD5.fullmatch(etag) else ""


def _date_of(answer: Mapping[str, Any], clock: Clock) -> datetime:
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return clock()
