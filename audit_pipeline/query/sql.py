"""From a query to one SELECT: a tree of sqlglot's, so that no input can change its shape, and values as parameters.

One builder serves DuckDB, Athena and Trino, whose dialects sqlglot writes out of the same tree. Rules that it keeps:

- The key is compared as ``ts < X OR (ts = X AND (id < Y OR …))``. A comparison of row values would be shorter, but comes
  out of sqlglot as one of structs in DuckDB, which is another order.
- ``dt`` and ``source`` are bounded by plain comparisons, for partition pruning and because Athena's injected projection
  wants an equality or an IN list; the bounds of ``dt`` narrow as the cursor moves.
- A text is cut into short parameters joined by ``||``: Athena takes 1,024 characters each, escapes included.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Final, Literal

from sqlglot import exp

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA
from audit_pipeline.query.cursor import Position
from audit_pipeline.query.query import AuditLogQuery
from audit_pipeline.query.values import Order, PageDirection

__all__ = ["COLUMNS", "Dialect", "Statement", "build"]

Dialect = Literal["duckdb", "athena", "trino"]

#: Of every statement, in this order.
COLUMNS: Final = (*ROW_SCHEMA.names, *PARTITION_COLUMNS)

_KEY: Final = ("Timestamp", "Id", "source", "EntityIndex")
#: Characters of one parameter: Athena's 1,024 hold 200 of any kind, as ``\+01F600`` takes eight.
_PIECE: Final = 120


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT, the values of its ``?`` in order, and the partitions that it may read."""

    tree: exp.Select
    parameters: Sequence[str | int]
    days: Sequence[date]
    sources: Sequence[str]

    def sql(self, dialect: Dialect) -> str:
        return self.tree.sql(dialect=dialect)


def build(
    query: AuditLogQuery,
    table: exp.Table,
    sources: Sequence[str],
    position: Position | None = None,
    limit: int | None = None,
) -> Statement:
    """The rows of ``query`` after ``position``, in the order of reading: backwards for the page before a cursor.

    ``sources`` are those to look into, never none of them; ``limit`` is how many rows to read at most.
    """
    forwards = query.direction == PageDirection.NEXT
    descending = (query.order == Order.DESCENDING) == forwards
    days = _days(query, position, descending)
    values = _Parameters()
    where = exp.and_(
        exp.GTE(this=_column("dt"), expression=values.text(days[0].isoformat())),
        exp.LTE(this=_column("dt"), expression=values.text(days[-1].isoformat())),
        values.one_of("source", sources),
        *_filters(query, values),
        *([_beyond(position, descending, values)] if position else ()),
    )
    tree = exp.select(*map(_column, COLUMNS)).from_(table.copy()).where(where)
    tree = tree.order_by(*(exp.Ordered(this=_column(name), desc=descending, nulls_first=False) for name in _KEY))
    if limit is not None:
        tree = tree.limit(limit)
    return Statement(tree, values.given, days, sources)


def _days(query: AuditLogQuery, position: Position | None, descending: bool) -> list[date]:
    if position is None:
        return query.days
    at = _utc(position.timestamp_ms).date()
    return [day for day in query.days if (day <= at if descending else day >= at)]


class _Parameters:
    """The values given so far; each method returns what stands for one in the tree."""

    def __init__(self) -> None:
        self.given: list[str | int] = []

    def integer(self, value: int) -> exp.Expr:
        return self._add(value)

    def text(self, value: str) -> exp.Expr:
        pieces = [value[i : i + _PIECE] for i in range(0, len(value), _PIECE)] or [""]
        joined = reduce(lambda a, b: exp.DPipe(this=a, expression=b), map(self._add, pieces))
        return joined if len(pieces) == 1 else exp.paren(joined, copy=False)

    def timestamp(self, epoch_ms: int) -> exp.Expr:
        text = _utc(epoch_ms).replace(tzinfo=None).isoformat(" ", "milliseconds")
        kind = exp.DataType.build("timestamp(3)", dialect="trino")
        return exp.Cast(this=self._add(text), to=kind)

    def equals(self, column: str, value: str) -> exp.Expr:
        return exp.EQ(this=_column(column), expression=self.text(value))

    def one_of(self, column: str, values: Iterable[str]) -> exp.Expr:
        return exp.In(this=_column(column), expressions=[self.text(str(value)) for value in values])

    def _add(self, value: str | int) -> exp.Expr:
        self.given.append(value)
        return exp.Placeholder()


def _filters(query: AuditLogQuery, values: _Parameters) -> list[exp.Expr]:
    found = []
    if query.entity_id is not None:
        found.append(_entity(query, query.entity_id, values))
    elif query.entity_types:
        found.append(values.one_of("EntityType", query.entity_types))
    for column, several in (("Action", query.actions), ("ActorType", query.actor_types)):
        if several:
            found.append(values.one_of(column, several))
    for column, one in (
        ("ActorName", query.actor_name),
        ("CorrelationId", query.correlation_id),
        ("EntityParentId", query.parent_id),
        ("ChannelCode", query.channel_code),
    ):
        if one is not None:
            found.append(values.equals(column, one))
    if query.text is not None:
        found.append(exp.or_(*(_contains(column, query.text, values) for column in ("EntityName", "Before", "After"))))
    return found


def _entity(query: AuditLogQuery, entity_id: str, values: _Parameters) -> exp.Expr:
    itself = [values.equals("EntityId", entity_id)]
    if query.entity_types:
        itself.append(values.one_of("EntityType", query.entity_types))
    if not query.include_children:
        return exp.and_(*itself)
    child = [values.equals("EntityParentId", entity_id)]
    if query.entity_types:
        untold = exp.Is(this=_column("EntityParentType"), expression=exp.null())
        child.append(exp.or_(values.one_of("EntityParentType", query.entity_types), untold))
    return exp.or_(exp.and_(*itself), exp.and_(*child))


def _contains(column: str, text: str, values: _Parameters) -> exp.Expr:
    # not LIKE: in a place of its own, a text has no wild cards
    place = exp.StrPosition(this=_column(column), substr=values.text(text))
    return exp.GT(this=place, expression=exp.Literal.number(0))


def _beyond(position: Position, descending: bool, values: _Parameters) -> exp.Expr:
    """Rows after ``position`` in the order of reading, with a plain bound on Timestamp for the files' statistics."""
    further = exp.LT if descending else exp.GT
    not_before = exp.LTE if descending else exp.GTE
    at = position.timestamp_ms
    bound = not_before(this=_column("Timestamp"), expression=values.timestamp(at))
    return exp.and_(
        bound,
        exp.or_(
            further(this=_column("Timestamp"), expression=values.timestamp(at)),
            exp.and_(
                exp.EQ(this=_column("Timestamp"), expression=values.timestamp(at)),
                exp.or_(
                    further(this=_column("Id"), expression=values.text(position.id)),
                    exp.and_(
                        values.equals("Id", position.id),
                        exp.or_(
                            further(this=_column("source"), expression=values.text(position.source)),
                            exp.and_(
                                values.equals("source", position.source),
                                further(this=_column("EntityIndex"), expression=values.integer(position.entity_index)),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _utc(epoch_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)
