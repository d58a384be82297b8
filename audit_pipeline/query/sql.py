"""From a query to one SELECT: a syntax tree of sqlglot, whose shape no input can change, and values as parameters.

One builder serves DuckDB, Athena and Trino, for whose dialects sqlglot renders the same tree. Its rules:

- The key is compared as ``ts < X OR (ts = X AND (id < Y OR …))``. A comparison of row values would be shorter, but
  sqlglot renders it for DuckDB as one of structs, which sort in another order.
- ``dt`` and ``source`` are bounded by plain comparisons, for partition pruning and because Athena's injected projection
  requires an equality or an IN list; the bounds of ``dt`` narrow as the cursor moves.
- A text is one parameter. For an engine that limits its length it is split, and joined again by ``||``.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from sqlglot import exp

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA
from audit_pipeline.epoch import DAY_MS, day_number, moment_of
from audit_pipeline.query.cursor import Position
from audit_pipeline.query.query import AuditLogQuery, Order, PageDirection

__all__ = ["COLUMNS", "Dialect", "Span", "Statement", "build_statement", "reads_descending"]

Dialect = Literal["duckdb", "athena", "trino"]

#: The columns of every statement, in this order.
COLUMNS: Final = (*ROW_SCHEMA.names, *PARTITION_COLUMNS)

_KEY: Final = ("Timestamp", "Id", "source", "EntityIndex")


@dataclass(frozen=True, slots=True)
class Span:
    """Milliseconds since 1970 (UTC), the end not included."""

    start: int
    end: int

    @classmethod
    def of_days(cls, first: date, end: date) -> "Span":
        return cls(day_number(first) * DAY_MS, day_number(end) * DAY_MS)

    @property
    def days(self) -> list[date]:
        first, last = moment_of(self.start).date(), moment_of(self.end - 1).date()
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@dataclass(frozen=True, slots=True)
class Statement:
    """A SELECT, the values of its ``?`` in order, and the partitions that it may read."""

    tree: exp.Select
    parameters: Sequence[str | int]
    days: Sequence[date]
    sources: Sequence[str]

    def sql(self, dialect: Dialect) -> str:
        return self.tree.sql(dialect=dialect)


def build_statement(
    query: AuditLogQuery,
    table: exp.Table,
    sources: Sequence[str],
    span: Span,
    position: Position | None = None,
    limit: int | None = None,
    max_parameter_characters: int | None = None,
) -> Statement:
    """The rows of ``query`` in ``span`` and after ``position``, in the order of reading.

    That order is the reverse of the query's for the page before a cursor. ``sources`` are those to read, at least one;
    ``limit`` is the maximum number of rows; longer texts than ``max_parameter_characters`` are split.
    """
    descending = reads_descending(query)
    values = _Parameters(max_parameter_characters)
    trees = []
    for entity in _entities(query):
        where = [
            *_partitions(span, sources, values),
            *entity(values),
            *_filters(query, values),
            *([_after(position, descending, values)] if position else ()),
        ]
        trees.append(exp.select(*map(_column, COLUMNS)).from_(table.copy()).where(*where))
    tree = trees[0]
    if len(trees) > 1:
        both = exp.union(*trees, distinct=False)
        tree = exp.select(*map(_column, COLUMNS)).from_(both.subquery("found"))
    tree = tree.order_by(*(exp.Ordered(this=_column(name), desc=descending, nulls_first=False) for name in _KEY))
    if limit is not None:
        tree = tree.limit(limit)
    return Statement(tree, values.bound, span.days, sources)


def reads_descending(query: AuditLogQuery) -> bool:
    """Whether rows are read latest first: in the query's order, or in reverse for a page before a cursor."""
    return (query.order == Order.DESCENDING) == (query.direction == PageDirection.NEXT)


class _Parameters:
    """The parameters bound so far; each method binds a value and returns its expression."""

    def __init__(self, max_characters: int | None) -> None:
        self._max_characters = max_characters
        self.bound: list[str | int] = []

    def integer(self, value: int) -> exp.Expr:
        return self._add(value)

    def text(self, value: str) -> exp.Expr:
        size = self._max_characters
        if size is None or len(value) <= size:
            return self._add(value)
        return self._joined([value[i : i + size] for i in range(0, len(value), size)])

    def _joined(self, parts: Sequence[str]) -> exp.Expr:
        """A balanced tree of ``||``: engines would nest a chain of a thousand parts a thousand levels deep."""
        if len(parts) == 1:
            return self._add(parts[0])
        half = len(parts) // 2
        first, second = self._joined(parts[:half]), self._joined(parts[half:])
        return exp.paren(exp.DPipe(this=first, expression=second), copy=False)

    def timestamp(self, epoch_ms: int) -> exp.Expr:
        text = moment_of(epoch_ms).replace(tzinfo=None).isoformat(" ", "milliseconds")
        kind = exp.DataType.build("timestamp(3)", dialect="trino")
        return exp.Cast(this=self._add(text), to=kind)

    def equals(self, column: str, value: str) -> exp.Expr:
        return exp.EQ(this=_column(column), expression=self.text(value))

    def one_of(self, column: str, values: Iterable[str]) -> exp.Expr:
        return exp.In(this=_column(column), expressions=[self.text(str(value)) for value in values])

    def _add(self, value: str | int) -> exp.Expr:
        self.bound.append(value)
        return exp.Placeholder()


