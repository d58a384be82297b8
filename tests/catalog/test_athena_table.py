"""The table in Athena, from its definition in Glue to the proof that a day can be queried.

Fast tests query the stand-in for Athena over a lake in a folder; slow ones have the lake in a real S3 server and the
table in moto's Glue, and let DuckDB or a real Trino read just what that table points to.
"""

import _thread
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from audit_pipeline.catalog import DayInTable, lookup, open_table
from audit_pipeline.catalog.athena import Athena
from audit_pipeline.catalog.athena_table import AthenaTable
from audit_pipeline.catalog.duckdb import DuckDBTable
from audit_pipeline.catalog.lookup import look_up_day
from audit_pipeline.catalog.results import Result
from audit_pipeline.catalog.trino import Trino, parse_trino_url
from audit_pipeline.catalog.trino_table import TrinoTable
from audit_pipeline.cli.exits import ExitCode
from audit_pipeline.engines import run_partition
from audit_pipeline.errors import QueryCancelledError, QueryError, SettingsError, TableMismatchError
from audit_pipeline.orchestration.names import TABLE
from audit_pipeline.settings import QuerySettings, Settings
from audit_pipeline.store.manifest import Manifest
from audit_pipeline.store.objects import open_store
from tests.servers.athena import DATABASE, AthenaServer, TrinoEngine, WorkGroup
from tests.servers.athena_lake import GlueEngine, engine_over_folder, locations_in
from tests.servers.aws_clients import ACCESS_KEY, SECRET_KEY
from tests.servers.glue_catalog import GlueServer, glue_server
from tests.servers.s3 import S3Server, s3_server
from tests.servers.trino import CATALOG, TrinoServer
from tests.support.dagster_harness import DAYS, Deployment, Instance, failure_text, subprocess_environment
from tests.support.lake import DAY1, DAY2, DAY3, Lake, event, key, publish
from tests.support.paths import RAW_EXAMPLES, REPOSITORY
from tests.support.waiting import HANGS_SECONDS, wait_until

pytestmark = pytest.mark.slow

RAW = {p.relative_to(RAW_EXAMPLES).as_posix(): p.read_bytes() for p in RAW_EXAMPLES.rglob("*") if p.is_file()}
BUCKET: Final = "audit-lake"


def without_stats(found: DayInTable) -> tuple[int, int, dict[int, int]]:
    return found.rows_owned, found.rows_of_date, dict(found.rows_by_hour)


def expected(manifest: Manifest, manifests: Sequence[Manifest]) -> tuple[int, int]:
    of_date = sum(o.rows for m in manifests for o in m.outputs if o.dt == manifest.partition)
    return manifest.rows, of_date


# -- a lake in a folder


class RecordingServer:
    """An :class:`Athena` that records the statements that it runs, with their parameters."""

    def __init__(self, athena: Athena) -> None:
        self._athena = athena
        self.statements: list[tuple[str, list[str | int]]] = []

    def run(self, sql: str, parameters: Sequence[str | int] = ()) -> Result:
        self.statements.append((sql, list(parameters)))
        return self._athena.run(sql, parameters)


@contextmanager
def recording(lake: Lake) -> Iterator[RecordingServer]:
    with AthenaServer(engine_over_folder(lake.path)) as server:
        yield RecordingServer(Athena(database=DATABASE, workgroup="primary", output_url=None, client=server.client()))


def look_up(server: RecordingServer, lake: Lake, manifest: Manifest) -> DayInTable:
    return look_up_day(server, DATABASE, "auditlog", open_store(str(lake.path)), manifest)


@pytest.fixture
def examples(lake: Lake) -> tuple[Lake, list[Manifest]]:
    for raw_key, data in RAW.items():
        lake.write(raw_key, data)
    return lake, [lake.run(partition) for partition in (DAY1, DAY2, DAY3)]


