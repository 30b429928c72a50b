"""A change of a machine's type on EC2: on moto server."""

from pathlib import Path

import pytest

from mcml.core.clock import utc_now
from mcml.providers.aws.instances import Ec2Instances
from mcml.providers.aws.session import Session
from mcml.providers.aws.snapshots import AwsSnapshots
from mcml.store.db import Store
from tests.cost.rightsize.on_stub import check


@pytest.mark.slow
def test_a_machine_gets_another_type_and_goes_back(session: Session, machine_image: str, tmp_path: Path) -> None:
    asked = {"ImageId": machine_image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    made = session.client("ec2").run_instances(**asked)["Instances"][0]["InstanceId"]
    instances = Ec2Instances(session)
    machine = next(one for one in instances.list() if one.id == made)
    assert machine.launched <= utc_now()
    with Store(f"sqlite:///{tmp_path / 'mcml.db'}") as store:
        check(store, instances, AwsSnapshots(session), machine, "c5.large")
