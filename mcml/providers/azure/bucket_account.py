"""What belongs to the storage account and not to one of its containers: versioning, and the lifecycle policy that expires objects.

Versioning is turned on for the whole account when one container asks for it, and never off: the others may rely on it
(https://learn.microsoft.com/rest/api/storagerp/blob-services). The lifecycle policy
(https://learn.microsoft.com/azure/storage/blobs/lifecycle-management-policy-structure) is one document for the account; a container has
one rule of ours in it, `mcml-CONTAINER-expire`, and all other rules are written back as they were read. Days count from an object's last
write; those of an old version from when that version was written, not from when another took its place. Azure runs the policy about once a
day.

The policy has no etag (https://learn.microsoft.com/rest/api/storagerp/management-policies), so that of two who write at once one may undo
the other. Inside a process one writes at a time; otherwise what was written is looked at again a moment later, and written again when it
is gone. Somebody who takes longer than that moment between reading and writing can still undo it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from mcml.core.errors import Conflict, NotFound, QuotaExceeded
from mcml.providers.azure.arm import ResourceId, pages, parse_id
from mcml.providers.azure.session import Session

KIND = "Microsoft.Storage/storageAccounts"
MOST_RULES = 100
MOST_TRIES = 5
SETTLE_SECONDS = 1.0  # longer than anybody takes between reading the policy and writing it
_DAYS_OF_OBJECTS = ("daysAfterModificationGreaterThan", "daysAfterCreationGreaterThan")
_DAYS_OF_VERSIONS = ("daysAfterCreationGreaterThan",)
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Expiry:
    """After how many days objects and old versions are deleted; None: never."""

    days: int | None = None
    old_days: int | None = None


def account_of(session: Session, bucket: str) -> "StorageAccount | None":
    """Return the storage account of a container; None where it cannot be changed: we hold its key only, or no subscription is named.

    Raises NotFound when the subscription does not show it to us, NotAuthenticated.
    """
    name = session.account(bucket)
    if session.key_of(name) is not None or not session.subscription:
        return None
    client = _client(session)
    for found in pages(session, f"look for storage account {name}", client.storage_accounts.list()):
        at = parse_id(found.id, KIND)
        if at is not None and at.name == name:
            return StorageAccount(session, at, bool(found.properties and found.properties.is_hns_enabled))
    raise NotFound(
        f"no storage account {name!r} in subscription {session.subscription}",
        why="it is in another one, or the login may not see it",
        next_step=f"az storage account list --query \"[?name=='{name}'].id\"  (and set subscription in [providers.azure])",
    )


@dataclass(frozen=True)
class StorageAccount:
    """One storage account; `hierarchical` ones (Data Lake Storage) cannot keep versions."""

    session: Session
    at: ResourceId
    hierarchical: bool = False

    def keep_versions(self, wanted: bool) -> bool:
        """Turn versioning on when it is wanted; return how it is. The account's other settings are written back as they were read."""
        services, what = self._client.blob_services, f"look whether storage account {self.at.name} keeps versions"
        now = self.session.call(what, lambda: services.get_service_properties(self.at.group, self.at.name))
        is_on = bool(now.blob_service_properties and now.blob_service_properties.is_versioning_enabled)
        if is_on or not wanted or self.hierarchical:
            return is_on
        properties = {**now.as_dict(exclude_readonly=True).get("properties", {}), "isVersioningEnabled": True}
        what = f"turn on versioning of storage account {self.at.name}"
        put = {"properties": properties}
        self.session.call(what, lambda: services.set_service_properties(self.at.group, self.at.name, put))
        return True

    def expire(self, bucket: str, wanted: Expiry) -> Expiry:
        """Put, change or remove our rule of a container; return what holds for it, by whoever's rules.

        Raises QuotaExceeded when the policy is full, Conflict when somebody undoes it again and again.
        """
        with _ONE_AT_A_TIME:
            for left in reversed(range(MOST_TRIES)):
                rules = self._rules()
                if is_set(rules, bucket, wanted):
                    return expiry_of(rules, bucket)
                if left:
                    self._write(with_rule(rules, bucket, wanted), bucket)
                    self.session.policy.sleep(SETTLE_SECONDS)
        raise Conflict(
            f"cannot set when az://{bucket} expires",
            why=f"somebody else writes the lifecycle policy of storage account {self.at.name} at the same time",
            next_step="try again in a minute",
        )

    @cached_property
    def _client(self) -> Any:
        return _client(self.session)

    def _rules(self) -> list[dict[str, Any]]:
        """Return the policy's rules as the service writes them."""
        policies, what = self._client.management_policies, f"look at the lifecycle policy of storage account {self.at.name}"
        try:
            found = self.session.call(what, lambda: policies.get(self.at.group, self.at.name, "default"))
        except NotFound:  # there is none, as in a new account
            return []
        rules: list[dict[str, Any]] = found.as_dict().get("properties", {}).get("policy", {}).get("rules") or []
        return rules

    def _write(self, rules: list[dict[str, Any]], bucket: str) -> None:
        """Write all rules; without any the policy goes: it cannot be empty."""
        policies, what = self._client.management_policies, f"set when az://{bucket} expires"
        if len(rules) > MOST_RULES:
            step = f"az storage account management-policy show --account-name {self.at.name} --resource-group {self.at.group}"
            why = f"the lifecycle policy of storage account {self.at.name} has {MOST_RULES} rules, and cannot have more"
            raise QuotaExceeded(f"cannot {what}", why=why, next_step=f"{step}  (and take out rules, or use another account)")
        body = {"properties": {"policy": {"rules": rules}}}
        if rules:
            self.session.call(what, lambda: policies.create_or_update(self.at.group, self.at.name, "default", body))
        else:
            self.session.call(what, lambda: policies.delete(self.at.group, self.at.name, "default"))


