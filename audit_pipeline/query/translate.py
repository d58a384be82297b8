"""Athena's SQL translated into DuckDB's: only what means the same in both, and only the tables of this database.

sqlglot renders the tree in DuckDB's dialect. Where that would give another result than Athena, the tree is rewritten
here, or refused with advice on what to write instead; ``tests/query/test_adhoc.py`` compares the two engines. Anything
that is not listed here is refused too, so that no unforeseen file, setting or function can be reached.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types

from audit_pipeline.query.errors import InvalidQueryError
from audit_pipeline.settings import QuerySettings

__all__ = ["JSON_SCALAR", "to_duckdb"]

#: The connection's name for Trino's ``json_extract_scalar``, which no query may call.
JSON_SCALAR: Final = "audit_json_scalar"

#: Functions of which both engines were tested to give the same results.
_FUNCTIONS: Final = frozenset(
    {
        # logic
        *(exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Exists, exp.Cast, exp.TryCast, exp.Try),
        *(exp.Greatest, exp.Least),
        # texts and bytes
        *(exp.Lower, exp.Upper, exp.Length, exp.Trim, exp.Substring, exp.Reverse, exp.StrPosition, exp.Replace),
        *(exp.Concat, exp.ConcatWs, exp.Split, exp.StartsWith, exp.Pad, exp.Chr, exp.Levenshtein),
        *(exp.RegexpLike, exp.RegexpExtract, exp.RegexpExtractAll, exp.RegexpReplace),
        *(exp.Encode, exp.Decode, exp.Hex, exp.MD5Digest, exp.SHA2Digest, exp.ToBase64),
        # JSON
        *(exp.JSONExtract, exp.JSONExtractScalar, exp.JSONFormat, exp.ParseJSON),
        # numbers
        *(exp.Abs, exp.Ceil, exp.Floor, exp.Round, exp.Trunc, exp.Sign, exp.Pow, exp.Sqrt, exp.Ln),
        # times
        *(exp.CurrentDate, exp.CurrentTimestamp, exp.Localtimestamp, exp.Date, exp.DateAdd, exp.DateDiff),
        *(exp.DateTrunc, exp.TimestampTrunc, exp.Extract, exp.Year, exp.Quarter, exp.Month, exp.WeekOfYear, exp.Day),
        *(exp.DayOfYear, exp.DayOfWeekIso, exp.Hour, exp.Minute, exp.Second, exp.FromISO8601Timestamp),
        *(exp.StrToTime, exp.TimeToStr, exp.TimeToUnix, exp.UnixToTime),
        # aggregates and windows
        *(exp.Count, exp.CountIf, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.ArgMax, exp.ArgMin, exp.AnyValue),
        *(exp.ArrayAgg, exp.GroupConcat, exp.LogicalAnd, exp.LogicalOr, exp.ApproxDistinct),
        *(exp.Stddev, exp.Variance, exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead),
        *(exp.FirstValue, exp.LastValue),
        # arrays and maps
        *(exp.Array, exp.ArraySize, exp.ArrayContains, exp.ArrayFilter, exp.ArraySort, exp.ArrayToString),
        *(exp.Flatten, exp.Transform, exp.GenerateSeries, exp.Map, exp.MapKeys, exp.Unnest),
    }
)
#: Further such functions, which sqlglot does not know.
_OTHER_FUNCTIONS: Final = frozenset({"json_array_length"})
#: The rest of the language.
_SYNTAX: Final = frozenset(
    {
        # a query and its parts
        *(exp.Select, exp.Subquery, exp.Union, exp.Except, exp.Intersect, exp.Values, exp.With, exp.CTE, exp.From),
        *(exp.Join, exp.Lateral, exp.Table, exp.TableAlias, exp.Where, exp.Group, exp.GroupingSets, exp.Rollup),
        *(exp.Cube, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.LimitOptions, exp.Fetch, exp.Offset),
        *(exp.Distinct, exp.Star, exp.Alias, exp.Column, exp.Identifier, exp.Var, exp.Tuple, exp.Paren, exp.Lambda),
        *(exp.Window, exp.WindowSpec, exp.Filter, exp.WithinGroup),
        # values
        *(exp.Literal, exp.Boolean, exp.Null, exp.HexString, exp.UnicodeString, exp.Interval, exp.DataType),
        *(exp.DataTypeParam, exp.Bracket, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript),
        # operators
        *(exp.Not, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.EQ, exp.NEQ, exp.LT, exp.LTE),
        *(exp.GT, exp.GTE, exp.Between, exp.In, exp.Like, exp.Escape, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ),
        *(exp.Any, exp.All, exp.AtTimeZone, exp.BitwiseAnd, exp.BitwiseOr),
    }
)
#: What a query may read from.
_SOURCES: Final = (exp.Table, exp.Subquery, exp.Unnest, exp.Values, exp.Lateral)
#: Parts of a time with the same values in both engines; day_of_week is not one, as Sunday is 0 in DuckDB.
_EXTRACTED: Final = frozenset({"year", "quarter", "month", "week", "day", "doy", "hour", "minute", "second"})
#: Athena's name for its default catalog, the only one here.
_CATALOG: Final = "awsdatacatalog"


def to_duckdb(tree: exp.Expr, settings: QuerySettings) -> str:
    """The statement for DuckDB. :class:`InvalidQueryError` where it could give another result than Athena."""
    tree = annotate_types(tree.copy(), dialect="athena")
    for node in tree.walk():
        _check_known(node)
        if isinstance(node, exp.Table):
            _check_table(node, settings)
        if isinstance(node, exp.From | exp.Join | exp.Lateral):
            _check_source(node.this)
    for kind, rewrite in _REWRITES.items():
        # innermost first, as a replaced node is no longer part of the tree
        for node in reversed(list(tree.find_all(kind))):
            rewrite(node)
    # quoted names: a bare $$…$$ is a name to sqlglot, and a text to DuckDB
    return tree.sql(dialect="duckdb", identify=True, comments=False)


# -- what a query may contain


def _check_known(node: exp.Expr) -> None:
    kind = type(node)
    if kind in _SYNTAX or kind in _FUNCTIONS:
        return
    if isinstance(node, exp.Anonymous) and node.name.lower() in _OTHER_FUNCTIONS:
        return
    if isinstance(node, exp.Struct):
        raise _refuse("ROW(…)", "compare and order by the values one by one")
    raise InvalidQueryError("sql", f"uses {_name(node)!r}, which may give another result in DuckDB than in Athena")


def _name(node: exp.Expr) -> str:
    """The name of the construct in SQL, for messages."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower()[:60]
    return node.sql_name().lower() if isinstance(node, exp.Func) else node.key


