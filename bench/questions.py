"""Questions to a week of audit log: ``python -m bench.questions --help``.

Each runs twice over the same rows. By the client on the lake as the pipeline writes it; and as plain SQL, one
statement without bounds of ``dt``, ``source`` and time, on a copy of the files without statistics and Bloom filters. So
the ratio shows what partitions, sorting, statistics, Bloom filters and the client's way of asking give together.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import duckdb
import pyarrow.parquet as pq
import typer

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.catalog.duckdb import connect
from audit_pipeline.engines import run_partition
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.simulate import Shares, simulate
from audit_pipeline.store.layout import TABLE_PREFIX
from audit_pipeline.store.objects import open_store
from bench.report import figures_table, print_records

FIRST: Final = date(2026, 5, 1)
_PAGE: Final = 100
_SHARES: Final = Shares(malformed=0, conflict=0)
_FAR: Final = 1000
_ORDER: Final = 'ORDER BY "Timestamp" DESC, Id DESC, source DESC, EntityIndex DESC'


@dataclass(frozen=True, slots=True)
class Question:
    """``ask`` and ``plain`` give the number of rows; ``plain`` asks by SQL."""

    name: str
    ask: Callable[[AuditLogClient], int]
    plain: Callable[[duckdb.DuckDBPyConnection], int]


@dataclass(frozen=True, slots=True)
class Answer:
    """``first_ms`` includes reading the footers of the files; ``ms`` is the median of those after it."""

    question: str
    way: str
    first_ms: float
    ms: float
    bytes_read: int
    share_read: float
    rows: int


def bench(
    events: Annotated[int, typer.Option(min=1000, help="Events a day.")] = 1_000_000,
    days: Annotated[int, typer.Option(min=1, max=7)] = 7,
    runs: Annotated[int, typer.Option(min=2, help="Of each question.")] = 6,
    folder: Annotated[Path | None, typer.Option(help="Where the lakes are kept. (default: temporary folder)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, one an answer.")] = False,
) -> None:
    """Latency and bytes read of questions to a week, beside plain SQL over files without statistics and filters."""
    kept = (folder or Path(tempfile.gettempdir(), "audit-pipeline-bench")) / f"week-{events}-{days}"
    lake, bare = kept / "lake", kept / "bare"
    if not (kept / "made").exists():
        _make(kept, events, days)
    size = _size(lake)
    answers: list[Answer] = []
    settings = QuerySettings(lake_url=str(lake))
    questions = _questions(settings, days)
    with AuditLogClient(settings) as client:
        answers += [_answer(q.name, "client", partial(q.ask, client), runs, size) for q in questions]
    with connect(QuerySettings(lake_url=str(bare))) as connection:
        answers += [_answer(q.name, "plain SQL", partial(q.plain, connection), 2, size) for q in questions]
    title = f"{days} days of {events:,} events, {size / 1e6:,.0f} MB in {len(_files(lake)):,} files"
    shown = figures_table("", "", "first ms", "ms", "MB read", "of all", "rows", title=title)
    for question in questions:
        for answer in (a for a in answers if a.question == question.name):
            figures = (f"{answer.first_ms:,.0f}", f"{answer.ms:,.0f}", f"{answer.bytes_read / 1e6:,.1f}")
            shown.add_row(answer.question, answer.way, *figures, f"{answer.share_read:.1%}", f"{answer.rows:,}")
        ours, plain = (a for a in answers if a.question == question.name)
        shown.add_row("", "ratio", "", f"{ours.ms / plain.ms:.3f}", f"{ours.bytes_read / plain.bytes_read:.3f}", "", "")
    print_records([asdict(answer) for answer in answers], [shown], as_json=as_json)


def _questions(settings: QuerySettings, days: int) -> list[Question]:
    end = FIRST + timedelta(days=days)
    newest = AuditLogQuery(from_date=FIRST, to_date=end, limit=_PAGE)
    far = newest
    with AuditLogClient(settings) as client:
        for _ in range(_FAR - 1):
            far = replace(far, cursor=client.query(far).next_cursor)
    entity = _an_order(settings)
    looked_up = replace(newest, entity_id=entity, entity_types=["Order"])
    own = "EntityId = ? AND EntityType = 'Order'"
    children = f"({own}) OR (EntityParentId = ? AND EntityParentType = 'Order')"
    return [
        Question("first page", _page(newest), _sql("true", _PAGE)),
        Question(f"page {_FAR}", _page(far), _sql("true", _PAGE, offset=_PAGE * (_FAR - 1))),
        Question("an order", _page(looked_up), _sql(own, _PAGE, entity)),
        Question(
            "its history",
            lambda client: sum(1 for _ in client.history("Order", entity, FIRST, end)),
            _sql(children, None, entity, entity),
        ),
    ]


def _an_order(settings: QuerySettings) -> str:
    """One that is not changed all the time: about ten times in the week."""
    with connect(settings) as connection:
        found = connection.execute(
            """SELECT EntityId FROM auditlog WHERE EntityType = 'Order' GROUP BY EntityId
               ORDER BY abs(count(*) - 10), EntityId LIMIT 1"""
        ).fetchone()
    assert found is not None
    return str(found[0])


def _page(query: AuditLogQuery) -> Callable[[AuditLogClient], int]:
    return lambda client: len(client.query(query).items)


def _sql(where: str, limit: int | None, *values: str, offset: int = 0) -> Callable[[duckdb.DuckDBPyConnection], int]:
    cut = "" if limit is None else f"LIMIT {limit} OFFSET {offset}"
    sql = f"SELECT * FROM auditlog WHERE {where} {_ORDER} {cut}"
    return lambda connection: connection.execute(sql, list(values)).to_arrow_table().num_rows


def _answer(question: str, way: str, ask: Callable[[], int], runs: int, size: int) -> Answer:
    print(f"{question}: {way}", file=sys.stderr, flush=True)
    before = _bytes_read()
    first, rows = _timed(ask)
    read = _bytes_read() - before
    return Answer(question, way, first, median(_timed(ask)[0] for _ in range(runs - 1)), read, read / size, rows)


def _timed(ask: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    rows = ask()
    return (time.perf_counter() - started) * 1000, rows


def _bytes_read() -> int:
    """What this process has read from files so far, from the disk or its cache."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


