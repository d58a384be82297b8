"""Errors that a user can act on: what happened, to which object or partition, and what to do."""

__all__ = [
    "AuditPipelineError",
    "ConservationError",
    "FailedCheckError",
    "GlueJobError",
    "GraceMismatchError",
    "LostLockError",
    "PartitionBusyError",
    "QueryCancelledError",
    "QueryError",
    "RawChangedError",
    "RawVanishedError",
    "SettingsError",
    "SparkJobError",
    "StoreError",
    "TableMismatchError",
]


class AuditPipelineError(Exception):
    """Base of every error that this package raises on purpose; its text is fit for a user."""


class SettingsError(AuditPipelineError):
    """A setting is missing or wrong."""


class StoreError(AuditPipelineError):
    """The object store answered in a way that stops the run."""


class RawChangedError(StoreError):
    """A raw object changed or vanished between being listed and being read: run the partition again."""


class RawVanishedError(AuditPipelineError):
    """Raw objects that an earlier run of the partition read are gone: running it again would drop what they gave."""


class GraceMismatchError(AuditPipelineError):
    """The lake was written with another grace, which decides who owns what."""


class PartitionBusyError(AuditPipelineError):
    """Another run of the same partition is under way."""


class LostLockError(AuditPipelineError):
    """A lock expired under its owner (a long pause): the run stops before it commits anything more."""


class ConservationError(AuditPipelineError):
    """A run could not show that every event and row it read is accounted for; nothing was committed."""


class FailedCheckError(AuditPipelineError):
    """A critical check failed: the day is held back from the table. The check's own evaluation says why."""


class SparkJobError(AuditPipelineError):
    """Spark gave a job up, after it had tried each task several times; nothing was committed."""


class GlueJobError(AuditPipelineError):
    """A Glue job run could not be started, ended without success, or left no manifest; the text has its log's end."""


class QueryError(AuditPipelineError):
    """The engine refused a query or failed at it."""


class QueryCancelledError(QueryError):
    """A query was stopped before it ended, by its caller or by someone in the engine."""


class TableMismatchError(AuditPipelineError):
    """A table of this name exists with columns that this version does not know, or with other types."""
