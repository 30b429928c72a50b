"""The page that Prometheus reads."""

import time
from concurrent.futures import ThreadPoolExecutor

from mcml.serving.metrics import BUCKETS, Metrics

INFO = {"name": 'a "b"\n\\', "version": "7", "digest": "abc"}


def page(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_outcomes_are_counted_and_their_times_fall_into_buckets() -> None:
    metrics = Metrics(INFO)
    for status, seconds in ((200, 0.0004), (200, 0.001), (404, 0.02), (499, 0.3), (500, 99.0)):
        metrics.finished(status, seconds)
    metrics.in_flight = 3
    found = page(metrics)
    assert metrics.requests == 5
    assert found['mcml_serving_requests_total{outcome="success"}'] == 2
    assert found['mcml_serving_requests_total{outcome="client_error"}'] == 2
    assert found['mcml_serving_requests_total{outcome="server_error"}'] == 1
    assert found["mcml_serving_requests_in_flight"] == 3
    duration = "mcml_serving_request_duration_seconds"
    bounds = [f'{duration}_bucket{{le="{bound}"}}' for bound in (*BUCKETS, "+Inf")]
    assert [found[bound] for bound in bounds] == [1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]
    assert found[f"{duration}_count"] == 5
    assert found[f"{duration}_sum"] == 99.3214


def test_the_model_is_a_label_and_the_process_is_measured() -> None:
    metrics = Metrics(INFO)
    text = metrics.render().decode()
    assert 'mcml_serving_model_info{name="a \\"b\\"\\n\\\\",version="7",digest="abc"} 1\n' in text
    found = page(metrics)
    assert 0 < found["process_cpu_seconds_total"] < 10_000
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert time.time() - 10_000 < found["process_start_time_seconds"] < time.time()


def test_tokens_are_said_of_the_sides_that_are_counted_from_any_thread() -> None:
    metrics = Metrics(INFO)
    metrics.add_tokens(1, 1)
    assert "tokens" not in metrics.render().decode()
    metrics.expect_tokens(entering=False, leaving=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(metrics.add_tokens, [5] * 4000, [2] * 4000))
    tokens = {name: number for name, number in page(metrics).items() if "tokens" in name}
    assert tokens == {'mcml_serving_tokens_total{kind="output"}': 8000}


def test_every_family_is_named_once_with_its_type() -> None:
    lines = Metrics(INFO).render().decode().splitlines()
    types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    assert types == {
        "mcml_serving_model_info": "gauge",
        "mcml_serving_requests_total": "counter",
        "mcml_serving_requests_in_flight": "gauge",
        "mcml_serving_request_duration_seconds": "histogram",
        "process_cpu_seconds_total": "counter",
        "process_resident_memory_bytes": "gauge",
        "process_start_time_seconds": "gauge",
    }
