"""`mcml route drill`."""

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_route, complete_target
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.errors import NotFound, Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcml.core.backend import Backend
    from mcml.route.drill.fault import Fault
    from mcml.route.drill.plan import Drill
    from mcml.route.drill.result import Limits

EXAMPLES = (
    "mcml route drill fraud --kill aws-use1                   # kill -9 one backend under load; exit 1 if a client saw an error",
    "mcml route drill fraud --target gcp-euw1 --mode stop     # it hangs; also: 503 429 slow garbage reset tls",
    "mcml route drill fraud --kill aws-use1 --requests 20000 --max-errors 0 --max-p99 300 --max-eject 1 --yes   # a gate for CI",
    "mcml route drill fraud --protocol grpc --target eu-1 --mode 503   # calls instead of requests, where the route speaks both",
    "mcml route drill fraud --load-only                       # the load alone",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "drill", examples=EXAMPLES, changes=True)(drill)


def drill(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    kill: Annotated[
        str, typer.Option("--kill", help="The same as --mode kill --target.", autocompletion=complete_target, show_default=False)
    ] = "",
    target: Annotated[
        str, typer.Option("--target", help="Target whose backend fails.", autocompletion=complete_target, show_default=False)
    ] = "",
    mode: Annotated[str, typer.Option(help="How: kill, stop, 503, 429, slow, garbage, reset or tls.")] = "kill",
    delay: Annotated[float, typer.Option(min=0.001, max=60, help="Seconds that --mode slow adds.")] = 1.0,
    protocol: Annotated[str, typer.Option(help="http or grpc.  [default: http where the route speaks it]", show_default=False)] = "",
    load_only: Annotated[bool, typer.Option("--load-only", help="Let nothing fail.")] = False,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests in all.")] = 5000,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Connections at once.")] = 16,
    max_errors: Annotated[int, typer.Option(min=0, help="Failed requests that are still fine.")] = 0,
    max_p99: Annotated[float | None, typer.Option(min=0, help="Milliseconds of p99 while it fails.", show_default=False)] = None,
    max_eject: Annotated[float | None, typer.Option(min=0, help="Seconds until its weight is 0.", show_default=False)] = None,
    max_recover: Annotated[float | None, typer.Option(min=0, help="Seconds until it serves again.", show_default=False)] = None,
    cert: Annotated[str, typer.Option("--cert", help="PEM file: a certificate for a router that wants one.", show_default=False)] = "",
    key: Annotated[str, typer.Option("--key", help="PEM file: the private key of --cert.", show_default=False)] = "",
) -> Document:
    """Let a backend fail under load, and count errors.

    Sends a bounded load to the project's own router; from halfway on one backend fails; then it is mended, until it serves again.
    A model server of mcml on this machine is killed (`mcml deploy model` brings it back) or stopped itself; every other failure, and any of
    a backend elsewhere, is made by a relay between the router and it for the time of the drill. The load is gRPC calls where the route
    speaks nothing else. A router that asks for keys takes one from the environment variable MCML_ROUTE_KEY. Exit 1 past a limit.
    """
    from mcml.route.drill import views
    from mcml.route.drill.result import Limits

    wanted = _wanted(route, kill or target, "kill" if kill else mode, requests, concurrency, load_only=load_only)
    wanted = _speaking(session, _identified(wanted, cert, key), protocol)
    if session.dry_run:
        return views.plan(wanted, common.running(session).url)
    return _run(session, wanted, delay, Limits(max_errors, max_p99, max_eject, max_recover))


def _wanted(route: str, target: str, mode: str, requests: int, concurrency: int, *, load_only: bool) -> "Drill":
    from mcml.route.drill.modes import WORDS
    from mcml.route.drill.plan import KEY_VARIABLE, Drill

    if bool(target) == load_only:
        why = "either --kill TARGET, or --target with --mode, or --load-only"
        raise Usage("say what to do", why=why, next_step="mcml route drill --help")
    if mode not in WORDS:
        raise Usage(f"no mode named {mode!r}", why=f"modes: {', '.join(WORDS)}", next_step="mcml route drill --help")
    key = os.environ.get(KEY_VARIABLE, "")
    return Drill(route, target, requests, concurrency, mode, {"x-api-key": key} if key else {})


def _identified(wanted: "Drill", cert: str, key: str) -> "Drill":
    from dataclasses import replace

    if bool(cert) != bool(key):
        why = "a certificate is shown with its private key"
        raise Usage("--cert and --key go together", why=why, next_step="mcml route drill --help")
    return replace(wanted, identity=(cert, key) if cert else None)


def _speaking(session: Session, wanted: "Drill", protocol: str) -> "Drill":
    """Return the drill with its protocol: the one that is asked for, else that of the route, HTTP where it speaks both."""
    from dataclasses import replace

    known = session.settings.routes.get(wanted.route)
    speaks = {"both": ("http", "grpc")}.get(known.protocol, (known.protocol,)) if known else ("http", "grpc")
    if protocol and protocol not in speaks:
        why = f"it speaks {' and '.join(speaks)}"
        raise Usage(f"cannot drill {wanted.route} over {protocol}", why=why, next_step=f"routes.{wanted.route}.protocol in mcml.toml")
    return replace(wanted, protocol="grpc" if (protocol or speaks[0]) == "grpc" else "http")


def _run(session: Session, wanted: "Drill", delay: float, limits: "Limits") -> Document:
    from dataclasses import replace

    from mcml.route.drill import views
    from mcml.route.drill.run import check, run_drill

    running, folder = common.running(session), common.folder(session)
    tls = common.listen(session, None, None).tls
    wanted = replace(wanted, authority=tls.certificate if tls and running.tls else "")
    check(wanted, running, folder)
    with _fault(session, wanted, delay) as fault:
        result = run_drill(
            wanted, running, folder, fault=fault, emit=common.record(session), reporter=session.reporter, clock=session.clock
        )
    broken = limits.broken(result)
    if broken:
        session.exit_code = exits.FAILED
    return views.result(result, broken)


@contextmanager
def _fault(session: Session, wanted: "Drill", delay: float) -> "Iterator[Fault | None]":
    from mcml.core.errors import ProviderCannot
    from mcml.route.drill.fault import Killed, Stopped, check, through_relay
    from mcml.route.drill.victim import victim

    if not wanted.target:
        yield None
        return
    if wanted.mode in ("kill", "stop"):
        try:
            process = victim(wanted, common.folder(session))
        except ProviderCannot as elsewhere:
            session.note(f"{elsewhere.message}: {elsewhere.why}; a relay fails in its stead")
        else:
            session.confirm(f"{wanted.mode} process {process.pid}, the backend of {wanted.route} on {wanted.target}?")
            yield Killed(process) if wanted.mode == "kill" else Stopped(process)
            return
    session.confirm(f"let the backend of {wanted.route} on {wanted.target} fail for this router ({wanted.mode})?")
    backend = _backend(session, wanted)
    check(wanted.mode, backend, wanted.protocol)
    with through_relay(common.folder(session), backend, wanted.mode, delay=delay, protocol=wanted.protocol) as relayed:
        yield relayed


def _backend(session: Session, wanted: "Drill") -> "Backend":
    from mcml.route.drill.run import backend_of

    name = backend_of(wanted, common.folder(session))
    for backend in common.Backends(session)():
        if backend.name == name:
            return backend
    raise NotFound(f"{wanted.route} has no backend on {wanted.target}", next_step="mcml route status")
