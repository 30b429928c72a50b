"""Instances on Azure: virtual machines. https://learn.microsoft.com/rest/api/compute/virtual-machines

An instance's id is its Azure id; a bare name means one in the resource group of the settings. `stop` deallocates: a machine that is only
shut down is charged for. Whether a deallocated spot machine was stopped or taken away is asked of the activity log, which is up to a few
minutes behind. A machine whose command has ended shuts itself down, and is charged for until it is stopped from here.
"""

import builtins
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, Usage
from mcml.providers.api.instances import Instance, Instances, MachinePrice, MachineRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure import instance_states as states
from mcml.providers.azure.arm import MADE_BY, ResourceId, group_of, has_tags, locate, name_of_token, pages, parse_id, plain_region
from mcml.providers.azure.arm import region_of as needed_region
from mcml.providers.azure.operations import POLL_SECONDS, wait_for
from mcml.providers.azure.prices import machine_prices
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

KIND = "Microsoft.Compute/virtualMachines"
REQUEST_TAG = "mcml-request"
USER = "mcml"
LOG_DAYS = timedelta(days=89)  # the activity log keeps 90
MOST_LOOKS = 120  # at a machine that is being made: ten minutes
NETWORK_API = "2020-11-01"  # from which a machine brings its network interface along


def open_instances(ctx: ProviderContext) -> Instances:
    """Return the machines of the context's region (of the whole subscription without one)."""
    return AzureInstances(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region, ctx.target)


