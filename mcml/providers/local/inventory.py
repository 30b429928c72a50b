"""Inventory of this machine: every folder below the root that carries a `resource.json`, and what stands in the way of removing it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcml.core.errors import Conflict, NotFound
from mcml.providers.api.inventory import Blocker, Resource
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import LocalResource, read_process, read_resources, remove_folder, root_of
from mcml.providers.local.server import living_models
from mcml.providers.local.target import destroy_target


def open_inventory(ctx: ProviderContext) -> "LocalInventory":
    """Return what is there for the context's target, or for all of them when it names none."""
    return LocalInventory(ctx, root_of(ctx))


@dataclass(frozen=True)
class LocalInventory:
    """Resources as folders; a target is blocked by the models that run there, a bucket by what is in it."""

    ctx: ProviderContext
    root: Path

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """Return what carries all these tags; with no tags, all that mcml made."""
        return [
            Resource(found.kind, found.id, found.region, dict(found.tags))
            for found in self._resources()
            if all(found.tags.get(key) == value for key, value in tags.items())
        ]

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """Return what stands in the way of destroying these."""
        return [blocker for resource in resources for blocker in self._blockers(resource)]

    def delete(self, resource: Resource) -> bool:
        """Delete one resource, its process with it; False when it was gone. Raises Conflict when something blocks it."""
        same = (resource.kind, resource.id, resource.region)
        found = [other for other in self._resources() if (other.kind, other.id, other.region) == same]
        if not found:
            return False
        if len(found) > 1:
            targets = ", ".join(one.target for one in found)
            raise Conflict(f"which {resource.kind} {resource.id!r}?", why=f"targets have one each: {targets}")
        blocked = list(self._blockers(resource))
        if blocked:
            raise Conflict(
                f"cannot delete {resource.kind} {resource.id!r}",
                why="; ".join(blocker.reason for blocker in blocked),
                next_step="\n".join(blocker.fix for blocker in blocked),
            )
        return self._remove(found[0])

    def _resources(self) -> Iterator[LocalResource]:
        return (found for found in read_resources(self.root) if self.ctx.target in ("", found.target))

    def _blockers(self, resource: Resource) -> Iterator[Blocker]:
        if resource.kind == "target":
            for model in living_models(self.root, resource.id):
                yield Blocker(resource, f"{model} runs on {resource.id}", f"mcml deploy delete {model} --target {resource.id}")
        elif resource.kind == "bucket":
            left = _left_in_bucket(self.ctx, resource.id)
            if left:
                yield Blocker(resource, f"bucket {resource.id} holds {left} objects and old versions", "empty it, with its versions")

    def _remove(self, found: LocalResource) -> bool:
        if found.kind == "target":
            return destroy_target(self.root, found.id)
        if found.kind == "endpoint":
            from mcml.providers.local.endpoint import open_model_endpoint

            return open_model_endpoint(replace(self.ctx, target=found.target)).delete(found.folder.name)
        if found.kind == "bucket":
            from mcml.providers.local.buckets import open_buckets

            open_buckets(self.ctx).delete(found.id)
            return not found.folder.exists()
        if found.kind == "compute":
            from mcml.providers.local.computes import open_computes

            return open_computes(self.ctx).delete(found.id)
        if found.kind == "group":
            from mcml.providers.local.groups import delete_group

            return delete_group(replace(self.ctx, target=found.target), found.id)
        if found.kind in ("instance", "job") or read_process(found.folder) is not None:
            from mcml.providers.local.worker import halt

            halt(found.folder)
        return remove_folder(found.folder)


def _left_in_bucket(ctx: ProviderContext, bucket: str) -> int:
    from mcml.providers.local.object_store import open_index

    try:
        with open_index(ctx, bucket).connect() as db:
            return int(db.execute("select count(*) from versions").fetchone()[0])
    except NotFound:
        return 0
