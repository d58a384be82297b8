"""Arrow columns from the texts in which Athena and Trino return values."""

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
#: The Arrow unit for a timestamp of at most so many fractional digits.
_UNITS: Final = ((3, "ms"), (6, "us"), (9, "ns"))


def arrow_type(kind: str, precision: int = 0, scale: int = 0) -> pa.DataType:
    """The Arrow type for an SQL type; string for arrays, times with a zone and other types without an equivalent."""
    if kind == "decimal":
        return pa.decimal128(precision, scale)
    if kind == "timestamp":
        return next((pa.timestamp(unit) for digits, unit in _UNITS if precision <= digits), pa.string())
    return _TYPES.get(kind, pa.string())


def array_of_texts(texts: Sequence[str | None], kind: pa.DataType, column: str) -> pa.Array:
    """One column of the type ``kind``. :class:`QueryError` for a text that is not of this type."""
    try:
        if kind == pa.binary():
            # Athena writes bytes as 7b 7d
            return pa.array([None if text is None else bytes.fromhex(text) for text in texts], kind)
        strings = pa.array(texts, pa.string())
        return strings if kind == pa.string() else strings.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise QueryError(f"the result's column {column} cannot be read as {kind}: {reason}") from error
