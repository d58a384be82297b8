"""How the Spark engine grows with the events of a day and with cores: ``python -m bench.scaling --help``.

Beside it, on the same raw bytes, newline-delimited: the baseline Spark job on all cores, and the local engine.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from audit_pipeline.cli.output import print_json, stdout_console
from bench.cases import Case
from bench.contenders import Contender
from bench.measure import Measured, measure
from bench.report import describe_machine, figures_table
from bench.run import environment, make_once, say

_STAGES = ("start", "list", "decode", "shuffle", "match", "write")


@dataclass(frozen=True, slots=True)
class Scaled:
    """One run of one contender; ``stages`` are seconds, of the Spark engine only."""

    events: int
    contender: str
    measured: Measured
    stages: dict[str, float]

    @property
    def wall_seconds(self) -> float:
        """Of the whole process, but for the day's second run."""
        return self.measured.wall_seconds - self.stages.get("again", 0.0)


def bench(
    events: Annotated[str, typer.Option(metavar="NUMBER,...", help="Events of the days.")] = "100000,1000000,5000000",
    folder: Annotated[Path | None, typer.Option(help="Where raw data is kept. (default: temporary folder)")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines, one a run.")] = False,
) -> None:
    """Seconds of the Spark engine by stage, events and cores, beside the baseline Spark job and the local engine."""
    kept = (folder or Path(tempfile.gettempdir(), "audit-pipeline-bench")).resolve()
    cores = os.cpu_count() or 1
    contenders = [
        Contender("spark engine, 1 core", "spark_engine", ("1",)),
        Contender(f"spark engine, {cores} cores", "spark_engine", (str(cores), "twice")),
        Contender(f"local engine, {cores} workers", "engine", (str(cores),)),
        Contender("baseline spark job", "baseline"),
    ]
    runs = [_run(int(count), contender, kept) for count in events.split(",") for contender in contenders]
    if as_json:
        for run in runs:
            print_json(asdict(run))
        return
    shown = figures_table("", "events", "wall s", "CPU s", "peak MiB", *_STAGES, "rest", "again")
    for run in runs:
        shown.add_row(run.contender, f"{run.events:,}", *_figures(run))
        if run.contender.startswith("baseline"):
            ours = next(r for r in runs if r.events == run.events and r.contender.endswith(f"{cores} cores"))
            ratio = ours.wall_seconds / run.wall_seconds
            shown.add_row("ratio, engine to baseline", "", f"{ratio:.2f}", *[""] * (len(_STAGES) + 4))
    stdout_console().print(describe_machine(), shown, sep="\n")


def _figures(run: Scaled) -> list[str]:
    measured, stages = run.measured, run.stages
    cpu_seconds = stages.get("cpu", measured.cpu_seconds)
    cells = [f"{run.wall_seconds:.1f}", f"{cpu_seconds:.1f}", f"{measured.peak_bytes >> 20:,}"]
    if not stages:
        return [*cells, *[""] * (len(_STAGES) + 2)]
    rest = stages["all"] - sum(stages[name] for name in _STAGES)
    again = f"{stages['again']:.1f}" if "again" in stages else ""
    return [*cells, *(f"{stages[name]:.1f}" for name in _STAGES), f"{rest:.1f}", again]


def _run(events: int, contender: Contender, kept: Path) -> Scaled:
    case = Case("scaling", events, buffer_seconds=60 if events <= 100_000 else 300, newline=True)
    raw = make_once(case, kept, say) / "raw"
    with tempfile.TemporaryDirectory(prefix="out-", dir=kept) as scratch:
        measured = measure(contender.command(raw, Path(scratch, "lake"), case), environment())
    if measured.exit_code:
        raise RuntimeError(f"{contender.name} ended with {measured.exit_code}: {measured.output}")
    lines = [line for line in measured.output.splitlines() if line.startswith("{")]
    stages: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    run = Scaled(events, contender.name, measured, stages)
    say(f"{events:,} events, {contender.name}: {run.wall_seconds:.1f} s")
    return run


if __name__ == "__main__":
    typer.run(bench)
