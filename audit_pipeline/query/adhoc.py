"""Ad-hoc SQL: one read-only query in Athena's dialect, on any backend."""

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

import duckdb
import msgspec
import pyarrow as pa
import sqlglot
from duckdb.func import FunctionNullHandling, PythonUDFType
from sqlglot import Token, TokenType, exp

from audit_pipeline.catalog.duckdb import connect
from audit_pipeline.catalog.results import QueryStats, Result
from audit_pipeline.errors import QueryError
from audit_pipeline.query.backends.execution import executing, retry_reads
from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.query.translate import JSON_SCALAR, to_duckdb
from audit_pipeline.settings import QuerySettings
from audit_pipeline.store.layout import QUARANTINE_PREFIX, TABLE_PREFIX
from audit_pipeline.store.objects import open_store

__all__ = ["read_only", "run_sql"]

#: The first tokens of queries; in Athena and Trino, no statement that starts with one of them changes anything.
_FIRST_TOKENS: Final = frozenset(
    {TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.TABLE, TokenType.L_PAREN}
)
#: Athena's quota for a query string.
_MAX_SQL_BYTES: Final = 262_144
_BATCH_ROWS: Final = 8192


def run_sql(settings: QuerySettings, sql: str, *, cancelled: threading.Event | None = None) -> Result:
    """The rows of one query. Setting ``cancelled`` ends it with :class:`~audit_pipeline.errors.QueryCancelledError`.

    Raises :class:`~audit_pipeline.query.errors.InvalidQueryError` for anything but one query, and on DuckDB for what is
    not known to give the same result there as in Athena.
    """
    text, tree = read_only(sql)
    if settings.query_backend == "duckdb":
        return _run_in_duckdb(settings, to_duckdb(tree, settings), cancelled)
    if settings.query_backend == "athena":
        from audit_pipeline.catalog.athena import athena_of

        return athena_of(settings).run(text, cancelled=cancelled)
    from audit_pipeline.catalog.trino import trino_of

    return trino_of(settings).run(text, cancelled=cancelled)


def read_only(sql: str) -> tuple[str, exp.Expr]:
    """The one query in ``sql``, as text and as a tree; :class:`InvalidQueryError` for anything else.

    The text begins with the query's first word: comments before it, which parsers read in different ways, are left out.
    """
    if len(sql.encode(errors="replace")) > _MAX_SQL_BYTES:
        raise InvalidQueryError("sql", f"may have {_MAX_SQL_BYTES:,} bytes: split it into several queries")
    try:
        tokens = _without_semicolons(sqlglot.tokenize(sql, read="athena"))
        if not tokens:
            raise InvalidQueryError("sql", "is empty")
        if tokens[0].token_type not in _FIRST_TOKENS:
            word = next((token.text for token in tokens if token.text), "")  # the first token of DDL has no text
            raise InvalidQueryError(
                "sql", f"must be a query, which begins with SELECT or WITH, not with {word[:40].upper()!r}"
            )
        text = sql[tokens[0].start : tokens[-1].end + 1]
        trees = sqlglot.parse(text, read="athena")
    except sqlglot.ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f"at line {first.get('line')}, column {first.get('col')}, near {str(first.get('highlight'))[:40]!r}"
        raise InvalidQueryError("sql", f"cannot be parsed {where}") from None
    except sqlglot.errors.SqlglotError:
        raise InvalidQueryError("sql", "cannot be parsed: is a quote or a comment left open?") from None
    except RecursionError:
        raise InvalidQueryError("sql", "cannot be parsed: it is nested too deeply") from None
    (tree,) = trees if len(trees) == 1 else (None,)
    if tree is None:
        raise InvalidQueryError("sql", f"has {len(trees)} statements: give one query")
    if not isinstance(tree, exp.Query | exp.Values):
        raise InvalidQueryError("sql", f"must be a query, not {type(tree).__name__.upper()}")
    _check_reads_only(tree)
    _check_limit_order(tokens)
    return text, tree


def _without_semicolons(tokens: list[Token]) -> list[Token]:
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens = tokens[:-1]
    return tokens


