"""The lines of the bill: from amounts and prices, each with how it is worked out."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from audit_pipeline.cost.compute import Platform, alternatives, estimated_seconds, platform_of
from audit_pipeline.cost.prices import Prices, Rate
from audit_pipeline.cost.rounding import GB, KB, TB, billed_scan, steps
from audit_pipeline.cost.workload import DAYS_A_MONTH, PARQUET_MONTHS, RAW_MONTHS, Amounts, Workload

__all__ = [
    "ALARMS",
    "ARCHIVE_DAYS",
    "TOTALS",
    "Line",
    "Part",
    "athena_line",
    "bill",
    "compute_line",
    "month_lines",
    "path_lines",
    "total",
]

#: EventBridge counts an event in steps of this, Firehose a record.
_CHUNK: Final = 64 * KB
_RECORD_STEP: Final = 5 * KB
#: Requests to S3 that reach KMS where a bucket has a bucket key: 2.7 % were measured, AWS says "up to 99 %" fewer.
#: https://github.com/aws-samples/s3-bucketkey-poc
_KMS_SHARE: Final = Decimal("0.027")

#: Of aws/cf.yaml: days that the archive keeps, alarms.
ARCHIVE_DAYS: Final = 14
ALARMS: Final = 7
#: Assets that a day's run materializes.
_ASSETS: Final = 3


class Part(StrEnum):
    """What a line belongs to. Only lines of ``ELSEWHERE`` are in no total: they are instead of the run's own."""

    PATH = "from event to answer"
    GUARDS = "what guards it"
    ORCHESTRATOR = "the orchestrator"
    ELSEWHERE = "the run elsewhere, instead"


#: What is added up, by what it is called.
TOTALS: Final = {
    "from event to answer": (Part.PATH,),
    "with its guards": (Part.PATH, Part.GUARDS),
    "with an orchestrator": (Part.PATH, Part.GUARDS, Part.ORCHESTRATOR),
}


@dataclass(frozen=True, slots=True)
class Line:
    """``quantity`` of the rate's unit; ``how`` says in short where it comes from; ``prices`` are names of prices."""

    part: Part
    name: str
    quantity: Decimal
    rate: Rate
    how: str
    prices: tuple[str, ...]

    @property
    def dollars(self) -> Decimal:
        return self.rate.cost_of(self.quantity)

    def to_json(self) -> dict[str, Any]:
        """Money and quantity as numbers; JSON has no decimals."""
        return {
            "part": self.part.name.lower(),
            "line": self.name,
            "quantity": float(self.quantity),
            "unit": self.rate.unit,
            "unit_price": float(self.rate.cost_of(1)),
            "dollars": float(self.dollars),
            "how": self.how,
            "prices": list(self.prices),
        }


def bill(workload: Workload, prices: Prices) -> list[Line]:
    """Every line of a month of this workload, with those of ``ELSEWHERE`` last."""
    seconds = estimated_seconds(workload.engine, workload.events_per_day)
    month = workload.month(seconds)
    return [
        *month_lines(month, prices),
        *_guards(month, workload, prices),
        *_orchestrator(prices),
        *(
            compute_line(Part.ELSEWHERE, platform, month.runs, run_seconds)
            for platform, run_seconds in alternatives(workload.engine, workload.events_per_day, prices)
        ),
    ]


def month_lines(month: Amounts, prices: Prices) -> list[Line]:
    """The path of the events, and the queries."""
    return [*path_lines(month, prices), *_query_lines(month, prices)]


def total(lines: Iterable[Line], *parts: Part) -> Decimal:
    """Dollars of these parts."""
    return sum((line.dollars for line in lines if line.part in parts), Decimal(0))


