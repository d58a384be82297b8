"""Dagster's SQLite storage without what it does anew each time: a third of the CPU time of a run of a small day.

It makes an engine of SQLAlchemy for every transaction, which compiles its statements anew; and for the database of each
run it loads all migrations, to mark it as up to date. What it writes, and where, stays its own.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import sqlalchemy
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage


def quicken() -> None:
    """In this process, from now on."""
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.create_engine = _create_engine  # type: ignore[attr-defined]
    ScriptDirectory.from_config = cache(ScriptDirectory.from_config)  # type: ignore[method-assign]


def _create_engine(url: str, *, poolclass: type, connect_args: Mapping[str, Any] | None = None) -> sqlalchemy.Engine:
    return _engine(url, poolclass, *(connect_args or {}).items())


@lru_cache(maxsize=32)
def _engine(url: str, poolclass: type, *connect_args: tuple[str, Any]) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url, poolclass=poolclass, connect_args=dict(connect_args))
