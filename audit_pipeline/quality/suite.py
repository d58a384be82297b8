"""A user's expectations, from the file that ``AUDIT_QUALITY_SUITE`` names: YAML, or a Python module."""

import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from audit_pipeline.errors import SettingsError
from audit_pipeline.quality.rules import BATCH_COLUMNS, SQL_RULE, Batch, Rule, RuleSeverity

__all__ = ["AGGREGATES", "ROW_BY_ROW", "load_suite"]

#: Types that evaluate one row at a time, which can run on a day in parts. They are listed here because Great
#: Expectations is slow to import; a test compares the lists with it.
ROW_BY_ROW: Final = frozenset(
    {
        "expect_column_pair_values_a_to_be_given_with_b",
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_json_objects",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_be_null",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_multicolumn_values_to_be_equal",
        "expect_select_column_values_to_be_unique_within_record",
    }
)
#: Types that evaluate all values of a column at once, or the whole table.
AGGREGATES: Final = frozenset(
    {
        "expect_column_distinct_values_to_be_in_set",
        "expect_column_distinct_values_to_contain_set",
        "expect_column_distinct_values_to_equal_set",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_median_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_most_common_value_to_be_in_set",
        "expect_column_proportion_of_non_null_values_to_be_between",
        "expect_column_proportion_of_unique_values_to_be_between",
        "expect_column_quantile_values_to_be_between",
        "expect_column_stdev_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_unique_value_count_to_be_between",
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_unique",
        "expect_compound_columns_to_be_unique",
        "expect_table_row_count_to_be_between",
        "expect_table_row_count_to_equal",
    }
)
_FIELDS: Final = frozenset({"type", "kwargs", "severity", "meta", "description"})
_COLUMN_ARGUMENTS: Final = ("column", "column_A", "column_B", "column_list")
_BATCHES: Final = ("rows", "sources", "day")
_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_VARIABLE: Final = "AUDIT_QUALITY_SUITE"


@dataclass(frozen=True)
class _Suite:
    """The entries of a suite file, and the types of expectations that the file itself defines."""

    path: Path
    entries: Sequence[Any]
    own_row_by_row: Set[str] = frozenset()
    own_aggregates: Set[str] = frozenset()


def load_suite(path: Path, taken: Collection[str]) -> list[Rule]:
    """The expectations of a suite file, each with the name of its check; ``taken`` are the names of built-in checks.

    Raises :class:`SettingsError` for a file, an expectation or a name that is wrong.
    """
    suite = _read_python(path) if path.suffix == ".py" else _read_yaml(path)
    batches: dict[str, Batch] = {}
    rules: list[Rule] = []
    for number, entry in enumerate(suite.entries, 1):
        rule = _Entry(suite, number, entry).rule({*taken, *batches})
        if rule.check in taken:
            raise SettingsError(f"{rule.origin}: {rule.check} is a built-in check: choose another meta.check")
        if batches.setdefault(rule.check, rule.batch) != rule.batch:
            raise SettingsError(
                f"{rule.origin}: check {rule.check} has expectations of two batches: make it two checks"
            )
        rules.append(rule)
    return rules


