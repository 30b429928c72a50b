"""A kubeconfig for a cluster: kubectl's own login (a program that it runs for a token), merged into the file that is there.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and, for the login,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins. No token is ever written: mcml's own
holds minutes, the program's is fresh. What the file holds besides stays as it is, in its order; comments do not survive.
"""

import base64
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mcml.core.errors import Conflict, InvalidRequest, ProviderCannot
from mcml.core.files import write_atomic
from mcml.providers.api.cluster import ClusterAccess

PRIVATE = 0o600
LOCK_TRIES, LOCK_WAIT = 20, 0.05
EXEC_API = "client.authentication.k8s.io/v1beta1"
_LISTS = ("clusters", "users", "contexts")


def entry(access: ClusterAccess, name: str) -> dict[str, Any]:
    """Return a whole kubeconfig with one cluster, user and context of that name. Raises ProviderCannot without a login program."""
    if access.exec is None or not access.exec.argv:
        why = "its provider names no program that kubectl could log in with, and a token would be stale in minutes"
        raise ProviderCannot(f"cannot write a kubeconfig for {name!r}", why=why)
    command, *arguments = access.exec.argv
    cluster: dict[str, Any] = {"server": access.endpoint}
    if access.ca:
        cluster["certificate-authority-data"] = base64.b64encode(access.ca.encode()).decode()
    login: dict[str, Any] = {
        "apiVersion": EXEC_API,
        "command": command,
        "args": arguments,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": True,  # gke-gcloud-auth-plugin asks for it, the others do not mind
    }
    if access.exec.install:
        login["installHint"] = f"{command} is not installed: {access.exec.install}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"exec": login}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def merged(there: Mapping[str, Any], added: Mapping[str, Any], *, switch: bool = True) -> dict[str, Any]:
    """Return a kubeconfig with the entries of another: those of the same name are replaced where they stand, the rest is appended.

    A context that is replaced keeps its own namespace. With `switch` the current context becomes the added one, else only when there is
    none.
    """
    whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **there}
    for key in _LISTS:
        entries = [dict(one) for one in there.get(key) or ()]
        for new in added[key]:
            old = next((one for one in entries if one.get("name") == new["name"]), None)
            if old is None:
                entries.append(dict(new))
            elif key == "contexts":
                old["context"] = {**(old.get("context") or {}), **new["context"]}
            else:
                old[key.removesuffix("s")] = new[key.removesuffix("s")]
        whole[key] = entries
    if switch or not there.get("current-context"):
        whole["current-context"] = added["current-context"]
    return whole


def parse(text: str, where: str) -> dict[str, Any]:
    """Read a kubeconfig; an empty text is an empty one. Raises InvalidRequest, naming `where`, for what kubectl would not read."""
    doing, step = f"cannot add to the kubeconfig {where}", f"mend it, or move it away: kubectl config view --kubeconfig {where}"
    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError as broken:
        problem = getattr(broken, "problem", None) or "it is no YAML"  # not the text around it: that may be a credential
        line = getattr(broken, "problem_mark", None)
        raise InvalidRequest(doing, why=f"{problem}{f' in line {line.line + 1}' if line else ''}", next_step=step) from None
    whole: Any = {} if read is None else read
    if not isinstance(whole, dict) or whole.get("kind", "Config") != "Config" or whole.get("apiVersion", "v1") != "v1":
        raise InvalidRequest(doing, why="it is no v1 Config", next_step=step)
    for key in _LISTS:
        entries = whole.get(key) or []
        if not isinstance(entries, list) or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in entries):
            raise InvalidRequest(doing, why=f"{key} is not a list of entries with names", next_step=step)
    checked: dict[str, Any] = whole
    return checked


def write(path: Path, access: ClusterAccess, name: str, *, switch: bool = True) -> bool:
    """Add a cluster to a kubeconfig, or bring its entry up to date; return whether anything changed.

    The file is replaced in one step, readable by its owner only (or as it was, if that is less); a link stays a link. Raises InvalidRequest
    for a file that is no kubeconfig (which stays as it is), Conflict while kubectl writes it, ProviderCannot.
    """
    added, real = entry(access, name), path.expanduser().resolve()
    with _locked(path.expanduser()):
        there = parse(real.read_text(encoding="utf-8") if real.exists() else "", str(path))
        whole = merged(there, added, switch=switch)
        if whole == there:
            return False
        mode = real.stat().st_mode & PRIVATE if real.exists() else PRIVATE
        write_atomic(real, yaml.safe_dump(whole, sort_keys=False, width=1 << 16).encode(), mode=mode)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold kubectl's own lock: a file beside it, which kubectl and mcml make and remove (client-go's clientcmd `lockFile`)."""
    lock = path.with_name(f"{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    for last in (*[False] * LOCK_TRIES, True):
        try:
            lock.touch(PRIVATE, exist_ok=False)
            break
        except FileExistsError:
            if last:
                why, step = "somebody is writing it, or was killed while writing", f"when nobody does: rm {lock}"
                raise Conflict(f"cannot add to the kubeconfig {path}", why=why, next_step=step) from None
            time.sleep(LOCK_WAIT)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
