"""The ways in which a drill lets a backend fail."""

from typing import Literal

Mode = Literal["ok", "kill", "stop", "503", "429", "slow", "garbage", "reset", "tls"]
"""ok: not at all; the others as `WORDS` says."""

WORDS: dict[Mode, str] = {
    "kill": "killed",
    "stop": "stopped: it holds its connections and says nothing",
    "503": "made to answer every request with 503, every call with UNAVAILABLE",
    "429": "made to answer every request with 429",
    "slow": "made slow",
    "garbage": "made to answer what is no HTTP",
    "reset": "made to break off every request",
    "tls": "made to fail every TLS handshake",
}
