"""The baseline: a plain Glue job (docs/design.md, "Where this comes from"), on local[2], fixed only as far as it runs.

Fixed: the session (Glue's is not here), the paths, a ``dt`` column, and dynamic overwrite. Left as it is: the schema is
inferred from the day's data, Before and After go through it, the struct that they come from stays a column, there is no
EntityIndex, nothing is sorted, and duplicates stay. The driver has Spark's default memory, 1 GB of heap.
"""

import os
import sys
from tempfile import TemporaryDirectory
from typing import Any

import pyspark.sql.functions as F  # noqa: N812 - as Spark's users write it
from pyspark.sql import DataFrame, SparkSession

from audit_pipeline.engines.spark.session import find_java_home
from bench.cases import DAY


def main() -> None:
    raw, out, _ = sys.argv[1:]
    os.environ.pop("SPARK_HOME", None)
    with TemporaryDirectory(prefix="bench-spark-") as scratch:
        os.environ |= {
            "JAVA_HOME": find_java_home(),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": scratch,
        }
        spark = (
            SparkSession.builder.master("local[2]")
            .config("spark.sql.warehouse.dir", scratch)
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.sources.partitionOverwriteMode", "dynamic")
            .getOrCreate()
        )
        gateway: Any = spark.sparkContext._gateway
        run(spark, raw, out)
        spark.stop()
        gateway.proc.stdin.close()
        gateway.proc.wait()  # or the JVM's CPU time would not be counted


def run(spark: SparkSession, raw: str, out: str) -> None:
    raw_df = spark.read.json(f"{raw}/year={DAY:%Y}/month={DAY:%m}/day={DAY:%d}/")
    table = transform(raw_df).withColumn("dt", F.to_date(F.to_timestamp("Timestamp")))
    table.write.mode("overwrite").partitionBy("dt", "source").parquet(f"{out}/auditlog_parquet/")


def transform(raw_df: DataFrame) -> DataFrame:
    """The job's code as published."""
    detail_df = raw_df.select(
        F.col("id").alias("EventId"),
        F.col("time").alias("Timestamp"),
        F.col("source").alias("Source"),
        F.col("detail.actor.name").alias("ActorName"),
        F.col("detail.actor.type").alias("ActorType"),
        F.col("detail.entity_type").alias("EntityType"),
        F.col("detail.action").alias("Action"),
        F.col("detail.correlation_id").alias("CorrelationId"),
        F.explode("detail.entities").alias("entity_change"),
    )
    return detail_df.select(
        "*",
        F.col("entity_change.entity.id").cast("string").alias("EntityId"),
        F.col("entity_change.entity.name").alias("EntityName"),
        F.coalesce(F.col("entity_change.parent.id").cast("string"), F.lit(None)).alias("EntityParentId"),
        F.coalesce(F.col("entity_change.parent.name"), F.lit(None)).alias("EntityParentName"),
        F.coalesce(F.col("entity_change.parent.type"), F.lit(None)).alias("EntityParentType"),
        F.coalesce(F.col("entity_change.channel_code"), F.lit(None)).alias("ChannelCode"),
        F.coalesce(F.col("entity_change.channel_account_code"), F.lit(None)).alias("ChannelAccountCode"),
        F.to_json(F.col("entity_change.before")).alias("Before"),
        F.to_json(F.col("entity_change.after")).alias("After"),
    )


if __name__ == "__main__":
    main()
