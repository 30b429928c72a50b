"""Whose credentials are in force: Google's own default chain, an account to act as on top of it, and none for an emulator.

The chain: the file that GOOGLE_APPLICATION_CREDENTIALS names, `gcloud auth application-default login`, the machine's service account
(https://cloud.google.com/docs/authentication/application-default-credentials). With STORAGE_EMULATOR_HOST or
BIGQUERY_EMULATOR_HOST there are none: a real token never goes to an emulator.
"""

import os
from dataclasses import dataclass, field
from typing import Any

import google.auth
from google.auth import compute_engine, external_account, impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from mcml.providers.gcp.settings import Settings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
EMULATOR = "STORAGE_EMULATOR_HOST"
BIGQUERY_EMULATOR = "BIGQUERY_EMULATOR_HOST"
UNKNOWN_USER = "a user whose name Google does not tell"


@dataclass(frozen=True)
class Found:
    """The credentials, the project they bring (empty when none is known), and how they were come by."""

    credentials: Any = field(repr=False)
    project: str
    method: str


def emulator_url(name: str = EMULATOR) -> str:
    """Return the emulator's URL that a variable of the environment names (by default the storage emulator's), or ""."""
    host = os.environ.get(name, "").rstrip("/")
    return host if not host or "://" in host else f"http://{host}"


def find(settings: Settings, request: Any) -> Found:
    """Find the credentials in force; `request` is the transport for the machine's metadata server.

    Raises google.auth.exceptions.DefaultCredentialsError where there are none.
    """
    emulator = next((name for name in (EMULATOR, BIGQUERY_EMULATOR) if emulator_url(name)), "")
    if emulator:
        project = settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT", "") or "emulator"
        return Found(AnonymousCredentials(), project, f"no credentials: {emulator} is set")
    try:
        source, project = google.auth.default(scopes=SCOPES, request=request)
    except (AttributeError, TypeError) as broken:  # JSON, but nothing that a credentials file may be
        raise DefaultCredentialsError("the credentials file is not one of Google's") from broken
    project = settings.project or project or ""
    if settings.endpoint and isinstance(source, user_credentials.Credentials):
        source = source.with_token_uri(f"{settings.endpoint}/token")  # a person's login file cannot name it, a key file does
    if not settings.impersonate_service_account:
        return Found(source, project, _method(source))
    acting = impersonated_credentials.Credentials(
        source_credentials=source,
        target_principal=settings.impersonate_service_account,
        target_scopes=list(SCOPES),
        iam_endpoint_override=_generate_token_url(settings),
    )
    return Found(acting, project, f"impersonation, from {_method(source)}")


def principal(credentials: Any) -> str:
    """Return the email of whoever the credentials are for, as far as they know it themselves, or "".

    A machine's credentials know it only once they have been refreshed.
    """
    if isinstance(credentials, AnonymousCredentials):
        return "anonymous"
    email = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "")
    return email if isinstance(email, str) and "@" in email else ""


def _method(credentials: Any) -> str:
    kinds = (
        (service_account.Credentials, "service account key"),
        (impersonated_credentials.Credentials, "impersonation, by the credentials file"),
        (user_credentials.Credentials, "user login"),
        (external_account.Credentials, "workload identity federation"),
        (compute_engine.Credentials, "the machine's service account"),
    )
    return next((name for kind, name in kinds if isinstance(credentials, kind)), type(credentials).__name__)


def _generate_token_url(settings: Settings) -> str | None:
    """Return where a token for the account to act as comes from; None: where the SDK asks by itself."""
    if not settings.endpoint:
        return None
    return f"{settings.endpoint}/v1/projects/-/serviceAccounts/{settings.impersonate_service_account}:generateAccessToken"
