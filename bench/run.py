"""Runs the contenders of a case in turn, A B C A B C, so that a busy moment of the machine does not meet one alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.cases import ROOT, Case, Facts
from bench.contenders import Contender
from bench.measure import Measured, measure

__all__ = ["CaseResult", "Held", "Result", "environment", "make_once", "run_case", "say"]

_OUTPUT_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Held:
    """What a contender made. ``altered``: values of Before and After that are not as delivered; None without files."""

    rows: int
    altered: int | None = None
    output_bytes: int | None = None


@dataclass(slots=True)
class Result:
    """A contender's runs; ``problem`` says why there are none, or no more."""

    contender: Contender
    runs: list[Measured] = field(default_factory=list)
    held: Held | None = None
    problem: str | None = None

    def median(self, figure: str) -> float:
        return float(median(getattr(run, figure) for run in self.runs))


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: Case
    facts: Facts
    results: list[Result]


def run_case(
    case: Case, contenders: Sequence[Contender], runs: int, folder: Path, say: Callable[[str], None]
) -> CaseResult:
    """All runs of one case. ``say`` is called with what is under way."""
    own = make_once(case, folder, say)
    facts = Facts(**json.loads((own / "facts.json").read_text()))
    results = [Result(contender, problem=contender.why_not()) for contender in contenders]
    for number in range(1, runs + 1):
        for result in results:
            if result.problem is None:
                say(f"{case.name}, run {number} of {runs}: {result.contender.name}")
                _run_once(result, case, own)
    return CaseResult(case, facts, results)


def make_once(case: Case, folder: Path, say: Callable[[str], None]) -> Path:
    """The folder of a case, with its raw data, read once."""
    own = folder / case.folder_name
    if not (own / "facts.json").exists():
        say(f"{case.name}: making {case.events:,} events, once")
        _apart("bench.data", str(own), json.dumps(asdict(case)))
    for file in (own / "raw").rglob("*.gz"):
        file.read_bytes()  # so that nobody waits for the disk, and the first no more than the others
    return own


def _run_once(result: Result, case: Case, own: Path) -> None:
    with TemporaryDirectory(prefix="out-", dir=own) as scratch:
        out = Path(scratch, "lake")
        measured = measure(result.contender.command(own / "raw", out, case), environment())
        if measured.exit_code:
            last = "\n".join(measured.output.splitlines()[-_OUTPUT_LINES:])
            result.problem = f"it ended with {measured.exit_code}:\n{last}"
            return
        result.runs.append(measured)
        if result.held is not None:
            return
        if result.contender.writes_files:
            result.held = Held(**json.loads(_apart("bench.judge", str(out), str(own / "truth.parquet"))))
        else:
            result.held = Held(rows=int(measured.output.split()[-1]))


def say(line: str) -> None:
    """What is under way, for the person who waits."""
    print(line, file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """This process's, without the settings of a deployment."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_")}


def _apart(module: str, *arguments: str) -> str:
    """What a module prints, run in a process of its own: a child's peak begins with the size of its parent."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
