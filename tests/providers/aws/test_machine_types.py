"""What EC2's machine types have: the 1,395 real ones that moto brings, over moto server; and the disks and the image of an instance."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest

from mcml.providers.api.instances import Architecture, MachinePrice
from mcml.providers.aws.instances import to_instance
from mcml.providers.aws.machine_types import MachineType, architecture_of, machine_type_of
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Shape = tuple[str, str, str, str | None, str | None, bool]
SHAPES: dict[str, Shape] = {
    # architecture, GPUs, which, GiB of them together, Gbit/s that it always has, burstable
    "m5.large": ("x86_64", "0", "", None, "0.75", False),
    "t4g.nano": ("arm64", "0", "", None, "0.032", True),
    "t2.micro": ("x86_64", "0", "", None, "0.064", True),
    "g5g.xlarge": ("arm64", "1", "T4g", "16", "1.25", False),
    "g4dn.xlarge": ("x86_64", "1", "T4", "16", "5.0", False),
    "p4d.24xlarge": ("x86_64", "8", "A100", "320", "400", False),
    "p5.48xlarge": ("x86_64", "8", "H100", "640", "3200", False),
    "g6f.large": ("x86_64", "0.125", "L4", str(Decimal(2861) / 1024), "1.5", False),
    "gr6f.4xlarge": ("x86_64", "0.5", "L4", str(Decimal(11444) / 1024), "10.0", False),
    "inf2.xlarge": ("x86_64", "1", "Inferentia2", "32", "2.083", False),
    "trn1.2xlarge": ("x86_64", "1", "Trainium", "32", "3.125", False),
    "dl2q.24xlarge": ("x86_64", "8", "Qualcomm AI100", "125", "100", False),
    "vt1.3xlarge": ("x86_64", "1", "U30", "24", "3.125", False),
    "f2.6xlarge": ("x86_64", "1", "Virtex UltraScale+ (VU47P)", "80", "12.5", False),
    "mac2.metal": ("", "0", "", None, "10.0", False),
}


@pytest.fixture
def types(session: Session) -> dict[str, MachineType]:
    """What moto server tells of all its types."""
    told = paged(session, "cannot describe", "ec2", "describe_instance_types", "InstanceTypes")
    return {one["InstanceType"]: machine_type_of(one) for one in told}


def test_what_real_types_have(types: dict[str, MachineType]) -> None:
    """Some as their pages have them, and of each as much as EC2 tells."""
    for name, (architecture, gpus, gpu, memory, network, burstable) in SHAPES.items():
        found = types[name]
        assert (found.architecture, found.gpus, found.gpu) == (architecture, Decimal(gpus), gpu), name
        assert found.gpu_memory_gib == (None if memory is None else Decimal(memory)), name
        assert (found.network_gbps, found.burstable) == (None if network is None else Decimal(network), burstable), name
    assert len(types) > 1300
    assert {one.architecture for one in types.values()} == set(get_args(Architecture))
    assert {name[:3] for name, one in types.items() if not one.architecture} == {"mac"}
    assert {name.partition(".")[0] for name, one in types.items() if one.burstable} == {"t2", "t3", "t3a", "t4g"}
    for name, one in types.items():
        assert bool(one.gpus) == bool(one.gpu) == (one.gpu_memory_gib is not None), name
        assert one.network_gbps is not None, name
        assert one.network_gbps > 0, name
        price = MachinePrice(name, "eu-west-1", on_demand=None, spot=None, currency="USD", as_of=NOON, **vars(one))
        assert price.vcpus > 0, name


def test_the_drivers_that_types_on_nitro_need_and_those_of_an_image(types: dict[str, MachineType]) -> None:
    assert {name: types[name].requires for name in ("m4.large", "t2.micro", "m5.large", "c7g.large")} == {
        "m4.large": (), "t2.micro": (), "m5.large": ("ENA", "NVMe"), "c7g.large": ("ENA", "NVMe")
    }  # fmt: skip
    said = {"InstanceId": "i-1", "InstanceType": "m4.large", "State": {"Name": "running"}, "LaunchTime": NOON}
    assert to_instance(said).lacks == ("ENA",), "EC2 says it of those that are enabled only"
    assert to_instance({**said, "EnaSupport": True}).lacks == ()


def test_of_a_type_of_which_little_is_told() -> None:
    """None is for what is not told, never zero."""
    bare = machine_type_of({"VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": 512}})
    assert bare == MachineType(Decimal(2), Decimal("0.5"))
    assert bare.network_gbps is None
    assert bare.local_disk_gb is None
    sized = {"VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": 512}}
    assert machine_type_of({**sized, "InstanceStorageSupported": False}).local_disk_gb == 0
    disk = {"InstanceStorageSupported": True, "InstanceStorageInfo": {"TotalSizeInGB": 75}}
    assert machine_type_of({**sized, **disk}).local_disk_gb == 75
    cards = {"NetworkInfo": {"NetworkCards": [{"NetworkCardIndex": 0, "NetworkPerformance": "Up to 5 Gigabit"}]}}
    gpus = {"GpuInfo": {"Gpus": [{"Name": "M60", "Count": 2}]}}
    some = machine_type_of({"VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": 512}, **cards, **gpus})
    assert (some.gpus, some.gpu, some.gpu_memory_gib, some.network_gbps) == (Decimal(2), "M60", None, None)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [(["i386", "x86_64"], "x86_64"), (["arm64"], "arm64"), (["i386"], ""), (["arm64_mac"], ""), (["x86_64_mac"], ""), ([""], ""), ([], "")],
)
def test_architectures(told: list[str], wanted: Architecture) -> None:
    assert architecture_of(told) == wanted


def instance(**about: Any) -> Any:
    return {"InstanceId": "i-1", "InstanceType": "m5.large", "LaunchTime": NOON, "State": {"Name": "running"}, **about}


def test_the_root_volume_is_the_first() -> None:
    disks = [{"DeviceName": f"/dev/{name}", "Ebs": {"VolumeId": f"vol-{name}"}} for name in ("sdb", "sda1", "sdf")]
    described = to_instance(instance(RootDeviceName="/dev/sda1", Architecture="arm64", BlockDeviceMappings=disks))
    assert described.disks == ("disk/vol-sda1", "disk/vol-sdb", "disk/vol-sdf")
    assert described.architecture == "arm64"


def test_a_machine_of_which_the_volumes_are_not_told() -> None:
    """One that was just asked for, or whose root is on the machine itself."""
    assert to_instance(instance()).disks == ()
    attaching = {"DeviceName": "/dev/sdb", "Ebs": {"Status": "attaching"}}
    told = to_instance(instance(RootDeviceName="/dev/sda1", RootDeviceType="instance-store", BlockDeviceMappings=[attaching]))
    assert (told.disks, told.architecture) == ((), "")
