"""How AWS rounds what it bills: the rules, without a price."""

from decimal import Decimal
from typing import Final

__all__ = ["GB", "KB", "MB", "TB", "billed_scan", "billed_seconds", "steps"]

KB: Final = 1024
MB: Final = 1024 * KB
GB: Final = 1024 * MB
TB: Final = 1024 * GB


def steps(size: int, step: int) -> int:
    """How many steps ``size`` takes, an unfinished one included: of two records each takes its own.

    EventBridge counts an event in steps of 64 KB, Firehose a record in steps of 5 KB.
    """
    return -(-size // step)


def billed_seconds(seconds: Decimal) -> Decimal:
    """Fargate and Glue bill a run by the second, and a minute at least."""
    return max(Decimal(60), seconds)


def billed_scan(scanned: int) -> int:
    """Athena bills a query by the MB that it reads, begun ones in full, and 10 MB at least. In bytes."""
    return max(10, steps(scanned, MB)) * MB
