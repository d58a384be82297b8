"""The same queries on servers: a real Trino, and Athena's API in front of it and of DuckDB, by unchanged clients.

The lake lies in a real S3 server, the table is the one that our code defines in Glue. So this is as near to Athena as a
machine without AWS gets: the engine, partition projection, the files and the protocol are real; only the service
between protocol and engine is ours (:mod:`tests.servers.athena`).
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from audit_pipeline import AuditLogClient, AuditLogQuery
from audit_pipeline.catalog import open_table
from audit_pipeline.catalog.duckdb import connect
from audit_pipeline.errors import QueryCancelledError, QueryError
from audit_pipeline.query import InvalidQueryError
from audit_pipeline.query.adhoc import run_sql
from audit_pipeline.query.sql import COLUMNS
from audit_pipeline.settings import Settings
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.query.test_pages import assert_walks_both_ways, everything
from tests.servers.athena import AthenaServer, DuckDBEngine, TrinoEngine
from tests.servers.trino import TrinoServer
from tests.support import query_rows, shop
from tests.support.example_queries import CHANGES_OF_AN_ORDER, UPDATES_BY_A_USER
from tests.support.lake import DAY0, DAY1, DAY2, Lake, event, key
from tests.support.lanes import examples
from tests.support.query_oracle import expected_rows, rows_of
from tests.support.query_rows import LIKE_VALUES, WEEK, queries, written

pytestmark = pytest.mark.slow

finished = query_rows.finished


@dataclass(frozen=True)
class Served:
    """The lake, which is in S3 too, and the settings of each backend."""

    lake: Lake
    settings: Mapping[str, Settings]

    def client(self, backend: str) -> AuditLogClient:
        return AuditLogClient(self.settings[backend])


@pytest.fixture(scope="module")
def served(trino: TrinoServer, finished: Lake) -> Iterator[Served]:
    with serve(trino, finished, "query_servers") as served:
        yield served


@contextmanager
def serve(trino: TrinoServer, lake: Lake, name: str) -> Iterator[Served]:
    """The lake in S3 under this name, and its table in a database of this name."""
    bucket = name.replace("_", "-")
    trino.s3.client.create_bucket(Bucket=bucket)
    trino.s3.upload(bucket, "lake", lake.files("."))
    lake_url = f"s3://{bucket}/lake"
    base = Settings(raw_url=lake_url, lake_url=lake_url, start_date=DAY0, database=name)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for variable, value in trino.environment().items():
            patch.setenv(variable, value)
        athena = base.model_copy(
            update={"query_backend": "athena", "athena_output_url": f"s3://{bucket}/results/"},
        )
        open_table(athena).define()
        over_trino = stack.enter_context(AthenaServer(TrinoEngine(trino.host, trino.port, "hive"), trino.s3))
        patch.setenv("AWS_ENDPOINT_URL_ATHENA", over_trino.endpoint)
        known = {
            "duckdb": base,
            "trino": base.model_copy(update={"query_backend": "trino", "trino_url": trino.url}),
            "athena": athena,
        }
        yield Served(lake, known)
    trino.glue.delete_database(Name=name)


BACKENDS = pytest.mark.parametrize("backend", ["trino", "athena", "duckdb"])


@BACKENDS
@examples(12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_query_gets_the_rows_of_the_rules(served: Served, backend: str, data: st.DataObject) -> None:
    rows = served.lake.rows()
    query = data.draw(queries(rows))
    with served.client(backend) as client:
        assert rows_of(client.query(query).items) == expected_rows(rows, query)


@BACKENDS
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_nasty_ids_hold_every_row_once_in_both_directions(served: Served, backend: str, order: str) -> None:
    query = everything(order=order, limit=151)
    with served.client(backend) as client:
        assert_walks_both_ways(client, query, expected_rows(served.lake.rows(), query), 97)


@BACKENDS
def test_rows_with_ids_as_long_as_an_event_are_paged(trino: TrinoServer, tmp_path: Path, backend: str) -> None:
    letters = "x" * 50_000 + "'" * 50_000 + "x'😀" * 16_000
    ids = [letters + str(n) for n in range(3)]
    events = [event("", top={"id": json.dumps(i, ensure_ascii=False)}) for i in ids]
    lake = written(Lake(tmp_path), {key(DAY1): "".join(events)}, [DAY1])
    with serve(trino, lake, f"long_ids_{backend}") as served, served.client(backend) as client:
        assert [item.id for item in client.iterate(everything(order="asc", limit=1))] == ids


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_a_cursor_of_one_backend_is_good_for_another(served: Served, backend: str) -> None:
    query = everything(limit=10)
    with served.client("duckdb") as near, served.client(backend) as far:
        first = near.query(query)
        following = replace(query, cursor=first.next_cursor)
        assert far.query(following).items == near.query(following).items


@pytest.fixture(scope="module")
def served_sources(trino: TrinoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    texts = [event(source=source, detail={"entity_type": '"Order"'}) for source in LIKE_VALUES]
    lake = written(Lake(tmp_path_factory.mktemp("sources")), {key(DAY1): "".join(texts)}, [DAY1])
    with serve(trino, lake, "like_values") as served:
        yield served


@BACKENDS
def test_sources_that_look_like_other_values_are_found_as_texts(served_sources: Served, backend: str) -> None:
    settings = served_sources.settings[backend]
    with served_sources.client(backend) as client:
        assert sorted(item.source for item in client.iterate(everything())) == sorted(LIKE_VALUES)
        assert sorted(e.item.source for e in client.history("Order", "1", DAY0, DAY2)) == sorted(LIKE_VALUES)
        for source in ("null", "NULL", "1", "1e5", "2026-05-01", "true"):
            assert [item.source for item in client.query(everything(sources=[source])).items] == [source]
    named = ", ".join(f"'{source}'" for source in LIKE_VALUES)
    found = run_sql(settings, f"SELECT source, count(*) FROM auditlog WHERE source IN ({named}) GROUP BY source").table
    assert dict(zip(*(column.to_pylist() for column in found.columns), strict=True)) == dict.fromkeys(LIKE_VALUES, 1)
    manifest = read_manifest(open_store(settings.lake_url), DAY1)
    assert manifest
    assert open_table(settings).look_up(manifest).rows_owned == len(LIKE_VALUES)


HOSTILE: Final = (
    "' OR '1'='1",
    "'; DROP TABLE query_servers.auditlog; --",
    "x' UNION ALL SELECT * FROM query_servers.auditlog --",
    "\\'",
    "\\",
    "?",
    "U&'\\0027'",
    "\u2019 OR 1=1",
    "%",
    "/* */",
    "${dt}",
    "😀" * 200,
    "'" * 256,
)


@pytest.mark.parametrize("backend", ["trino", "athena"])
@pytest.mark.parametrize("field", ["entity_id", "actor_name", "text", "entity_types", "actions"])
def test_no_text_is_read_as_sql(served: Served, backend: str, field: str) -> None:
    rows = served.lake.rows()
    with served.client(backend) as client:
        for text in HOSTILE:
            query = AuditLogQuery(
                **WEEK | {field: [text] if field in ("entity_types", "actions") else text}, limit=1000
            )
            assert rows_of(client.query(query).items) == expected_rows(rows, query), text


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_a_history_is_the_same_everywhere(served: Served, backend: str) -> None:
    span = WEEK["from_date"], WEEK["to_date"]
    with served.client("duckdb") as near, served.client(backend) as far:
        entries = list(near.history("Order", "500", *span))
        assert entries
        assert list(far.history("Order", "500", *span)) == entries


def test_athena_reports_what_a_page_has_scanned_and_cost(served: Served) -> None:
    with served.client("athena") as client:
        stats = client.query(everything()).stats
    assert stats.query_id
    assert stats.bytes_scanned
    assert stats.cost_usd == pytest.approx(0.00005, rel=0.1), "Athena charges for 10 MB at least"


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_days_without_rows_are_no_error(served: Served, backend: str) -> None:
    with served.client(backend) as client:
        page = client.query(AuditLogQuery(from_date=date(2026, 6, 1), to_date=date(2026, 6, 8)))
        assert (page.items, page.next_cursor, page.previous_cursor) == ([], None, None)
        assert not client.query(everything(sources=["no.such"])).items


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_a_cancelled_query_ends_as_such(served: Served, backend: str) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with served.client(backend) as client, pytest.raises(QueryCancelledError):
        client.query(everything(), cancelled=cancelled)


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_a_table_that_is_not_there_is_one_clear_line(served: Served, backend: str) -> None:
    settings = served.settings[backend].model_copy(update={"table": "nowhere"})
    with AuditLogClient(settings) as client, pytest.raises(QueryError, match="nowhere") as error:
        client.query(everything())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("backend", ["trino", "athena"])
def test_more_sources_than_a_server_takes_are_refused_by_name(
    served: Served, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_pipeline.query.backends.server._MAX_SOURCES", 3)
    with served.client(backend) as client, pytest.raises(InvalidQueryError, match="sources"):
        client.query(everything())


def test_the_stand_in_of_the_fast_tests_gives_the_same_rows(served: Served) -> None:
    query = everything(limit=1000)
    base = served.settings["athena"]
    engine = DuckDBEngine(lambda: connect(base), database=base.database)
    with AthenaServer(engine) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_ATHENA", server.endpoint)
        with served.client("athena") as client:
            assert rows_of(client.query(query).items) == expected_rows(served.lake.rows(), query)[:1000]


@pytest.fixture(scope="module")
def served_shop(trino: TrinoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(trino, shop.filled(Lake(tmp_path_factory.mktemp("shop"))), "audit_logs_db") as served:
        yield served


@BACKENDS
@pytest.mark.parametrize(
    ("sql", "ids"),
    [(UPDATES_BY_A_USER, ["w10", "w9", "w8"]), (CHANGES_OF_AN_ORDER, ["e6", "e5", "e4", "e3", "e2", "e1"])],
)
def test_the_example_queries_run_as_they_are_everywhere(
    served_shop: Served, backend: str, sql: str, ids: list[str]
) -> None:
    result = run_sql(served_shop.settings[backend], sql)
    assert result.table.column(0).to_pylist() == ids
    assert result.table.num_columns == len(COLUMNS)
