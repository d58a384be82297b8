"""Great Expectations' data docs of one day: its own HTML pages, of what was found in parts."""

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
    """Write the pages into ``folder``, which is made if need be; the path of the first one."""
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
    rules = [found.rule for check in examination.checks for found in check.rules]
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
    results = [_result(check, found) for check in examination.checks for found in check.rules]
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


def _result(check: CheckFindings, found: RuleFindings) -> ExpectationValidationResult:
    return ExpectationValidationResult(
        success=found.is_met,
        expectation_config=configuration_of(found.rule),
        result=_numbers(check, found),
        exception_info={
            "raised_exception": found.problem is not None,
            "exception_message": found.problem,
            "exception_traceback": None,
        },
    )


def _numbers(check: CheckFindings, found: RuleFindings) -> dict[str, Any]:
    if found.observed is not None:
        return {"observed_value": found.observed}
    if check.batch == "sql":
        return {"observed_value": found.failed, "details": {"unexpected_rows": check.rows}}
    numbers: dict[str, Any] = {
        "element_count": found.looked_at,
        "unexpected_count": found.failed,
        "unexpected_percent": 100 * found.failed / found.looked_at if found.looked_at else None,
    }
    if found.is_met:
        return numbers
    shown = [" / ".join(f"{name}={row[name]}" for name in row if name in KEY_COLUMNS) for row in check.rows]
    return numbers | {"partial_unexpected_list": shown}
