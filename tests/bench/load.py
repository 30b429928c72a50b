"""A load generator for HTTP/1.1 on one core: keep-alive connections, one request under way on each, sent as bytes made beforehand."""

import select
import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    """What one round measured: requests a second, latencies in milliseconds, answers other than 200, own CPU share of one core, and how
    many requests there were."""

    rps: float
    p50: float
    p99: float
    failed: int
    client_cpu: float
    requests: int = 0


def post(path: str, body: bytes, **headers: str) -> bytes:
    """Return the bytes of a POST with a JSON body; `_` in the name of a header stands for `-`."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def run(port: int, request: bytes, *, connections: int, seconds: float) -> Round:
    """Send the request over and over for some seconds. Raises ConnectionError when the server hangs up."""
    sockets = {sock.fileno(): sock for sock in (_connect(port) for _ in range(connections))}
    latencies: list[float] = []
    failed = 0
    cpu = time.process_time()
    started = time.perf_counter()
    with select.epoll() as poll:
        sent = {}
        for number, sock in sockets.items():
            poll.register(number, select.EPOLLIN)
            sent[number] = time.perf_counter()
            sock.sendall(request)
        pending: dict[int, bytes] = {}
        while time.perf_counter() < started + seconds:
            for number, _ in poll.poll(0.1):
                answer = pending.pop(number, b"") + _received(sockets[number])
                if not _whole(answer):
                    pending[number] = answer
                    continue
                failed += not answer.startswith(b"HTTP/1.1 200")
                now = time.perf_counter()
                latencies.append(now - sent[number])
                sent[number] = now
                sockets[number].sendall(request)
    took = time.perf_counter() - started
    for sock in sockets.values():
        sock.close()
    latencies.sort()
    return Round(
        rps=len(latencies) / took,
        p50=_quantile(latencies, 0.5) * 1000,
        p99=_quantile(latencies, 0.99) * 1000,
        failed=failed,
        client_cpu=(time.process_time() - cpu) / took,
        requests=len(latencies),
    )


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _received(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the server hung up")
    return data


def _whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = answer[:end].lower().find(b"\r\ncontent-length: ")
    if at < 0:
        raise ConnectionError(f"an answer without content-length: {answer[:200]!r}")
    return len(answer) >= end + 4 + int(answer[at + 18 : answer.find(b"\r", at + 2)])
