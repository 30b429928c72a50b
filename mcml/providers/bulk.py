"""Many objects, over obstore (Rust): one attempt for each request, and whatever is not a plain success is done again by the cloud's SDK.

obstore is several times an SDK's rate for small objects and tens of times for listings, but it tells neither checksums nor waits, and
its paths are not keys: it takes the slashes off both ends of a key and refuses `a//b`. So it never has the last word: an answer that is
doubtful, and every error, is asked of the SDK again, which knows the reason, the wait and the retries. A store whose fast path fails
`FAILURES` times running is left to the SDK for good.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from operator import lt
from queue import SimpleQueue
from typing import Any

from mcml.core.fanout import ask_all

FAILURES = 3
PAGE_OBJECTS = 1000
AHEAD = 2  # pages of a listing that are asked for while the one before them is looked at
MOST_BYTES = 8 << 20
"""What goes in one request; larger objects stream through the SDK, where the client is not what takes the time."""

_PLAIN_KEY = re.compile(r"[\w.=@,:~ -]+(/[\w.=@,:~ -]+)*", re.ASCII)
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def is_plain(key: str) -> bool:
    """Tell whether a key is one that obstore sends as it is: ASCII, no slash at an end or beside another, no `.` or `..` between two."""
    return bool(_PLAIN_KEY.fullmatch(key)) and not {".", ".."} & {*key.split("/")}


@dataclass
class Bulk:
    """The fast path to the buckets of one provider. `open_store` makes obstore's store of a bucket, or None where there is none.

    Every method returns None, and raises nothing, where the SDK must do it. Thread-safe.
    """

    open_store: Callable[[str], Any]
    _stores: dict[str, Any] = field(default_factory=dict, repr=False)
    _opaque: set[str] = field(default_factory=set, repr=False)
    _failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def takes(self, key: str, size: int) -> bool:
        """Tell whether a write of so many bytes would be tried here at all."""
        return size <= MOST_BYTES and is_plain(key) and self._failed < FAILURES

    def put(self, bucket: str, key: str, body: bytes | bytearray, attributes: Mapping[str, str] | None = None) -> Mapping[str, Any] | None:
        """Write an object of at most MOST_BYTES without a condition; return `e_tag` and `version`."""
        if not self.takes(key, len(body)):
            return None
        found = self._once(bucket, lambda obstore, store: obstore.put(store, key, body, attributes=attributes, use_multipart=False))
        return found if found and found["e_tag"] else None

    def get(self, bucket: str, key: str) -> bytes | None:
        """Read a whole object of at most MOST_BYTES; only when its etag is its MD5, by which the bytes are checked.

        A bucket where one was not (encrypted with a key of the customer's own) is not asked again: each object would be read twice.
        """
        if not is_plain(key) or bucket in self._opaque:
            return None

        def whole(obstore: Any, store: Any) -> bytes:
            answer = obstore.get(store, key)
            etag = _MD5.fullmatch(answer.meta["e_tag"] or "")
            if not etag or answer.meta["size"] > MOST_BYTES:
                raise FileNotFoundError
            body = bytes(answer.bytes())
            if hashlib.md5(body, usedforsecurity=False).hexdigest() != etag[1]:
                self._opaque.add(bucket)
                raise FileNotFoundError
            return body

        return self._once(bucket, whole)  # type: ignore[no-any-return]

    def pages(self, bucket: str, prefix: str) -> Iterator[Sequence[Mapping[str, Any]] | None]:
        """Yield what lies below a prefix ("" or one that ends in '/'), page by page and in key order; None, and nothing more, for an error.

        Each is `path`, `size`, `e_tag`, `last_modified`; `is_sure` tells whether its paths are the keys.
        """
        if prefix and not (prefix.endswith("/") and is_plain(prefix[:-1])):
            yield None
            return
        listing = self._once(bucket, lambda obstore, store: obstore.list(store, prefix or None, chunk_size=PAGE_OBJECTS))
        if listing is None:
            yield None
            return
        with closing(ahead(lambda: self._once(bucket, lambda *_: next(listing, ())))) as pages:
            yield from pages

    def _once(self, bucket: str, call: Callable[[Any, Any], Any]) -> Any:
        if self._failed >= FAILURES:
            return None
        import obstore
        from obstore.exceptions import BaseError

        try:
            store = self._store(bucket)
            answer = None if store is None else _interruptible(partial(call, obstore, store))
        except FileNotFoundError:  # of the object, of the bucket, or not what we can check: the SDK says which
            return None
        except (BaseError, OSError, ValueError):
            self._failed += 1
            return None
        self._failed = 0
        return answer

    def _store(self, bucket: str) -> Any:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = self.open_store(bucket)
            return self._stores[bucket]


def _interruptible(call: Callable[[], Any]) -> Any:
    """Make a call of obstore's so that a signal ends the wait for it: in the main thread no handler runs until such a call returns."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    return ask_all({"bulk": call}).given["bulk"]


def ahead(read: Callable[[], Any]) -> Generator[Any, None, None]:
    """Yield what `read` returns until it is empty; None is the last. It is read in a thread, AHEAD before it is asked for.

    One thread for all: that of `_interruptible` for each page would take an eighth of a listing's time.
    """
    found: SimpleQueue[Any] = SimpleQueue()
    room, gone = threading.Semaphore(AHEAD), threading.Event()

    def go() -> None:
        page: Any = True
        while page and room.acquire() and not gone.is_set():
            try:
                page = read()
            except BaseException as bug:  # noqa: BLE001 - raised by the one who waits
                found.put(bug)
                return
            found.put(page)

    threading.Thread(target=go, name="mcml-pages", daemon=True).start()
    try:
        while page := found.get():
            if isinstance(page, BaseException):
                raise page
            yield page
            room.release()
        if page is None:
            yield None
    finally:
        gone.set()
        room.release()


def is_sure(page: Sequence[Mapping[str, Any]], prefix: str, after: str) -> bool:
    """Tell whether the paths of a page are the keys: a folder's marker (`a/`, empty) has lost its slash, and order and prefix with it."""
    paths = [found["path"] for found in page]
    in_order = after < paths[0] and all(map(lt, paths, paths[1:]))  # what lies between two that begin so begins so too
    return in_order and paths[0].startswith(prefix) and paths[-1].startswith(prefix) and all(found["size"] for found in page)


def options(connect: float, read: float, *, http: bool) -> dict[str, Any]:
    """Return the keywords of every store: our time-outs in seconds, and no retries of its own."""
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=connect),
        "read_timeout": timedelta(seconds=read),
        "timeout": timedelta(seconds=10 * read),
        "user_agent": "mcml",
        "allow_http": http,
    }
    return {"client_options": client, "retry_config": {"max_retries": 0}}
