"""Values that the shell completes. A shell waits for them: nothing here connects to anything or imports much."""

from collections.abc import Iterable
from typing import Final

__all__ = ["complete_action", "complete_actor_type", "complete_reason", "complete_source"]

#: Newest dates of the table that are looked at for sources.
_DATES: Final = 7


def complete_source(incomplete: str) -> list[str]:
    """The sources of the newest dates in the table. None of a lake in a bucket: a request takes too long."""
    from audit_pipeline.errors import AuditPipelineError
    from audit_pipeline.settings import load_query_settings
    from audit_pipeline.store.layout import TABLE_PREFIX
    from audit_pipeline.store.objects import open_store

    try:
        url = load_query_settings().lake_url
        folder = None if url.startswith("s3://") else open_store(url).root
    except AuditPipelineError:  # no settings, or no lake yet
        return []
    if folder is None:
        return []
    dates = sorted((folder / TABLE_PREFIX).glob("dt=*"))[-_DATES:]
    return _starting(
        {path.name.removeprefix("source=") for date in dates for path in date.glob("source=*")}, incomplete
    )


def complete_action(incomplete: str) -> list[str]:
    from audit_pipeline.contract.values import Action

    return _starting(Action, incomplete)


def complete_actor_type(incomplete: str) -> list[str]:
    from audit_pipeline.contract.values import ActorType

    return _starting(ActorType, incomplete)


def complete_reason(incomplete: str) -> list[str]:
    from audit_pipeline.contract.columns import REASONS

    return _starting(REASONS, incomplete)


def _starting(values: Iterable[str], incomplete: str) -> list[str]:
    return sorted(value for value in values if value.startswith(incomplete))
