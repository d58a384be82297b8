"""Great Expectations on one data frame at a time, in memory: no project, no store, no progress bars."""

import gc
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

# read by the import below
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.validator.validator import Validator

import audit_pipeline.quality.expectations  # noqa: F401 - registers them
from audit_pipeline.errors import SettingsError
from audit_pipeline.quality.rules import Rule

__all__ = ["FrameResult", "configuration_of", "new_context", "validate"]

_RUNTIME: Final[Mapping[str, Any]] = {
    "catch_exceptions": True,
    # the positions of all bad rows without values: with columns named here, a bad part takes half a minute
    "result_format": {
        "result_format": "COMPLETE",
        "exclude_unexpected_values": True,
        "return_unexpected_index_query": False,
    },
}


@dataclass(frozen=True)
class FrameResult:
    """The result of one expectation on one frame.

    ``rows`` is the number of rows that it evaluated (most expectations skip nulls), ``positions`` are those that break
    it, ``problem`` is why it could not be evaluated.
    """

    is_met: bool
    rows: int
    positions: Sequence[int]
    observed: Any
    problem: str | None


def new_context() -> EphemeralDataContext:
    """A context without the temporary folder that Great Expectations creates by default."""
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


@cache
def _context() -> EphemeralDataContext:
    return new_context()


def configuration_of(rule: Rule, **meta: Any) -> ExpectationConfiguration:
    """The rule as Great Expectations' type. Raises :class:`SettingsError` for arguments that it does not accept."""
    configuration = ExpectationConfiguration(
        type=rule.type,
        kwargs=dict(rule.kwargs),
        severity=FailureSeverity(rule.severity),
        meta={"check": rule.check, **meta},
    )
    try:
        configuration.to_domain_obj()
    except (ValueError, TypeError, GreatExpectationsError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"{rule.origin}: Great Expectations does not accept its arguments ({reason}): fix them"
        ) from None
    return configuration


def validate(frame: pd.DataFrame, rules: Sequence[Rule]) -> list[FrameResult]:
    """Evaluate each rule on the frame, whose index counts from 0. Returns results in the order of the rules."""
    # a batch of a data source would hash every value, which takes longer than most expectations
    engine = PandasExecutionEngine()
    engine.load_batch_data("frame", frame)
    validator = Validator(execution_engine=engine, data_context=_context())
    # results come in another order if one cannot be evaluated
    configurations = [configuration_of(rule, number=number) for number, rule in enumerate(rules)]
    results = validator.graph_validate(configurations=configurations, runtime_configuration=dict(_RUNTIME))
    # a reference cycle holds the engine, and with it the rows, until the next garbage collection
    engine.load_batch_data("frame", pd.DataFrame())
    if any("row_condition" in rule.kwargs for rule in rules):
        # reference cycles hold the frames of pandas' query too
        gc.collect()
    by_number = {_number(result): _frame_result(result) for result in results}
    return [by_number[number] for number in range(len(rules))]


def _number(result: ExpectationValidationResult) -> int:
    assert result.expectation_config is not None
    return int(result.expectation_config.meta["number"])


def _frame_result(result: ExpectationValidationResult) -> FrameResult:
    details: Mapping[str, Any] = result.result or {}
    return FrameResult(
        is_met=bool(result.success),
        rows=details.get("element_count", 0) - (details.get("missing_count") or 0),
        positions=details.get("unexpected_index_list") or [],
        observed=details.get("observed_value"),
        problem=_problem(result.exception_info),
    )


def _problem(info: Mapping[str, Any]) -> str | None:
    """The first error in one line. ``info`` is that of the expectation, or of each metric that it needs."""
    infos: Iterable[Mapping[str, Any]] = [info] if "raised_exception" in info else info.values()
    messages = [str(item["exception_message"]) for item in infos if item["raised_exception"]]
    return " ".join(messages[0].split()) if messages else None
