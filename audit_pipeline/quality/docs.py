"""Great Expectations' data docs of one day: its HTML pages, made from the findings of the whole day."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)

from audit_pipeline.quality.findings import CheckFindings, Examination, RuleFindings
from audit_pipeline.quality.gx import configuration_of, new_context
from audit_pipeline.quality.rules import KEY_COLUMNS

__all__ = ["write_data_docs"]

_SITE: Final = "audit_log"
_SUITE: Final = "audit_log"


def write_data_docs(examination: Examination, folder: Path) -> Path:
    """Write the pages into ``folder``, which is created if necessary. Returns the path of the first page."""
    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    context = new_context()
    context.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    rules = [finding.rule for check in examination.checks for finding in check.findings]
    context.suites.add(
        ExpectationSuite(_SUITE, expectations=[configuration_of(rule).to_domain_obj() for rule in rules])
    )
    day = examination.manifest.partition
    run = RunIdentifier(run_name=day.isoformat(), run_time=datetime.combine(day, time(), UTC))
    key = ValidationResultIdentifier(ExpectationSuiteIdentifier(_SUITE), run, day.isoformat())
    context.validation_results_store.store_validation_results(_results(examination, run), key)
    context.build_data_docs([_SITE])
    return folder / "index.html"


def _results(examination: Examination, run: RunIdentifier) -> ExpectationSuiteValidationResult:
    results = [_result(check, finding) for check in examination.checks for finding in check.findings]
    met = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=met == len(results),
        results=results,
        suite_name=_SUITE,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
            "success_percent": 100 * met / len(results),
        },
        meta={"run_id": run, "validation_time": run.run_time},
    )


def _result(check: CheckFindings, finding: RuleFindings) -> ExpectationValidationResult:
    return ExpectationValidationResult(
        success=finding.is_met,
        expectation_config=configuration_of(finding.rule),
        result=_numbers(check, finding),
        exception_info={
            "raised_exception": finding.problem is not None,
            "exception_message": finding.problem,
            "exception_traceback": None,
        },
    )


def _numbers(check: CheckFindings, finding: RuleFindings) -> dict[str, Any]:
    if finding.observed is not None:
        return {"observed_value": finding.observed}
    if check.batch == "sql":
        return {"observed_value": finding.failed, "details": {"unexpected_rows": check.rows}}
    numbers: dict[str, Any] = {
        "element_count": finding.evaluated,
        "unexpected_count": finding.failed,
        "unexpected_percent": 100 * finding.failed / finding.evaluated if finding.evaluated else None,
    }
    if finding.is_met:
        return numbers
    shown = [" / ".join(f"{name}={row[name]}" for name in row if name in KEY_COLUMNS) for row in check.rows]
    return numbers | {"partial_unexpected_list": shown}
