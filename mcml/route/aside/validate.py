"""Does a request fit its model? Signatures as backends tell them, and the check of one request; Envoy asks before the request leaves."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from mcml.core.backend import Backend
from mcml.core.errors import Unavailable
from mcml.core.v2 import Misfit, check_request
from mcml.route.aside.asking import Reply
from mcml.route.config.aside import CHECK_BYTES

ASK_SECONDS = 3.0
RETRY_ROUNDS, SOON_ROUNDS = 30, 2
"""A backend that has no signature is asked again after so many rounds; sooner one that fails, for it may just be starting."""

PARTIAL_HEADER = "x-envoy-auth-partial-body"
BINARY_HEADER = "inference-header-content-length"
Metadata = Mapping[str, Any]
Signatures = Mapping[str, tuple[Metadata, ...]]
"""By model: what its versions that run now say of themselves. A model of which one does not say it is left out: nothing is checked then."""


def check(path: str, headers: Mapping[str, str], body: bytes, models: Mapping[str, Sequence[str]], signatures: Signatures) -> str:
    """Return why a request to `path` fits no model of its route (`models`: by route), in one sentence; empty when it fits, or nobody knows.

    Only inference is checked, and only a body that is here as a whole and not compressed.
    """
    parts = unquote(path.partition("?")[0]).split("/")
    if parts[:3] != ["", "v2", "models"] or len(parts) < 5 or parts[-1] != "infer":
        return ""
    if headers.get(PARTIAL_HEADER) == "true" or len(body) >= CHECK_BYTES:  # Envoy calls a body whole that was cut at its very end
        return ""
    if headers.get("content-encoding", "identity") != "identity":
        return ""
    known = [signatures.get(model, ()) for model in models.get(parts[3], ())]
    if not known or not all(known):
        return ""
    reasons = [_misfit(body, headers.get(BINARY_HEADER), metadata) for versions in known for metadata in versions]
    return "" if "" in reasons else reasons[0]


def _misfit(body: bytes, binary: str | None, metadata: Metadata) -> str:
    if binary is not None and not binary.isdigit():
        return f"{BINARY_HEADER}: expected a number of bytes, got '{binary[:40]}'"
    try:
        check_request(body, metadata, binary=None if binary is None else int(binary))
    except Misfit as misfit:
        return str(misfit)
    return ""


class SignatureSource:
    """Asks every backend once for each version of its model; call it again and again, from one thread."""

    def __init__(self, ask: Callable[..., Reply], backends: Callable[[], Iterable[Backend]]) -> None:
        self._ask = ask
        self._backends = backends
        self._known: dict[tuple[str, ...], Metadata] = {}
        self._silent: dict[tuple[str, ...], int] = {}

    def __call__(self) -> Signatures:
        """Return what is known now; asks those backends that are new."""
        running = {_key(backend): backend for backend in self._backends()}
        self._known = {key: metadata for key, metadata in self._known.items() if key in running}
        self._silent = {key: rounds - 1 for key, rounds in self._silent.items() if key in running and rounds > 1}
        for key, backend in running.items():
            if key not in self._known and key not in self._silent:
                self._learn(key, backend)
        by_model: dict[str, list[Metadata | None]] = {}
        for key, backend in running.items():
            by_model.setdefault(backend.model, []).append(self._known.get(key))
        return {model: _distinct(found) for model, found in sorted(by_model.items()) if None not in found}

    def _learn(self, key: tuple[str, ...], backend: Backend) -> None:
        if backend.infer_path:
            return  # a managed endpoint takes inference only
        self._silent[key] = SOON_ROUNDS
        with suppress(Unavailable, ValueError):
            reply = self._ask(backend.name, f"/v2/models/{backend.model}", seconds=ASK_SECONDS)
            if reply.status < 500:
                self._silent[key] = RETRY_ROUNDS
            found: Any = json.loads(reply.body) if reply.status == 200 else None
            if is_metadata(found):
                self._known[key] = found
                del self._silent[key]


def _key(backend: Backend) -> tuple[str, ...]:
    return backend.name, backend.version, backend.digest, backend.host, str(backend.port)


def _distinct(found: Sequence[Metadata | None]) -> tuple[Metadata, ...]:
    signatures = {json.dumps([one.get("inputs"), one.get("outputs")], sort_keys=True): one for one in found if one is not None}
    return tuple(signatures[key] for key in sorted(signatures))


def is_metadata(found: Any) -> bool:
    """Tell whether a value is v2 model metadata as the protocol has it."""
    if not isinstance(found, dict):
        return False
    return all(isinstance(found.get(side), list) and all(_is_tensor(one) for one in found[side]) for side in ("inputs", "outputs"))


def _is_tensor(one: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not isinstance(one.get("datatype"), str):
        return False
    shape = one.get("shape")
    if not isinstance(shape, list):
        return False
    # some servers write sizes as text
    return all(type(size) is int or (isinstance(size, str) and size.lstrip("-").isdigit()) for size in shape)
