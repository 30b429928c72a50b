"""`[providers.local]` of mcml.toml: where it lives and what its resources cost."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field


class Price(BaseModel):
    """What a region of this machine costs: the owner decides, the bill multiplies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vcpu_hour: Decimal = Field(default=Decimal("0.04"), ge=0, description="Price of one CPU busy for one hour.")
    gib_hour: Decimal = Field(default=Decimal("0.005"), ge=0, description="Price of one GiB of memory held for one hour.")


class Settings(BaseModel):
    """Settings of the local provider; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = Field(default="", description="Folder of everything local; empty: .mcml/local of the project.")
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$", description="ISO 4217 currency of the prices.")
    price: Price = Field(default=Price(), description="Price where a region has none of its own.")
    prices: dict[str, Price] = Field(default_factory=dict, description="Prices by region.")
    ports_per_target: int = Field(default=8, ge=2, le=256, description="How many TCP ports a target leases.")
    spot_discount: Decimal = Field(default=Decimal("0.7"), ge=0, le=1, description="Share by which a spot instance is cheaper.")
    vcpu_quota: int = Field(default=64, ge=1, description="How many virtual CPUs all running instances may have together.")