def _check_table(table: exp.Table, settings: QuerySettings) -> None:
    if not isinstance(table.this, exp.Identifier):
        raise _unreadable(table.this)
    if not table.db and _is_in_scope(table):
        return
    known = (settings.table, f"{settings.table}_quarantine")
    if (
        table.name.lower() not in known
        or table.db.lower() not in ("", settings.database)
        or table.catalog.lower() not in ("", _CATALOG)
    ):
        name = ".".join(part.name for part in table.parts)
        tables = " and ".join(f"{settings.database}.{name}" for name in known)
        raise InvalidQueryError("sql", f"reads {name[:60]!r}; the only tables are {tables}")
    table.set("catalog", None)


def _is_in_scope(table: exp.Table) -> bool:
    """Whether ``table`` names a query of an enclosing WITH; inside the WITH itself, an earlier query of it."""
    inside: exp.Expr = table
    while (around := inside.parent) is not None:
        if isinstance(around, exp.With):
            index = inside.index or 0
            visible = around.expressions[: index + 1 if around.recursive else index]
        else:
            clause = around.args.get("with_")
            visible = clause.expressions if isinstance(clause, exp.With) and clause is not inside else []
        if any(query.alias.lower() == table.name.lower() for query in visible):
            return True
        inside = around
    return False


def _check_source(source: exp.Expr) -> None:
    if not isinstance(source, _SOURCES):
        raise _unreadable(source)


def _unreadable(source: exp.Expr) -> InvalidQueryError:
    return InvalidQueryError("sql", f"reads from {_name(source)!r}: it may only read tables, queries and UNNEST")


# -- what is rewritten or refused


def _refuse(what: str, instead: str) -> InvalidQueryError:
    return InvalidQueryError("sql", f"contains {what}, which is not the same in DuckDB: {instead}")


def _keep_date(node: exp.Expr) -> None:
    """Athena keeps a date a date where DuckDB makes it a timestamp."""
    if isinstance(node, exp.Sub) and node.this.is_type("date") and node.expression.is_type("date"):
        raise _refuse("a date minus a date", "write date_diff('day', …, …)")
    of = node.this if isinstance(node, exp.TimestampTrunc | exp.DateTrunc) else node
    if of.is_type("date"):
        node.replace(exp.cast(node.copy(), "date"))


def _complete_units(node: exp.DateDiff) -> None:
    """Athena counts complete units; DuckDB's function of that name counts the boundaries between."""
    unit = exp.Literal.string(node.text("unit").lower())
    node.replace(exp.func("datesub", unit, node.expression.copy(), node.this.copy()))


def _check_extract(node: exp.Extract) -> None:
    if node.name.lower() not in _EXTRACTED:
        raise _refuse(f"extract({node.name.lower()} …)", "write the function, such as day_of_week(…)")


