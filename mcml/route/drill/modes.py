"""The ways in which a drill lets a backend fail, and the limits that what clients saw of it must keep."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mcml.route.drill.run import DrillResult

Mode = Literal["ok", "kill", "stop", "503", "429", "slow", "garbage", "reset", "tls"]
"""ok: not at all; the others as `WORDS` says."""

WORDS: dict[Mode, str] = {
    "kill": "killed",
    "stop": "stopped: it holds its connections and says nothing",
    "503": "made to answer every request with 503",
    "429": "made to answer every request with 429",
    "slow": "made slow",
    "garbage": "made to answer what is no HTTP",
    "reset": "made to break off every request",
    "tls": "made to fail every TLS handshake",
}


@dataclass(frozen=True)
class Limits:
    """What a drill may show at most: failed requests, p99 in milliseconds while the backend failed, seconds until it had no weight and
    until it had weight again. None: any."""

    errors: int = 0
    p99_ms: float | None = None
    eject_s: float | None = None
    recover_s: float | None = None

    def broken(self, result: "DrillResult") -> list[str]:
        """Return what a result went past, in words; a time that was not reached within the drill is past every limit."""
        said = [f"{result.failed} requests failed, {self.errors} allowed"] if result.failed > self.errors else []
        during = [phase.p99_ms for phase in result.phases if phase.name == "during" and phase.p99_ms is not None]
        if self.p99_ms is not None and any(p99 > self.p99_ms for p99 in during):
            said.append(f"p99 was {max(during):g} ms while it failed, {self.p99_ms:g} ms allowed")
        for what, took, limit in (
            ("until its weight was 0", result.seconds_to_zero, self.eject_s),
            ("to recover", result.seconds_to_recover, self.recover_s),
        ):
            if limit is not None and (took is None or took > limit):
                said.append(f"{'more than the drill' if took is None else f'{took:g} s'} {what}, {limit:g} s allowed")
        return said
