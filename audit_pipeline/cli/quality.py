"""``quality``: the results of the quality checks of a day."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from audit_pipeline.cli.exits import ExitCode
from audit_pipeline.cli.options import AsJson, parse_day
from audit_pipeline.cli.output import cell, print_json, printable, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.errors import AuditPipelineError

if TYPE_CHECKING:
    from audit_pipeline.quality.verdicts import Verdict

__all__ = ["quality"]

_STYLES: Final = {"passed": "green", "warns": "yellow", "failed": "bold red"}

_Day = Annotated[date, typer.Argument(parser=parse_day, metavar="YYYY-MM-DD", help="A day that has run (UTC).")]
_Docs = Annotated[
    Path | None, typer.Option("--docs", metavar="FOLDER", help="Also write Great Expectations' data docs (HTML) there.")
]


def quality(day: _Day, docs: _Docs = None, as_json: AsJson = False) -> None:
    """Run the quality checks on a day that has run, and show which rows break them.

    Nothing is changed, neither the day's table nor the results in Dagster. Your own checks come from
    AUDIT_QUALITY_SUITE.
    """
    from audit_pipeline.cli.days import open_lake
    from audit_pipeline.quality import quality_rules
    from audit_pipeline.settings import load_settings
    from audit_pipeline.store.manifest import read_manifest

    settings = load_settings()
    lake = open_lake(settings)
    manifest = read_manifest(lake, day)
    if manifest is None:
        raise AuditPipelineError(f"{day} has not run: audit-pipeline materialize --from {day} --to {day}")
    rules = quality_rules(settings)
    # not above: Great Expectations takes a second to import
    from audit_pipeline.quality.examine import examine
    from audit_pipeline.quality.verdicts import verdicts_of

    examination = examine(settings, lake, manifest, rules)
    verdicts = verdicts_of(examination)
    _show(day, verdicts, as_json=as_json)
    if docs:
        from audit_pipeline.quality.docs import write_data_docs

        _show_docs(write_data_docs(examination, docs), as_json=as_json)
    if any(_result(verdict) == "failed" for verdict in verdicts.values()):
        raise typer.Exit(ExitCode.FAILED)


def _show(day: date, verdicts: "Mapping[str, Verdict]", *, as_json: bool) -> None:
    if as_json:
        for name, verdict in verdicts.items():
            print_json(_record(day, name, verdict))
        return
    console = stdout_console()
    shown = FittingTable("check", "result", "description", title=f"quality of {day}")
    for name, verdict in verdicts.items():
        result = _result(verdict)
        shown.add_row(cell(name), Text(result, style=_STYLES[result]), cell(verdict.description))
    shown.print(console)
    for name, verdict in verdicts.items():
        if rows := verdict.metadata.get("rows"):
            _rows_table(name, verdict, rows).print(console)
        if what_to_do := verdict.metadata.get("what_to_do"):
            console.print(Text(printable(f"{name}: {what_to_do}")))


def _rows_table(name: str, verdict: "Verdict", rows: Sequence[Mapping[str, Any]]) -> FittingTable:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    shown = FittingTable(*columns, title=f"{name}: {len(rows):,} of {verdict.metadata['failed']:,}")
    for row in rows:
        # NULL is shown, which distinguishes it from an empty text
        shown.add_row(*(cell("") if column not in row else _value(row[column]) for column in columns))
    return shown


def _value(value: Any) -> Text:
    return Text("NULL", style="dim") if value is None else cell(str(value))


def _show_docs(first_page: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"data_docs": str(first_page)})
    else:
        print(printable(f"data docs: {first_page}"))


def _record(day: date, name: str, verdict: "Verdict") -> dict[str, Any]:
    return {
        "partition": str(day),
        "check": name,
        "result": _result(verdict),
        "description": verdict.description,
        "metadata": dict(verdict.metadata),
    }


def _result(verdict: "Verdict") -> str:
    if verdict.passed:
        return "passed"
    return "failed" if verdict.severity == "error" else "warns"