def rule_name(bucket: str) -> str:
    """Return the name of our rule of a container: at most 256 characters, told apart by case, each once in a policy."""
    return f"mcml-{bucket}-expire"


def rule_of(bucket: str, expiry: Expiry) -> dict[str, Any] | None:
    """Return our rule of a container; None when nothing expires. The slash at the prefix's end keeps it to this container."""
    actions: dict[str, Any] = {}
    if expiry.days is not None:
        actions["baseBlob"] = {"delete": {_DAYS_OF_OBJECTS[0]: expiry.days}}
    if expiry.old_days is not None:
        actions["version"] = {"delete": {_DAYS_OF_VERSIONS[0]: expiry.old_days}}
    if not actions:
        return None
    filters = {"blobTypes": ["blockBlob", "appendBlob"], "prefixMatch": [f"{bucket}/"]}
    return {"enabled": True, "name": rule_name(bucket), "type": "Lifecycle", "definition": {"actions": actions, "filters": filters}}


def is_set(rules: Iterable[dict[str, Any]], bucket: str, wanted: Expiry) -> bool:
    """Tell whether our rule of a container says what is wanted, however the service writes it."""
    ours = [rule for rule in rules if rule.get("name") == rule_name(bucket)]
    if not ours or wanted == Expiry():
        return not ours and wanted == Expiry()
    only = [(rule.get("definition", {}).get("filters") or {}).get("prefixMatch") for rule in ours] == [[f"{bucket}/"]]
    return only and expiry_of(ours, bucket) == wanted


def with_rule(rules: Iterable[dict[str, Any]], bucket: str, expiry: Expiry) -> list[dict[str, Any]]:
    """Return the rules with ours as it should be, and all others untouched and in their order."""
    others, ours = [rule for rule in rules if rule.get("name") != rule_name(bucket)], rule_of(bucket, expiry)
    return [*others, ours] if ours is not None else others


def expiry_of(rules: Iterable[dict[str, Any]], bucket: str) -> Expiry:
    """Return after how many days what is in a container is deleted: the shortest of all rules that hold for the whole of it."""
    actions = [rule["definition"].get("actions") or {} for rule in rules if _covers(rule, bucket)]
    days = _least((one.get("baseBlob") for one in actions), _DAYS_OF_OBJECTS)
    return Expiry(days, _least((one.get("version") for one in actions), _DAYS_OF_VERSIONS))


def _covers(rule: dict[str, Any], bucket: str) -> bool:
    filters = rule.get("definition", {}).get("filters") or {}
    prefixes = filters.get("prefixMatch") or [""]
    kinds = filters.get("blobTypes") or ["blockBlob"]
    whole = any(f"{bucket}/".startswith(prefix) for prefix in prefixes) and not filters.get("blobIndexMatch")
    return rule.get("enabled", True) is not False and "blockBlob" in kinds and whole


def _least(actions: Iterable[dict[str, Any] | None], conditions: tuple[str, ...]) -> int | None:
    deletes = [(action or {}).get("delete") or {} for action in actions]
    return min((int(delete[name]) for delete in deletes for name in conditions if delete.get(name) is not None), default=None)


def _client(session: Session) -> Any:
    from azure.mgmt.storage import StorageManagementClient

    return session.management(StorageManagementClient)
