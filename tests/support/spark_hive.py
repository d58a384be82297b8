"""A process of its own with Spark and its embedded Hive: runs the statements of stdin and prints what Hive then has.

Statements come as a JSON list. The output is a JSON object: of every table, its columns, partition columns, properties,
and what else DESCRIBE shows. Run it in an empty folder, where Hive keeps its files.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def main() -> None:
    here = Path.cwd()
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "512m")
        .config("spark.sql.warehouse.dir", str(here / "warehouse"))
        .config("spark.hadoop.javax.jdo.option.ConnectionURL", f"jdbc:derby:;databaseName={here}/hive;create=true")
        # ${dt} is Athena's, not a variable of Spark's
        .config("spark.sql.variable.substitute", "false")
        .enableHiveSupport()
        .getOrCreate()
    )
    for statement in json.load(sys.stdin):
        spark.sql(statement)
    tables = [
        f"{row.namespace}.{row.tableName}"
        for database in spark.catalog.listDatabases()
        for row in spark.sql(f"SHOW TABLES IN {database.name}").collect()
    ]
    print(json.dumps({name: described(spark, name) for name in tables}))
    spark.stop()


def described(spark: SparkSession, name: str) -> dict[str, Any]:
    rows = [(row.col_name, row.data_type) for row in spark.sql(f"DESCRIBE FORMATTED {name}").collect()]
    keys = [column.name for column in spark.catalog.listColumns(name) if column.isPartition]
    return {
        "columns": [
            (column.name, column.dataType) for column in spark.catalog.listColumns(name) if not column.isPartition
        ],
        "partition_keys": keys,
        "properties": {row.key: row.value for row in spark.sql(f"SHOW TBLPROPERTIES {name}").collect()},
        "described": dict(rows[len(spark.catalog.listColumns(name)) :]),
    }


if __name__ == "__main__":
    main()
