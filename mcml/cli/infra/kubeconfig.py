"""`mcml infra kubeconfig`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import Usage
from mcml.core.view import Document, Pairs

if TYPE_CHECKING:
    from mcml.providers.api.cluster import ClusterAccess

EXAMPLES = ("mcml infra kubeconfig eks-1", "mcml infra kubeconfig eks-1 --context prod --keep-context --dry-run")
TargetName = Annotated[str, typer.Argument(help="Target of mcml.toml with a cluster.", autocompletion=complete_target, show_default=False)]
File = Annotated[Path | None, typer.Option("--kubeconfig", help="The file (default: the first of $KUBECONFIG, or ~/.kube/config).")]
Context = Annotated[str, typer.Option("--context", help="Its name there (default: that of the target).", show_default=False)]
Keep = Annotated[bool, typer.Option("--keep-context", help="Leave the current context as it is.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "kubeconfig", examples=EXAMPLES, changes=True)(kubeconfig)


def kubeconfig(session: Session, target: TargetName, file: File = None, context: Context = "", keep: Keep = False) -> Document:
    """Let kubectl reach a target's cluster: add it to the kubeconfig, with kubectl's own login and never with a token.

    What the file holds besides stays; run again, it is brought up to date.
    """
    from mcml.providers import kubeconfig as files
    from mcml.providers.api.capability import CLUSTER

    clusters = session.open(CLUSTER, target)
    cluster = session.settings.targets[target].cluster
    if not cluster:
        step = f'set cluster = "NAME" under [targets.{target}] of mcml.toml'
        raise Usage(f"the target {target!r} has no cluster", why="mcml.toml names none", next_step=step)
    access, path = clusters.access(cluster), file or _default()
    name = context or target
    if session.dry_run:
        files.entry(access, name)
        return _shown(name, cluster, access, path, "would be written")
    changed = files.write(path, access, name, switch=not keep)
    return _shown(name, cluster, access, path, "written" if changed else "as it was")


def _default() -> Path:
    """Return the file that kubectl writes into."""
    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(first) if first else Path.home() / ".kube" / "config"


def _shown(name: str, cluster: str, access: "ClusterAccess", path: Path, state: str) -> Document:
    login = access.exec.argv[0] if access.exec else ""
    item = {"name": name, "cluster": cluster, "server": access.endpoint, "login": login, "file": str(path), "state": state}
    return Document("Kubeconfig", [item], (Pairs(tuple((key.capitalize(), value) for key, value in item.items())),))
