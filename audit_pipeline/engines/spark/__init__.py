"""The distributed engine: the kernel, merge and writer of all engines, in the tasks of a Spark application."""

from audit_pipeline.engines.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
