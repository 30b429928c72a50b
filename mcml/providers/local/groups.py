"""Groups on this machine: instances of one type and command under one wanted size.

    groups/<target>/<name>/   resource.json, group.json ({"machine", "command", "minimum", "maximum", "desired"})

Nobody watches a group: a member that dies is missing from `running`, and the next `resize` (to the same size, too) replaces it.
Terraform makes groups, as on a cloud: `define_group` and `delete_group` are its door.
"""

import builtins
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.files import read_json, write_json
from mcml.providers.api.groups import Group, Groups
from mcml.providers.api.instances import Instance
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.instances import MEMBER_TAG, LocalInstances
from mcml.providers.local.layout import LocalResource, locked, remove_folder, root_of, safe_name, write_resource
from mcml.providers.local.machines import machine_named
from mcml.providers.local.scope import lock_name, new_folder, new_resource, resources_in_scope

GROUP_FILE = "group.json"
NO_TARGET = "_"
"""The folder of groups that belong to no target: no target can have this name."""


@dataclass(frozen=True)
class Template:
    """What `group.json` says."""

    machine: str
    command: tuple[str, ...]
    minimum: int
    maximum: int
    desired: int


def open_groups(ctx: ProviderContext) -> Groups:
    """Return the groups of the context's target."""
    return LocalGroups(ctx)


def define_group(
    ctx: ProviderContext,
    name: str,
    machine: str,
    *,
    minimum: int,
    maximum: int,
    desired: int | None = None,
    command: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
) -> Group:
    """Make a group, or make the one of that name so; its size is kept within the new limits unless `desired` says another.

    Members that run already keep their type and command until they are replaced. Raises InvalidRequest, QuotaExceeded.
    """
    machine_named(machine)
    if not 0 <= minimum <= maximum:
        raise InvalidRequest(f"cannot define the group {name!r}", why=f"the limits {minimum} to {maximum} are no limits")
    folder = root_of(ctx) / "groups" / (ctx.target or NO_TARGET) / safe_name(name, "group")
    with locked(root_of(ctx), _lock(folder)):
        before = _template(folder)
        wanted = desired if desired is not None else min(max(before.desired if before else minimum, minimum), maximum)
        template = Template(machine, tuple(command), minimum, maximum, wanted)
        _check_size(name, template, wanted)
        about = replace(new_resource(ctx, "group", name, tags), folder=folder)
        if before is None:
            with new_folder(folder) as stage:
                _write(stage, template)
                write_resource(stage, about)
        else:
            _write(folder, template)
            write_resource(folder, about)
        _reconcile(ctx, about, template)
    return _group(ctx, about)


def delete_group(ctx: ProviderContext, name: str) -> bool:
    """End all members of a group and remove it; False when it was gone."""
    try:
        about = _find(ctx, name)
    except NotFound:
        return False
    with locked(root_of(ctx), _lock(about.folder)):
        for member in _members(ctx, about):
            _instances(ctx, about).terminate(member.id)
        return remove_folder(about.folder)


class LocalGroups:
    """Groups as folders, members as instances that carry the group's tags and `mcml-group`."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Group]:
        """Return the groups that carry all these tags."""
        return [_group(self._ctx, about) for about in resources_in_scope(self._ctx, "groups", tags)]

    def size(self, group: str) -> Group:
        """Return one group as it is now. Raises NotFound."""
        return _group(self._ctx, _find(self._ctx, group))

    def resize(self, group: str, desired: int) -> Group:
        """Set the wanted size, start or end members until it is so (the newest first), and replace dead ones.

        Raises NotFound, InvalidRequest outside the limits, QuotaExceeded (the wanted size stands; there are as many as there is room for).
        """
        with _changing(self._ctx, group) as (about, template):
            _check_size(group, template, desired)
            _write(about.folder, replace(template, desired=desired))
            _reconcile(self._ctx, about, replace(template, desired=desired))
        return _group(self._ctx, about)


@contextmanager
def _changing(ctx: ProviderContext, group: str) -> Iterator[tuple[LocalResource, Template]]:
    about = _find(ctx, group)
    with locked(root_of(ctx), _lock(about.folder)):
        template = _template(about.folder)
        if template is None:
            raise NotFound(f"no group named {group!r}", why="it was deleted just now")
        yield about, template


def _find(ctx: ProviderContext, group: str) -> LocalResource:
    found = [about for about in resources_in_scope(ctx, "groups") if about.id == group]
    if not found:
        raise NotFound(f"no group named {group!r}", why=f"there is none on target {ctx.target!r}" if ctx.target else "")
    if len(found) > 1:
        raise InvalidRequest(f"which group {group!r}?", why=f"targets have one each: {', '.join(about.target for about in found)}")
    return found[0]


def _lock(folder: Path) -> str:
    return lock_name("group", folder.parent.name, folder.name)


def _check_size(name: str, template: Template, desired: int) -> None:
    if not template.minimum <= desired <= template.maximum:
        why = f"its limits are {template.minimum} to {template.maximum}"
        raise InvalidRequest(f"cannot resize the group {name!r} to {desired}", why=why)


def _reconcile(ctx: ProviderContext, about: LocalResource, template: Template) -> None:
    instances, members = _instances(ctx, about), _members(ctx, about)
    alive = [member for member in members if member.state in ("running", "pending")]
    surplus = alive[template.desired :]
    for member in (*surplus, *(member for member in members if member not in alive)):
        instances.terminate(member.id)
    for _ in range(template.desired - len(alive)):
        instances.launch(template.machine, f"{about.id}/{uuid.uuid4().hex}", template.command, {**about.tags, MEMBER_TAG: about.id})


def _instances(ctx: ProviderContext, about: LocalResource) -> LocalInstances:
    return LocalInstances(replace(ctx, target=about.target, region=about.region))


def _members(ctx: ProviderContext, about: LocalResource) -> list[Instance]:
    return _instances(ctx, about).list({MEMBER_TAG: about.id})


def _group(ctx: ProviderContext, about: LocalResource) -> Group:
    template = _template(about.folder)
    if template is None:
        raise NotFound(f"no group named {about.id!r}", why="it was deleted just now")
    running = sum(member.state == "running" for member in _members(ctx, about))
    return Group(about.id, template.machine, template.desired, running, template.minimum, template.maximum, dict(about.tags))


def _template(folder: Path) -> Template | None:
    said = read_json(folder / GROUP_FILE)
    return None if said is None else Template(**{**said, "command": tuple(said["command"])})


def _write(folder: Path, template: Template) -> None:
    write_json(folder / GROUP_FILE, vars(template), mode=0o600)
