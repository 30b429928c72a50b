"""obstore's way to S3, with our session's credentials, region and address."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.core.errors import McmlError
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk, options

_PLAIN_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
ASK_AGAIN = timedelta(minutes=5)  # credentials that renew themselves are looked at again after it


def open_bulk(session: Session) -> Bulk:
    """Return the fast path of a session; nothing is asked yet."""
    return Bulk(lambda bucket: _open(session, bucket))


def _open(session: Session, bucket: str) -> Any:
    """Return obstore's store of a bucket; None for an access point's ARN, a directory bucket, and where nobody is logged in."""
    if not _PLAIN_BUCKET.fullmatch(bucket) or bucket.endswith("--x-s3"):
        return None
    from obstore.store import S3Store

    def now_in_force() -> Any:
        frozen = session.credentials().get_frozen_credentials()
        until = datetime.now(UTC) + ASK_AGAIN
        return {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key, "token": frozen.token, "expires_at": until}

    try:
        where = session.call(f"cannot reach s3://{bucket}", lambda: session.client("s3").meta)
        if session.call("cannot find AWS credentials", session.credentials) is None:
            return None
    except McmlError:
        return None
    endpoint: str = where.endpoint_url
    config: Any = {"endpoint": endpoint, "region": where.region_name, "virtual_hosted_style_request": False, "checksum_algorithm": "SHA256"}
    connect, read = session.timeout
    return S3Store(bucket, config=config, credential_provider=now_in_force, **options(connect, read, http=endpoint.startswith("http:")))
