"""The bill of the baseline design, line by line, beside ours: ``python -m bench.baseline_bill``.

The baseline (docs/design.md, "Where this comes from") has a table of costs for 100,000 events a day; that they are of
1.7 KB follows from its 5 GB a month.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from audit_pipeline.cli.cost import dollars
from audit_pipeline.cli.output import cell, print_json, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.cost.lines import Line, Part, bill, month_lines, total
from audit_pipeline.cost.prices import Prices, Rate, load_prices
from audit_pipeline.cost.rounding import MB
from audit_pipeline.cost.workload import Engine, Workload

__all__ = ["BASELINE", "RUN_SECONDS", "BaselineLine", "compare"]

#: Firehose's buffer is 60 s or 5 MB there, and a Glue job runs for half an hour.
BASELINE: Final = Workload(100_000, 1700, buffer_seconds=60, buffer_bytes=5 * MB, engine=Engine.GLUE)
RUN_SECONDS: Final = Decimal(30 * 60)
#: Recalled, of https://aws.amazon.com/s3/pricing/ (2026-11-24, us-east-1); our lifecycle moves large objects only.
_GLACIER_TRANSITION: Final = Rate(Decimal("0.03"), 1000, "transitions")


@dataclass(frozen=True, slots=True)
class BaselineLine:
    """Dollars a month: what the baseline's table ``says`` (None: nothing), what it costs, and what ours does."""

    name: str
    says: Decimal | None
    costs: Decimal
    ours: Decimal
    why: str

    def to_json(self) -> dict[str, Any]:
        return {
            "line": self.name,
            "baseline_says": None if self.says is None else float(self.says),
            "baseline_costs": float(self.costs),
            "ours": float(self.ours),
            "why": self.why,
        }


def compare(prices: Prices) -> list[BaselineLine]:
    """The baseline's table, line by line, with its total; then what is beside it."""
    month = BASELINE.month(RUN_SECONDS)
    theirs = month_lines(month, prices)
    here = bill(Workload(BASELINE.events_per_day, BASELINE.event_bytes), prices)

    def line(name: str, says: str | None, why: str, *starts: str) -> BaselineLine:
        return BaselineLine(name, Decimal(says) if says else None, _sum(theirs, starts), _sum(here, starts), why)

    transitions = _GLACIER_TRANSITION.cost_of(month.raw_objects)
    one_dpu = _sum(theirs, ["Glue"]) / 2
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
        BaselineLine(
            "Total",
            Decimal(17),
            sum((line.costs for line in lines), Decimal(0)),
            sum((line.ours for line in lines), Decimal(0)),
            "right, of wrong parts; without what guards it",
        ),
        BaselineLine(
            "Orchestrator", None, Decimal(0), total(here, Part.ORCHESTRATOR),
            "a Glue trigger is free, and has no backfills, checks or alerts",
        ),
    ]  # fmt: skip


def _sum(lines: list[Line], starts: tuple[str, ...] | list[str]) -> Decimal:
    of_path = (line for line in lines if line.part is Part.PATH)
    return sum((line.dollars for line in of_path if line.name.startswith(tuple(starts))), Decimal(0))


def print_bill(as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, a line each.")] = False) -> None:
    """The baseline's table of costs: what it says, what it comes to, and what our design costs."""
    lines = compare(load_prices())
    if as_json:
        for line in lines:
            print_json(line.to_json())
        return
    title = f"the baseline, {BASELINE.events_per_day:,} events a day of {BASELINE.event_bytes:,} bytes"
    shown = FittingTable("line", "it says, $", "it is, $", "ours, $", "why", title=title, right=3)
    for line in lines:
        says = "—" if line.says is None else f"{line.says}"
        shown.add_row(cell(line.name), says, dollars(line.costs), dollars(line.ours), cell(line.why))
    shown.print(stdout_console())


if __name__ == "__main__":
    typer.run(print_bill)