def _make(kept: Path, events: int, days: int) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    raw = kept / "raw"
    raw.mkdir(parents=True)
    settings = Settings(raw_url=str(raw), lake_url=str(kept / "lake"), start_date=FIRST, workers=os.cpu_count() or 1)
    for day in (FIRST + timedelta(days=n) for n in range(days)):
        print(f"making {day}, once", file=sys.stderr, flush=True)
        simulate(open_store(settings.raw_url), day, day, events_per_day=events, since=FIRST, shares=_SHARES)
        run_partition(settings, day)
        shutil.rmtree(raw)
        raw.mkdir()
    print("copying the files without statistics and Bloom filters, once", file=sys.stderr, flush=True)
    for file in _files(kept / "lake"):
        copy = kept / "bare" / file.relative_to(kept / "lake")
        copy.parent.mkdir(parents=True, exist_ok=True)
        source = pq.ParquetFile(file)
        with pq.ParquetWriter(copy, source.schema_arrow, compression="zstd", write_statistics=False) as sink:
            for group in range(source.num_row_groups):
                sink.write_table(source.read_row_group(group))
    (kept / "made").touch()


def _files(lake: Path) -> Sequence[Path]:
    return sorted((lake / TABLE_PREFIX).rglob("*.parquet"))


def _size(lake: Path) -> int:
    return sum(file.stat().st_size for file in _files(lake))


if __name__ == "__main__":
    typer.run(bench)
