"""Whether Google's login can work, looked at before Terraform does: its gcs backend asks a login that does not answer again and again,
says nothing, and hears no SIGINT.

In the order of https://developer.hashicorp.com/terraform/language/backend/gcs and
https://cloud.google.com/docs/authentication/application-default-credentials: a token, the backend's own credentials, the default ones,
and the service account of the machine (https://cloud.google.com/compute/docs/metadata/querying-metadata).
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcml.core.errors import NotAuthenticated, Unavailable

LOGIN = "gcloud auth application-default login"
TOKENS = "https://oauth2.googleapis.com/token"
MACHINE = "169.254.169.254"
ASK_MACHINE = b"GET /computeMetadata/v1/instance/service-accounts/default/email HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n"
CONNECT_SECONDS, MACHINE_SECONDS = 10.0, 3.0


async def check(env: Mapping[str, str], settings: Mapping[str, object]) -> None:
    """Raise NotAuthenticated where there are no credentials, Unavailable where they are to be shown to somebody who does not answer.

    `env` is what Terraform is given, `settings` those of the backend.
    """
    if settings.get("access_token") or env.get("GOOGLE_OAUTH_ACCESS_TOKEN"):
        return
    found = _found(env, settings)
    if found is None:
        if not await _machine_has_one(env.get("GCE_METADATA_HOST") or MACHINE):
            why = "neither a variable nor a file of Google's default credentials, and this machine has no service account"
            raise NotAuthenticated("no credentials for Google Cloud", why=why, next_step=LOGIN)
    elif not (env.get("HTTPS_PROXY") or env.get("https_proxy")):
        await reach(str(found.get("token_uri") or found.get("token_url") or TOKENS))


async def reach(url: str) -> None:
    """Raise Unavailable when nobody takes a connection there."""
    place = urlsplit(url)
    try:
        connecting = asyncio.open_connection(place.hostname, place.port or (80 if place.scheme == "http" else 443))
        _, writer = await asyncio.wait_for(connecting, CONNECT_SECONDS)
        writer.close()
    except OSError as refused:  # a time-out, too
        why = f"{place.hostname}: {str(refused) or 'no answer'}"
        raise Unavailable("Google's login does not answer", why=why, next_step="look at the network, then run it again") from refused


def _found(env: Mapping[str, str], settings: Mapping[str, object]) -> Mapping[str, Any] | None:
    """Return the credentials that are named, or those that `gcloud` keeps; None without any. What cannot be read is Terraform's to say."""
    named = settings.get("credentials") or env.get("GOOGLE_BACKEND_CREDENTIALS") or env.get("GOOGLE_CREDENTIALS")
    named = named or env.get("GOOGLE_APPLICATION_CREDENTIALS")
    home = Path(env.get("CLOUDSDK_CONFIG") or Path(env.get("HOME") or "/") / ".config" / "gcloud")
    kept = home / "application_default_credentials.json"
    if not named and not kept.is_file():
        return None
    text = str(named or kept)
    with suppress(OSError, ValueError):
        read = json.loads(text if text.lstrip().startswith("{") else Path(text).expanduser().read_text(encoding="utf-8"))
        return read if isinstance(read, dict) else {}
    return {}


async def _machine_has_one(host: str) -> bool:
    name, _, port = host.partition(":")
    with suppress(OSError, ValueError):
        async with asyncio.timeout(MACHINE_SECONDS):
            reader, writer = await asyncio.open_connection(name, int(port or 80))
            try:
                writer.write(ASK_MACHINE)
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False
