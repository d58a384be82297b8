"""Child processes in which a run happens, and in which it can be killed at every change that it makes to its lake."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import obstore

from audit_pipeline.engines import run_partition
from audit_pipeline.errors import AuditPipelineError
from audit_pipeline.settings import Settings
from audit_pipeline.store.objects import Store

#: Children are forked from a server that has imported the package already: one takes a tenth of a second.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["audit_pipeline.engines"])

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Job:
    """What a child is to do. ``settings`` are those of :class:`audit_pipeline.settings.Settings`."""

    settings: Mapping[str, Any]
    partitions: tuple[date, ...]
    #: The change to the lake before which the child is killed, from 0; None: it runs to its end.
    fatal: int | None = None
    #: Where the changes are written down as a list, at the end.
    changes: Path | None = None
    #: Where the outcome of each partition is written down: "committed" or the error's class, by partition.
    outcomes: Path | None = None
    #: Module constants to change first: ("audit_pipeline.engines.decoding", "_WORKERS_FROM_BYTES", 1).
    constants: tuple[tuple[str, str, Any], ...] = ()
    #: Environment variables to set first.
    environment: Mapping[str, str] = field(default_factory=dict)


def start(job: Job) -> BaseProcess:
    process = PROCESSES.Process(target=work, args=(job,))
    process.start()
    return process


def run_to_end(job: Job) -> int:
    """The exit code of a child that did the job, negative for a signal."""
    process = start(job)
    process.join(120)
    assert process.exitcode is not None, "the child hangs"
    return process.exitcode


def work(job: Job) -> None:
    """What the child does."""
    os.environ.update(job.environment)
    for module, name, value in job.constants:
        setattr(__import__(module, fromlist=[name]), name, value)
    changes = _watch(job.fatal) if job.fatal is not None or job.changes else None
    outcomes: dict[str, str] = {}
    for partition in job.partitions:
        try:
            run_partition(Settings(**job.settings), partition)
            outcomes[str(partition)] = "committed"
        except AuditPipelineError as error:
            outcomes[str(partition)] = type(error).__name__
            if not job.outcomes:
                raise
    if job.outcomes:
        job.outcomes.write_text(json.dumps(outcomes))
    if job.changes:
        job.changes.write_text(json.dumps(changes))


def _watch(fatal: int | None) -> list[str]:
    """Make this process die before its change number ``fatal``; the list grows with every change.

    A put to a folder is two changes: the file is written elsewhere, and renamed.
    """
    seen: list[str] = []

    def reach(change: str) -> None:
        if len(seen) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(change)

    put, create, delete = Store.put, Store.create, Store.delete
    rename: Callable[..., None] = obstore.rename

    def watched_put(store: Store, key: str, data: bytes | Path) -> None:
        reach(f"put {key}")
        put(store, key, data)

    def watched_rename(inner: Any, staged: str, key: str, **options: Any) -> None:
        reach(f"rename {key}")
        rename(inner, staged, key, **options)

    def watched_create(store: Store, key: str, data: bytes) -> bool:
        reach(f"create {key}")
        return create(store, key, data)

    def watched_delete(store: Store, keys: Iterable[str]) -> None:
        for key in keys:
            reach(f"delete {key}")
            delete(store, [key])

    for owner, name, value in (
        (Store, "put", watched_put),
        (Store, "create", watched_create),
        (Store, "delete", watched_delete),
        (obstore, "rename", watched_rename),
    ):
        setattr(owner, name, value)
    return seen
