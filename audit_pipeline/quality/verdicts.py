"""The verdict of a check on a day, and how it follows from the findings of an examination."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from audit_pipeline.quality.builtin import (
    BUILTIN_CHECKS,
    KEY_UNIQUE,
    NEW_SOURCES,
    READABLE_SHARE,
    ROWS_PER_SOURCE,
)
from audit_pipeline.quality.findings import CheckFindings, Examination, RuleFindings
from audit_pipeline.quality.history import TRAILING_DAYS, day_line

__all__ = ["Severity", "Verdict", "verdicts_of"]

#: An ``error`` holds the day back from the table; a ``warn`` does not.
Severity = Literal["error", "warn"]

#: Sources that a description names.
_NAMED: Final = 5
_UNITS: Final = {"rows": "rows", "sources": "sources", "day": "days", "sql": "rows"}
_NOT_EVALUATED: Final = (
    "A column is missing or has another type, or the expectation itself is wrong: fix the expectation or, if the "
    "day's files are damaged, run the partition again."
)
_YOURS: Final = "This check is from your own suite: see there what it means."


@dataclass(frozen=True)
class Verdict:
    """``description`` is one line for a person; ``metadata`` are the numbers behind it.

    ``severity`` is that of a failure; it has no meaning for a check that passed.
    """

    passed: bool
    description: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "error"


def verdicts_of(examination: Examination) -> dict[str, Verdict]:
    """The verdict of each check that was examined."""
    return {check.name: _verdict(examination, check) for check in examination.checks}


def _verdict(examination: Examination, check: CheckFindings) -> Verdict:
    broken = [finding for finding in check.findings if not finding.is_met]
    texts = _TEXTS.get(check.name, _Texts())
    numbers = texts.numbers(examination, check)
    if not broken:
        return Verdict(True, texts.passed(examination, check), numbers)
    problems = list(dict.fromkeys(finding.problem for finding in broken if finding.problem))
    if problems:
        description, what_to_do = f"could not be evaluated: {'; '.join(problems)}", _NOT_EVALUATED
    else:
        description, what_to_do = texts.failed(examination, check), _what_to_do(check)
    metadata = {**_bad(examination, check), "what_to_do": what_to_do}
    if problems:
        metadata["problem"] = "; ".join(problems)
    if len(check.findings) > 1:
        metadata["expectations"] = [
            {"broken": finding.rule.text, "failed": finding.failed} for finding in check.findings
        ]
    severities = {finding.rule.severity for finding in broken}
    if severities == {"info"}:
        return Verdict(True, f"for information: {description}", metadata | numbers)
    return Verdict(False, description, metadata | numbers, severity="error" if "critical" in severities else "warn")


def _bad(examination: Examination, check: CheckFindings) -> dict[str, Any]:
    """The number of failed lines, and the first of them."""
    if check.name == READABLE_SHARE:
        # these are events, and their records are in the quarantine
        return {"failed": examination.manifest.events.quarantined}
    return {"failed": check.failed, "rows": check.rows}


def _what_to_do(check: CheckFindings) -> str:
    built_in = BUILTIN_CHECKS.get(check.name)
    return built_in.what_to_do if built_in else _YOURS


def _plain_numbers(_: Examination, check: CheckFindings) -> dict[str, Any]:
    numbers: dict[str, Any] = {f"{_UNITS[check.batch]}_checked": max(finding.evaluated for finding in check.findings)}
    if observed := [finding.observed for finding in check.findings if finding.observed is not None]:
        numbers["observed"] = str(observed[0])
    return numbers


def _passed(_: Examination, check: CheckFindings) -> str:
    evaluated = max(finding.evaluated for finding in check.findings)
    failed = "" if not check.failed else f", {check.failed:,} not as expected, which is within the limit"
    return f"{evaluated:,} {_UNITS[check.batch]} checked{failed}"


def _failed(_: Examination, check: CheckFindings) -> str:
    broken = [finding for finding in check.findings if not finding.is_met]
    return "; ".join(f"{_count(finding)}{finding.rule.text}" for finding in broken)


def _count(finding: RuleFindings) -> str:
    if finding.observed is not None:
        return f"{finding.observed} observed: "
    return f"{finding.failed:,} of {finding.evaluated:,} {_UNITS[finding.rule.batch]}: " if finding.evaluated else ""


# the built-in checks with more numbers than how many lines failed


def _key_unique_numbers(examination: Examination, _: CheckFindings) -> dict[str, Any]:
    return {"rows_checked": examination.manifest.rows}


def _key_unique_passed(examination: Examination, _: CheckFindings) -> str:
    return f"the keys of {examination.manifest.rows:,} rows are unique in their dates"


def _key_unique_failed(_: Examination, check: CheckFindings) -> str:
    return f"{check.failed:,} keys (source, Id, EntityIndex) occur more than once in a date"


def _rows_numbers(examination: Examination, check: CheckFindings) -> dict[str, Any]:
    assert examination.history is not None
    return _source_numbers(examination, check) | {"days_compared": len(examination.history.trailing)}


def _source_numbers(examination: Examination, _: CheckFindings) -> dict[str, Any]:
    return {"sources": _sources(examination), "rows_of_day": examination.manifest.rows}


def _sources(examination: Examination) -> int:
    return len({output.source for output in examination.manifest.outputs})


def _rows_passed(examination: Examination, _: CheckFindings) -> str:
    assert examination.history is not None
    days = len(examination.history.trailing)
    if not examination.history.is_enough:
        return f"only {days} of the {TRAILING_DAYS} days before have run: too few to compare with"
    return f"{_sources(examination):,} sources, none with far more or fewer rows than on the {days} days before"


def _rows_failed(_: Examination, check: CheckFindings) -> str:
    return _named(check, lambda row: f"{row['source']} has {row['rows']:,} rows, usually {row['usual_rows']:,.0f}")


def _readable_numbers(examination: Examination, check: CheckFindings) -> dict[str, Any]:
    line = day_line(examination.manifest)
    warn, error, _ = (finding.rule.kwargs["max_value"] for finding in check.findings)
    by_reason = examination.manifest.quarantine.by_reason
    return {
        "events": line["events"],
        "events_quarantined": line["events_quarantined"],
        "events_share": line["quarantine_share"],
        "bytes_share": line["bytes_share"],
        "objects_share": line["objects_share"],
        "warn_above": warn,
        "error_above": error,
        "records_by_reason": [{"reason": reason, "records": count} for reason, count in sorted(by_reason.items())],
    }


def _readable_described(examination: Examination, check: CheckFindings) -> str:
    line = day_line(examination.manifest)
    lost = [
        (line["objects_share"], f"{line['objects_unreadable']:,} of {line['objects']:,} objects are unreadable"),
        (line["quarantine_share"], f"{line['events_quarantined']:,} of {line['events']:,} events are in quarantine"),
        (
            line["bytes_share"],
            f"{line['text_bytes_quarantined']:,} of {line['text_bytes']:,} bytes of text are in quarantine",
        ),
    ]
    share, largest = max(lost, key=lambda item: item[0])
    if not share:
        return f"{largest}: {share:.3%}" if line["objects"] else "no object was delivered"
    limits = [finding.rule.kwargs["max_value"] for finding in check.findings[:2] if not finding.is_met]
    than = f", more than {max(limits):.3%}" if limits else ""
    others = "".join(f"; {text}" for other, text in lost[:1] if other and text != largest)
    by_reason = sorted(examination.manifest.quarantine.by_reason.items())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in by_reason)
    return f"{largest}: {share:.3%}{than}{others}{f' (records: {reasons})' if reasons else ''}"


def _new_passed(examination: Examination, _: CheckFindings) -> str:
    assert examination.history is not None
    if examination.history.new_sources is None:
        return "no earlier partition has run: nothing to compare with"
    return f"{_sources(examination):,} sources, all seen before"


def _new_failed(_: Examination, check: CheckFindings) -> str:
    return "never seen before: " + _named(check, lambda row: f"{row['source']} ({row['rows']:,} rows)")


def _named(check: CheckFindings, describe: Callable[[Mapping[str, Any]], str]) -> str:
    more = f"; and {check.failed - _NAMED:,} more" if check.failed > _NAMED else ""
    return "; ".join(map(describe, check.rows[:_NAMED])) + more


@dataclass(frozen=True)
class _Texts:
    """The metadata of a check, and its description where it passed and where it failed."""

    numbers: Callable[[Examination, CheckFindings], dict[str, Any]] = _plain_numbers
    passed: Callable[[Examination, CheckFindings], str] = _passed
    failed: Callable[[Examination, CheckFindings], str] = _failed


_TEXTS: Final[Mapping[str, _Texts]] = {
    KEY_UNIQUE: _Texts(_key_unique_numbers, _key_unique_passed, _key_unique_failed),
    ROWS_PER_SOURCE: _Texts(_rows_numbers, _rows_passed, _rows_failed),
    READABLE_SHARE: _Texts(_readable_numbers, _readable_described, _readable_described),
    NEW_SOURCES: _Texts(_source_numbers, _new_passed, _new_failed),
}
