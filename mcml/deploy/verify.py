"""Look at a version that was started, from outside, before it gets traffic: does it serve what was deployed, and does it answer?"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from mcml.core.errors import McmlError
from mcml.core.v2 import zero_request
from mcml.providers.api.endpoint import InvokeTarget

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
FAR_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""For an endpoint of a cloud, whose first answer may take as long as it allows any."""


@dataclass(frozen=True)
class Answer:
    """What the server said: the version it serves, the milliseconds one request took, and the names of the outputs."""

    version: str
    milliseconds: float
    outputs: tuple[str, ...]


def verify(model: str, where: InvokeTarget, *, version: str, inputs: Callable[[], Mapping[str, Any]]) -> Answer:
    """Send one request of zeros to a started version. Raises McmlError when it serves another version or does not answer well.

    `inputs` says what the model takes, as v2 metadata, where the endpoint does not: many take inference only, at a path of their own.
    """
    with httpx.Client(base_url=where.url, timeout=TIMEOUT if where.auth == "none" else FAR_TIMEOUT) as client:
        try:
            speaks_v2 = where.infer_path.startswith("/v2/")
            metadata = _get(client, f"/v2/models/{model}", _headers(where)).json() if speaks_v2 else inputs()
            body = json.dumps(zero_request(metadata)).encode()
            served = client.post(where.infer_path, content=body, headers=_headers(where, body))
        except (httpx.HTTPError, ValueError) as failed:
            raise _bad(model, where, f"{type(failed).__name__}: {failed}") from failed
    if served.status_code != 200:
        raise _bad(model, where, f"a request of zeros was answered {served.status_code}: {served.text[:300]}")
    answered = served.headers.get("x-mcml-version", "")
    if answered and answered != version:
        raise _bad(model, where, f"it serves version {answered}, not {version}")
    try:
        names = tuple(str(output["name"]) for output in served.json()["outputs"])
    except (ValueError, KeyError, TypeError) as wrong:
        raise _bad(model, where, f"it answered something else than outputs: {served.text[:300]}") from wrong
    return Answer(answered or version, served.elapsed.total_seconds() * 1000, names)


def _headers(where: InvokeTarget, body: bytes | None = None) -> Mapping[str, str]:
    """Return what goes with every request, with its authentication; a signature is for the one request that has a body."""
    headers = {**where.headers, **({} if body is None else {"content-type": "application/json"})}
    if where.token:
        headers["authorization"] = f"Bearer {where.token.reveal()}"
    return where.sign(where.url + where.infer_path, body, headers) if where.sign and body is not None else headers


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(5),
    wait=wait_random_exponential(multiplier=0.05, max=1.0),
    reraise=True,
)
def _get(client: httpx.Client, path: str, headers: Mapping[str, str]) -> httpx.Response:
    return client.get(path, headers=headers).raise_for_status()


def _bad(model: str, where: InvokeTarget, why: str) -> McmlError:
    return McmlError(f"{model} at {where.url} was started but does not serve well", why=why, next_step="mcml deploy list")
