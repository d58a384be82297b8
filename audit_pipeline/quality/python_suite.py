"""A user's suite in a Python module. Such a module imports Great Expectations, so this one may too."""

import importlib.util
from collections.abc import Set
from pathlib import Path
from types import ModuleType
from typing import Any

import great_expectations as gx
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)

import audit_pipeline.quality.expectations  # noqa: F401 - registers expectations that the suite may use

__all__ = ["entries_of", "load_module", "own_types", "suite_of"]

_ROW_BY_ROW = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)


def load_module(path: Path) -> ModuleType:
    """Import the module of a file under a name of its own. Raises what the module does."""
    spec = importlib.util.spec_from_file_location("audit_quality_suite", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def suite_of(module: ModuleType) -> gx.ExpectationSuite:
    """The ``suite`` of the module, or what it returns if it is a function. ``TypeError`` for anything else."""
    member = getattr(module, "suite", None)
    suite = member() if callable(member) else member
    if not isinstance(suite, gx.ExpectationSuite):
        raise TypeError("suite is not an ExpectationSuite or a function that returns one")
    return suite


def entries_of(suite: gx.ExpectationSuite) -> list[dict[str, Any]]:
    """The expectations in the form of a YAML suite."""
    return [
        {
            "type": expectation.expectation_type,
            "kwargs": expectation.configuration.kwargs,
            "severity": expectation.severity.value,
            "meta": expectation.meta,
            "description": expectation.description or expectation.notes,
        }
        for expectation in suite.expectations
    ]


def own_types(suite: gx.ExpectationSuite) -> tuple[Set[str], Set[str]]:
    """Types of expectations that the user's module defines: those that evaluate one row at a time, and the others."""
    own = [item for item in suite.expectations if not type(item).__module__.startswith("great_expectations.")]
    row_by_row = {item.expectation_type for item in own if isinstance(item, _ROW_BY_ROW)}
    return row_by_row, {item.expectation_type for item in own} - row_by_row