def test_each_day_is_found_as_duckdb_finds_it(examples: tuple[Lake, list[Manifest]]) -> None:
    lake, manifests = examples
    duckdb = DuckDBTable(QuerySettings(lake_url=str(lake.path)))
    with recording(lake) as server:
        for manifest in manifests:
            found = look_up(server, lake, manifest)
            assert without_stats(found) == without_stats(duckdb.look_up(manifest))
            assert (found.rows_owned, found.rows_of_date) == expected(manifest, manifests)
            assert found.rows_owned > 0
    assert any(manifest.late_rows for manifest in manifests)


def test_rows_of_other_owners_count_for_the_date_and_not_for_the_partition(lake: Lake) -> None:
    lake.write(key(DAY1), event("own"))
    # of another source, delivered a day late
    lake.write(key(DAY2), event("late", source="crm") + event("next", time="2026-05-02T03:00:00Z"))
    first, second = lake.run(DAY1), lake.run(DAY2)
    stray = lake.path / "auditlog_parquet/dt=2026-05-01/source=shop"
    (stray / "2026-05-01-copy.parquet").write_bytes((stray / "2026-05-01.parquet").read_bytes())
    with recording(lake) as server:
        assert without_stats(look_up(server, lake, first)) == (1, 3, {10: 3})
        assert without_stats(look_up(server, lake, second)) == (2, 1, {3: 1})


def test_a_file_of_several_parts_belongs_to_its_partition(lake: Lake) -> None:
    lake.write(key(DAY1), event("e"))
    manifest = lake.run()
    folder = lake.path / "auditlog_parquet/dt=2026-05-01/source=shop"
    (folder / "2026-05-01.parquet").rename(folder / "2026-05-01-00000.parquet")
    publish(lake, DAY1)
    with recording(lake) as server:
        assert look_up(server, lake, manifest).rows_owned == 1


def test_a_day_without_files_is_not_queried(lake: Lake) -> None:
    manifest = lake.run()
    with recording(lake) as server:
        found = look_up(server, lake, manifest)
    assert (found, server.statements) == (DayInTable(0, 0, {}), [])


def test_only_sources_that_matter_are_named_and_all_values_are_parameters(lake: Lake) -> None:
    lake.write(key(DAY1), event("own", source="a.b-c_1"))
    lake.write(key(DAY2), event("late", source="shop") + event("x", time="2026-05-02T03:00:00Z", source="unrelated"))
    lake.run(DAY1)
    manifest = lake.run(DAY2)
    with recording(lake) as server:
        look_up(server, lake, manifest)
    ((sql, parameters),) = server.statements
    assert parameters == ["2026-05-01", "2026-05-02", "shop", "unrelated"]
    assert sql.count("?") == 4
    assert not any(str(value) in sql for value in parameters)


