"""The log line of a query: its shape and its cost, never a value that somebody searches for."""

import logging
from typing import Final

import sqlglot
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType

from audit_pipeline.catalog.results import QueryStats

__all__ = ["log_query"]

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
_MAX_CHARACTERS: Final = 400


def log_query(log: logging.Logger, engine: str, sql: str, stats: QueryStats) -> None:
    log.info("%s query %s: %s: %s", engine, stats.query_id, _cost(stats), _shape(sql))


def _shape(sql: str) -> str:
    """The statement on one line, with ``?`` for its literals and without its comments, cut to a readable length."""
    try:
        tokens = sqlglot.tokenize(sql, read="trino")
    except TokenError:
        return "a statement that cannot be tokenized"
    words = ["?" if token.token_type in _LITERALS else sql[token.start : token.end + 1] for token in tokens]
    shape = " ".join(" ".join(words).split())
    return shape if len(shape) <= _MAX_CHARACTERS else f"{shape[:_MAX_CHARACTERS]}…"


def _cost(stats: QueryStats) -> str:
    parts = [f"{stats.seconds:.2f} s"]
    if stats.bytes_scanned is not None:
        parts.append(f"{stats.bytes_scanned:,} bytes scanned")
    if stats.cost_usd is not None:
        parts.append(f"${stats.cost_usd:.6f}")
    return ", ".join(parts)
