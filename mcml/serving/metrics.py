"""What the server counts about itself, and how Prometheus reads it (text format 0.0.4).

    mcml_serving_requests_total{outcome}            counter    success, client_error (4xx or client gone), server_error (5xx)
    mcml_serving_request_duration_seconds           histogram  from the request's headers to its answer; buckets: BUCKETS
    mcml_serving_requests_in_flight                 gauge      inference requests being read or answered now
    mcml_serving_tokens_total{kind}                 counter    input, output: of the runs that did not fail (see `tokens`)
    mcml_serving_model_info{name,version,digest}    gauge      always 1
    process_cpu_seconds_total, process_resident_memory_bytes, process_start_time_seconds    as in every Prometheus client

Health probes, metadata and /metrics are not requests: they are neither counted nor billed. Whatever is refused is.
Tokens are there only where the model's package says which of its tensors they are, one line for each kind that it speaks of.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class ProcessUse:
    """What this process has used: CPU seconds of all its threads since its start, resident bytes now, start as epoch seconds."""

    cpu_seconds: float
    rss_bytes: int
    started: float


class Metrics:
    """Counters of one server; changed by the event loop only, but for the tokens, and read by any thread.

    Tokens are counted by the thread that ran the model; None where nobody can tell them.
    """

    def __init__(self, info: Mapping[str, str]) -> None:
        self.successes = 0
        self.client_errors = 0
        self.server_errors = 0
        self.in_flight = 0
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self._counting = threading.Lock()
        self._info = dict(info)
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS) + 1)
        self._process = psutil.Process()
        self._started = self._process.create_time()

    @property
    def requests(self) -> int:
        """All requests so far, whatever came of them."""
        return self.successes + self.client_errors + self.server_errors

    def finished(self, status: int, seconds: float) -> None:
        """Count one answered request."""
        if status < 400:
            self.successes += 1
        elif status < 500:
            self.client_errors += 1
        else:
            self.server_errors += 1
        self._seconds += seconds
        self._buckets[bisect_left(BUCKETS, seconds)] += 1

    def expect_tokens(self, *, entering: bool, leaving: bool) -> None:
        """Begin to count tokens at 0, those that go in, those that come out, or both."""
        self.input_tokens = 0 if entering else None
        self.output_tokens = 0 if leaving else None

    def add_tokens(self, entered: int, left: int) -> None:
        """Count the tokens of one run; from any thread."""
        with self._counting:
            if self.input_tokens is not None:
                self.input_tokens += entered
            if self.output_tokens is not None:
                self.output_tokens += left

    def process(self) -> ProcessUse:
        """Measure this process now."""
        return ProcessUse(time.process_time(), self._process.memory_info().rss, self._started)

    def render(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        use = self.process()
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in self._info.items())
        lines = [
            *_family("mcml_serving_model_info", "gauge", "The model that is served."),
            f"mcml_serving_model_info{{{labels}}} 1",
            *_family("mcml_serving_requests_total", "counter", "Requests by outcome."),
            f'mcml_serving_requests_total{{outcome="success"}} {self.successes}',
            f'mcml_serving_requests_total{{outcome="client_error"}} {self.client_errors}',
            f'mcml_serving_requests_total{{outcome="server_error"}} {self.server_errors}',
            *self._tokens("mcml_serving_tokens_total"),
            *_family("mcml_serving_requests_in_flight", "gauge", "Inference requests being read or answered."),
            f"mcml_serving_requests_in_flight {self.in_flight}",
            *self._histogram("mcml_serving_request_duration_seconds"),
            *_family("process_cpu_seconds_total", "counter", "User and system CPU time."),
            f"process_cpu_seconds_total {use.cpu_seconds:.6f}",
            *_family("process_resident_memory_bytes", "gauge", "Resident memory."),
            f"process_resident_memory_bytes {use.rss_bytes}",
            *_family("process_start_time_seconds", "gauge", "Start of the process since the Unix epoch."),
            f"process_start_time_seconds {use.started:.3f}",
        ]
        return ("\n".join(lines) + "\n").encode()

    def _tokens(self, name: str) -> list[str]:
        counted = (("input", self.input_tokens), ("output", self.output_tokens))
        lines = [f'{name}{{kind="{kind}"}} {number}' for kind, number in counted if number is not None]
        return [*_family(name, "counter", "Tokens by kind."), *lines] if lines else []

    def _histogram(self, name: str) -> list[str]:
        lines = _family(name, "histogram", "Time from a request's headers to its answer.")
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._seconds:.6f}", f"{name}_count {total}"]


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
