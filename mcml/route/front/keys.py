"""API keys: made, rotated, revoked in the store, where they are hashed; their clear text stays in one file of this machine."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, NotFound, Usage, unknown
from mcml.core.fact import Fact
from mcml.core.files import read_json, write_json
from mcml.core.schema_base import NAME_PATTERN
from mcml.core.secret import Secret
from mcml.core.when import duration
from mcml.route.config.values import Client, Rate
from mcml.route.weights.decide import ROOM
from mcml.store import journal, route_keys
from mcml.store.db import Store
from mcml.store.route_keys import RouteKey, Writing

FILE = "keys.json"
KNOWN_FILE = "keys-known.json"
PREFIX = "mcml_"
"""What our keys begin with, so that a search for leaked secrets finds them."""

OVERLAP = timedelta(days=1)
"""How long the old key of a rotation holds unless it is said."""

_RATE = re.compile(r"([1-9][0-9]{0,8})/([0-9.]*[a-z]+)")


@dataclass(frozen=True)
class Wanted:
    """A key that somebody asks for: `expires` is when it ends (None: when it is revoked)."""

    name: str
    routes: tuple[str, ...] = ()
    rate: Rate | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class Made:
    """A new key with its clear text, which is shown once."""

    key: RouteKey
    text: Secret


def digest(text: str) -> str:
    """Return what the store keeps of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_rate(text: str) -> Rate:
    """Read `10/s`, `600/m`, `5/10s`. Raises Usage."""
    found = _RATE.fullmatch(text.strip().lower().replace(" ", ""))
    if not found:
        raise Usage(f"{text!r} is no rate", why="expected requests per span of time", next_step="write 10/s, 600/m or 5/10s")
    count, span = found.groups()
    seconds = duration(span if span[0].isdigit() else f"1{span}").total_seconds()
    if not 0.05 <= seconds <= 86400:  # Envoy refuses to refill a bucket more often than every 50 ms
        raise Usage(f"{text!r} is no rate", why="its span is not between 50ms and 1d", next_step="write 10/s, 600/m or 5/10s")
    return Rate(int(count), seconds)


