"""Who is measured. Each is a module run by itself: ``python -m bench.contenders.<module> RAW OUT DELIMITER [more]``.

It turns the raw folder RAW, whose records are followed by DELIMITER (``newline`` or ``none``), into Parquet under
``OUT/auditlog_parquet``. The kernel writes none, and prints its number of rows.
"""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cases import Case

__all__ = ["CONTENDERS", "Contender"]


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    module: str
    arguments: tuple[str, ...] = ()
    writes_files: bool = True

    def command(self, raw: Path, out: Path, case: Case) -> list[str]:
        delimiter = "newline" if case.newline else "none"
        return [sys.executable, "-m", f"bench.contenders.{self.module}", str(raw), str(out), delimiter, *self.arguments]

    def why_not(self) -> str | None:
        """What this machine lacks for it."""
        if self.module not in ("baseline", "spark_engine"):
            return None
        if importlib.util.find_spec("pyspark") is None:
            return "pyspark is not installed: pip install -e '.[bench]'"
        return None


CONTENDERS: Final = (
    Contender("kernel", "kernel", writes_files=False),
    Contender("engine, 1 worker", "engine", ("1",)),
    Contender("engine, 2 workers", "engine", ("2",)),
    Contender("duckdb", "duckdb"),
    Contender("spark engine, 2 cores", "spark_engine", ("2",)),
    Contender("baseline Spark job", "baseline"),
)
