"""The look for late files on days of many raw objects: ``python -m bench.late_files --help``.

The objects are empty, for only their listing counts. The looks are made in a process of their own: the first one, the
next one that finds nothing new, and one after which a late object has come.
"""

import json
import os
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from audit_pipeline.engines.late_files import LateFiles
from audit_pipeline.store.manifest import InputObject, write_manifest
from audit_pipeline.store.objects import open_store
from audit_pipeline.store.raw import list_inputs
from bench.manifests import made_manifest
from bench.measure import measure
from bench.report import print_records

_FIRST: Final = date(2026, 5, 1)
_GRACE_HOURS: Final = 1


def bench(
    objects: Annotated[int, typer.Option(min=24, help="Raw objects a day.")] = 100_000,
    days: Annotated[int, typer.Option(min=1, help="Days that are watched.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Seconds of a look at a tenth of the objects and at all of them, and the peak memory."""
    records = [_run(count, days) for count in (objects // 10, objects)]
    small, large = records
    lines = [
        f"{days} days of {record['objects']:,} objects: first look {record['first']:.1f} s, nothing new "
        f"{record['again']:.1f} s, one late object {record['late']:.1f} s, peak {record['peak_bytes'] >> 20:,} MiB"
        for record in records
    ]
    compared = f"nothing new, ten times the objects: {large['again'] / small['again']:.1f} times the seconds"
    print_records(records, [*lines, compared], as_json=as_json)


def _run(objects: int, days: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="audit-pipeline-late-") as folder:
        for number in range(days + 1):  # the last day's grace hours lie in the next one
            _make_day(Path(folder), _FIRST + timedelta(days=number), objects)
        measured = measure([sys.executable, "-m", "bench.late_files", "--look", folder, str(days)], dict(os.environ))
    if measured.exit_code:
        raise RuntimeError(f"the look ended with {measured.exit_code}: {measured.output}")
    seconds = json.loads(measured.output.splitlines()[-1])
    return {"objects": objects, "peak_bytes": measured.peak_bytes, **seconds}


def _make_day(folder: Path, day: date, objects: int) -> None:
    for hour in range(24):
        path = folder / "raw" / f"year={day:%Y}/month={day:%m}/day={day:%d}/hour={hour:02}"
        path.mkdir(parents=True)
        for number in range(objects // 24):
            (path / f"audit-events-1-{day}-{hour:02}-00-00-{number:08}-2b1d4c.gz").touch()


def _look(folder: Path, count: int) -> None:
    """The seconds of three looks, in one line of JSON."""
    raw, lake = open_store(str(folder / "raw")), open_store(str(folder / "lake"), create=True)
    days = [_FIRST + timedelta(days=number) for number in range(count)]
    for day in days:
        listed = list_inputs(raw, day, _GRACE_HOURS)
        inputs = [InputObject(info.key, info.size, info.e_tag) for info in listed]
        write_manifest(lake, made_manifest(day, inputs=inputs))
    marks: dict[date, str] = {}
    seconds: dict[str, float] = {}
    for name in ("first", "again", "late"):
        if name == "late":
            (folder / "raw" / f"year={_FIRST:%Y}/month={_FIRST:%m}/day={_FIRST:%d}/hour=05/late.gz").touch()
        began = time.perf_counter()
        found = dict(LateFiles(raw, lake, _GRACE_HOURS).compare(days, marks, until=lambda: False))
        seconds[name] = time.perf_counter() - began
        for day, change in found.items():
            if isinstance(change, Exception):
                raise change
            if change is not None:
                marks[day] = change.mark
    print(json.dumps(seconds))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        _look(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        typer.run(bench)