@dataclass(frozen=True)
class AzureInstances:
    """Virtual machines."""

    session: Session
    region: str = ""
    target: str = ""

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """Return the machines that carry all these tags, oldest first. Two listings: what they are, and what they do."""
        vms = self._compute.virtual_machines
        found = {id_: vm for vm in pages(self.session, "list machines", vms.list_all()) if (id_ := parse_id(vm.id, KIND))}
        powers = {
            str(parse_id(vm.id, KIND)): states.power_of(vm.properties.instance_view.statuses)
            for vm in pages(self.session, "list the states of machines", vms.list_all(status_only="true"))
            if vm.properties is not None and vm.properties.instance_view is not None
        }
        wanted = plain_region(self.region)
        here = [(id_, vm) for id_, vm in found.items() if wanted in ("", plain_region(vm.location)) and has_tags(vm.tags, tags)]
        return sorted((self._instance(id_, vm, powers.get(str(id_), "")) for id_, vm in here), key=lambda one: (one.launched, one.id))

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """Return the prices of the named types in the region, or of all, in USD an hour (Linux, no reservation).

        Raises InvalidRequest for a type that the region does not have, Usage without a region.
        """
        region = needed_region(self.region, "a price")
        return machine_prices(self.session, region, self._sizes(region), machines)

    def start(self, instance: str) -> Instance:
        """Start one. Raises NotFound, QuotaExceeded (no quota, no capacity, or spot above its highest price)."""
        at = self._at(instance)
        self._do(f"start machine {at.name}", lambda **options: self._compute.virtual_machines.begin_start(at.group, at.name, **options))
        return self._now(at)

    def stop(self, instance: str) -> Instance:
        """Deallocate one: it is charged for no longer. Raises NotFound."""
        at = self._at(instance)
        what = f"stop machine {at.name}"
        self._do(what, lambda **options: self._compute.virtual_machines.begin_deallocate(at.group, at.name, **options))
        return self._now(at)

    def resize(self, instance: str, machine: str) -> Instance:
        """Change the type of one that does not run. Raises NotFound, Conflict when it runs, InvalidRequest for an unknown type.

        Azure would resize a running one too, with a restart; that is refused here.
        """
        at = self._at(instance)
        now = self._now(at)
        if now.state in ("running", "pending"):
            why = f"it runs as {now.machine}"
            raise Conflict(f"cannot resize machine {at.name} to {machine}", why=why, next_step="stop it first")
        change = {"properties": {"hardwareProfile": {"vmSize": machine}}}
        what = f"resize machine {at.name} to {machine}"
        self._do(what, lambda **options: self._compute.virtual_machines.begin_update(at.group, at.name, change, **options))
        return self._now(at)

    def request(self, request: MachineRequest) -> Instance:
        """Start a machine, whose name the token decides; the same token gives the one that is there, whatever has become of it.

        It gets a new network interface in the subnet of the settings, no public address, and no way in but the SSH key of the settings.
        `max_price` of spot is in USD an hour.

        Raises QuotaExceeded when none is to be had, InvalidRequest for an unknown type or a token that stands for another request, Usage
        when the settings lack a subnet or an image.
        """
        name = name_of_token(self.session, self.target, "machine", request.token)
        at = ResourceId(self.session.named_subscription().lower(), group_of(self.session).lower(), KIND, (name,))
        mark = _mark(request)
        known = self._look(at)
        if known is None:
            known = self._create(at, request, mark)
        if ((known.tags or {}).get(REQUEST_TAG), states.is_spot(known)) != (mark, request.spot):
            why = f"the token stands for {name}, which has another command or another market"
            raise InvalidRequest("cannot request the machine", why=why, next_step="use a new token for a new machine")
        return self._instance(at, known, states.power_of(_statuses(known)))

    @cached_property
    def _compute(self) -> Any:
        from azure.mgmt.compute import ComputeManagementClient

        return self.session.management(ComputeManagementClient)

    def _at(self, instance: str) -> ResourceId:
        return locate(self.session, instance, KIND, "machine")

    def _do(self, what: str, begin: Any) -> None:
        """Make a change and wait for its end. Every one of them may be repeated: it sets what is wanted, under a name of its own."""
        wait_for(self.session, what, begin)

    def _look(self, at: ResourceId) -> Any | None:
        try:
            what = f"look at machine {at.name}"
            return self.session.call(what, lambda: self._compute.virtual_machines.get(at.group, at.name, expand="instanceView"))
        except NotFound:
            return None

    def _now(self, at: ResourceId) -> Instance:
        found = self._look(at)
        if found is None:
            why, step = "it was never made, or it is deleted", f"az vm list --resource-group {at.group} --output table"
            raise NotFound(f"no machine {at.name!r} in resource group {at.group}", why=why, next_step=step)
        return self._instance(at, found, states.power_of(_statuses(found)))

    def _instance(self, at: ResourceId, machine: Any, power: str) -> Instance:
        state = states.state_of(
            machine.properties.provisioning_state or "", power, lambda: states.is_spot(machine) and self._evicted(at, machine)
        )
        return states.to_instance(str(at), machine, state, self.session.settings.resource_group)

    def _evicted(self, at: ResourceId, machine: Any) -> bool:
        """Ask the activity log what was done to the machine last. https://learn.microsoft.com/rest/api/monitor/activity-logs/list"""
        from azure.mgmt.monitor import MonitorManagementClient

        since = self.session.clock() - LOG_DAYS
        wanted = f"eventTimestamp ge '{since:%Y-%m-%dT%H:%M:%SZ}' and resourceUri eq '{machine.id}'"
        logs = self.session.management(MonitorManagementClient).activity_logs
        listing = logs.list(filter=wanted, select="eventTimestamp,operationName")
        events = pages(self.session, f"ask why machine {at.name} was deallocated", listing)
        return states.last_change_is_eviction((event.event_timestamp, str(event.operation_name.value)) for event in events)

    def _create(self, at: ResourceId, request: MachineRequest, mark: str) -> Any:
        """Put the machine, unless it is there; one that gets no place is removed again."""
        from azure.core import MatchConditions

        body, new = self._body(at, request, mark), {"match_condition": MatchConditions.IfMissing, "etag": "*"}
        vms = self._compute.virtual_machines
        try:
            self._do(
                f"start {request.words}",
                lambda **options: vms.begin_create_or_update(at.group, at.name, body, **new, **options),
            )
        except (Conflict, QuotaExceeded) as refused:  # also when the first try came through late, or somebody asked with the same token
            if (known := self._settled(at)) is None:
                raise
            failure = states.failure_of(_statuses(known))
            if not failure and known.properties.provisioning_state not in ("Failed", "Canceled"):
                return known
            self._remove(at)
            if isinstance(refused, QuotaExceeded):
                raise
            why = failure or f"it is {known.properties.provisioning_state}"
            raise QuotaExceeded(f"no {request.words} is to be had", why=why, next_step="try another machine or region") from None
        return self.session.call(f"look at machine {at.name}", lambda: vms.get(at.group, at.name, expand="instanceView"))

    def _settled(self, at: ResourceId) -> Any | None:
        """Look at a machine until it is no longer being made: of an operation whose answer was lost there is nothing else to follow."""
        for _ in range(MOST_LOOKS):
            found = self._look(at)
            if found is None or found.properties.provisioning_state not in ("Creating", "Updating"):
                break
            self.session.policy.sleep(POLL_SECONDS)
        return found

    def _remove(self, at: ResourceId) -> None:
        vms = self._compute.virtual_machines
        self._do(f"remove machine {at.name}", lambda **options: vms.begin_delete(at.group, at.name, **options))

    def _body(self, at: ResourceId, request: MachineRequest, mark: str) -> dict[str, Any]:
        """Return the VirtualMachine to put. https://learn.microsoft.com/rest/api/compute/virtual-machines/create-or-update"""
        settings = self.session.settings
        for name, value in (("subnet", settings.subnet), ("image", settings.image)):
            if not value:
                step = f"set {name} in [providers.azure] of mcml.toml"
                raise Usage("cannot start a machine", why=f"the settings name no {name} for it", next_step=step)
        market = states.market_of(request)
        if market is None:
            raise QuotaExceeded(f"no spot {request.machine} at that price", why=f"nothing costs less than {states.PRICE_STEP} USD an hour")
        address = {"name": "main", "properties": {"primary": True, "subnet": {"id": settings.subnet}}}
        card = {"primary": True, "deleteOption": "Delete", "ipConfigurations": [address]}
        key = {"path": f"/home/{USER}/.ssh/authorized_keys", "keyData": settings.ssh_public_key or _key_of_nobody()}
        login = {
            "computerName": at.name,
            "adminUsername": USER,
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}},
        }
        if request.command:
            login["customData"] = states.first_boot(request.command)
        return {
            "location": needed_region(self.region, "a machine"),
            "tags": {**request.tags, **MADE_BY, REQUEST_TAG: mark},
            "properties": {
                "hardwareProfile": {"vmSize": request.machine},
                **market,
                "storageProfile": {
                    "imageReference": states.image_reference(settings.image),
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
                },
                "osProfile": login,
                "networkProfile": {
                    "networkApiVersion": NETWORK_API,
                    "networkInterfaceConfigurations": [{"name": at.name, "properties": card}],
                },
            },
        }

    def _sizes(self, region: str) -> Iterable[Any]:
        """Yield the machine types of a region. https://learn.microsoft.com/rest/api/compute/resource-skus/list"""
        listing = self._compute.resource_skus.list(filter=f"location eq '{region}'")
        skus = pages(self.session, f"list the machine types of {region}", listing)
        return (sku for sku in skus if sku.resource_type == "virtualMachines")


def _statuses(machine: Any) -> Any:
    """Return what the instance view tells; None while there is no view yet."""
    view = machine.properties.instance_view
    return view.statuses if view is not None else None


def _mark(request: MachineRequest) -> str:
    """Return what tells two requests with one token apart: the command (the type may be resized later)."""
    return hashlib.sha256(json.dumps(list(request.command)).encode()).hexdigest()[:16]


def _key_of_nobody() -> str:
    """Return a public SSH key whose private half is thrown away: Azure wants one, and nobody shall log in."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
