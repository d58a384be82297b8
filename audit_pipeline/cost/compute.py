"""Where a day's run can run in AWS, and what it costs there.

The product's engines run on these platforms: ``local`` is a Fargate task (ARM, 1 vCPU, 2 GB) that lives for one run;
``spark`` is one too, larger, with the JVM in it; ``glue`` is a Glue job of the least size, 2 workers of 1 DPU each. The
other platforms are for comparison.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from audit_pipeline.cost.prices import Prices, Rate
from audit_pipeline.cost.rounding import billed_seconds
from audit_pipeline.cost.workload import Engine

__all__ = [
    "MIN_SPARK_DPUS",
    "Platform",
    "alternatives",
    "estimated_seconds",
    "fargate",
    "glue_python_shell",
    "glue_spark",
    "lambda_arm",
    "platform_of",
    "start_seconds",
]

#: Of a Spark job of Glue; without a number of workers it takes 10.
MIN_SPARK_DPUS: Final = 2

_HOUR: Final = 3600

#: Seconds that are billed besides the work: Fargate bills the pull of the image, the start of Dagster and the checks,
#: Glue the start of Spark. Without an AWS account this is not measured but assumed, on the safe side: a whole run of
#: 100,000 events, from the start of its process to its end, took 45 to 65 s on a busy machine. Spark's session and
#: Python workers took 10 s of that here (docs/operate/scaling.md).
_START_SECONDS: Final = {Engine.LOCAL: Decimal(120), Engine.SPARK: Decimal(130), Engine.GLUE: Decimal(180)}
#: Seconds for a million events: CPU seconds of one local worker (docs/develop/performance.md); wall seconds of the
#: Spark engine on 2 cores (docs/operate/scaling.md, from 1M to 5M events), and half of that on the 4 vCPUs of Glue's
#: one worker that is not the driver's.
_SECONDS_A_MILLION: Final = {Engine.LOCAL: Decimal("16.2"), Engine.SPARK: Decimal("18.3"), Engine.GLUE: Decimal("9.2")}
#: Assumed likewise, of platforms that the product has no engine for.
_SHELL_START_SECONDS: Final = Decimal(300)
_LAMBDA_START_SECONDS: Final = Decimal(60)


@dataclass(frozen=True, slots=True)
class Platform:
    """``rate`` is that of a whole task of the size that ``name`` says, for ``unit_seconds``.

    ``prices`` are the names of the prices that it is made of.
    """

    name: str
    rate: Rate
    unit_seconds: int
    prices: tuple[str, ...]
    has_minimum: bool = True

    def quantity(self, runs: int, seconds: Decimal) -> Decimal:
        """Of the rate's unit, for so many runs of ``seconds`` each."""
        return runs * self._billed(seconds) / self.unit_seconds

    def how(self, runs: int, seconds: Decimal) -> str:
        floor = ", the minimum" if self._billed(seconds) > seconds else ""
        return f"{runs:,} runs of {self._billed(seconds):,.0f} s{floor}"

    def _billed(self, seconds: Decimal) -> Decimal:
        return billed_seconds(seconds) if self.has_minimum else seconds


def start_seconds(engine: Engine) -> Decimal:
    """Seconds that are billed for a run besides its work."""
    return _START_SECONDS[engine]


def estimated_seconds(engine: Engine, events: int) -> Decimal:
    """How long a run of so many events is billed for, in seconds."""
    return _START_SECONDS[engine] + _SECONDS_A_MILLION[engine] * events / 1_000_000


def platform_of(engine: Engine, prices: Prices) -> Platform:
    """The platform that an engine runs on."""
    match engine:
        case Engine.LOCAL:
            return fargate(prices, "arm", vcpus=1, gigabytes=2)
        case Engine.SPARK:
            return fargate(prices, "arm", vcpus=2, gigabytes=8)
        case Engine.GLUE:
            return glue_spark(prices, dpus=MIN_SPARK_DPUS)


def alternatives(engine: Engine, events: int, prices: Prices) -> list[tuple[Platform, Decimal]]:
    """Other platforms for the same run, with its seconds there."""
    others = [other for other in Engine if other is not engine]
    local = estimated_seconds(Engine.LOCAL, events)
    work = local - start_seconds(Engine.LOCAL)
    return [
        *((platform_of(other, prices), estimated_seconds(other, events)) for other in others),
        (fargate(prices, "x86", vcpus=1, gigabytes=2), local),
        # a sixteenth of 4 vCPUs is a quarter of one
        (glue_python_shell(prices), _SHELL_START_SECONDS + 4 * work),
        (lambda_arm(prices, gigabytes=2), _LAMBDA_START_SECONDS + work),
    ]


def glue_spark(prices: Prices, dpus: int) -> Platform:
    """A Spark job of Glue. It has 2 DPU at least; a Python shell may have less."""
    return Platform(f"Glue Spark, {dpus} DPU", _glue_rate(prices, Decimal(dpus)), _HOUR, ("glue_dpu",))


def glue_python_shell(prices: Prices) -> Platform:
    return Platform("Glue Python shell, 1/16 DPU", _glue_rate(prices, Decimal("0.0625")), _HOUR, ("glue_dpu",))


def fargate(prices: Prices, machine: Literal["arm", "x86"], *, vcpus: int, gigabytes: int) -> Platform:
    names = f"fargate_{machine}_vcpu", f"fargate_{machine}_memory"
    vcpu, memory = (prices.by_name()[name].rate for name in names)
    rate = Rate(vcpu.cost_of(vcpus) + memory.cost_of(gigabytes), 1, "task-hour")
    return Platform(f"Fargate {machine}, {vcpus} vCPU, {gigabytes} GB", rate, _HOUR, names)


def lambda_arm(prices: Prices, *, gigabytes: int) -> Platform:
    """Lambda bills by the millisecond, without a minimum."""
    rate = Rate(prices.lambda_arm_memory.rate.cost_of(gigabytes), 1, "second")
    return Platform(f"Lambda arm, {gigabytes} GB", rate, 1, ("lambda_arm_memory",), has_minimum=False)


def _glue_rate(prices: Prices, dpus: Decimal) -> Rate:
    return Rate(prices.glue_dpu.rate.cost_of(dpus), 1, "job-hour")
