"""The prices: ``prices.yaml`` beside this module, and a file of the user's with those that differ."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from audit_pipeline.errors import SettingsError

__all__ = ["Price", "Prices", "Rate", "load_prices"]


@dataclass(frozen=True, slots=True)
class Rate:
    """``dollars`` for ``per`` of ``unit``."""

    dollars: Decimal
    per: int
    unit: str

    def cost_of(self, quantity: Decimal | int) -> Decimal:
        """Dollars for this many of the unit."""
        return self.dollars * quantity / self.per

    def __str__(self) -> str:
        amount = f"{self.dollars.normalize():f}"
        if len(amount.partition(".")[2]) < 2:
            amount = f"{self.dollars:.2f}"
        return f"${amount} / {f'{self.per:,} ' if self.per > 1 else ''}{self.unit}"


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price as the file has it; ``prices.yaml`` says what the fields mean."""

    dollars: Decimal
    per: Annotated[int, msgspec.Meta(ge=1)]
    unit: str
    source: str
    as_of: date
    how: Literal["read", "recalled"]

    def __post_init__(self) -> None:
        if not (self.dollars.is_finite() and self.dollars >= 0):
            raise ValueError(f"{self.dollars} is not a price")

    @property
    def rate(self) -> Rate:
        return Rate(self.dollars, self.per, self.unit)


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every price that is computed with."""

    eventbridge_events: Price
    eventbridge_archive: Price
    eventbridge_archive_storage: Price
    firehose: Price
    s3_storage: Price
    s3_put: Price
    s3_get: Price
    glue_dpu: Price
    fargate_arm_vcpu: Price
    fargate_arm_memory: Price
    fargate_x86_vcpu: Price
    fargate_x86_memory: Price
    lambda_arm_memory: Price
    athena_scanned: Price
    kms_requests: Price
    kms_key: Price
    cloudwatch_alarm: Price
    dagster_plus_solo: Price
    dagster_plus_credit: Price

    def by_name(self) -> dict[str, Price]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def load_prices(own: Path | None = None) -> Prices:
    """The package's prices, those of the file ``own`` in their place.

    :class:`SettingsError` where that file cannot be read, or holds an invalid price or an unknown name.
    """
    ours = _parsed(resources.files("audit_pipeline.cost").joinpath("prices.yaml").read_text(encoding="utf-8"))
    try:
        theirs = _parsed(own.read_text(encoding="utf-8")) if own else {}
        return msgspec.convert(ours | theirs, Prices, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise SettingsError(f"the price file {own} cannot be used: {' '.join(str(error).split())}") from None


def _parsed(text: str) -> dict[str, Any]:
    """Every scalar as the text that stands in the file: YAML's own numbers are floats."""
    parsed = yaml.load(text, Loader=yaml.BaseLoader)
    if not isinstance(parsed, dict):
        raise msgspec.ValidationError("it holds no prices by name")
    return parsed
