"""The figures for a person: a table and the ratios of every case, and the machine they were taken on."""

import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audit_pipeline import __version__
from audit_pipeline.cli.output import cell, print_json, stdout_console
from audit_pipeline.errors import SettingsError
from bench.run import CaseResult, Held, Result

__all__ = ["NOTES", "as_record", "describe_machine", "figures_table", "find_ratios", "print_records", "render"]

NOTES: Final = """\
Medians of the runs, start of the process included. CPU: user and system seconds of all processes. Peak: memory of all
processes at one moment. Rows in: entity changes of distinct events; who keeps duplicates has more rows out.
Altered: values of Before and After that are not byte for byte as delivered. The kernel makes Arrow only. DuckDB and
the baseline, a plain Spark job, keep duplicates, and the baseline does not sort either.
Aims: CPU below 1 and peak below 0.5 of DuckDB's; at 100K events a day, wall below 0.1 of the baseline's.
"""

_MIB: Final = 1 << 20
#: Who reads fewer of the rows has done another job.
_COMPARABLE: Final = 0.99
_FIGURES: Final = ("cpu_seconds", "wall_seconds", "peak_bytes")


@dataclass(frozen=True, slots=True)
class Ratio:
    """``ours`` divided by ``theirs``; ``problem`` instead where they cannot be compared."""

    ours: str
    theirs: str
    cpu: float | None = None
    wall: float | None = None
    peak: float | None = None
    problem: str | None = None


def find_ratios(result: CaseResult) -> list[Ratio]:
    """Of every engine to DuckDB and to the baseline."""
    done = [(one, one.held) for one in result.results if one.held]
    others = [(one, held.rows) for one, held in done if one.contender.module in ("duckdb", "baseline")]
    engines = [one for one, _ in done if one.contender.module in ("engine", "spark_engine")]
    return [_ratio(ours, theirs, rows / result.facts.rows) for theirs, rows in others for ours in engines]


def _ratio(ours: Result, theirs: Result, their_share: float) -> Ratio:
    names = ours.contender.name, theirs.contender.name
    if their_share < _COMPARABLE:
        return Ratio(*names, problem=f"not compared: {names[1]} lost {1 - their_share:.1%} of the rows")
    cpu, wall, peak = (ours.median(figure) / theirs.median(figure) for figure in _FIGURES)
    return Ratio(*names, cpu, wall, peak)


def figures_table(name: str, *headings: str, title: str = "") -> Table:
    """Columns of figures behind one of names."""
    made = Table(name, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right")
    return made


def render(result: CaseResult) -> RenderableType:
    facts = result.facts
    title = (
        f"{_short(result.case.events)} events in {facts.objects:,} objects, "
        f"{'newline-delimited' if result.case.newline else 'concatenated'} "
        f"({facts.raw_bytes / 1e6:.0f} MB, {facts.text_bytes / 1e6:.0f} MB of text)"
    )
    figures = figures_table("", "CPU s", "wall s", "peak MiB", "rows out / in", "altered", "output MB", title=title)
    problems = []
    for one in result.results:
        if one.held:
            figures.add_row(*_cells(one, one.held, facts.rows))
        if one.problem:
            problems.append(Text(f"  {one.contender.name} is left out: {one.problem}", style="yellow"))
    ratios = figures_table("ratio", "CPU", "wall", "peak", "")
    for ratio in find_ratios(result):
        numbers = (f"{n:.2f}" if n is not None else "-" for n in (ratio.cpu, ratio.wall, ratio.peak))
        ratios.add_row(f"{ratio.ours} / {ratio.theirs}", *numbers, ratio.problem or "")
    return Group(figures, *problems, *([ratios] if ratios.row_count else []))


def _cells(one: Result, held: Held, rows_in: int) -> Iterator[RenderableType]:
    yield cell(one.contender.name)
    yield f"{one.median('cpu_seconds'):.2f}"
    yield f"{one.median('wall_seconds'):.2f}"
    yield f"{one.median('peak_bytes') / _MIB:,.0f}"
    yield f"{held.rows:,} / {rows_in:,}"
    yield "-" if held.altered is None else f"{held.altered:,}"
    yield "-" if held.output_bytes is None else f"{held.output_bytes / 1e6:.1f}"


def as_record(result: CaseResult) -> dict[str, Any]:
    """The same for a script, with every run."""
    return {
        "case": asdict(result.case),
        "facts": asdict(result.facts),
        "contenders": [
            {
                "name": one.contender.name,
                "runs": [{figure: getattr(run, figure) for figure in _FIGURES} for run in one.runs],
                "held": asdict(one.held) if one.held else None,
                "problem": one.problem,
            }
            for one in result.results
        ],
        "ratios": [asdict(ratio) for ratio in find_ratios(result)],
    }


def print_records(records: Iterable[Mapping[str, Any]], shown: Iterable[RenderableType], *, as_json: bool) -> None:
    """The records for a script, one a line, or the machine and what is shown of them for a person."""
    if as_json:
        for record in records:
            print_json(record)
    else:
        stdout_console().print(describe_machine(), *shown, sep="\n")


def describe_machine() -> str:
    parts = [
        f"{os.cpu_count()} cores ({_processor()})",
        f"audit_pipeline {__version__}",
        f"Python {platform.python_version()}",
        *(f"{name} {_version(name)}" for name in ("pyarrow", "duckdb", "pyspark")),
        f"Java {_java_version()}",
        platform.platform(terse=True),
    ]
    return ", ".join(parts)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def _java_version() -> str:
    if importlib.util.find_spec("pyspark") is None:
        return "-"
    from audit_pipeline.engines.spark.session import find_java_home

    try:
        java = Path(find_java_home(), "bin", "java")
    except SettingsError:
        return "-"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    return said.split('"')[1] if said.count('"') >= 2 else "?"


def _short(count: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "K")):
        if count >= size and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count:,}"
