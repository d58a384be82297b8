"""``quarantine``: the events that could not become rows and why, with their text as delivered."""

import base64
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from audit_pipeline.cli.completion import complete_reason
from audit_pipeline.cli.exits import ExitCode
from audit_pipeline.cli.options import AsJson, OptionalFirst, OptionalLast, check_order
from audit_pipeline.cli.output import cell, count, print_json, printable, stdout_console
from audit_pipeline.cli.tables import FittingTable
from audit_pipeline.errors import AuditPipelineError

if TYPE_CHECKING:
    from audit_pipeline.store.manifest import Manifest
    from audit_pipeline.store.objects import Store

__all__ = ["quarantine", "reasons_table"]

#: Records and characters that are shown by default.
_DEFAULT_LIMIT: Final = 50
_SHORT: Final = 240
_BATCH: Final = 256


def quarantine(
    first: OptionalFirst = None,
    last: OptionalLast = None,
    reason: Annotated[
        list[str] | None,
        typer.Option(help="Only records of this reason; may be repeated.", autocompletion=complete_reason),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Records to show; {_DEFAULT_LIMIT} unless given, all with --json.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show long texts complete.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is in quarantine and why, with the original text.

    By default of the days that have run, the last 31 at most. In JSON, `raw` is the text as delivered; if it is not
    UTF-8, `raw_base64` takes its place. A day that cannot be read is named on stderr, the others are shown, and the
    command fails.
    """
    if first and last:
        check_order(first, last)
    reasons = _check_reasons(reason or [])
    from audit_pipeline.cli.days import choose_days, open_lake
    from audit_pipeline.settings import load_settings

    settings = load_settings()
    lake = open_lake(settings)
    problems: list[str] = []
    manifests = _manifests(lake, choose_days(settings, lake, first, last), problems)
    records = _records(lake, manifests, reasons, problems)
    if as_json:
        for record in itertools.islice(records, limit):
            print_json(record.to_json())
    else:
        _print(stdout_console(), settings.lake_url, manifests, reasons, records, limit or _DEFAULT_LIMIT, full)
    for problem in problems:
        print(f"error: {printable(problem)}", file=sys.stderr)
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def reasons_table(title: str, manifests: "Sequence[Manifest]", reasons: Sequence[str] = ()) -> FittingTable:
    """How many records there are by reason, and of how many days."""
    records: Counter[str] = Counter()
    days: Counter[str] = Counter()
    for manifest in manifests:
        by_reason = {r: n for r, n in manifest.quarantine.by_reason.items() if r in reasons or not reasons}
        records.update(by_reason)
        days.update(by_reason.keys())
    shown = FittingTable("reason", "records", "days", title=title, right=2)
    for reason, number in records.most_common():
        shown.add_row(cell(reason), count(number), count(days[reason]))
    return shown


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of the quarantine; ``fields`` has the names of its columns."""

    partition: date
    fields: dict[str, Any]

    @property
    def reason(self) -> str:
        return printable(self.fields["Reason"])

    def to_json(self) -> dict[str, Any]:
        f = self.fields
        shown = {
            "partition": str(self.partition),
            "reason": f["Reason"],
            "message": f["Message"],
            "raw_key": f["RawKey"],
            "offset": f["Offset"],
            "entity_index": f["EntityIndex"],
            "event_id": f["EventId"],
            "source": f["Source"],
        }
        try:
            return shown | {"raw": f["Raw"].decode()}
        except UnicodeDecodeError:
            return shown | {"raw_base64": base64.b64encode(f["Raw"]).decode()}

    def why(self) -> Text:
        return cell(self.fields["Message"], "bold")

    def where(self) -> Text:
        f = self.fields
        entity = f", entity {f['EntityIndex']}" if f["EntityIndex"] is not None else ""
        event = "".join(f"  {name} {f[key]}" for name, key in (("source", "Source"), ("id", "EventId")) if f[key])
        offset = f" at byte {f['Offset']:,}" if f["Offset"] is not None else ""
        return cell(f"{f['RawKey']}{offset}{entity}{event}", "cyan")


def _print(
    console: Console,
    lake_url: str,
    manifests: "Sequence[Manifest]",
    reasons: Sequence[str],
    records: Iterator[_Record],
    limit: int,
    full: bool,
) -> None:
    summary = reasons_table(f"quarantine of {lake_url}", manifests, reasons)
    if not summary.row_count:
        console.print("nothing is in quarantine" + (" for this reason" if reasons else "") + " on these days")
        return
    summary.print(console)
    shown = FittingTable("day and reason", "why, where, and the text as delivered", lines=True)
    for record in itertools.islice(records, limit):
        day, reason = Text(str(record.partition)), Text(record.reason)
        why, where, text = record.why(), record.where(), Text(_text(record.fields["Raw"], full))
        fields = [("day", day), ("reason", reason), ("why", why), ("where", where), ("text", text)]
        shown.add_row(Text("\n").join([day, reason]), Text("\n").join([why, where, text]), fields=fields)
    shown.print(console)
    in_all = sum(n for m in manifests for r, n in m.quarantine.by_reason.items() if r in reasons or not reasons)
    if in_all > limit:
        console.print(f"… and {in_all - limit:,} more: --limit {in_all} shows all, --reason some")


def _text(raw: bytes, full: bool) -> str:
    """The text for a person; bytes that are not UTF-8 are shown as escapes."""
    if full:
        return printable(raw.decode(errors="backslashreplace"))
    start = printable(raw[: 4 * _SHORT].decode(errors="backslashreplace"))
    if len(start) <= _SHORT and len(raw) <= 4 * _SHORT:
        return start
    return f"{start[:_SHORT]}… ({len(raw):,} bytes; --full shows all)"


def _check_reasons(given: Sequence[str]) -> Sequence[str]:
    from audit_pipeline.contract.columns import REASONS

    for reason in given:
        if reason not in REASONS:
            raise typer.BadParameter(f"--reason {reason!r} is none of {', '.join(REASONS)}")
    return given


def _manifests(lake: "Store", days: Iterable[date], problems: list[str]) -> "list[Manifest]":
    """The manifests of the days that have run; why one cannot be read is added to ``problems``."""
    from audit_pipeline.store.manifest import read_manifest

    found = []
    for day in days:
        try:
            found.append(read_manifest(lake, day))
        except AuditPipelineError as error:
            problems.append(str(error))
    return [manifest for manifest in found if manifest is not None]


def _records(
    lake: "Store", manifests: "Iterable[Manifest]", reasons: Sequence[str], problems: list[str]
) -> Iterator[_Record]:
    """The records of what has been committed, in the order of days and objects."""
    import pyarrow as pa

    for manifest in manifests:
        path = manifest.quarantine.path
        if path is None:
            continue
        try:
            for fields in _rows(lake.get(path)):
                if not reasons or fields["Reason"] in reasons:
                    yield _Record(manifest.partition, fields)
        except AuditPipelineError as error:
            problems.append(str(error))
        except (pa.ArrowException, OSError) as error:
            problems.append(f"{lake.url_of(path)} cannot be read ({error}): run its partition again")


def _rows(data: bytes) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(pa.BufferReader(data)).iter_batches(batch_size=_BATCH):
        yield from batch.to_pylist()