def test_many_sources_are_queried_in_several_statements(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_MAX_SOURCES_BYTES", 100)
    sources = [f"service-number-{number:02}" for number in range(10)]
    lake.write(key(DAY1), "".join(event(f"e-{source}", source=source) for source in sources))
    manifest = lake.run()
    with recording(lake) as server:
        found = look_up(server, lake, manifest)
    assert (found.rows_owned, found.rows_by_hour) == (10, {10: 10})
    assert [source for _, parameters in server.statements for source in parameters[1:]] == sources
    assert all(sum(len(f"'{source}', ?, ") for source in parameters[1:]) <= 100 for _, parameters in server.statements)
    assert len(server.statements) > 1
    assert found.stats is not None
    assert found.stats.cost_usd == pytest.approx(len(server.statements) * 10 * 5 / (1 << 20))
    assert len(set(str(found.stats.query_id).split(", "))) == len(server.statements)


def test_ten_thousand_sources_of_the_longest_names_fit_into_what_athena_takes() -> None:
    sources = [f"{number:0256}" for number in range(10_000)]
    batches = list(lookup._batches(sources))
    assert [source for batch in batches for source in batch] == sources
    for batch in batches:
        sql = lookup._statement("d" * 128, "t" * 128, 400, len(batch))
        assert len(sql.encode()) + sum(len(f"'{source}', ") for source in batch) + 400 * 14 < 262_144


@pytest.mark.parametrize(("backend", "kind"), [("duckdb", DuckDBTable), ("athena", AthenaTable), ("trino", TrinoTable)])
def test_the_table_is_the_backends(backend: Any, kind: type) -> None:
    settings = Settings(raw_url="s3://b/raw", lake_url="s3://b/lake", start_date=DAY1, query_backend=backend)
    assert type(open_table(settings)) is kind


#: Opens the table of this environment as if these packages were not installed, and says how it went.
WITHOUT = """
import sys
for name in {missing}:
    sys.modules[name] = None
from audit_pipeline.catalog import open_table
from audit_pipeline.errors import SettingsError
from audit_pipeline.settings import load_settings
try:
    print(type(open_table(load_settings())).__name__)
except SettingsError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("backend", "missing", "output"),
    [
        ("duckdb", ["boto3", "botocore", "trino", "requests"], "DuckDBTable"),
        ("athena", ["duckdb", "trino"], "AthenaTable"),
        ("trino", ["duckdb", "boto3", "botocore"], "TrinoTable"),
        ("trino", ["trino"], "AUDIT_QUERY_BACKEND=trino needs Trino's client: pip install 'audit-pipeline[trino]'"),
    ],
)
def test_only_the_libraries_of_the_backend_are_needed(
    tmp_path: Path, backend: str, missing: list[str], output: str
) -> None:
    settings = {
        "raw_url": "s3://b/raw",
        "lake_url": "s3://b/lake",
        "start_date": "2026-05-01",
        "query_backend": backend,
    }
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing)],
        env=subprocess_environment(**{f"AUDIT_{name.upper()}": value for name, value in settings.items()}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == (f"{output}\n", "")


# -- Trino's address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("trino.example.com:8080", "needs a user"),
        ("http://trino.example.com:8080/hive", "needs a user"),
        ("https://me@trino.example.com", "needs a user"),
        ("https://me@trino.example.com/hive/schema", "needs a user"),
        ("https://me@trino.example.com/hive?x=1", "needs a user"),
        ("ftp://me@trino.example.com/hive", "needs a user"),
        ("https://me:s3cret@trino.example.com:port/hive", "is not a URL"),
        ("http://me:s3cret@trino.example.com/hive", "needs https://"),
    ],
)
def test_a_wrong_address_of_trino_is_reported_without_its_password(url: str | None, message: str) -> None:
    with pytest.raises(SettingsError, match=f"AUDIT_TRINO_URL.*{message}") as failure:
        parse_trino_url(url)
    assert "s3cret" not in str(failure.value)


def test_an_address_of_trino_may_hold_escaped_characters_and_never_shows_its_password() -> None:
    address = parse_trino_url("https://j%40x:p%2Fw@trino.example.com:8443/my%20catalog/")
    assert (address.user, address.password, address.catalog) == ("j@x", "p/w", "my catalog")
    assert (address.host, address.port) == ("trino.example.com", 8443)
    assert "p/w" not in repr(address)


def test_a_trino_that_is_not_there_is_one_line() -> None:
    with pytest.raises(QueryError, match="cannot reach Trino: ") as failure:
        Trino(parse_trino_url("http://me@127.0.0.1:9/hive"), schema=DATABASE).run("SELECT 1")
    assert "\n" not in str(failure.value)


# -- S3, Glue and the stand-in for Athena


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        running.client.create_bucket(Bucket=BUCKET)
        running.client.create_bucket(Bucket="athena-results")
        running.upload(BUCKET, "examples", RAW)
        yield running


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlueServer]:
    with glue_server(tmp_path_factory.mktemp("glue")) as running:
        yield running


@pytest.fixture
def lake_url() -> str:
    return f"s3://{BUCKET}/lakes/{uuid.uuid4()}"


@pytest.fixture
def athena(
    s3: S3Server, glue: GlueServer, lake_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[AthenaServer, str]]:
    """A server of Athena's API over the tables of a database of its own, and that database's name."""
    database = f"db_{uuid.uuid4().hex}"
    settings = QuerySettings(lake_url=lake_url, database=database)
    with AthenaServer(GlueEngine(glue.client, settings), s3) as server:
        for name, value in (server.environment() | {"AWS_ENDPOINT_URL_GLUE": glue.endpoint}).items():
            monkeypatch.setenv(name, value)
        yield server, database


@pytest.fixture
def instance(
    tmp_path: Path, athena: tuple[AthenaServer, str], lake_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Instance]:
    deployment = Deployment(tmp_path).create()
    settings = {"lake_url": lake_url, "query_backend": "athena", "database": athena[1], "days_per_run": 3}
    for name, value in deployment.environment(**settings).items():
        monkeypatch.setenv(name, value)
    with deployment.instance() as running:
        yield running


@pytest.mark.slow
def test_a_dagster_run_makes_the_table_and_proves_its_days_in_athena(
    instance: Instance, athena: tuple[AthenaServer, str], glue: GlueServer, lake_url: str
) -> None:
    server, database = athena
    assert instance.run(*DAYS).success
    assert locations_in(glue.client, database) == {
        "auditlog": f"{lake_url}/auditlog_parquet/",
        "auditlog_quarantine": f"{lake_url}/auditlog_quarantine/",
    }
    for partition in DAYS:
        shown = instance.metadata(TABLE, partition)
        assert shown["table"] == f"Athena table {database}.auditlog over {lake_url}/auditlog_parquet/"
        assert shown["rows_of_partition"] > 0
        assert shown["query_cost_usd"] == pytest.approx(10 * 5 / (1 << 20), abs=1e-8)
        assert shown["query_bytes_scanned"] > 0
        assert shown["query_id"] in server._executions
    assert server.operations().count("StartQueryExecution") == len(DAYS)
    before = glue.client.get_table_versions(DatabaseName=database, TableName="auditlog")["TableVersions"]
    assert instance.run(DAYS[0]).success
    after = glue.client.get_table_versions(DatabaseName=database, TableName="auditlog")["TableVersions"]
    assert len(before) == len(after) == 1


@pytest.mark.slow
def test_a_dagster_run_fails_where_athena_does_not_show_all_rows(
    instance: Instance, s3: S3Server, lake_url: str
) -> None:
    assert instance.run(DAYS[0]).success
    prefix = f"{lake_url.removeprefix(f's3://{BUCKET}/')}/auditlog_parquet/dt={DAYS[0]}"
    lost = next(iter(s3.objects(BUCKET, prefix)))
    s3.client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{lost}")
    result = instance.run(DAYS[0], assets=[TABLE])
    assert not result.success
    assert "shows" in failure_text(result)
    assert "run the partition again" in failure_text(result)


@pytest.mark.slow
def test_a_dagster_run_fails_with_athenas_reason_and_its_other_days_are_done(
    instance: Instance, athena: tuple[AthenaServer, str]
) -> None:
    athena[0].fail_next("INSUFFICIENT_RESOURCES: too busy")
    result = instance.run(*DAYS)
    assert not result.success
    assert "INSUFFICIENT_RESOURCES: too busy" in failure_text(result)
    assert list(instance.statuses(TABLE).values()) == ["FAILED", "MATERIALIZED", "MATERIALIZED"]


@pytest.mark.slow
def test_a_dagster_run_leaves_a_table_of_another_version_as_it_is(
    instance: Instance, athena: tuple[AthenaServer, str], glue: GlueServer
) -> None:
    assert instance.run(DAYS[0]).success
    table = glue.client.get_table(DatabaseName=athena[1], Name="auditlog")["Table"]
    table["StorageDescriptor"]["Columns"].append({"Name": "of_tomorrow", "Type": "string"})
    given = {name: table[name] for name in ("Name", "TableType", "PartitionKeys", "StorageDescriptor", "Parameters")}
    glue.client.update_table(DatabaseName=athena[1], TableInput=given)
    result = instance.run(DAYS[0], assets=[TABLE])
    assert not result.success
    assert "of_tomorrow is unknown to this version" in failure_text(result)


@pytest.mark.slow
def test_an_interrupted_dagster_run_stops_its_query_in_athena(
    tmp_path: Path, athena: tuple[AthenaServer, str], instance: Instance
) -> None:
    server, _ = athena
    server.hold()
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_pipeline.cli", "materialize", "--from", DAYS[0], "--to", DAYS[1]],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(
        lambda: "GetQueryExecution" in server.operations() or process.poll() is not None, "the query of the first day"
    )
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=HANGS_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED, output
    (query,) = server._executions
    assert server.wait_for(query) == "CANCELLED"
    assert instance.statuses(TABLE, DAYS[:1]) == {DAYS[0]: "FAILED"}


# -- a real Trino

_MANY: Final = "UNNEST(sequence(1, 10000))"
#: What no machine ends in the time of a test.
ENDLESS: Final = f"FROM {_MANY} AS a(x), {_MANY} AS b(y), {_MANY} AS c(z) WHERE x * y + z = 3"


@pytest.fixture(scope="module")
def files_catalog(trino: TrinoServer) -> str:
    """A second catalog of the server, whose tables are kept in files: moto's Glue has no column statistics, without
    which Trino makes no table there."""
    trino.s3.client.create_bucket(Bucket="metastore")
    properties = {
        "hive.metastore": "file",
        "hive.metastore.catalog.dir": "s3://metastore/files",
        "hive.partition-projection-enabled": "true",
        "hive.ignore-absent-partitions": "true",
        "fs.native-s3.enabled": "true",
        "s3.endpoint": trino.s3.endpoint,
        "s3.region": "us-east-1",
        "s3.path-style-access": "true",
        "s3.aws-access-key": ACCESS_KEY,
        "s3.aws-secret-key": SECRET_KEY,
    }
    listed = ", ".join(f"\"{name}\" = '{value}'" for name, value in properties.items())
    trino.rows(f"CREATE CATALOG files USING hive WITH ({listed})")
    return "files"


@pytest.fixture
def on_trino(trino: TrinoServer, files_catalog: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a lake of its own in Trino's S3, with no table yet."""
    bucket, database = f"lake-{uuid.uuid4()}", f"db_{uuid.uuid4().hex}"
    trino.s3.client.create_bucket(Bucket=bucket)
    for name, value in trino.environment().items():
        monkeypatch.setenv(name, value)
    return Settings(
        raw_url=str(RAW_EXAMPLES),
        lake_url=f"s3://{bucket}/analytics",
        start_date=DAY1,
        workers=1,
        database=database,
        trino_url=trino.url.replace(CATALOG, files_catalog),
    )


def run_all(settings: Settings) -> list[Manifest]:
    return [run_partition(settings, partition) for partition in (DAY1, DAY2, DAY3)]


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update=values)


