"""Audit logs as evidence: raw EventBridge events in hour folders become exact, queryable Parquet, run by Dagster."""

__version__ = "0.1.0"
