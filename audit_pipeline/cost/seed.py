"""The cost table of the post that this product comes from, and what each of its lines is.

The post gives 100,000 events a day; that they are of 1.7 KB follows from its 5 GB a month.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from audit_pipeline.cost.lines import Line, Part, bill, month_lines, total
from audit_pipeline.cost.prices import Prices
from audit_pipeline.cost.rounding import MB
from audit_pipeline.cost.workload import Engine, Workload

__all__ = ["SEED_RUN_SECONDS", "SEED_WORKLOAD", "SeedLine", "compare"]

#: As the post has it: Firehose's buffer of 60 s or 5 MB, and Glue.
SEED_WORKLOAD: Final = Workload(100_000, 1700, buffer_seconds=60, buffer_bytes=5 * MB, engine=Engine.GLUE)
SEED_RUN_SECONDS: Final = Decimal(30 * 60)


@dataclass(frozen=True, slots=True)
class SeedLine:
    """Dollars a month: what the post ``says`` (None: nothing), what its own design costs, and what ours does."""

    name: str
    says: Decimal | None
    costs: Decimal
    ours: Decimal
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.name,
            "seed_says": None if self.says is None else float(self.says),
            "seed_costs": float(self.costs),
            "ours": float(self.ours),
            "why": self.why,
        }


def compare(prices: Prices) -> list[SeedLine]:
    """The post's table, line by line, with its total; then what is beside it."""
    month = SEED_WORKLOAD.month(SEED_RUN_SECONDS)
    seed = month_lines(month, prices)
    here = bill(Workload(SEED_WORKLOAD.events_per_day, SEED_WORKLOAD.event_bytes), prices)

    def line(name: str, says: str | None, why: str, *starts: str) -> SeedLine:
        return SeedLine(name, Decimal(says) if says else None, _sum(seed, starts), _sum(here, starts), why)

    transitions = prices.s3_glacier_transition.rate.cost_of(month.raw_objects)
    one_dpu = _sum(seed, ["Glue"]) / 2
    lines = [
        line("EventBridge", "3", "right", "EventBridge"),
        line("Firehose", "0.15", "each record is billed in steps of 5 KB: 1.7 KB as 5", "Firehose"),
        line(
            "S3 (Raw)", "0.12",
            f"{month.raw_objects:,} PUTs are left out. Its move to Glacier leaves objects under 128 KB where they are; "
            f"forced, it is ${transitions:.2f} more",
            "S3 raw:",
        ),
        line("S3 (Parquet)", "0.05", "what four months cost; it is never deleted, here after twelve", "S3 table:"),
        line(
            "Glue", "13", f"right, but it is 2 DPU, the least of a Spark job: 1 DPU for 30 min a day is ${one_dpu:.2f}",
            "Glue", "Fargate",
        ),
        line("Athena", "0.50", "1,000 queries at the minimum of 10 MB; 0.50 would be ten times as many", "Athena"),
        line("S3 requests of run and queries", None, "left out", "S3, "),
        line("KMS requests", None, "left out; with bucket keys, as ours", "KMS requests"),
    ]  # fmt: skip
    return [
        *lines,
        SeedLine(
            "Total",
            Decimal(17),
            sum((line.costs for line in lines), Decimal(0)),
            sum((line.ours for line in lines), Decimal(0)),
            "right, of wrong parts; without what guards it",
        ),
        SeedLine(
            "Orchestrator", None, Decimal(0), total(here, Part.ORCHESTRATOR),
            "a Glue trigger is free, and has no backfills, checks or alerts",
        ),
    ]  # fmt: skip


def _sum(lines: list[Line], starts: tuple[str, ...] | list[str]) -> Decimal:
    of_path = (line for line in lines if line.part is Part.PATH)
    return sum((line.dollars for line in of_path if line.name.startswith(tuple(starts))), Decimal(0))
