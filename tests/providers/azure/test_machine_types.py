"""What sizes have: Resource SKUs as Azure tells them, and the tables of its pages."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from mcml.providers.api.instances import Architecture
from mcml.providers.azure.machine_types import _COUNTS, _SERIES, architecture_of, machine_type_of
from mcml.providers.azure.prices import to_price

T4 = {"vCPUs": "16", "MemoryGB": "110", "CpuArchitectureType": "x64", "vCPUsAvailable": "16", "GPUs": "1", "vCPUsPerCore": "1"}
"""Of Standard_NC16as_T4_v3 in southcentralus, cut to what is about shapes."""


def test_the_shape_is_told_with_the_price() -> None:
    price = to_price("Standard_NC16as_T4_v3", "southcentralus", T4, [], datetime(2026, 5, 1, tzinfo=UTC))
    assert (price.architecture, price.gpus, price.gpu, price.gpu_memory_gib) == ("x86_64", Decimal(1), "Nvidia Tesla T4", Decimal(16))
    assert (price.vcpus, price.memory_gib, price.burstable, price.network_gbps) == (Decimal(16), Decimal(110), False, None)


@pytest.mark.parametrize(
    ("name", "told", "gpus", "gpu", "memory"),
    [
        ("Standard_NC64as_T4_v3", "4", "4", "Nvidia Tesla T4", 64),
        ("Standard_NC24rs_v3", "4", "4", "Nvidia Tesla V100", 64),
        ("Standard_NC96ads_A100_v4", "4", "4", "Nvidia PCIe A100", 320),
        ("Standard_NC80adis_H100_v5", "2", "2", "Nvidia PCIe H100", 188),
        ("Standard_ND96asr_v4", "8", "8", "Nvidia A100", 320),
        ("Standard_ND96amsr_A100_v4", "8", "8", "Nvidia A100", 640),
        ("Standard_ND96isr_H200_v5", "8", "8", "Nvidia H200", 1128),
        ("Standard_NV48s_v3", "4", "4", "Nvidia Tesla M60", 32),
        ("Standard_NV6ads_A10_v5", "1", "0.1667", "Nvidia A10", 4),
        ("Standard_NV12ads_A10_v5", "1", "0.3333", "Nvidia A10", 8),
        ("Standard_NV18ads_A10_v5", "1", "0.5", "Nvidia A10", 12),
        ("Standard_NV36adms_A10_v5", "1", "1", "Nvidia A10", 24),
        ("Standard_NV72ads_A10_v5", "2", "2", "Nvidia A10", 48),
        ("Standard_NV4as_v4", "1", "0.125", "AMD Instinct MI25", 2),
        ("Standard_NG8ads_V620_v1", "1", "0.25", "AMD Radeon PRO V620", 8),
        ("Standard_NP20s", "", "2", "Xilinx U250", 128),
        ("Standard_NC36ds_xl_RTXPRO6000BSE_v6", "1", "0.25", "Nvidia RTX PRO 6000 Blackwell Server Edition", 24),
        ("Standard_NC16lds_xl_RTXPRO6000BSE_v6", "1", "1", "Nvidia RTX PRO 6000 Blackwell Server Edition", None),
        ("Standard_NC8ads_A10_v4", "1", "1", "", None),
        ("Standard_D16plds_v5", "", "0", "", None),
    ],
)
def test_gpus_by_the_pages_of_their_sizes(name: str, told: str, gpus: str, gpu: str, memory: int | None) -> None:
    """A part of a GPU is one to the Resource SKUs; of a size that no page tells of, the memory is unknown."""
    found = machine_type_of(name, {"GPUs": told} if told else {})
    assert (str(found.gpus), found.gpu, found.gpu_memory_gib) == (gpus, gpu, memory)


def test_every_count_is_of_a_known_series_with_whole_gib() -> None:
    for name, count in _COUNTS.items():
        found = machine_type_of(name, {})
        assert found.gpu
        assert found.gpu_memory_gib is not None
        (gib,) = {gib for sizes, _, gib in _SERIES if sizes.fullmatch(name)}
        assert found.gpu_memory_gib == count * gib


def test_of_constrained_vcpus_only_those_count_that_may_be_used() -> None:
    """Standard_M8-2ms has the memory of eight, and two."""
    assert machine_type_of("Standard_M8-2ms", {"vCPUs": "8", "vCPUsAvailable": "2", "MemoryGB": "218.75"}).vcpus == 2
    assert machine_type_of("Standard_M8-2ms", {"vCPUs": "8", "MemoryGB": "218.75"}).memory_gib == Decimal("218.75")


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("Standard_D2s_v3", "x86_64"), ("Standard_D16plds_v5", "arm64"), ("Standard_B2pts_v2", "arm64"), ("Standard_M8-2ms", "x86_64"),
        ("Standard_DS2_v2_Promo", "x86_64"), ("Standard_NP10s", "x86_64"), ("Standard_ND128isr_NDR_GB200_v6", "arm64"),
        ("Standard_A0", "x86_64"), ("Dasv5_Type1", ""), ("", ""), ("local-1x1", ""),
    ],
)  # fmt: skip
def test_the_architecture_of_a_name(name: str, architecture: Architecture) -> None:
    assert architecture_of(name) == architecture


@pytest.mark.parametrize("told", ["x64", "Arm64", "", "RISC-V"])
def test_the_architecture_of_a_price_is_as_told(told: str) -> None:
    found = machine_type_of("Standard_D2s_v3", {"CpuArchitectureType": told})
    assert found.architecture == {"x64": "x86_64", "Arm64": "arm64"}.get(told, "")


def test_burstable_is_the_b_family() -> None:
    burstable = [machine_type_of(f"Standard_{name}", {}).burstable for name in ("B1ls", "B2pts_v2", "B32as_v2", "D2s_v3", "DB2", "NB6")]
    assert burstable == [True, True, True, False, False, False]
