"""Instances on EC2: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/

A spot machine without a command is asked for as "persistent, stop": it can be stopped and started, and EC2 stops it (and starts it again)
when it takes the capacity away. One with a command is asked for once: it ends with the command, and with an interruption. On demand too a
machine with a command ends with it.
"""

import builtins
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded
from mcml.providers.api.instances import Instance, Instances, InstanceState, MachinePrice, MachineRequest
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.disk_snapshots import DISK
from mcml.providers.aws.instance_prices import read_prices
from mcml.providers.aws.machine_types import ENA, architecture_of
from mcml.providers.aws.paging import next_step, paged
from mcml.providers.aws.session import Session
from mcml.providers.aws.settings import Settings
from mcml.providers.aws.tags import OURS, short, tag_filters, tag_list, tags_of
from mcml.providers.resilience import Policy

_STATES: Mapping[str, InstanceState] = {
    "pending": "pending",
    "running": "running",
    "stopping": "running",  # it is there, and costs, until it has stopped
    "stopped": "stopped",
    "shutting-down": "terminated",
    "terminated": "terminated",
}
_TAKEN_AWAY = ("Server.SpotInstanceShutdown", "Server.SpotInstanceTermination", "Server.SpotInstanceStop")
_MARKED = ("marked-for-termination", "marked-for-stop")
NOTICE = timedelta(minutes=2)
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""
GROUP_TAG = "aws:autoscaling:groupName"
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html: on every member of an auto-scaling group."""
LATER = "take another machine type, offer more, or try again later; limits: aws service-quotas list-service-quotas --service-code ec2"
LOOK = "aws ec2 describe-instances   # in the target's region"


def open_instances(ctx: ProviderContext) -> Instances:
    """Return the EC2 instances of the context's region."""
    return Ec2Instances(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class Ec2Instances:
    """Machines of EC2 in one region, whoever started them. `page` is how many are asked for at once (5 to 1,000)."""

    session: Session
    page: int = 1000

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        """Return the machines that carry all these tags; a terminated one stays for about an hour."""
        return self._described("cannot list the instances", Filters=tag_filters(tags), MaxResults=self.page)

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        """Return hourly prices of Linux on shared hardware, on demand (price list) and spot (the cheapest zone now); currency as billed.

        Without names, of every type that the region has. A type that does not exist is InvalidRequest.
        """
        return read_prices(self.session, machines)

    def start(self, instance: str) -> Instance:
        """Start a stopped machine; one that runs stays so.

        Raises NotFound, QuotaExceeded (no capacity, or a limit of the account), Conflict for one that is being stopped, is terminated, or
        was stopped by the spot market: EC2 starts it again itself.
        """
        with next_step(QuotaExceeded, LATER), next_step(NotFound, LOOK):
            self.session.call(f"cannot start instance {instance!r}", lambda: self._ec2.start_instances(InstanceIds=[instance]))
        return self._now(instance)

    def stop(self, instance: str) -> Instance:
        """Stop a machine; one that is stopped stays so. Raises NotFound, InvalidRequest for a spot machine that was asked for once."""
        with next_step(NotFound, LOOK):
            self.session.call(f"cannot stop instance {instance!r}", lambda: self._ec2.stop_instances(InstanceIds=[instance]))
        return self._now(instance)

    def resize(self, instance: str, machine: str) -> Instance:
        """Change a stopped machine's type.

        Raises NotFound, Conflict when it runs, InvalidRequest for an unknown type and for a spot machine, whose type EC2 never changes.
        """
        doing = f"cannot resize instance {instance!r} to {machine}"
        now = self._now(instance)
        if now.machine == machine:
            return now
        if now.spot:
            raise InvalidRequest(doing, why="EC2 does not change the type of a spot machine", next_step="request a spot one of that type")
        wanted = {"InstanceId": instance, "InstanceType": {"Value": machine}}
        with next_step(Conflict, f"stop {instance} first"):
            self.session.call(doing, lambda: self._ec2.modify_instance_attribute(**wanted))
        return self._now(instance)

    def request(self, request: MachineRequest) -> Instance:
        """Start a machine from the settings' image; the same token gives the same one, as long as EC2 knows it.

        Raises QuotaExceeded when none is to be had (SpotMaxPriceTooLow, InsufficientInstanceCapacity, a limit of the account),
        InvalidRequest for an unknown type, or a token that stands for another request.
        """
        settings: Settings = self.session.settings
        asked = run_parameters(request, settings.image, settings.subnet)
        doing = f"no {request.words} could be had"
        with next_step(QuotaExceeded, LATER):
            answer = self.session.call(doing, lambda: self._ec2.run_instances(**asked))
        return to_instance(answer["Instances"][0])

    def notices(self, instances: Sequence[str]) -> Mapping[str, datetime]:
        """See `Noticed.notices`: two minutes after EC2 has marked the spot request of a machine.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html
        """
        if not instances:
            return {}
        asked: dict[str, Any] = {"Filters": [{"Name": "instance-id", "Values": list(instances)}]}
        doing, operation = "cannot look for interruption notices", "describe_spot_instance_requests"
        requests = paged(self.session, doing, "ec2", operation, "SpotInstanceRequests", **asked)
        marked = [one for one in requests if one.get("Status", {}).get("Code") in _MARKED]
        return {one["InstanceId"]: one["Status"]["UpdateTime"].astimezone(UTC) + NOTICE for one in marked}

    @property
    def _ec2(self) -> Any:
        return self.session.client("ec2")

    def _described(self, doing: str, **asked: Any) -> builtins.list[Instance]:
        groups = paged(self.session, doing, "ec2", "describe_instances", "Reservations", **asked)
        return [to_instance(one) for group in groups for one in group["Instances"]]

    def _now(self, instance: str) -> Instance:
        doing = f"cannot find instance {instance!r}"
        with next_step(NotFound, LOOK):
            for one in self._described(doing, InstanceIds=[instance]):
                return one
            raise NotFound(doing, why="EC2 does not know it in this region")


def run_parameters(request: MachineRequest, image: str, subnet: str) -> dict[str, Any]:
    """Return the parameters of RunInstances for a request."""
    once = bool(request.command)
    tags, kinds = tag_list(request.tags, OURS), ("instance", "volume", *(["spot-instances-request"] if request.spot else []))
    asked: dict[str, Any] = {
        "ImageId": image,
        "InstanceType": request.machine,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": short(request.token),
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
    }
    if request.spot:
        asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": _spot_options(request)}
    if once:
        asked["UserData"] = f"#!/bin/sh\n{shlex.join(request.command)}\nshutdown -h now\n"
        asked["InstanceInitiatedShutdownBehavior"] = "terminate"
    return asked | ({"SubnetId": subnet} if subnet else {})


def _spot_options(request: MachineRequest) -> dict[str, str]:
    """Return SpotOptions. `max_price` is in dollars an hour; none means up to the on-demand price."""
    kind, taken = ("one-time", "terminate") if request.command else ("persistent", "stop")
    price = {"MaxPrice": format(request.max_price, "f")} if request.max_price is not None else {}
    return {"SpotInstanceType": kind, "InstanceInterruptionBehavior": taken, **price}


def to_instance(said: Mapping[str, Any]) -> Instance:
    """Return an instance as EC2 describes it; one that EC2 took back from the spot market is `interrupted`, stopped or ended.

    EnaSupport is only said of one that is enabled for it:
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/test-enhanced-networking-ena.html
    """
    state = _STATES[said["State"]["Name"]]
    if state in ("stopped", "terminated") and said.get("StateReason", {}).get("Code") in _TAKEN_AWAY:
        state = "interrupted"
    return Instance(
        said["InstanceId"],
        said["InstanceType"],
        said.get("Placement", {}).get("AvailabilityZone", ""),
        state,
        said["LaunchTime"].astimezone(UTC),
        said.get("InstanceLifecycle") == "spot",
        tags_of(said.get("Tags")),
        tags_of(said.get("Tags")).get(GROUP_TAG, ""),
        _disks(said),
        architecture_of([said.get("Architecture", "")]),
        lacks=() if said.get("EnaSupport") else (ENA,),
    )


def _disks(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the EBS volumes, the root device first; what is stored on the machine itself has no copy."""
    told = {one.get("DeviceName", ""): one.get("Ebs", {}).get("VolumeId") for one in said.get("BlockDeviceMappings", ())}
    volumes = {device: volume for device, volume in told.items() if volume}
    root = said.get("RootDeviceName")
    return tuple(f"{DISK}/{volumes[device]}" for device in sorted(volumes, key=lambda device: (device != root, device)))