def _check_reads_only(tree: exp.Expr) -> None:
    for node in tree.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Command | exp.Into | exp.Set | exp.Pragma) and not isinstance(
            node, exp.Query
        ):
            raise InvalidQueryError("sql", f"must only read: {type(node).__name__.upper()} is refused")


def _check_limit_order(tokens: list[Token]) -> None:
    """Athena requires OFFSET before LIMIT; sqlglot would accept the other order and swap them."""
    for limit, number, then in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_count = number.token_type == TokenType.NUMBER or number.text.upper() == "ALL"
        if limit.token_type == TokenType.LIMIT and is_count and then.token_type in (TokenType.OFFSET, TokenType.COMMA):
            raise InvalidQueryError("sql", "must have OFFSET before LIMIT: OFFSET 20 LIMIT 10")


def _run_in_duckdb(settings: QuerySettings, sql: str, cancelled: threading.Event | None) -> Result:
    def attempt() -> pa.Table:
        with _locked_connection(settings) as connection, executing(connection, cancelled):
            _check_statement(connection, sql)
            return _read(connection.execute(sql), settings.memory_mb << 20)

    started = perf_counter()
    return Result(retry_reads(attempt), QueryStats(perf_counter() - started))


@contextmanager
def _locked_connection(settings: QuerySettings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the views of the table that can reach nothing else: no other file, no URL, no setting.

    This is the second safeguard. The first is that :func:`to_duckdb` refuses every table and function that it does not
    know.
    """
    lake = open_store(settings.lake_url)
    base = str(lake.root) if lake.root is not None else lake.url
    # DuckDB checks both the glob patterns of the views and the paths that they match
    bases = {base, re.sub(r"([\[*?])", r"[\1]", base)}
    allowed = [f"{b}/{prefix}" for b in sorted(bases) for prefix in (TABLE_PREFIX, QUARANTINE_PREFIX)]
    # a directory of its own, as DuckDB may read every file in its temporary directory
    with (
        tempfile.TemporaryDirectory(prefix="audit-sql-", dir=settings.scratch_dir) as scratch,
        connect(settings) as connection,
    ):
        connection.create_function(
            JSON_SCALAR,
            _json_scalars,
            ["VARCHAR", "VARCHAR"],
            "VARCHAR",
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )
        connection.execute("SET temp_directory = $folder", {"folder": scratch})
        # as in Trino: 1 / 2 is 0, and times without a zone are in UTC
        connection.execute("SET integer_division = true")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET allowed_directories = $folders", {"folders": allowed})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        raise QueryError("DuckDB does not parse the query as one SELECT: it was not run")


def _read(cursor: duckdb.DuckDBPyConnection, max_bytes: int) -> pa.Table:
    reader = cursor.to_arrow_reader(_BATCH_ROWS)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > max_bytes:
            raise QueryError(
                f"the result is larger than AUDIT_MEMORY_MB={max_bytes >> 20}: narrow it, add a LIMIT, or export rows "
                f"with `audit-pipeline query --all`"
            )
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_STEPS: Final = msgspec.json.Decoder(list[str | int])


def _json_scalars(texts: pa.ChunkedArray, paths: pa.ChunkedArray) -> pa.Array:
    """Trino's ``json_extract_scalar``: DuckDB's makes 1.1 of 1.10 and texts of objects, and fails on invalid JSON."""
    steps = _STEPS.decode(paths[0].as_py()) if len(paths) else []
    return pa.array((_json_scalar(text, steps) for text in texts.to_pylist()), pa.string())


def _json_scalar(text: str | None, steps: list[str | int]) -> str | None:
    if text is None:
        return None
    node: str | bytes | msgspec.Raw = text
    try:
        for step in steps:
            node = _FIELDS.decode(node)[step] if isinstance(step, str) else _ITEMS.decode(node)[step]
        value = bytes(node).decode().strip() if not isinstance(node, str) else node.strip()
        if value.startswith('"'):
            return msgspec.json.decode(value, type=str)
        if value.startswith(("{", "[")) or msgspec.json.decode(value) is None:
            return None
    except (msgspec.DecodeError, KeyError, IndexError, RecursionError):
        return None
    return value
