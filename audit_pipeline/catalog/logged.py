"""What the log tells of a query: its shape and its cost, never a value that somebody looks for."""

from typing import Final

import sqlglot
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType

from audit_pipeline.catalog.results import QueryStats

__all__ = ["cost_of", "shape_of"]

_LITERALS: Final = frozenset(
    {
        TokenType.STRING,
        TokenType.NUMBER,
        TokenType.UNICODE_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.HEX_STRING,
        TokenType.BYTE_STRING,
        TokenType.BIT_STRING,
        TokenType.RAW_STRING,
    }
)
_CHARACTERS: Final = 400


def shape_of(sql: str) -> str:
    """The statement on one line with ``?`` for its values and without its comments, cut to a readable length."""
    try:
        tokens = sqlglot.tokenize(sql, read="trino")
    except TokenError:
        return "a statement that cannot be read"
    words = ["?" if token.token_type in _LITERALS else sql[token.start : token.end + 1] for token in tokens]
    shape = " ".join(" ".join(words).split())
    return shape if len(shape) <= _CHARACTERS else f"{shape[:_CHARACTERS]}…"


def cost_of(stats: QueryStats) -> str:
    """The cost of a query in words."""
    told = [f"{stats.seconds:.2f} s"]
    if stats.bytes_scanned is not None:
        told.append(f"{stats.bytes_scanned:,} bytes scanned")
    if stats.cost_usd is not None:
        told.append(f"${stats.cost_usd:.6f}")
    return ", ".join(told)
