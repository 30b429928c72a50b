"""What the verbs of `mcml data` share: the store of a URL scheme, the warehouse, the journal, the command that continues a cut-off one."""

import shlex
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer

from mcml.cli.completion import complete_address, complete_provider, complete_target
from mcml.cli.session import Session
from mcml.core.errors import Usage, did_you_mean
from mcml.core.fact import Fact
from mcml.data.place import Place
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderSpec
from mcml.providers.api.warehouse import Warehouse

Where = Annotated[str, typer.Argument(help="scheme://bucket/key, or a path.", autocompletion=complete_address, show_default=False)]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Everything below it.")]
Provider = Annotated[
    str, typer.Option("--provider", help="Whose warehouse (default: local).", autocompletion=complete_provider, show_default=False)
]
Target = Annotated[str, typer.Option("--target", help="That of a target's provider.", autocompletion=complete_target, show_default=False)]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, help="How many objects at once.")]


def open_store(session: Session) -> Callable[[str], ObjectStore]:
    """Return a function that opens the object store of a URL scheme, once; it raises Usage for a scheme that nobody offers."""

    @cache
    def opened(scheme: str) -> ObjectStore:
        from mcml.providers.api.capability import OBJECT_STORE

        return session.open_provider(OBJECT_STORE, provider_of(scheme))

    return opened


def open_warehouse(session: Session, provider: str, target: str) -> Warehouse:
    """Open the warehouse of a provider or of a target's provider, by default this machine's. Raises Usage for both at once."""
    from mcml.providers.api.capability import WAREHOUSE

    if provider and target:
        raise Usage("--provider and --target are two answers to one question", next_step="give one of them")
    return session.open(WAREHOUSE, target) if target else session.open_provider(WAREHOUSE, provider or "local")


def provider_of(scheme: str) -> str:
    """Return the name of the provider that offers a URL scheme (the first by name). Raises Usage naming those there are."""
    from mcml.providers import discovery

    specs = dict(discovery.specs())
    offered = {known: name for name, spec in reversed(specs.items()) if isinstance(spec, ProviderSpec) for known in spec.schemes}
    if scheme in offered:
        return offered[scheme]
    broken = [f"the provider {name} does not load" for name, spec in specs.items() if not isinstance(spec, ProviderSpec)]
    known = f"known: {', '.join(f'{name}://' for name in sorted(offered))}"
    near = did_you_mean(scheme, offered)
    hint = [near] if near.startswith("did") else []
    raise Usage(f"no provider offers {scheme}://", why="\n".join([*hint, known, *broken]), next_step="mcml plugins list")


def recorder(session: Session, place: Place) -> Callable[[Fact], object] | None:
    """Return where facts about a place go: the journal, or nowhere for a folder of this machine, which may lie outside any project."""
    if place.local:
        return None
    from mcml.incident import desk

    return lambda fact: desk.record(session.store, fact)


def again(verb: str, *words: str, **flags: bool) -> str:
    """Return the command line that continues this one; a flag is `no_clobber=True`."""
    said = [f"--{name.replace('_', '-')}" for name, on in flags.items() if on]
    return shlex.join(["mcml", "data", verb, *said, *words])
