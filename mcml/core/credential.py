"""What authenticates a request at an endpoint: a bearer token, or the keys that sign it."""

from dataclasses import dataclass
from datetime import datetime

from mcml.core.secret import Secret


@dataclass(frozen=True)
class SigningKeys:
    """Keys of an AWS signature (version 4); `session_token` goes with keys that end."""

    access_key: Secret
    secret_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True)
class Credential:
    """A token or keys, and when they end (UTC; None: it is not known, or never)."""

    secret: Secret | SigningKeys
    expires: datetime | None = None
