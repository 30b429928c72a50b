"""What clients saw of a drill, and the limits that it must keep; pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Phase:
    """Requests of one part of the drill: how many, how many failed, and their latencies in milliseconds."""

    name: str
    requests: int
    failed: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class DrillResult:
    """What clients saw. Times are seconds after the failure began: until no request touched the failing backend, until its weight was zero;
    `seconds_to_recover`: after it was mended, until it had weight again (None: not within the drill, or nobody mends it here)."""

    route: str
    target: str
    backend: str
    requests: int
    failed: int
    retried: int
    seconds: float
    phases: tuple[Phase, ...]
    served: Mapping[str, int]
    seconds_to_silence: float | None = None
    seconds_to_zero: float | None = None
    seconds_to_recover: float | None = None
    mode: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)
    protocol: str = "http"


@dataclass(frozen=True)
class Limits:
    """What a drill may show at most: failed requests, p99 in milliseconds while the backend failed, seconds until it had no weight and
    until it had weight again. None: any."""

    errors: int = 0
    p99_ms: float | None = None
    eject_s: float | None = None
    recover_s: float | None = None

    def broken(self, result: DrillResult) -> list[str]:
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
