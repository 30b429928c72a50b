"""What the listener is to be: from the settings, the keys of the store and the files of the certificate, which are read in threads."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from mcml.core.clock import Clock, rfc3339
from mcml.core.errors import McmlError
from mcml.core.fact import Fact
from mcml.core.report import Reporter
from mcml.core.schema_routes import Route, Router
from mcml.core.secret import Secret
from mcml.route.config.values import Front, Identity, Rate, Spans
from mcml.route.feeds import Feed
from mcml.route.front.certificate import WARN_DAYS, Certified, read_certificate
from mcml.route.front.keys import KeyFile, clients, elsewhere, remember, remembered
from mcml.route.weights.decide import ROOM
from mcml.store.route_keys import RouteKey

KEYS_SECONDS = 0.5
CERTIFICATE_SECONDS = 1.0
MIB = 1024 * 1024
SAY_AGAIN = timedelta(days=1)

Known = tuple[tuple[RouteKey, ...], Mapping[str, Secret]]
"""The keys of the store, and the clear texts of this machine by hash."""


def build(router: Router, routes: Mapping[str, Route], known: Known, identity: Identity | None, now: datetime) -> Front:
    """Put the listener together. A key that ended is not in it, however old `known` is."""
    rates = tuple((name, Rate(one.limit.requests, one.limit.per)) for name, one in sorted(routes.items()) if one.limit)
    return Front(
        host=router.host,
        port=router.port,
        access_log="",
        clients=clients(*known, now) if router.keys else None,
        rates=rates,
        identity=identity,
        cors=router.cors,
        buffer_limit=router.buffer_limit * MIB,
        body_limit=router.body_limit * MIB,
        spans=Spans(router.tracing.endpoint, float(router.tracing.percent)) if router.tracing else None,
        log_size=router.log_size * MIB,
        logs_kept=router.logs_kept,
        trusted_proxies=router.trusted_proxies,
    )


class FrontSource:
    """Reads the keys of the store and the certificate's files in threads; `front` puts together what they know.

    `wanted` returns what mcml.toml says now, `keys` reads the store and may raise.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Callable[[], Router],
        keys: Callable[[], Sequence[RouteKey]],
        post: Callable[[Fact], object],
        *,
        reporter: Reporter,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._file = KeyFile(folder)
        self._wanted = wanted
        self._read_store = keys
        self._post = post
        self._reporter = reporter
        self._clock = clock
        self._absent: set[str] = set()
        self._warned: datetime | None = None
        self._refused = ""
        self._last: Certified | None = None
        tls = wanted().tls
        if tls:
            self._take(read_certificate(tls))
        self._keys = Feed("keys", self._read_keys, self._first_keys(), seconds=KEYS_SECONDS, reporter=reporter)
        self._certificate = Feed("certificate", self._read_certificate, self._last, seconds=CERTIFICATE_SECONDS, reporter=reporter)

    def start(self) -> None:
        """Begin to read."""
        self._keys.start()
        self._certificate.start()

    def close(self) -> None:
        """End the threads."""
        self._keys.close()
        self._certificate.close()

    @property
    def changes(self) -> int:
        """How often the keys or the certificate have changed."""
        return self._keys.changes + self._certificate.changes

    def front(self, routes: Mapping[str, Route]) -> Front:
        """Return what the listener is to be now. Returns at once."""
        certified = self._certificate.value
        return build(self._wanted(), routes, self._keys.value, certified.identity if certified else None, self._clock())

    def _first_keys(self) -> Known:
        """Read them, or take those of before: a store that is away must not keep a router from starting."""
        try:
            return self._read_keys()
        except McmlError as failed:
            known = tuple(remembered(self._folder))
            self._reporter.note(f"cannot read the API keys ({failed.message}), going on with the {len(known)} that were known last")
            return known, self._file.read()

    def _read_keys(self) -> Known:
        if not self._wanted().keys:
            return (), {}
        found, texts = tuple(self._read_store()), self._file.read()
        remember(self._folder, [key for key in found if key.holds(self._clock())])
        absent = elsewhere(found, texts, self._clock())
        for key in absent:
            if key.digest not in self._absent:
                self._reporter.note(
                    f"the API key {key.name} (...{key.hint}) was made on another machine, by {key.made_by}; here it is refused until its "
                    "text is given to: mcml route keys import"
                )
        self._absent = {key.digest for key in absent}
        return found, texts

    def _read_certificate(self) -> Certified | None:
        """Return the newest good certificate. A broken one, or a half-written one, is told with its file and the reason."""
        tls = self._wanted().tls
        try:
            self._take(read_certificate(tls) if tls else None)
            self._refused = ""
        except McmlError as failed:
            self._refuse(failed)
        self._warn()
        return self._last

    def _take(self, found: Certified | None) -> None:
        if self._last and found and found != self._last:
            self._reporter.note(f"the certificate was renewed; it ends {found.ends:%Y-%m-%d}")
            self._tell("route.certificate_renewed", ends=rfc3339(found.ends))
            self._warned = None
        self._last = found

    def _refuse(self, failed: McmlError) -> None:
        words = f"{failed.message}: {failed.why}"
        if words != self._refused:
            self._refused = words
            self._reporter.note(f"{words}; the listener stays as it is")
            self._tell("route.certificate_refused", reason=words)

    def _warn(self) -> None:
        """Say once a day that a certificate is about to end, or has ended."""
        now = self._clock()
        if self._last is None or self._last.ends - now > timedelta(days=WARN_DAYS) or (self._warned and now - self._warned < SAY_AGAIN):
            return
        self._warned = now
        ends = "ends" if self._last.ends > now else "ended"
        self._reporter.note(f"the certificate of the router {ends} {self._last.ends:%Y-%m-%d %H:%M} UTC")
        self._tell("route.certificate_ends", ends=rfc3339(self._last.ends))

    def _tell(self, kind: str, **facts: object) -> None:
        self._post(Fact(kind, ROOM, "", facts, self._clock()))