def shown(trino: TrinoServer, catalog: str, settings: Settings, table: str) -> str:
    ((text,),) = trino.rows(f"SHOW CREATE TABLE {catalog}.{settings.database}.{table}")
    return str(text)


@pytest.mark.slow
def test_the_table_that_we_make_in_glue_is_read_by_trino_and_proves_each_day(
    trino: TrinoServer, on_trino: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = run_all(on_trino)
    engine = TrinoEngine(trino.host, trino.port, CATALOG)
    groups = {"primary": WorkGroup(f"{on_trino.lake_url}/results/")}
    with AthenaServer(engine, trino.s3, groups) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ATHENA", server.endpoint)
        table = open_table(changed(on_trino, query_backend="athena"))
        table.define()
        for manifest in manifests:
            found = table.look_up(manifest)
            assert without_stats(found) == without_stats(DuckDBTable(on_trino).look_up(manifest))
            assert (found.rows_owned, found.rows_of_date) == expected(manifest, manifests)


@pytest.mark.slow
def test_trino_sees_the_same_table_whether_we_make_it_in_glue_or_by_trinos_own_ddl(
    trino: TrinoServer, files_catalog: str, on_trino: Settings
) -> None:
    TrinoTable(on_trino).define()
    AthenaTable(on_trino).define()
    for table in ("auditlog", "auditlog_quarantine"):
        in_glue = shown(trino, CATALOG, on_trino, table)
        assert shown(trino, files_catalog, on_trino, table) == in_glue.replace(f"{CATALOG}.", f"{files_catalog}.")
        for words in ("partition_projection_enabled = true", "ARRAY['2026-05-01','NOW']", "external_location = 's3://"):
            assert words in in_glue
    assert "partition_projection_type = 'INJECTED'" in shown(trino, CATALOG, on_trino, "auditlog")


@pytest.mark.slow
def test_a_table_that_we_made_in_glue_is_as_trino_wants_it(trino: TrinoServer, on_trino: Settings) -> None:
    AthenaTable(on_trino).define()
    TrinoTable(changed(on_trino, trino_url=trino.url)).define()


@pytest.mark.slow
def test_trino_proves_each_day_in_a_table_of_its_own(files_catalog: str, on_trino: Settings) -> None:
    settings = changed(on_trino, query_backend="trino")
    table = open_table(settings)
    table.define()  # before there is any file
    manifests = run_all(settings)
    table.define()
    for manifest in manifests:
        found = table.look_up(manifest)
        assert without_stats(found) == without_stats(DuckDBTable(on_trino).look_up(manifest))
        assert found.stats is not None
        assert found.stats.cost_usd is None
        assert found.stats.bytes_scanned
    name = f"{files_catalog}.{settings.database}.auditlog"
    assert table.location == f"Trino table {name} over {settings.lake_url}/auditlog_parquet/"


@pytest.mark.slow
def test_the_quarantine_can_be_queried_in_trino(trino: TrinoServer, files_catalog: str, on_trino: Settings) -> None:
    manifests = run_all(on_trino)
    TrinoTable(on_trino).define()
    counted = trino.rows(
        f"SELECT dt, reason, count(*) FROM {files_catalog}.{on_trino.database}.auditlog_quarantine GROUP BY 1, 2"
    )
    wanted = {(str(m.partition), reason, n) for m in manifests for reason, n in m.quarantine.by_reason.items()}
    assert {tuple(row) for row in counted} == wanted


@pytest.mark.slow
def test_trino_adds_new_columns_and_refuses_what_would_lose_one_or_move_the_projection(
    trino: TrinoServer, files_catalog: str, on_trino: Settings
) -> None:
    run_all(on_trino)
    name = f"{files_catalog}.{on_trino.database}.auditlog"
    table = TrinoTable(on_trino)
    table.define()
    trino.rows(f"ALTER TABLE {name} DROP COLUMN entityindex")
    table.define()
    assert trino.rows(f"DESCRIBE {name}")[-3][:2] == ["entityindex", "integer"]
    with pytest.raises(TableMismatchError, match=r"projection\.dt\.range is '2026-05-01,NOW', not '2024-01-01,NOW'"):
        TrinoTable(changed(on_trino, start_date=date(2024, 1, 1))).define()
    with pytest.raises(TableMismatchError, match="it reads the files of"):
        TrinoTable(changed(on_trino, lake_url=f"{on_trino.lake_url}/other")).define()
    trino.rows(f"ALTER TABLE {name} ADD COLUMN mine varchar")
    with pytest.raises(TableMismatchError, match="its column mine is unknown"):
        table.define()


def when_running(trino: TrinoServer, name: str, act: Callable[[str], object]) -> None:
    """Act, with its id, on the query that gives its column this name, as soon as it runs."""
    sql = (
        "SELECT query_id FROM system.runtime.queries "
        f"WHERE state = 'RUNNING' AND query LIKE 'SELECT count(*) AS {name} %'"
    )

    def wait() -> None:
        wait_until(lambda: trino.rows(sql), f"the query {name}")
        ((query_id,),) = trino.rows(sql)
        act(str(query_id))

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.slow
def test_a_query_of_trino_is_stopped_when_its_caller_cancels_or_is_interrupted(trino: TrinoServer) -> None:
    server = Trino(parse_trino_url(trino.url), schema="information_schema")
    cancelled = threading.Event()
    when_running(trino, "of_cancelled", lambda _: cancelled.set())
    with pytest.raises(QueryCancelledError, match="by its caller"):
        server.run(f"SELECT count(*) AS of_cancelled {ENDLESS}", cancelled=cancelled)
    when_running(trino, "of_interrupted", lambda _: _thread.interrupt_main())
    with pytest.raises(KeyboardInterrupt):
        server.run(f"SELECT count(*) AS of_interrupted {ENDLESS}")
    states = trino.rows(
        "SELECT state, error_code FROM system.runtime.queries WHERE query LIKE 'SELECT count(*) AS of_%'"
    )
    assert states == [["FAILED", "USER_CANCELED"]] * 2


@pytest.mark.slow
def test_a_query_that_somebody_kills_in_trino_is_reported_as_cancelled(trino: TrinoServer) -> None:
    def kill(query_id: str) -> None:
        trino.rows(f"CALL system.runtime.kill_query(query_id => '{query_id}', message => 'too dear')")

    when_running(trino, "killed", kill)
    with pytest.raises(QueryCancelledError, match=r"was cancelled in Trino: .*too dear"):
        Trino(parse_trino_url(trino.url), schema="information_schema").run(f"SELECT count(*) AS killed {ENDLESS}")


@pytest.mark.slow
def test_trinos_types_become_arrows_as_athenas_do(trino: TrinoServer) -> None:
    server = Trino(parse_trino_url(trino.url), schema="information_schema")
    table = server.run(
        """SELECT CAST('x' AS varchar(5)) a, TIMESTAMP '2026-05-01 10:00:00.123' b, DATE '2026-05-01' c, 1 d,
        BIGINT '9223372036854775807' e, DOUBLE '1e22' f, true g, DECIMAL '12345678901234567890.10' h, X'7b00ff' i,
        TIMESTAMP '2026-05-01 10:00:00.123456' j, nan() k, ARRAY['a', NULL] l, CAST(NULL AS integer) m, '' n,
        infinity() o, X'' p, CAST(7 AS tinyint) q"""
    ).table
    kinds = [str(field.type) for field in table.schema]
    assert kinds == [
        "string", "timestamp[ms]", "date32[day]", "int32", "int64", "double", "bool", "decimal128(22, 2)", "binary",
        "timestamp[us]", "double", "string", "int32", "string", "double", "binary", "int32",
    ]  # fmt: skip
    values = table.to_pylist()[0]
    assert values["k"] != values["k"]
    texts = {name: str(value) for name, value in values.items() if name != "k"}
    assert texts == {
        "a": "x", "b": "2026-05-01 10:00:00.123000", "c": "2026-05-01", "d": "1", "e": "9223372036854775807",
        "f": "1e+22", "g": "True", "h": "12345678901234567890.10", "i": str(b"{\x00\xff"),
        "j": "2026-05-01 10:00:00.123456", "l": '["a", null]', "m": "None", "n": "", "o": "inf", "p": "b''", "q": "7",
    }  # fmt: skip


@pytest.mark.slow
def test_trino_gives_more_rows_than_fit_into_one_response_and_reports_a_failure_in_one_line(trino: TrinoServer) -> None:
    server = Trino(parse_trino_url(trino.url), schema="information_schema")
    rows = "UNNEST(sequence(0, 2)) AS s(a), UNNEST(sequence(1, 10000)) AS t(b)"
    result = server.run(f"SELECT a * 10000 + b AS n FROM {rows} WHERE b > ? ORDER BY 1", [1])
    wanted = [a * 10_000 + b for a in range(3) for b in range(2, 10_001)]
    assert result.table.column("n").to_pylist() == wanted
    assert result.stats.query_id
    with pytest.raises(QueryError, match="failed: TABLE_NOT_FOUND: ") as failure:
        server.run("SELECT *\nFROM nowhere")
    assert "\n" not in str(failure.value)
    assert not isinstance(failure.value, QueryCancelledError)
