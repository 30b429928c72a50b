"""mcml.toml while the router runs: read again when it changes; a broken one is said, and the last good one stays."""

import os
from typing import TYPE_CHECKING

from mcml.cli.session import Session
from mcml.core.errors import McmlError, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcml.core.fact import Fact
    from mcml.core.schema_routes import Router
    from mcml.route.parts import Wanted

Stamp = tuple[tuple[int, int, int] | None, ...]


class Newest:
    """What mcml.toml says about the router now; the session's settings are replaced with it.

    A file is taken up once it was seen twice in the same state, because a half-written one may be valid, too: with half of the routes.
    """

    def __init__(self, session: Session, listen: "Callable[[Session], Router]", record: "Callable[[Fact], object]") -> None:
        self._session = session
        self._listen = listen
        self._record = record
        self._seen = self._taken = self._stamp()

    def __call__(self) -> "Wanted":
        """Return the routes and the router of the newest good file."""
        from mcml.route.parts import Wanted

        stamp = self._stamp()
        if stamp == self._seen and stamp != self._taken:
            self._taken = stamp
            self._read()
        self._seen = stamp
        return Wanted(self._session.settings.routes, self._listen(self._session))

    def _read(self) -> None:
        from mcml.cli.protocols import checked
        from mcml.core.fact import Fact
        from mcml.core.settings import load

        session = self._session
        try:
            found = checked(load(session.config.project, profile=session.common.profile))
            if found.project != session.config.project or not found.settings.routes:
                raise Usage("mcml.toml has no routes any more", why="a router without a route serves nobody", next_step="mcml route stop")
            session.config = found
        except McmlError as broken:
            why = f" ({broken.why})" if broken.why else ""
            session.note(f"{broken.message}{why}; the router goes on with the settings of before")
            self._record(Fact("route.settings_refused", "route", "", {"reason": f"{broken.message}{why}"}, session.clock()))

    def _stamp(self) -> Stamp:
        from mcml.core.paths import CONFIG_NAME, user_config

        return tuple(_of(path) for path in (user_config(), self._session.config.project / CONFIG_NAME))


def _of(path: "os.PathLike[str]") -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - one call for all three
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
