"""Runs expectations over a day of any size with bounded memory."""

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Final, get_args

import numpy as np
import pandas as pd
import pyarrow as pa

from audit_pipeline.quality import gx
from audit_pipeline.quality.builtin import KEY_UNIQUE
from audit_pipeline.quality.findings import CheckFindings, Examination, Line, RuleFindings
from audit_pipeline.quality.history import History, day_line, read_history, source_lines
from audit_pipeline.quality.parts import read_parts
from audit_pipeline.quality.rules import DAY_COLUMNS, EVENT_DATE, KEY_COLUMNS, SOURCE_COLUMNS, Batch, Rule
from audit_pipeline.quality.sql import Duplicates, find_duplicates, select_rows
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import Store

__all__ = ["examine"]

#: Bad rows that are kept of each check.
_ROWS_KEPT: Final = 20
#: Characters that are kept of a value.
_VALUE_CHARACTERS: Final = 200
#: Columns that need the manifests of earlier partitions.
_FROM_HISTORY: Final = frozenset({"usual_rows", "days_compared", "factor", "is_new"})

#: Parts between two garbage collections, each of which takes a quarter of a second.
_PARTS_PER_COLLECTION: Final = 8

#: Returns the line at a position of a frame, with these columns.
LineAt = Callable[[int, set[str]], Line]


def examine(settings: Settings, lake: Store, manifest: Manifest, rules: Sequence[Rule]) -> Examination:
    """Evaluate the rules on the day of a partition.

    Raises :class:`audit_pipeline.errors.SettingsError` for an expectation that Great Expectations does not accept, and
    :class:`audit_pipeline.errors.StoreError` where a file or a manifest cannot be read.
    """
    for rule in rules:
        gx.configuration_of(rule)
    by_check: dict[tuple[str, Batch], list[RuleFindings]] = {}
    for rule in rules:
        by_check.setdefault((rule.check, rule.batch), []).append(RuleFindings(rule))
    checks = [CheckFindings(name, batch, findings) for (name, batch), findings in by_check.items()]
    by_batch = {batch: [check for check in checks if check.batch == batch] for batch in get_args(Batch)}
    # first what runs in DuckDB, which frees its memory at the end; reading the parts does not free all of it
    history = _examine_sources(settings, lake, manifest, by_batch["sources"])
    _examine_rows(lake, manifest, by_batch["rows"])
    _examine_lines(by_batch["day"], [day_line(manifest)], DAY_COLUMNS)
    for check in by_batch["sql"]:
        _query(settings, lake, manifest, check)
    return Examination(manifest, checks, history)


def _examine_rows(lake: Store, manifest: Manifest, checks: Sequence[CheckFindings]) -> None:
    if not checks:
        return
    columns = _columns(checks)
    for number, part in enumerate(read_parts(lake, manifest, columns), 1):
        frame = _to_pandas(part.select([column for column in part.column_names if column in columns]))
        _examine_frame(checks, frame, partial(_row_at, part))
        if number % _PARTS_PER_COLLECTION == 0:
            # a few MB of each part's results are held by reference cycles
            gc.collect()
    for check in checks:
        for finding in check.findings:
            # `mostly` is a share of the day's rows: one part may miss it although the day does not
            share = (finding.evaluated - finding.failed) / finding.evaluated if finding.evaluated else 1
            finding.is_met = finding.problem is None and share >= finding.rule.mostly


def _examine_sources(
    settings: Settings, lake: Store, manifest: Manifest, checks: Sequence[CheckFindings]
) -> History | None:
    """Evaluate checks on one line per source, of which only the columns that they need are computed."""
    if not checks:
        return None
    columns = _columns(checks)
    history = read_history(lake, manifest) if columns & _FROM_HISTORY else None
    duplicates = Duplicates()
    if "duplicate_keys" in columns:
        duplicates = find_duplicates(settings, lake, manifest, _ROWS_KEPT)
    lines = source_lines(manifest, history or History([], None), duplicates.by_source)
    _examine_lines(checks, lines, SOURCE_COLUMNS)
    for check in checks:
        if check.name == KEY_UNIQUE:
            check.failed = sum(duplicates.by_source.values())
            check.rows = [_plain_line(row) for row in duplicates.rows]
        for finding in check.findings:
            if duplicates.problem and "duplicate_keys" in finding.rule.columns:
                finding.is_met, finding.problem = False, duplicates.problem
    return history


def _examine_lines(checks: Sequence[CheckFindings], lines: Sequence[Line], columns: Sequence[str]) -> None:
    if checks:
        frame = pd.DataFrame(lines, columns=list(columns))
        _examine_frame(checks, frame, lambda position, _: lines[position])


def _examine_frame(checks: Sequence[CheckFindings], frame: pd.DataFrame, line_at: LineAt) -> None:
    for check in checks:
        # a row condition copies the rows that it selects, with every column of the frame
        columns = _columns([check])
        narrow = frame[[column for column in frame.columns if column in columns]]
        _add(check, gx.validate(narrow, [finding.rule for finding in check.findings]), line_at)


def _add(check: CheckFindings, results: Sequence[gx.FrameResult], line_at: LineAt) -> None:
    """Add the results of the check's expectations on one frame."""
    for finding, result in zip(check.findings, results, strict=True):
        finding.evaluated += result.rows
        finding.failed += len(result.positions)
        finding.is_met = finding.is_met and result.is_met
        finding.observed = result.observed
        finding.problem = finding.problem or result.problem
    failed = np.unique(np.concatenate([np.asarray(result.positions, dtype=np.int64) for result in results]))
    check.failed += len(failed)
    for position in failed[: _ROWS_KEPT - len(check.rows)].tolist():
        pairs = zip(check.findings, results, strict=True)
        broken = (finding.rule for finding, result in pairs if position in result.positions)
        check.rows.append(line_at(position, {column for rule in broken for column in rule.columns}))


def _query(settings: Settings, lake: Store, manifest: Manifest, check: CheckFindings) -> None:
    for finding in check.findings:
        selected = select_rows(settings, lake, manifest, finding.rule.kwargs["unexpected_rows_query"], _ROWS_KEPT)
        finding.evaluated, finding.failed, finding.problem = manifest.rows, selected.count, selected.problem
        finding.is_met = finding.problem is None and not finding.failed
        check.failed += selected.count
        room = _ROWS_KEPT - len(check.rows)
        check.rows += [_plain_line(row) for row in selected.rows[:room]]


def _columns(checks: Iterable[CheckFindings]) -> set[str]:
    return {column for check in checks for finding in check.findings for column in finding.rule.columns}


def _to_pandas(part: pa.Table) -> pd.DataFrame:
    try:
        # Great Expectations compares times of other units one by one
        frame: pd.DataFrame = part.to_pandas(coerce_temporal_nanoseconds=True)
    except pa.ArrowInvalid:
        # a Timestamp before 1677 or after 2262, which nanoseconds cannot hold
        frame = part.to_pandas()
    return frame


def _row_at(part: pa.Table, position: int, columns: set[str]) -> Line:
    """The key of a row and its values in these columns."""
    shown = columns - {EVENT_DATE} | ({"Timestamp"} if EVENT_DATE in columns else set())
    names = [*KEY_COLUMNS, *(name for name in part.column_names if name in shown and name not in KEY_COLUMNS)]
    return _plain_line({name: part[name][position].as_py() for name in names if name in part.column_names})


def _plain_line(line: Mapping[str, Any]) -> Line:
    return {name: _plain(value) for name, value in line.items()}


def _plain(value: Any) -> Any:
    """A value as JSON can represent it, cut if it is long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat() if isinstance(value, date | datetime) else str(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"
