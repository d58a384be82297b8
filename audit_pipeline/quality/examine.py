"""Runs expectations over a day, with memory bounded whatever its size, and keeps what they found."""

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Final

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
#: What only a look at the manifests before tells.
_FROM_HISTORY: Final = frozenset({"usual_rows", "days_compared", "factor", "is_new"})

#: A collection takes a quarter of a second.
_PARTS_PER_COLLECTION: Final = 8

#: Gives the line at a position of a frame, with these columns.
LineAt = Callable[[int, set[str]], Line]


def examine(settings: Settings, lake: Store, manifest: Manifest, rules: Sequence[Rule]) -> Examination:
    """What the rules find in the partition's day.

    Raises :class:`audit_pipeline.errors.SettingsError` for an expectation that Great Expectations does not take, and
    :class:`audit_pipeline.errors.StoreError` where a file or a manifest cannot be read.
    """
    for rule in rules:
        gx.configuration_of(rule)
    by_check: dict[tuple[str, Batch], list[RuleFindings]] = {}
    for rule in rules:
        by_check.setdefault((rule.check, rule.batch), []).append(RuleFindings(rule))
    checks = [CheckFindings(name, batch, found) for (name, batch), found in by_check.items()]
    of = {batch: [check for check in checks if check.batch == batch] for batch in ("rows", "sources", "day", "sql")}
    # DuckDB gives its memory back; what was read in parts leaves some behind
    history = _examine_sources(settings, lake, manifest, of["sources"])
    _examine_rows(lake, manifest, of["rows"])
    _examine_lines(of["day"], [day_line(manifest)], DAY_COLUMNS)
    for check in of["sql"]:
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
            # a few MB of each part's results are part of reference cycles
            gc.collect()
    for check in checks:
        for found in check.rules:
            # a share of the day's rows may be reached although one part's is not
            share = (found.looked_at - found.failed) / found.looked_at if found.looked_at else 1
            found.is_met = found.problem is None and share >= found.rule.mostly


def _examine_sources(
    settings: Settings, lake: Store, manifest: Manifest, checks: Sequence[CheckFindings]
) -> History | None:
    """A line a source; only what the checks need is looked up."""
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
        for found in check.rules:
            if duplicates.problem and "duplicate_keys" in found.rule.columns:
                found.is_met, found.problem = False, duplicates.problem
    return history


def _examine_lines(checks: Sequence[CheckFindings], lines: Sequence[Line], columns: Sequence[str]) -> None:
    if checks:
        frame = pd.DataFrame(lines, columns=list(columns))
        _examine_frame(checks, frame, lambda position, _: lines[position])


def _examine_frame(checks: Sequence[CheckFindings], frame: pd.DataFrame, line_at: LineAt) -> None:
    for check in checks:
        # a row condition copies the rows that it chooses, with every column of the frame
        columns = _columns([check])
        narrow = frame[[column for column in frame.columns if column in columns]]
        _add(check, gx.validate(narrow, [rule.rule for rule in check.rules]), line_at)


def _add(check: CheckFindings, found: Sequence[gx.Found], line_at: LineAt) -> None:
    """Add to the check what its expectations found in one frame."""
    for rule, part in zip(check.rules, found, strict=True):
        rule.looked_at += part.rows
        rule.failed += len(part.positions)
        rule.is_met = rule.is_met and part.is_met
        rule.observed = part.observed
        rule.problem = rule.problem or part.problem
    failed = np.unique(np.concatenate([np.asarray(part.positions, dtype=np.int64) for part in found]))
    check.failed += len(failed)
    for position in failed[: _ROWS_KEPT - len(check.rows)].tolist():
        broken = (rule.rule for rule, part in zip(check.rules, found, strict=True) if position in part.positions)
        check.rows.append(line_at(position, {column for rule in broken for column in rule.columns}))


def _query(settings: Settings, lake: Store, manifest: Manifest, check: CheckFindings) -> None:
    for mine in check.rules:
        selected = select_rows(settings, lake, manifest, mine.rule.kwargs["unexpected_rows_query"], _ROWS_KEPT)
        mine.looked_at, mine.failed, mine.problem = manifest.rows, selected.count, selected.problem
        mine.is_met = mine.problem is None and not mine.failed
        check.failed += selected.count
        room = _ROWS_KEPT - len(check.rows)
        check.rows += [_plain_line(row) for row in selected.rows[:room]]


def _columns(checks: Iterable[CheckFindings]) -> set[str]:
    return {column for check in checks for mine in check.rules for column in mine.rule.columns}


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
    """As JSON could hold it, and short."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.isoformat() if isinstance(value, date | datetime) else str(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"
