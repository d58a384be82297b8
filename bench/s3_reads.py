"""How Spark's tasks had best read raw objects: ``python -m bench.s3_reads s3://BUCKET/RAW [REPEATS]``.

By the store inside of the task, as the Spark engine does; or by S3A, Hadoop's client in the JVM, which hands the bytes
over to Python. Both read the first day of the raw folder on all cores of this machine, in turn, in one session. Where
S3 is comes from ``AWS_*`` variables, as everywhere; the jars of S3A from Maven.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from audit_pipeline.engines.plan import InputSplit, split_inputs
from audit_pipeline.engines.spark.session import start_session
from audit_pipeline.store.objects import open_store
from audit_pipeline.store.raw import list_inputs
from audit_pipeline.store.s3 import s3_endpoint
from bench.cases import DAY

#: Of the Hadoop that Spark 3.5 brings.
_S3A: Final = "org.apache.hadoop:hadoop-aws:3.3.4"
_BYTES: Final = pa.schema([("bytes", pa.int64())])


def main() -> None:
    url, *repeats = sys.argv[1:]
    cores = os.cpu_count() or 1
    spark = start_session(lambda: _session(cores))
    objects = list_inputs(open_store(url), DAY, grace_hours=0)
    readers: dict[str, Callable[[], DataFrame]] = {
        "store": lambda: _by_store(spark, url, split_inputs(objects, 2 * cores)),
        "S3A": lambda: _by_s3a(spark, url),
    }
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(int(repeats[0]) if repeats else 5):
        for name, read in readers.items():
            began = time.perf_counter()
            found = sum(row.bytes for row in read().collect())
            seconds[name].append(time.perf_counter() - began)
            assert found == sum(info.size for info in objects), name
    for name, took in seconds.items():
        print(f"{name:6} {len(objects):,} objects: first {took[0]:.2f} s, then {median(took[1:]):.2f} s (median)")


def _session(cores: int) -> SparkSession:
    config = {
        "spark.master": f"local[{cores}]",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.jars.packages": _S3A,
        "spark.hadoop.fs.s3a.aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",
    }
    if endpoint := s3_endpoint():
        config |= {"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"}
    return SparkSession.builder.config(map=config).getOrCreate()


def _by_store(spark: SparkSession, url: str, splits: Sequence[InputSplit]) -> DataFrame:
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store = open_store(url)
        for batch in batches:
            for number in batch["id"].to_pylist():
                yield _told(sum(len(data) for _, data in store.get_many(splits[number].objects)))

    return spark.range(0, len(splits), 1, len(splits)).mapInArrow(read, "bytes bigint")


def _by_s3a(spark: SparkSession, url: str) -> DataFrame:
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _told(pc.sum(pc.binary_length(batch["content"])).as_py() or 0)

    folder = f"{url.replace('s3://', 's3a://')}/year={DAY:%Y}/month={DAY:%m}/day={DAY:%d}"
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(folder)
    return files.select("content").mapInArrow(read, "bytes bigint")


def _told(read: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([read], pa.int64())], schema=_BYTES)


if __name__ == "__main__":
    main()
