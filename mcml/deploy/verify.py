"""Look at a version that was started, from outside, before it gets traffic: does it serve what was deployed, and does it answer?"""

from dataclasses import dataclass

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from mcml.core.errors import McmlError
from mcml.core.v2 import zero_request
from mcml.providers.api.endpoint import InvokeTarget

TIMEOUT = httpx.Timeout(5.0, connect=2.0)


@dataclass(frozen=True)
class Answer:
    """What the server said: the version it serves, the milliseconds one request took, and the names of the outputs."""

    version: str
    milliseconds: float
    outputs: tuple[str, ...]


def verify(model: str, where: InvokeTarget, *, version: str) -> Answer:
    """Send one request of zeros to a started version. Raises McmlError when it serves another version or does not answer well."""
    headers = {"authorization": f"Bearer {where.token.reveal()}"} if where.token else {}
    with httpx.Client(base_url=where.url, headers=headers, timeout=TIMEOUT) as client:
        try:
            metadata = _get(client, f"/v2/models/{model}").json()
            served = client.post(where.infer_path, json=zero_request(metadata))
        except (httpx.HTTPError, ValueError) as failed:
            raise _bad(model, where, f"{type(failed).__name__}: {failed}") from failed
    if served.status_code != 200:
        raise _bad(model, where, f"a request of zeros was answered {served.status_code}: {served.text[:300]}")
    answered = served.headers.get("x-mcml-version", "")
    if answered and answered != version:
        raise _bad(model, where, f"it serves version {answered}, not {version}")
    names = tuple(str(output["name"]) for output in served.json()["outputs"])
    return Answer(answered or version, served.elapsed.total_seconds() * 1000, names)


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(5),
    wait=wait_random_exponential(multiplier=0.05, max=1.0),
    reraise=True,
)
def _get(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path).raise_for_status()


def _bad(model: str, where: InvokeTarget, why: str) -> McmlError:
    return McmlError(f"{model} at {where.url} was started but does not serve well", why=why, next_step="mcml deploy list")