def path_lines(amounts: Amounts, prices: Prices) -> list[Line]:
    """What it costs to take the events in, to run their days, and to keep raw and table."""
    p, a = prices, amounts
    chunks, record = steps(a.event_bytes, _CHUNK), steps(a.event_bytes, _RECORD_STEP) * _RECORD_STEP
    raw, parquet = Decimal(a.raw_bytes) / GB, Decimal(a.parquet_bytes) / GB
    requests = a.raw_objects + a.run_puts + a.run_gets + a.query_puts + a.query_gets
    return [
        _line(
            "EventBridge", a.events * chunks, p.eventbridge_events.rate,
            f"an event of {a.event_bytes:,} bytes is billed as {chunks * 64} KB", "eventbridge_events",
        ),
        _line(
            "Firehose", Decimal(a.events * record) / GB, p.firehose.rate,
            f"{a.events:,} records, each billed as {record // KB} KB", "firehose",
        ),
        _line("S3 raw: written", a.raw_objects, p.s3_put.rate, "an object each, by Firehose", "s3_put"),
        _line(
            "S3 raw: kept", raw * RAW_MONTHS, p.s3_storage.rate,
            f"{raw:.3f} GB of gzip, {RAW_MONTHS} months", "s3_storage",
        ),
        compute_line(Part.PATH, platform_of(a.engine, p), a.runs, a.run_seconds),
        _line("S3, the run: PUT, LIST", a.run_puts, p.s3_put.rate, "listings, files, locks", "s3_put"),
        _line("S3, the run: GET", a.run_gets, p.s3_get.rate, "raw objects, checks", "s3_get"),
        _line(
            "S3 table: kept", parquet * PARQUET_MONTHS, p.s3_storage.rate,
            f"{parquet:.3f} GB of Parquet, after {PARQUET_MONTHS} months", "s3_storage",
        ),
        _line(
            "KMS requests", requests * _KMS_SHARE, p.kms_requests.rate,
            f"{_KMS_SHARE:.1%} of {requests:,} to S3, with bucket keys", "kms_requests",
        ),
    ]  # fmt: skip


def compute_line(part: Part, platform: Platform, runs: int, seconds: Decimal) -> Line:
    """``runs`` of ``seconds`` each, on this platform."""
    return Line(
        part,
        platform.name,
        platform.quantity(runs, seconds),
        platform.rate,
        platform.how(runs, seconds),
        platform.prices,
    )


def athena_line(queries: int, query_bytes: int, prices: Prices) -> Line:
    """So many queries, each reading so many bytes."""
    billed = billed_scan(query_bytes)
    floor = ", the minimum" if billed == billed_scan(0) else ""
    return _line(
        "Athena", Decimal(queries * billed) / TB, prices.athena_scanned.rate,
        f"{queries:,} queries of {_size(billed)}{floor}", "athena_scanned",
    )  # fmt: skip


def _query_lines(a: Amounts, p: Prices) -> list[Line]:
    return [
        athena_line(a.queries, a.query_bytes, p),
        _line("S3, the queries: LIST", a.query_puts, p.s3_put.rate, "7 days of one source each", "s3_put"),
        _line("S3, the queries: GET", a.query_gets, p.s3_get.rate, f"{a.query_gets // a.query_puts} a file", "s3_get"),
    ]


def _guards(a: Amounts, workload: Workload, p: Prices) -> list[Line]:
    lists = workload.sensor_lists * DAYS_A_MONTH
    events = Decimal(a.events * a.event_bytes) / GB
    kept = events * ARCHIVE_DAYS / DAYS_A_MONTH
    guards = Part.GUARDS
    return [
        _line("late-file sensor: LIST", lists, p.s3_put.rate, "a look every 5 minutes", "s3_put", guards),
        _line(
            "EventBridge archive", events, p.eventbridge_archive.rate,
            f"{events:.2f} GB of events", "eventbridge_archive", guards,
        ),
        _line(
            "EventBridge archive: kept", kept, p.eventbridge_archive_storage.rate,
            f"{ARCHIVE_DAYS} days of them", "eventbridge_archive_storage", guards,
        ),
        _line("KMS key", 1, p.kms_key.rate, "the stack's own", "kms_key", guards),
        _line("CloudWatch alarms", ALARMS, p.cloudwatch_alarm.rate, "the stack's", "cloudwatch_alarm", guards),
    ]  # fmt: skip


def _orchestrator(p: Prices) -> list[Line]:
    materialized = _ASSETS * DAYS_A_MONTH
    part = Part.ORCHESTRATOR
    return [
        _line("Dagster+ Solo", 1, p.dagster_plus_solo.rate, "the plan", "dagster_plus_solo", part),
        _line(
            "Dagster+ credits", materialized, p.dagster_plus_credit.rate,
            f"{_ASSETS} assets a day", "dagster_plus_credit", part,
        ),
    ]  # fmt: skip


def _line(name: str, quantity: Decimal | int, rate: Rate, how: str, price: str, part: Part = Part.PATH) -> Line:
    return Line(part, name, Decimal(quantity), rate, how, (price,))


def _size(size: int) -> str:
    """Bytes for a person, in the units that AWS bills."""
    for unit, name in ((GB, "GB"), (KB * KB, "MB"), (KB, "KB")):
        if size >= unit:
            return f"{Decimal(size) / unit:.4g} {name}"
    return f"{size} bytes"