class KeyFile:
    """The clear texts of this machine, by their hash. Readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def read(self) -> dict[str, Secret]:
        """Return the clear texts by hash. Raises ValueError for a broken file."""
        found = read_json(self._path)
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise ValueError(f"{self._path}: expected an object of texts")
        return {hashed: Secret(text) for hashed, text in found.items() if digest(text) == hashed}

    def write(self, texts: Mapping[str, Secret]) -> None:
        """Replace the file."""
        write_json(self._path, {hashed: text.reveal() for hashed, text in texts.items()}, mode=0o600)

    @contextmanager
    def changing(self) -> Iterator[dict[str, Secret]]:
        """Yield the clear texts to change; they are written when the block ends well. One at a time."""
        from filelock import FileLock

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_suffix(".lock"), timeout=30):
            texts = self.read()
            yield texts
            self.write(texts)


class KeyDesk:
    """Makes, rotates and takes back keys. `routes` are those that there are, `actor` who asks."""

    def __init__(self, store: Store, folder: Path, routes: Iterable[str], *, actor: str, now: datetime) -> None:
        self._store = store
        self._file = KeyFile(folder)
        self._routes = tuple(routes)
        self._actor = actor
        self._now = now

    def check(self, wanted: Wanted) -> None:
        """Refuse what cannot be made. Raises Usage for the name, NotFound for a route, Conflict for a name in use."""
        self._check(wanted, self.every())

    def _check(self, wanted: Wanted, keys: Sequence[RouteKey]) -> None:
        if not re.fullmatch(NAME_PATTERN, wanted.name):
            why = "a name has small letters, digits and -"
            raise Usage(f"{wanted.name!r} is no name of a key", why=why, next_step="mcml route keys add web-shop")
        for route in wanted.routes:
            if route not in self._routes:
                raise unknown("route", route, self._routes, next_step="mcml config show")
        if self._held(wanted.name, keys):
            raise Conflict(
                f"there is a key named {wanted.name}",
                next_step=f"mcml route keys rotate {wanted.name}, or: mcml route keys revoke {wanted.name}",
            )

    def add(self, wanted: Wanted) -> Made:
        """Make a key. Raises what `check` raises."""
        rate = (wanted.rate.requests, wanted.rate.per) if wanted.rate else None
        like = RouteKey(wanted.name, "", "", self._now, self._actor, tuple(sorted(set(wanted.routes))), rate, wanted.expires)
        with self._changing() as (connection, texts):
            self._check(wanted, route_keys.every(connection))
            return self._make(connection, texts, like, "route.key_added")

    def rotate(self, name: str, overlap: timedelta = OVERLAP) -> Made:
        """Make a second key of a name; the first holds for `overlap` more. Raises NotFound when the name has none."""
        until = self._now + overlap
        with self._changing() as (connection, texts):
            old = self._require(name, route_keys.every(connection))
            lasted = old[-1].expires_at - old[-1].made_at if old[-1].expires_at else None
            like = replace(old[-1], made_at=self._now, made_by=self._actor, expires_at=self._now + lasted if lasted else None, id=0)
            for key in old:
                if key.expires_at is None or key.expires_at > until:
                    route_keys.expire(connection, key, until)
            return self._make(connection, texts, like, "route.key_rotated", old_until=rfc3339(until))

    def revoke(self, name: str) -> list[RouteKey]:
        """Take back all keys of a name, and return them. Raises NotFound when it has none."""
        with self._changing() as (connection, texts):
            old = self._require(name, route_keys.every(connection))
            for key in old:
                route_keys.revoke(connection, key, self._now, self._actor)
                texts.pop(key.digest, None)
            self._journal(connection, "route.key_revoked", old[-1])
        return old

    def take_in(self, lines: Iterable[str], *, dry_run: bool = False) -> list[RouteKey]:
        """Keep clear texts that another machine made; return whose they are. Raises NotFound for one that no key in force has."""
        given = [Secret(line.strip()) for line in lines if line.strip()]
        known = {key.digest: key for key in self.every() if key.holds(self._now)}
        found = {digest(text.reveal()): text for text in given}
        lost = [hashed for hashed in found if hashed not in known]
        if lost or not found:
            why = f"{len(lost)} of {len(found)} lines are no key in force" if found else "nothing was given on standard input"
            raise NotFound("no such key", why=why, next_step="mcml route keys list")
        if not dry_run:
            with self._file.changing() as texts:
                texts.update(found)
        return [known[hashed] for hashed in found]

    def every(self) -> list[RouteKey]:
        """Return all keys, the oldest first."""
        with self._store.reading() as connection:
            return route_keys.every(connection)

    def here(self) -> set[str]:
        """Return the hashes of those whose clear text is on this machine."""
        return set(self._file.read())

    def require(self, name: str) -> list[RouteKey]:
        """Return the keys of a name that hold. Raises NotFound when it has none."""
        return self._require(name, self.every())

    def _require(self, name: str, keys: Sequence[RouteKey]) -> list[RouteKey]:
        old = self._held(name, keys)
        if not old:
            raise unknown("key", name, {key.name for key in keys if key.holds(self._now)}, next_step="mcml route keys list")
        return old

    def _held(self, name: str, keys: Sequence[RouteKey]) -> list[RouteKey]:
        return [key for key in keys if key.name == name and key.holds(self._now)]

    @contextmanager
    def _changing(self) -> Iterator[tuple[Writing, dict[str, Secret]]]:
        """Only one at a time changes keys, so what it reads in here is what there is: of two at once, the second sees the first's.

        The row becomes valid when its clear text is in the file already: a commit comes last.
        """
        with self._store.writing() as connection, self._file.changing() as texts:
            for key in route_keys.every(connection):
                if not key.holds(self._now):
                    texts.pop(key.digest, None)
            yield connection, texts

    def _make(self, connection: Writing, texts: dict[str, Secret], like: RouteKey, kind: str, **facts: object) -> Made:
        text = Secret(PREFIX + secrets.token_urlsafe(32))
        key = route_keys.add(connection, replace(like, digest=digest(text.reveal()), hint=text.reveal()[-4:]))
        texts[key.digest] = text
        self._journal(connection, kind, key, **facts)
        return Made(key, text)

    def _journal(self, connection: Writing, kind: str, key: RouteKey, **facts: object) -> None:
        about = {"key": key.name, "routes": list(key.routes), **facts}
        if key.expires_at:
            about["expires_at"] = rfc3339(key.expires_at)
        journal.append(connection, Fact(kind, ROOM, "", about, self._now, self._actor))


def remember(folder: Path, keys: Sequence[RouteKey]) -> None:
    """Keep what the store said of the keys that hold, for a router that starts while the store is away."""
    rows = [{name: rfc3339(value) if isinstance(value, datetime) else value for name, value in asdict(key).items()} for key in keys]
    path = folder / KNOWN_FILE
    if read_json(path) != json.loads(json.dumps(rows)):
        write_json(path, rows, mode=0o600)


def remembered(folder: Path) -> list[RouteKey]:
    """Return what `remember` kept; nothing where there is nothing that can be read."""
    found = []
    with suppress(OSError, ValueError, TypeError, KeyError):
        for row in read_json(folder / KNOWN_FILE) or ():
            times = {name: parse_rfc3339(row[name]) if row[name] else None for name in ("made_at", "expires_at", "revoked_at")}
            rate = (int(row["rate"][0]), float(row["rate"][1])) if row["rate"] else None
            found.append(RouteKey(**{**row, **times, "routes": tuple(row["routes"]), "rate": rate}))
    return found


def clients(keys: Sequence[RouteKey], texts: Mapping[str, Secret], now: datetime) -> tuple[Client, ...]:
    """Return whom Envoy lets in at a moment: of the keys that hold, those whose clear text is here, by name."""
    found: dict[str, Client] = {}
    for key in keys:
        if key.holds(now) and key.digest in texts:
            before = found[key.name].texts if key.name in found else ()
            rate = Rate(*key.rate) if key.rate else None
            found[key.name] = Client(key.name, (*before, texts[key.digest]), key.routes, rate)
    return tuple(found[name] for name in sorted(found))


def elsewhere(keys: Sequence[RouteKey], texts: Mapping[str, Secret], now: datetime) -> list[RouteKey]:
    """Return the keys that hold but whose clear text is not on this machine: here they are refused."""
    return [key for key in keys if key.holds(now) and key.digest not in texts]
