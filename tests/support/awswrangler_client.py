"""Reads one query through awswrangler and prints its rows as JSON.

A program of its own, as awswrangler pins an older pyarrow than ours: ``servers/test_athena.py`` runs it in another
virtual environment.
"""

import json
import sys
from datetime import datetime
from typing import Any

import awswrangler as wr
import pandas as pd


def main(sql: str, database: str, *parameters: str) -> None:
    # its other approaches, CREATE TABLE AS and UNLOAD, write into the lake
    frame = wr.athena.read_sql_query(
        sql,
        database=database,
        workgroup="primary",
        ctas_approach=False,
        unload_approach=False,
        params=list(parameters) or None,
        paramstyle="qmark",
    )
    rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    json.dump({"columns": list(frame.columns), "rows": rows}, sys.stdout)


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, bytes):
        # awswrangler leaves Athena's hexadecimal digits as they are
        return value.decode()
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main(*sys.argv[1:])
