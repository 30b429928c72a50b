"""A server that speaks just enough S3 to be no bottleneck: `python -m tests.bench.light_s3 KEYS` prints its port, ends with its stdin.

The bucket `objects` keeps what is put into it; `listing` has KEYS keys, whose pages are made before the first request; every object of
`zeros` has as many zeros as its name says. No signature is looked at, no checksum compared. On uvloop and httptools, like our model server.
"""

import asyncio
import hashlib
import sys
from typing import cast
from urllib.parse import parse_qs, unquote

import httptools
import uvloop

PAGE = 1000
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>listing</Name><Prefix/>'
    "<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><KeyCount>{count}</KeyCount><IsTruncated>{more}</IsTruncated>{token}"
)
ONE = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag><Size>4096</Size>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
)


def pages(keys: int) -> list[bytes]:
    """Return all answers of a listing."""
    names = [f"models/fraud/{number:09d}.bin" for number in range(keys)]
    answers = []
    for start in range(0, keys, PAGE):
        some, more = names[start : start + PAGE], start + PAGE < keys
        token = f"<NextContinuationToken>{start // PAGE + 1}</NextContinuationToken>" if more else ""
        found = "".join(ONE.format(key=name, etag=hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()) for name in some)
        answers.append((HEAD.format(count=len(some), more=str(more).lower(), token=token) + found + "</ListBucketResult>").encode())
    return answers


ABOUT = "Last-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Type: application/xml\r\n"
ZEROS = bytes(1 << 20)
EMPTY = (HEAD.format(count=0, more="false", token="") + "</ListBucketResult>").encode()


class Connection(asyncio.Protocol):
    """One connection; requests of it are answered in turn."""

    def __init__(self, objects: dict[bytes, tuple[bytes, str]], listing: list[bytes]) -> None:
        self.objects, self.listing = objects, listing
        self.parser = httptools.HttpRequestParser(self)
        self.url, self.waits = b"", False
        self.left, self.full = 0, False
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url, self.body, self.waits = b"", [], False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.waits = self.waits or (name.lower() == b"expect" and value.lower() == b"100-continue")

    def on_headers_complete(self) -> None:
        if self.waits:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        method, (path, _, query) = self.parser.get_method(), self.url.partition(b"?")
        if path.startswith(b"/zeros/"):
            self.left = int(path[7:])
            self._send(f"HTTP/1.1 200 OK\r\n{ABOUT}ETag: \"00-1\"\r\nContent-Length: {self.left}\r\n\r\n".encode())
            self.left = 0 if method == b"HEAD" else self.left
            self.resume_writing()
        elif method == b"PUT":
            body = b"".join(self.body)
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self.objects[path] = (body, etag)
            self._answer(b"", etag)
        elif b"list-type=2" in query:
            asked = parse_qs(unquote(query.decode()))
            rooted = asked.get("prefix", [""])[0].startswith("/")
            self._answer(EMPTY if rooted else self.listing[int(asked.get("continuation-token", ["0"])[0])], "")
        elif path in self.objects:
            self._answer(*self.objects[path])
        else:
            self._send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _answer(self, body: bytes, etag: str) -> None:
        self._send(f'HTTP/1.1 200 OK\r\n{ABOUT}ETag: "{etag}"\r\nContent-Length: {len(body)}\r\n\r\n'.encode() + body)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        while self.left and not self.full:
            piece = ZEROS[: self.left]
            self.left -= len(piece)
            self._send(piece)

    def _send(self, data: bytes) -> None:
        self.transport.write(data)


async def serve(keys: int) -> None:
    """Serve until stdin ends."""
    objects: dict[bytes, tuple[bytes, str]] = {}
    listing = pages(keys)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(objects, listing), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
