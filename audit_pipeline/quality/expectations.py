"""Expectations that this package defines. Importing this module registers them with Great Expectations."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pandas as pd
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation, ColumnPairMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.column_pair_condition_partial import (
    column_pair_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_pair_map_metric_provider import (
    ColumnPairMapMetricProvider,
)

__all__ = ["ExpectColumnPairValuesAToBeGivenWithB", "ExpectColumnValuesToBeJsonObjects"]


class _Object(msgspec.Struct, gc=False):
    """Any JSON object: its fields are checked and skipped, several times as fast as they could be read."""


_DECODER = msgspec.json.Decoder(_Object)


class _ColumnValuesJsonObjects(ColumnMapMetricProvider):
    condition_metric_name = "column_values.json_objects"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[Any]", **_: Any) -> "pd.Series[bool]":  # noqa: N805 - called with the class
        return pd.Series([_is_json_object(text) for text in column.tolist()], index=column.index, dtype=bool)


class ExpectColumnValuesToBeJsonObjects(ColumnMapExpectation):
    """Expect each value that is not null to be the JSON text of an object."""

    map_metric = "column_values.json_objects"


class _ColumnPairValuesAGivenWithB(ColumnPairMapMetricProvider):
    condition_metric_name = "column_pair_values.a_given_with_b"
    condition_domain_keys = ("batch_id", "table", "column_A", "column_B", "row_condition", "condition_parser")
    condition_value_keys = ("b_values",)

    @column_pair_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]
    def _pandas(
        cls,  # noqa: N805 - called with the class
        column_A: "pd.Series[Any]",  # noqa: N803 - called with these names
        column_B: "pd.Series[Any]",  # noqa: N803
        b_values: Sequence[Any] | None = None,
        **_: Any,
    ) -> "pd.Series[bool]":
        concerns = column_B.notna() if b_values is None else column_B.isin(b_values)
        return column_A.notna() | ~concerns


class ExpectColumnPairValuesAToBeGivenWithB(ColumnPairMapExpectation):
    """Expect A not to be null where B is not null or, if ``b_values`` are given, where B is one of them.

    A row condition says the same, but copies the rows and keeps them until the next garbage collection.
    """

    b_values: list[str] | None = None

    map_metric = "column_pair_values.a_given_with_b"
    success_keys = ("b_values", "mostly")


def _is_json_object(text: Any) -> bool:
    try:
        _DECODER.decode(text)
    except RecursionError:
        # nested too deeply for the stack here; the decoder of raw has already checked that the text is JSON
        return bool(text.lstrip().startswith("{"))
    except (msgspec.MsgspecError, TypeError):
        return False
    return True