_Condition = Callable[[_Parameters], list[exp.Expr]]


def _partitions(span: Span, sources: Sequence[str], values: _Parameters) -> list[exp.Expr]:
    days = span.days
    conditions = [
        exp.GTE(this=_column("dt"), expression=values.text(days[0].isoformat())),
        exp.LTE(this=_column("dt"), expression=values.text(days[-1].isoformat())),
        values.one_of("source", sources),
    ]
    if span.start % DAY_MS:
        conditions.append(exp.GTE(this=_column("Timestamp"), expression=values.timestamp(span.start)))
    if span.end % DAY_MS:
        conditions.append(exp.LT(this=_column("Timestamp"), expression=values.timestamp(span.end)))
    return conditions


def _filters(query: AuditLogQuery, values: _Parameters) -> list[exp.Expr]:
    conditions: list[exp.Expr] = []
    for column, several in (
        ("Action", query.actions),
        ("ActorType", query.actor_types),
        ("EventType", query.event_types),
        ("Account", query.accounts),
    ):
        if several:
            conditions.append(values.one_of(column, several))
    for column, one in (
        ("ActorName", query.actor_name),
        ("CorrelationId", query.correlation_id),
        ("EntityParentId", query.parent_id),
        ("ChannelCode", query.channel_code),
    ):
        if one is not None:
            conditions.append(values.equals(column, one))
    if query.text is not None:
        columns = ("EntityName", "Before", "After")
        conditions.append(exp.or_(*(_contains(column, query.text, values) for column in columns)))
    return conditions


def _entities(query: AuditLogQuery) -> list[_Condition]:
    """The conditions on the entity, of which every row meets at most one.

    The entity and its children are two conditions, joined by UNION ALL: with OR, no engine could use the statistics and
    Bloom filters of either column.
    """
    types, entity_id = query.entity_types, query.entity_id
    if entity_id is None:
        return [lambda values: [values.one_of("EntityType", types)] if types else []]

    def itself(values: _Parameters) -> list[exp.Expr]:
        return [values.equals("EntityId", entity_id), *([values.one_of("EntityType", types)] if types else ())]

    def child(values: _Parameters) -> list[exp.Expr]:
        conditions: list[exp.Expr] = [values.equals("EntityParentId", entity_id)]
        if types:
            conditions.append(exp.or_(values.one_of("EntityParentType", types), _is_null("EntityParentType")))
        not_itself: list[exp.Expr] = [exp.NEQ(this=_column("EntityId"), expression=values.text(entity_id))]
        if types:
            not_itself += [_is_null("EntityType"), exp.not_(values.one_of("EntityType", types))]
        return [*conditions, exp.or_(*not_itself)]

    return [itself, child] if query.include_children else [itself]


def _is_null(column: str) -> exp.Expr:
    return exp.Is(this=_column(column), expression=exp.null())


def _contains(column: str, text: str, values: _Parameters) -> exp.Expr:
    # not LIKE, in which the text could hold wild cards
    index = exp.StrPosition(this=_column(column), substr=values.text(text))
    return exp.GT(this=index, expression=exp.Literal.number(0))


def _after(position: Position, descending: bool, values: _Parameters) -> exp.Expr:
    """Rows after ``position`` in the order of reading; the span bounds their Timestamp besides."""
    after = exp.LT if descending else exp.GT
    texts = values.text
    # bound in the order in which the placeholders stand in the statement
    later = after(this=_column("Timestamp"), expression=values.timestamp(position.timestamp_ms))
    same_time = exp.EQ(this=_column("Timestamp"), expression=values.timestamp(position.timestamp_ms))
    later_id = after(this=_column("Id"), expression=texts(position.id))
    same_id = values.equals("Id", position.id)
    later_source = after(this=_column("source"), expression=texts(position.source))
    same_source = values.equals("source", position.source)
    later_index = after(this=_column("EntityIndex"), expression=values.integer(position.entity_index))
    within_source = exp.and_(same_source, later_index)
    within_id = exp.and_(same_id, exp.or_(later_source, within_source))
    return exp.or_(later, exp.and_(same_time, exp.or_(later_id, within_id)))


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)
