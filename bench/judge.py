"""What a contender's table holds: ``python -m bench.judge OUT TRUTH`` prints rows, altered texts and bytes as JSON."""

import json
import sys
from pathlib import Path

import duckdb


def main() -> None:
    out, truth = Path(sys.argv[1]), sys.argv[2]
    files = sorted(out.glob("auditlog_parquet/**/*.parquet"))
    table = duckdb.read_parquet([str(file) for file in files], hive_partitioning=False)
    # the baseline knows the envelope's id only
    own, true = ("Id", "Id") if "Id" in table.columns else ("EventId", "EnvelopeId")
    altered = sum(_altered(table, truth, column, own, true) for column in ("Before", "After"))
    size = sum(file.stat().st_size for file in files)
    print(json.dumps({"rows": _count_rows(table), "altered": altered, "output_bytes": size}))


def _altered(made: duckdb.DuckDBPyRelation, truth: str, column: str, own: str, true: str) -> int:
    """Values of a column (NULL is one) that were not delivered so, byte for byte, under the row's id."""
    delivered = duckdb.read_parquet(truth).set_alias("delivered")
    same = f'made."{own}" = delivered."{true}" AND made."{column}" IS NOT DISTINCT FROM delivered."{column}"'
    return _count_rows(made.set_alias("made").join(delivered, same, how="anti"))


def _count_rows(relation: duckdb.DuckDBPyRelation) -> int:
    return int(relation.aggregate("count(*)").fetchall()[0][0])


if __name__ == "__main__":
    main()
