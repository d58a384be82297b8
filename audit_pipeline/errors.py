"""Errors that a user can act on: each says what happened, to which object or partition, and what to do."""

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
    """Base of every error that this package raises on purpose; its text is written for users."""


class SettingsError(AuditPipelineError):
    """A setting is missing or wrong."""


class StoreError(AuditPipelineError):
    """The object store failed or refused a request, which stops the run."""


class RawChangedError(StoreError):
    """A raw object changed or vanished between being listed and being read: run the partition again."""


class RawVanishedError(AuditPipelineError):
    """Raw objects that an earlier run of the partition read are gone: another run would drop the rows they gave."""


class GraceMismatchError(AuditPipelineError):
    """The lake was written with another grace, which decides which partition owns which event."""


class PartitionBusyError(AuditPipelineError):
    """Another run of the same partition is under way."""


class LostLockError(AuditPipelineError):
    """A lock expired under its owner (a long pause): the run stops before it commits anything more."""


class ConservationError(AuditPipelineError):
    """A run could not show that every event and row it read is accounted for; nothing was committed."""


class FailedCheckError(AuditPipelineError):
    """A critical check failed: the day is held back from the table. The check's own evaluation says why."""


class SparkJobError(AuditPipelineError):
    """A Spark job failed after its tasks had been retried; nothing was committed."""


class GlueJobError(AuditPipelineError):
    """A Glue job run did not start, did not succeed, or left no manifest; the text has the end of its log."""


class QueryError(AuditPipelineError):
    """The query engine refused a query, failed to run it, or could not be reached."""


class QueryCancelledError(QueryError):
    """A query was stopped before it ended, by its caller or in the engine."""


class TableMismatchError(AuditPipelineError):
    """A table of this name exists with columns that this version does not know, or with other types."""
