"""A user's suite as a Python module. It imports Great Expectations itself, so this may too."""

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

import audit_pipeline.quality.expectations  # noqa: F401 - a user's suite may have them too

__all__ = ["entries_of", "load_module", "own_types", "suite_of"]

_ROW_BY_ROW = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)


def load_module(path: Path) -> ModuleType:
    """The module of a file, under a name of its own. Raises what the module does."""
    spec = importlib.util.spec_from_file_location("audit_quality_suite", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def suite_of(module: ModuleType) -> gx.ExpectationSuite:
    """What ``suite`` is in the module, or gives. ``TypeError`` for anything else."""
    found = getattr(module, "suite", None)
    suite = found() if callable(found) else found
    if not isinstance(suite, gx.ExpectationSuite):
        raise TypeError("suite is no ExpectationSuite, and no function that gives one")
    return suite


def entries_of(suite: gx.ExpectationSuite) -> list[dict[str, Any]]:
    """Its expectations in the form in which a YAML file has them."""
    return [
        {
            "type": one.expectation_type,
            "kwargs": one.configuration.kwargs,
            "severity": one.severity.value,
            "meta": one.meta,
            "description": one.description or one.notes,
        }
        for one in suite.expectations
    ]


def own_types(suite: gx.ExpectationSuite) -> tuple[Set[str], Set[str]]:
    """Types of expectations that are the user's own: those that look at a row at a time, and the others."""
    own = [one for one in suite.expectations if not type(one).__module__.startswith("great_expectations.")]
    row_by_row = {one.expectation_type for one in own if isinstance(one, _ROW_BY_ROW)}
    return row_by_row, {one.expectation_type for one in own} - row_by_row
