"""Signatures (version 4) for requests that are not made by the SDK: the keys in force, and what signs with them."""

from collections.abc import Mapping
from datetime import datetime

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from mcml.core.credential import SigningKeys
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import Sign
from mcml.providers.aws.session import Session


def held_keys(session: Session, doing: str) -> tuple[SigningKeys, datetime | None]:
    """Return the keys in force, renewed by the SDK some minutes before they end, and when that is (UTC; None: never).

    Raises NotAuthenticated where there are none.
    """

    def read() -> tuple[ReadOnlyCredentials, datetime | None]:
        credentials = session.credentials()
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        return frozen, getattr(credentials, "_expiry_time", None)  # which only keys that end have; the SDK has no other way to ask

    frozen, expires = session.call(doing, read)
    token = Secret(frozen.token) if frozen.token else None
    return SigningKeys(Secret(frozen.access_key), Secret(frozen.secret_key), token), expires


def signer(keys: SigningKeys, service: str, region: str) -> Sign:
    """Return what signs a POST with these keys, for one service in one region."""

    def sign(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        request = AWSRequest("POST", url, headers=dict(headers), data=body)
        token = keys.session_token.reveal() if keys.session_token else None
        SigV4Auth(ReadOnlyCredentials(keys.access_key.reveal(), keys.secret_key.reveal(), token), service, region).add_auth(request)
        return dict(request.headers.items())

    return sign
