"""From the texts in which Athena and Trino give values to Arrow."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from audit_pipeline.errors import QueryError

__all__ = ["array_of_texts", "arrow_type"]

_TYPES: Final = {
    "boolean": pa.bool_(),
    "tinyint": pa.int32(),
    "smallint": pa.int32(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float64(),
    "float": pa.float64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "varbinary": pa.binary(),
}
#: By the digits of a second, as many as a timestamp has at most.
_UNITS: Final = ((3, "ms"), (6, "us"), (9, "ns"))


def arrow_type(kind: str, precision: int = 0, scale: int = 0) -> pa.DataType:
    """The Arrow type for an SQL type; string for those that have none, such as arrays and times with a zone."""
    if kind == "decimal":
        return pa.decimal128(precision, scale)
    if kind == "timestamp":
        return next((pa.timestamp(unit) for digits, unit in _UNITS if precision <= digits), pa.string())
    return _TYPES.get(kind, pa.string())


def array_of_texts(texts: Sequence[str | None], kind: pa.DataType, column: str) -> pa.Array:
    """One column. :class:`QueryError` for a text that does not fit its type."""
    try:
        if kind == pa.binary():
            # Athena's way: 7b 7d
            return pa.array([None if text is None else bytes.fromhex(text) for text in texts], kind)
        strings = pa.array(texts, pa.string())
        return strings if kind == pa.string() else strings.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise QueryError(f"the result's column {column} cannot be read as {kind}: {reason}") from error
