"""What moto leaves out of EC2 and EC2 does, put right in the server's process: idempotency tokens, prices that are too low, machines that
run and are not resized, spot machines that are taken away (POST /interrupt/INSTANCE, in every region) or of which there are none (POST
/sold-out/TYPE, which takes the place of the type before).
"""

from datetime import datetime
from typing import Any

SOLD_OUT: set[str] = set()
LOWEST_SPOT_PRICE = 0.00001  # the one that moto's price history shows


def install() -> None:
    run_machines()
    make_volumes()
    tell_milliseconds()


def run_machines() -> None:
    from moto.ec2.exceptions import EC2ClientError as Refused
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.responses.instances import InstanceResponse

    run, modify, respond = InstanceBackend.run_instances, InstanceBackend.modify_instance_attribute, InstanceResponse.run_instances

    def run_once(self: Any, image: str, count: int, user_data: Any, groups: Any, **asked: Any) -> Any:
        """The same token is the same machine; with other parameters it is refused."""
        known = self.__dict__.setdefault("mcml_tokens", {})
        token = asked.get("client_token")
        if token in (None, "ABCDE"):
            return run(self, image, count, user_data, groups, **asked)
        what = (image, user_data, asked.get("instance_type"), str(asked.get("tags")), asked.get("lifecycle"))
        if token not in known:
            known[token] = (what, run(self, image, count, user_data, groups, **asked))
        if known[token][0] != what:
            raise Refused("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent")
        return known[token][1]

    def respond_within_price(self: Any) -> Any:
        price = self._get_param("InstanceMarketOptions.SpotOptions.MaxPrice")
        if price is not None and float(price) < LOWEST_SPOT_PRICE:
            why = f"Your Spot request price of {price} is lower than the minimum required, which is {LOWEST_SPOT_PRICE}."
            raise Refused("SpotMaxPriceTooLow", why)
        if self._get_param("InstanceMarketOptions.MarketType") == "spot" and self._get_param("InstanceType") in SOLD_OUT:
            raise Refused("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")
        return respond(self)

    def modify_stopped(self: Any, instance: str, key: str, value: Any) -> Any:
        from moto.ec2.models.instance_types import INSTANCE_TYPES

        if key == "instance_type":
            if self.get_instance(instance)._state.name != "stopped":
                raise Refused("IncorrectInstanceState", f"The instance '{instance}' is not in the 'stopped' state.")
            if value not in INSTANCE_TYPES:
                raise Refused("InvalidInstanceAttributeValue", f"Invalid value '{value}' for instanceType")
        return modify(self, instance, key, value)

    InstanceBackend.run_instances = run_once
    InstanceBackend.modify_instance_attribute = modify_stopped
    InstanceResponse.run_instances = respond_within_price


def make_volumes() -> None:
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    create = ElasticBlockStore.create_volume

    def create_once(self: Any) -> Any:
        known = self.ec2_backend.__dict__.setdefault("mcml_volume_tokens", {})
        token = self._get_param("ClientToken")
        if token not in known:
            known[token] = create(self)
        return known[token]

    ElasticBlockStore.create_volume = create_once


def tell_milliseconds() -> None:
    """moto writes EC2's times with ".000": what was made within a second has no order."""
    from moto.core.serialize import TimestampSerializer

    def written(_: Any, at: datetime) -> str:
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"

    TimestampSerializer._timestamp_iso8601_zeroed = written


def sold_out(machine: str) -> None:
    """Have no spot machine of a type; of every type, when it is empty."""
    SOLD_OUT.clear()
    SOLD_OUT.add(machine)


def interrupt(instance: str) -> None:
    """Stop a machine as the spot market does."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.instances import StateReason

    for region in ec2_backends["123456789012"].values():
        for one in region.all_instances():
            if one.id == instance:
                one.stop()
                one.state_reason = StateReason("Server.SpotInstanceShutdown: Instance was stopped by EC2", "Server.SpotInstanceShutdown")
