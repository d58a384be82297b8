"""The distributed engine: the same kernel, merge and writer inside the tasks of a Spark application."""

from audit_pipeline.engines.spark.engine import SparkEngine

__all__ = ["SparkEngine"]