class _Entry:
    """One expectation of a suite file."""

    def __init__(self, suite: _Suite, number: int, entry: Any) -> None:
        self._suite = suite
        self._origin = f"{_VARIABLE} {suite.path}, expectation {number}"
        if not isinstance(entry, Mapping):
            raise self._error(f"{entry!r} is not a mapping: write type, kwargs and severity")
        if unknown := sorted(map(str, entry.keys() - _FIELDS)):
            raise self._error(f"{', '.join(unknown)} is not known: the fields are {', '.join(sorted(_FIELDS))}")
        self._type = str(entry.get("type") or "")
        if not self._type:
            raise self._error("it has no type: write one such as expect_column_values_to_not_be_null")
        self._origin += f" ({self._type})"
        self._kwargs = self._mapping(entry, "kwargs")
        self._meta = self._mapping(entry, "meta")
        # the default of Great Expectations
        self._severity = entry.get("severity", "critical")
        self._description = entry.get("description")

    def rule(self, used: Collection[str]) -> Rule:
        """The rule; ``used`` are names that its check cannot get by default."""
        severities = get_args(RuleSeverity)
        if self._severity not in severities:
            raise self._error(f"severity is {self._severity!r}: choose from {', '.join(severities)}")
        batch = self._batch()
        if batch == "sql":
            self._check_query()
        else:
            self._check_columns(batch)
        return Rule(
            check=self._check(used),
            type=self._type,
            kwargs=self._kwargs,
            severity=self._severity,
            batch=batch,
            text=str(self._description or " of ".join([self._type, *filter(None, [", ".join(self._columns)])])),
            origin=self._origin,
        )

    def _batch(self) -> Batch:
        if self._type == SQL_RULE:
            return "sql"
        given = self._meta.get("batch", "rows")
        if given not in _BATCHES:
            raise self._error(f"meta.batch is {given!r}: choose from {', '.join(_BATCHES)}")
        row_by_row = ROW_BY_ROW | self._suite.own_row_by_row
        if self._type not in row_by_row | AGGREGATES | self._suite.own_aggregates:
            raise self._error("this type of expectation is not supported: docs/operate/quality.md lists those that are")
        if given == "rows" and self._type not in row_by_row:
            raise self._error(
                "it evaluates all rows at once, and a day is read in parts: write it in SQL as "
                f"{SQL_RULE}, or evaluate it on the numbers of each source (meta: {{batch: sources}})"
            )
        return given  # type: ignore[no-any-return]

    def _check_query(self) -> None:
        query = self._kwargs.get("unexpected_rows_query")
        if not isinstance(query, str) or "{batch}" not in query:
            raise self._error("kwargs.unexpected_rows_query is missing or does not select FROM {batch}: write both")

    def _check_columns(self, batch: Batch) -> None:
        known = BATCH_COLUMNS[batch]
        for column in self._columns:
            if column not in known:
                raise self._error(f"{batch} have no column {column!r}: choose from {', '.join(known)}")

    @property
    def _columns(self) -> list[str]:
        given = [self._kwargs[argument] for argument in _COLUMN_ARGUMENTS if self._kwargs.get(argument)]
        return [str(name) for value in given for name in (value if isinstance(value, list | tuple) else [value])]

    def _check(self, used: Collection[str]) -> str:
        if (name := self._meta.get("check")) is not None:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise self._error(f"meta.check is {name!r}: write letters, digits and _ only")
            return name
        default = "_".join([self._type, *self._columns])
        numbered = (default if number == 1 else f"{default}_{number}" for number in range(1, len(used) + 2))
        return next(name for name in numbered if name not in used)

    def _mapping(self, entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        given = entry.get(name) or {}
        if not isinstance(given, Mapping):
            raise self._error(f"{name} is {given!r}: write a mapping")
        return given

    def _error(self, problem: str) -> SettingsError:
        return SettingsError(f"{self._origin}: {problem}")


def _read_yaml(path: Path) -> _Suite:
    # not at the top: only a user with a suite needs it
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_VARIABLE} {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{_VARIABLE} {path} is not YAML: {' '.join(str(error).split())}") from None
    entries = content.get("expectations") if isinstance(content, Mapping) else None
    if not isinstance(entries, list) or set(content) != {"expectations"}:
        raise SettingsError(f"{_VARIABLE} {path} must have one field, expectations, which is a list")
    return _Suite(path, entries)


def _read_python(path: Path) -> _Suite:
    from audit_pipeline.quality.python_suite import entries_of, load_module, own_types, suite_of

    try:
        suite = suite_of(load_module(path))
    except Exception as error:
        # a user's module may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(f"{_VARIABLE} {path} cannot be loaded ({reason}): fix the module") from error
    row_by_row, aggregates = own_types(suite)
    return _Suite(path, entries_of(suite), row_by_row, aggregates)
