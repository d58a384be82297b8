"""The command: ``python -m bench --help``."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from audit_pipeline.cli.output import print_json, stdout_console
from bench.cases import LARGE_EVENTS, QUICK_EVENTS, make_cases
from bench.contenders import CONTENDERS
from bench.report import NOTES, as_record, describe_machine, render
from bench.run import run_case, say


def bench(
    quick: Annotated[bool, typer.Option("--quick", help=f"One run of {QUICK_EVENTS:,} events.")] = False,
    only: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of the contenders: kernel, engine, duckdb, spark_engine, baseline.")
    ] = "",
    case: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of the cases: small-newline, large-concatenated, ...")
    ] = "",
    runs: Annotated[
        int | None, typer.Option(min=1, help="Of each contender; the medians count. (default: 3, with --quick 1)")
    ] = None,
    events: Annotated[
        int | None,
        typer.Option(min=10, help=f"Events of the large cases, ten times the small ones'. (default: {LARGE_EVENTS:,})"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where raw data is kept. (default: in the temporary folder)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, one a case, after one of the machine.")] = False,
) -> None:
    """Speed and memory of kernel and engine beside DuckDB's and the baseline Spark job's, on the same raw bytes."""
    cases = make_cases(events or (QUICK_EVENTS if quick else LARGE_EVENTS))
    chosen_cases = [one for one in cases if one.name in _chosen(case, {one.name for one in cases})]
    modules = _chosen(only, {one.module for one in CONTENDERS})
    contenders = [one for one in CONTENDERS if one.module in modules]
    kept = (folder or Path(tempfile.gettempdir(), "audit-pipeline-bench")).resolve()
    console = stdout_console()
    machine = describe_machine()
    if as_json:
        print_json({"machine": machine})
    else:
        console.print(machine, NOTES, sep="\n")
    for one in chosen_cases:
        result = run_case(one, contenders, runs or (1 if quick else 3), kept, say)
        if as_json:
            print_json(as_record(result))
        else:
            console.print(render(result))


def _chosen(wanted: str, known: set[str]) -> set[str]:
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    if names - known:
        raise typer.BadParameter(f"{', '.join(sorted(names - known))}: choose from {', '.join(sorted(known))}")
    return names or known


if __name__ == "__main__":
    typer.run(bench)
