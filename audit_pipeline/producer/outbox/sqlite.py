"""The outbox in a SQLite file: the application's own database, or a file beside it."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from audit_pipeline.producer.entries import Entry
from audit_pipeline.producer.errors import Undelivered
from audit_pipeline.producer.outbox.outbox import LEASE_TABLE, OUTBOX_TABLE, OutboxRecord, columns_of, entry_of

__all__ = ["SqliteOutbox"]

#: Seconds for which one writer waits for another.
_BUSY_SECONDS: Final = 30.0

# AUTOINCREMENT: a position is never reused, also after the last entry is deleted.
_TABLES: Final = (
    f"""CREATE TABLE IF NOT EXISTS {OUTBOX_TABLE} (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL,
        source TEXT NOT NULL,
        detail_type TEXT NOT NULL,
        event_time TEXT NOT NULL,
        detail TEXT NOT NULL,
        entity_keys TEXT NOT NULL,
        problem TEXT
    )""",
    f"CREATE TABLE IF NOT EXISTS {LEASE_TABLE} (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL)",
)


class SqliteOutbox:
    """An outbox in the database at ``path``, whose tables it creates where they are missing.

    Any thread and any number of processes of one machine may use it; every call opens a connection of its own, except
    for the caller's in :meth:`add`.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        with self._transaction() as connection:
            for table in _TABLES:
                connection.execute(table)

    def add(self, entry: Entry, connection: sqlite3.Connection | None = None) -> None:
        """Write an entry in the transaction of a connection to the same database, or else in one of its own.

        The caller commits its transaction, and the entry with it; a rollback discards both.
        """
        if connection is not None:
            _insert(connection, entry)
            return
        with self._transaction() as own:
            _insert(own, entry)

    def keep(self, undelivered: Undelivered) -> None:
        """For a publisher's ``on_undelivered``: keeps an event that could not be sent, for a relay to send."""
        self.add(undelivered.entry)

    def parked(self) -> Sequence[OutboxRecord]:
        """The entries that the bus refused, each with its ``problem``."""
        return self._records("problem IS NOT NULL", -1)

    def send_again(self, positions: Sequence[int]) -> None:
        """Have the relay send parked entries again, once the cause is fixed."""
        with self._transaction() as connection:
            connection.executemany(
                f"UPDATE {OUTBOX_TABLE} SET problem = NULL WHERE position = ?", [(position,) for position in positions]
            )

    # The relay's side

    def pending(self, limit: int) -> Sequence[OutboxRecord]:
        return self._records("problem IS NULL", limit)

    def remove(self, positions: Sequence[int]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                f"DELETE FROM {OUTBOX_TABLE} WHERE position = ?", [(position,) for position in positions]
            )

    def park(self, position: int, problem: str) -> None:
        with self._transaction() as connection:
            connection.execute(f"UPDATE {OUTBOX_TABLE} SET problem = ? WHERE position = ?", (problem, position))

    def hold_lease(self, owner: str, seconds: float) -> bool:
        now = time.time()
        with self._transaction() as connection:
            connection.execute(f"INSERT OR IGNORE INTO {LEASE_TABLE} VALUES ('relay', '', 0)")
            changed = connection.execute(
                f"UPDATE {LEASE_TABLE} SET owner = ?, until = ? WHERE owner = ? OR until < ?",
                (owner, now + seconds, owner, now),
            )
            return changed.rowcount == 1

    def release_lease(self, owner: str) -> None:
        with self._transaction() as connection:
            connection.execute(f"UPDATE {LEASE_TABLE} SET until = 0 WHERE owner = ?", (owner,))

    def _records(self, condition: str, limit: int) -> Sequence[OutboxRecord]:
        with self._transaction("DEFERRED") as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(
                f"SELECT * FROM {OUTBOX_TABLE} WHERE {condition} ORDER BY position LIMIT ?", (limit,)
            ).fetchall()
        return [OutboxRecord(row["position"], entry_of(row), row["problem"]) for row in rows]

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            # IMMEDIATE takes the write lock at once: SQLite may refuse it to a reader without waiting
            connection.execute(f"BEGIN {kind}")
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()  # which rolls back an open transaction


def _insert(connection: sqlite3.Connection, entry: Entry) -> None:
    columns = columns_of(entry)
    connection.execute(
        f"INSERT INTO {OUTBOX_TABLE} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})",
        columns,
    )