def _check_substring(node: exp.Substring) -> None:
    start = node.args.get("start")
    if not (isinstance(start, exp.Literal) and start.is_int and int(start.name) > 0):
        raise _refuse(
            "substr from a position other than a positive number", "write such a number, or split or regexp_extract"
        )


def _none_if_no_match(node: exp.RegexpExtract) -> None:
    matches = exp.RegexpLike(this=node.this.copy(), expression=node.expression.copy())
    node.replace(exp.Case().when(matches, node.copy(), copy=False))


def _check_replacement(node: exp.RegexpReplace) -> None:
    new = node.args.get("replacement")
    if new is not None and not (isinstance(new, exp.Literal) and not {"$", "\\"} & set(new.name)):
        raise _refuse("regexp_replace with more than plain text", "write a replacement without $ and \\")


def _with_null(node: exp.ArgMax | exp.ArgMin) -> None:
    """DuckDB's max_by and min_by skip rows whose value is NULL; Athena's do not."""
    if node.args.get("count") is not None:
        raise _refuse("max_by or min_by with a number of rows", "ORDER BY and LIMIT, or row_number()")
    name = "arg_max_null" if isinstance(node, exp.ArgMax) else "arg_min_null"
    node.replace(exp.func(name, node.this.copy(), node.expression.copy()))


def _exact_scalar(node: exp.JSONExtractScalar) -> None:
    steps = msgspec.json.encode(_steps(node.expression)).decode()
    node.replace(exp.func(JSON_SCALAR, node.this.copy(), exp.Literal.string(steps)))


def _check_path(node: exp.JSONExtract) -> None:
    _steps(node.expression)


def _steps(path: exp.Expr) -> list[str | int]:
    """The keys and indexes of a JSON path, which must be constant and hold nothing else."""
    parts = path.expressions if isinstance(path, exp.JSONPath) else []
    steps = [part.this for part in parts[1:] if isinstance(part, exp.JSONPathKey | exp.JSONPathSubscript)]
    is_plain = all(isinstance(step, str) or (isinstance(step, int) and step >= 0) for step in steps)
    if not parts or len(steps) != len(parts) - 1 or not is_plain:
        raise _refuse("a JSON path other than a plain one", "write it as in '$.lines[0].price'")
    return steps


def _none_if_no_array(node: exp.Anonymous) -> None:
    if node.name.lower() != "json_array_length" or len(node.expressions) != 1:
        return
    (of,) = node.expressions
    is_array = exp.func("json_type", of.copy()).eq("ARRAY")
    node.replace(exp.Case().when(is_array, node.copy(), copy=False))


def _rewrite_cast(node: exp.Cast) -> None:
    to, value = node.to, node.this
    if to.is_type("json"):
        raise _refuse("a cast to JSON", "write json_parse")
    if to.is_type(*exp.DataType.TEXT_TYPES):
        if isinstance(value, exp.JSONExtract | exp.ParseJSON):
            raise _refuse("JSON cast to varchar", "write json_extract_scalar, or json_format")
        if isinstance(value, exp.Column) and value.name.lower() == "timestamp":  # Athena always writes three digits
            node.replace(exp.func("strftime", value.copy(), exp.Literal.string("%Y-%m-%d %H:%M:%S.%g")))
    if isinstance(value, exp.Literal) and to.is_type("timestamp"):  # with a precision DuckDB gives it another type
        to.set("expressions", None)


def _check_zone(node: exp.AtTimeZone) -> None:
    if node.args["zone"].name.upper() != "UTC":
        raise _refuse("a time zone other than UTC", "all times are in UTC")


def _check_limit(node: exp.LimitOptions) -> None:
    if node.args.get("with_ties") or node.args.get("percent"):
        raise _refuse("FETCH FIRST with ties", "write rank() in a query of its own")


_REWRITES: Final[dict[type[exp.Expr], Callable[..., None]]] = {
    exp.Add: _keep_date,
    exp.Sub: _keep_date,
    exp.DateAdd: _keep_date,
    exp.DateTrunc: _keep_date,
    exp.TimestampTrunc: _keep_date,
    exp.DateDiff: _complete_units,
    exp.AtTimeZone: _check_zone,
    exp.Extract: _check_extract,
    exp.Substring: _check_substring,
    exp.RegexpExtract: _none_if_no_match,
    exp.RegexpReplace: _check_replacement,
    exp.ArgMax: _with_null,
    exp.ArgMin: _with_null,
    exp.Cast: _rewrite_cast,
    exp.JSONExtract: _check_path,
    exp.JSONExtractScalar: _exact_scalar,
    exp.Anonymous: _none_if_no_array,
    exp.LimitOptions: _check_limit,
}
