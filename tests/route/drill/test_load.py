"""The load generator counts what a client sees: every failure, no hidden second try."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.process import free_port
from mcml.route.drill.load import Request, percentile, run_load

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-mcml-backend: m@a\r\nx-mcml-attempts: 2\r\n\r\n{}"


@contextmanager
def server(*answers: bytes) -> Iterator[int]:
    """A server that gives one answer a request, in turn over all connections; an empty one closes the connection."""
    ready, ports, given_out = threading.Event(), [], [0]
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
                answer = answers[given_out[0] % len(answers)]
                given_out[0] += 1
                if not answer:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        listening = await asyncio.start_server(talk, "127.0.0.1", 0)
        ports.append(listening.sockets[0].getsockname()[1])
        ready.set()
        await done.wait()
        listening.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(5)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(5)
        loop.close()


def request(port: int) -> Request:
    return Request("127.0.0.1", port, "/v2/models/m/infer", b"{}")


def test_all_well() -> None:
    with server(OK) as port:
        samples = run_load(request(port), requests=100, concurrency=8)
    assert len(samples) == 100
    assert {(one.status, one.backend, one.attempts, one.error) for one in samples} == {(200, "m@a", 2, "")}
    assert all(one.seconds > 0 for one in samples)


def test_failures_are_counted_and_not_tried_again() -> None:
    bad = b'HTTP/1.1 503 Nope\r\ncontent-length: 16\r\n\r\n{"error": "gone"}'[:-1]
    with server(OK, bad, b"") as port:
        samples = run_load(request(port), requests=30, concurrency=1)
    assert [one.status for one in samples] == [200, 503, 0] * 10
    assert samples[1].error.startswith('503: {"error"')
    assert samples[2].error


def test_chunked_answers_and_connections_that_close() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with server(chunked, closing) as port:
        samples = run_load(request(port), requests=20, concurrency=2)
    assert [one.status for one in samples] == [200] * 20


@pytest.mark.parametrize("garbage", [b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"])
def test_garbage_is_a_failure(garbage: bytes) -> None:
    with server(garbage) as port:
        samples = run_load(request(port), requests=3, concurrency=1)
    assert [one.status for one in samples] == [0, 0, 0]
    assert all(one.error for one in samples)


def test_nobody_listens() -> None:
    samples = run_load(request(free_port()), requests=5, concurrency=2)
    assert [one.status for one in samples] == [0] * 5
    assert "refused" in samples[0].error.lower() or "connect" in samples[0].error.lower()


def test_halfway_is_called_once_and_its_failure_is_told() -> None:
    calls: list[int] = []
    with server(OK) as port:
        run_load(request(port), requests=20, concurrency=4, halfway=lambda: calls.append(1))
        assert calls == [1]

        def fail() -> None:
            raise RuntimeError("no such process")

        with pytest.raises(RuntimeError, match="no such process"):
            run_load(request(port), requests=20, concurrency=4, halfway=fail)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0, 1))
def test_a_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_percentiles_by_hand() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([float(n) for n in range(1, 101)], 1.0) == 100.0
