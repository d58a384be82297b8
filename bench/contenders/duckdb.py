"""DuckDB, as one would write it in SQL: read_json with explicit columns, unnest, sort, COPY to partitioned Parquet.

Before and After are of type JSON, the closest it has to "as delivered". It keeps duplicates, has no quarantine, and
stops at the first broken text.
"""

import sys
from pathlib import Path

import duckdb

_EVENT = """
    id: 'VARCHAR', source: 'VARCHAR', time: 'TIMESTAMP', detail: 'STRUCT(
        event_id VARCHAR, entity_type VARCHAR, "action" VARCHAR, correlation_id VARCHAR,
        actor STRUCT("type" VARCHAR, "name" VARCHAR),
        entities STRUCT(
            entity STRUCT(id VARCHAR, "name" VARCHAR), "before" JSON, "after" JSON,
            parent STRUCT(id VARCHAR, "name" VARCHAR, "type" VARCHAR),
            channel_code VARCHAR, channel_account_code VARCHAR
        )[]
    )'
"""

_JOB = """
COPY (
    SELECT
        coalesce(nullif(detail.event_id, ''), id) AS "Id",
        -- a cast alone would round
        CAST(date_trunc('milliseconds', time) AS TIMESTAMP_MS) AS "Timestamp",
        detail.actor.name AS "ActorName",
        CASE detail.actor.type
            WHEN '0' THEN 'Service' WHEN '1' THEN 'User' WHEN '2' THEN 'Client' ELSE detail.actor.type
        END AS "ActorType",
        change.entity.id AS "EntityId",
        change.entity.name AS "EntityName",
        detail.entity_type AS "EntityType",
        change.parent.id AS "EntityParentId",
        change.parent.name AS "EntityParentName",
        change.parent.type AS "EntityParentType",
        change.channel_code AS "ChannelCode",
        change.channel_account_code AS "ChannelAccountCode",
        detail.action AS "Action",
        CAST(change.before AS VARCHAR) AS "Before",
        CAST(change.after AS VARCHAR) AS "After",
        detail.correlation_id AS "CorrelationId",
        CAST(position - 1 AS INTEGER) AS "EntityIndex",
        CAST(CAST(time AS DATE) AS VARCHAR) AS dt,
        source
    FROM (
        SELECT
            id, source, time, detail,
            unnest(detail.entities) AS change,
            generate_subscripts(detail.entities, 1) AS position
        FROM read_json($raw, format = $format, compression = 'gzip', hive_partitioning = false, columns = {%s})
    )
    ORDER BY "Timestamp", "Id"
) TO '%s' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (dt, source))
"""


def main() -> None:
    raw, out, delimiter = sys.argv[1:]
    Path(out).mkdir(parents=True)
    connection = duckdb.connect(config={"threads": 2, "temp_directory": f"{out}/spill"})
    connection.execute(
        _JOB % (_EVENT, f"{out}/auditlog_parquet"),
        {"raw": f"{raw}/**/*.gz", "format": "newline_delimited" if delimiter == "newline" else "unstructured"},
    )


if __name__ == "__main__":
    main()
