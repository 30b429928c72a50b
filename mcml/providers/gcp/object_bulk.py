"""obstore's way to Cloud Storage (its XML API), with our session's credentials and address.

Only for objects: a listing of the XML API does not tell generations, which are the etags here, so listings stay with the SDK
(see `object_store` for what that costs).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.auth.credentials import AnonymousCredentials

from mcml.core.errors import McmlError
from mcml.providers.bulk import Bulk, options
from mcml.providers.gcp import credentials as own
from mcml.providers.gcp.session import Session

PUBLIC = "googleapis.com"
ASK_AGAIN = timedelta(minutes=5)  # for credentials that do not say how long they last


def open_bulk(session: Session) -> Bulk:
    """Return the fast path of a session; nothing is asked yet."""
    return Bulk(lambda bucket: _open(session, bucket))


def _open(session: Session, bucket: str) -> Any:
    """Return obstore's store of a bucket; None on an emulator of the JSON API, in another universe, and where nobody is logged in."""
    if own.emulator_url():
        return None
    try:
        found = session.call(f"cannot reach gs://{bucket}", lambda: session.found)
    except McmlError:
        return None
    endpoint = session.settings.endpoint
    if isinstance(found.credentials, AnonymousCredentials) or (found.credentials.universe_domain != PUBLIC and not endpoint):
        return None
    from obstore.store import GCSStore

    def now_in_force() -> Any:
        if not found.credentials.valid:
            found.credentials.refresh(session.ask_for_token)
        until = found.credentials.expiry
        return {"token": found.credentials.token, "expires_at": until.replace(tzinfo=UTC) if until else datetime.now(UTC) + ASK_AGAIN}

    config: Any = {"base_url": endpoint} if endpoint else {}
    connect, read = session.timeout
    return GCSStore(bucket, config=config, credential_provider=now_in_force, **options(connect, read, http=endpoint.startswith("http:")))
