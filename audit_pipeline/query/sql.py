"""From a query to one SELECT: a tree of sqlglot's, so that no input can change its shape, and values as parameters.

One builder serves DuckDB, Athena and Trino, whose dialects sqlglot writes out of the same tree. Rules that it keeps:

- The key is compared as ``ts < X OR (ts = X AND (id < Y OR …))``. A comparison of row values would be shorter, but
  comes out of sqlglot as one of structs in DuckDB, which is another order.
- ``dt`` and ``source`` are bounded by plain comparisons, for partition pruning and because Athena's injected projection
  wants an equality or an IN list; the bounds of ``dt`` narrow as the cursor moves.
- A text is one parameter. Where an engine takes short ones only, it is cut into pieces, which ``||`` joins again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from sqlglot import exp

from audit_pipeline.contract.columns import PARTITION_COLUMNS, ROW_SCHEMA
from audit_pipeline.epoch import DAY_MS, day_number, moment_of
from audit_pipeline.query.cursor import Position
from audit_pipeline.query.query import AuditLogQuery
from audit_pipeline.query.values import Order, PageDirection

__all__ = ["COLUMNS", "Dialect", "Span", "Statement", "build", "reads_descending"]

Dialect = Literal["duckdb", "athena", "trino"]

#: Of every statement, in this order.
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


def build(
    query: AuditLogQuery,
    table: exp.Table,
    sources: Sequence[str],
    span: Span,
    position: Position | None = None,
    limit: int | None = None,
    longest_text: int | None = None,
) -> Statement:
    """The rows of ``query`` in ``span`` and beyond ``position``, in the order of reading.

    That order is backwards for the page before a cursor. ``sources`` are those to look into, never none of them;
    ``limit`` is how many rows to read at most, ``longest_text`` how many characters a parameter may have.
    """
    descending = reads_descending(query)
    values = _Parameters(longest_text)
    trees = []
    for entity in _entities(query):
        where = [
            *_partitions(span, sources, values),
            *entity(values),
            *_filters(query, values),
            *([_beyond(position, descending, values)] if position else ()),
        ]
        trees.append(exp.select(*map(_column, COLUMNS)).from_(table.copy()).where(*where))
    tree = trees[0]
    if len(trees) > 1:
        both = exp.union(*trees, distinct=False)
        tree = exp.select(*map(_column, COLUMNS)).from_(both.subquery("found"))
    tree = tree.order_by(*(exp.Ordered(this=_column(name), desc=descending, nulls_first=False) for name in _KEY))
    if limit is not None:
        tree = tree.limit(limit)
    return Statement(tree, values.given, span.days, sources)


def reads_descending(query: AuditLogQuery) -> bool:
    """Whether rows are read from the latest on: in the query's order, or against it for a page before a cursor."""
    return (query.order == Order.DESCENDING) == (query.direction == PageDirection.NEXT)


class _Parameters:
    """The values given so far; each method returns what stands for one in the tree."""

    def __init__(self, longest_text: int | None) -> None:
        self._longest_text = longest_text
        self.given: list[str | int] = []

    def integer(self, value: int) -> exp.Expr:
        return self._add(value)

    def text(self, value: str) -> exp.Expr:
        size = self._longest_text
        if size is None or len(value) <= size:
            return self._add(value)
        return self._joined([value[i : i + size] for i in range(0, len(value), size)])

    def _joined(self, pieces: Sequence[str]) -> exp.Expr:
        """By halves: of a thousand pieces in a row, an engine would make a thousand levels."""
        if len(pieces) == 1:
            return self._add(pieces[0])
        half = len(pieces) // 2
        first, second = self._joined(pieces[:half]), self._joined(pieces[half:])
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
        self.given.append(value)
        return exp.Placeholder()


_Condition = Callable[[_Parameters], list[exp.Expr]]


def _partitions(span: Span, sources: Sequence[str], values: _Parameters) -> list[exp.Expr]:
    days = span.days
    found = [
        exp.GTE(this=_column("dt"), expression=values.text(days[0].isoformat())),
        exp.LTE(this=_column("dt"), expression=values.text(days[-1].isoformat())),
        values.one_of("source", sources),
    ]
    if span.start % DAY_MS:
        found.append(exp.GTE(this=_column("Timestamp"), expression=values.timestamp(span.start)))
    if span.end % DAY_MS:
        found.append(exp.LT(this=_column("Timestamp"), expression=values.timestamp(span.end)))
    return found


def _filters(query: AuditLogQuery, values: _Parameters) -> list[exp.Expr]:
    found: list[exp.Expr] = []
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


def _entities(query: AuditLogQuery) -> list[_Condition]:
    """Conditions on the entity, which no row meets two of.

    An entity and its children are two: one condition with OR would keep every engine from using the statistics and
    Bloom filters of either column.
    """
    types, entity_id = query.entity_types, query.entity_id
    if entity_id is None:
        return [lambda values: [values.one_of("EntityType", types)] if types else []]

    def itself(values: _Parameters) -> list[exp.Expr]:
        return [values.equals("EntityId", entity_id), *([values.one_of("EntityType", types)] if types else ())]

    def child(values: _Parameters) -> list[exp.Expr]:
        found: list[exp.Expr] = [values.equals("EntityParentId", entity_id)]
        if types:
            found.append(exp.or_(values.one_of("EntityParentType", types), _is_null("EntityParentType")))
        other: list[exp.Expr] = [exp.NEQ(this=_column("EntityId"), expression=values.text(entity_id))]
        if types:
            other += [_is_null("EntityType"), exp.not_(values.one_of("EntityType", types))]
        return [*found, exp.or_(*other)]

    return [itself, child] if query.include_children else [itself]


def _is_null(column: str) -> exp.Expr:
    return exp.Is(this=_column(column), expression=exp.null())


def _contains(column: str, text: str, values: _Parameters) -> exp.Expr:
    # not LIKE: in a place of its own, a text has no wild cards
    place = exp.StrPosition(this=_column(column), substr=values.text(text))
    return exp.GT(this=place, expression=exp.Literal.number(0))


def _beyond(position: Position, descending: bool, values: _Parameters) -> exp.Expr:
    """Rows after ``position`` in the order of reading; the span bounds their Timestamp plainly."""
    further = exp.LT if descending else exp.GT
    texts = values.text
    # in the order of the text, which is that of the parameters
    later = further(this=_column("Timestamp"), expression=values.timestamp(position.timestamp_ms))
    same_time = exp.EQ(this=_column("Timestamp"), expression=values.timestamp(position.timestamp_ms))
    later_id = further(this=_column("Id"), expression=texts(position.id))
    same_id = values.equals("Id", position.id)
    later_source = further(this=_column("source"), expression=texts(position.source))
    same_source = values.equals("source", position.source)
    later_index = further(this=_column("EntityIndex"), expression=values.integer(position.entity_index))
    within_source = exp.and_(same_source, later_index)
    within_id = exp.and_(same_id, exp.or_(later_source, within_source))
    return exp.or_(later, exp.and_(same_time, exp.or_(later_id, within_id)))


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)
