"""The pipeline's files in a real Trino, through a Glue table that is written by hand.

The table and the statements do not come from our code: these tests show what the engine itself does. They also cover
what the client relies on: parameters, injected projection, order, literals, hidden columns.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from trino.exceptions import TrinoUserError

from audit_pipeline.engines import run_partition
from audit_pipeline.settings import Settings
from tests.servers import trino as trino_server
from tests.servers.trino import TrinoServer
from tests.support.example_queries import CHANGES_OF_AN_ORDER, UPDATES_BY_A_USER
from tests.support.lake import Record, entity, event, key, obj, zipped

pytestmark = pytest.mark.slow

BUCKET: Final = "myapp-audit-logs-bucket"
DATABASE: Final = "audit_logs_db"
TABLE: Final = f"{DATABASE}.auditlog"
ORDERS, INVENTORY = SOURCES = ("myapp.orderservice", "myapp.inventoryservice")
IN_MAY, LAST_WEEK = DAYS = (date(2026, 5, 12), date(2026, 5, 28))

COLUMNS: Final = (
    ("id", "string"),
    ("timestamp", "timestamp"),
    ("actorname", "string"),
    ("actortype", "string"),
    ("entityid", "string"),
    ("entityname", "string"),
    ("entitytype", "string"),
    ("entityparentid", "string"),
    ("entityparentname", "string"),
    ("entityparenttype", "string"),
    ("channelcode", "string"),
    ("channelaccountcode", "string"),
    ("action", "string"),
    ("before", "string"),
    ("after", "string"),
    ("correlationid", "string"),
)
LOCATION: Final = f"s3://{BUCKET}/analytics/auditlog_parquet/"
PROPERTIES: Final = {
    "projection.enabled": "true",
    "projection.dt.type": "date",
    "projection.dt.range": "2024-01-01,NOW",
    "projection.dt.format": "yyyy-MM-dd",
    "projection.dt.interval": "1",
    "projection.dt.interval.unit": "DAYS",
    "projection.source.type": "injected",
    "storage.location.template": LOCATION + "dt=${dt}/source=${source}/",
}

NEEDS_SOURCE: Final = "Injected projection requires single predicate"
IS_IN_MAY: Final = f"dt >= '2026-05-11' AND dt <= '2026-05-18' AND source IN ('{ORDERS}', '{INVENTORY}')"


def without_end(sql: str) -> str:
    """Trino's protocol takes a statement without the semicolon that ends it in a shell."""
    return sql.rstrip().removesuffix(";")


def change(event_id: str, time: str, source: str, *entities: str, action: str = "Update") -> str:
    detail = {"actor": '{"name":"jane@example.com","type":1}', "action": f'"{action}"', "entity_type": '"Order"'}
    return event(event_id, *entities, time=time, source=source, detail=detail)


ORDER = entity(entity='{"id":"500","name":"Bücher\\n✓"}', before='{"price": 1.10, "n": 1e2}', after='{ "price":2.50 }')
ITEM = entity(entity='{"id":"501","name":"item"}', parent=obj({"id": '"500"', "type": '"Order"'}))
OTHER = entity(entity='{"id":"9","name":"other"}')

RAW: Final = {
    IN_MAY: [
        change("a1", "2026-05-12T10:00:00.123Z", ORDERS, ORDER),
        change("a2", "2026-05-12T10:00:00.124Z", INVENTORY, ITEM),
        change("a3", "2026-05-12T10:00:00.124Z", ORDERS, OTHER),
    ],
    LAST_WEEK: [
        change("b1", "2026-05-28T08:00:00Z", ORDERS, OTHER),
        change("b2", "2026-05-28T09:00:00Z", ORDERS, ORDER, ITEM),
        change("b3", "2026-05-28T10:00:00Z", ORDERS, OTHER, action="Delete"),
        change("b4", "2026-05-28T11:00:00Z", INVENTORY, OTHER),
    ],
}


@pytest.fixture(scope="module")
def table(trino: TrinoServer) -> Iterator[TrinoServer]:
    """The server, with the table over files of the pipeline."""
    trino.s3.client.create_bucket(Bucket=BUCKET)
    settings = Settings(raw_url=f"s3://{BUCKET}/raw", lake_url=f"s3://{BUCKET}/analytics", start_date=IN_MAY, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trino.environment().items():
            patch.setenv(name, value)
        for day, events in RAW.items():
            trino.s3.upload(BUCKET, "raw", {key(day, 23): zipped("".join(events))})
            run_partition(settings, day)
    trino.glue.create_database(DatabaseInput={"Name": DATABASE})
    trino.glue.create_table(DatabaseName=DATABASE, TableInput=table_input())
    yield trino
    trino.glue.delete_table(DatabaseName=DATABASE, Name="auditlog")
    trino.glue.delete_database(Name=DATABASE)


def table_input() -> Record:
    parquet = "org.apache.hadoop.hive.ql.io.parquet"
    return {
        "Name": "auditlog",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}, {"Name": "source", "Type": "string"}],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": kind} for name, kind in COLUMNS],
            "Location": LOCATION,
            "InputFormat": f"{parquet}.MapredParquetInputFormat",
            "OutputFormat": f"{parquet}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{parquet}.serde.ParquetHiveSerDe"},
        },
        "Parameters": {"EXTERNAL": "TRUE"} | PROPERTIES,
    }


def records(server: TrinoServer, sql: str) -> list[Record]:
    with server.connect() as connection:
        cursor = connection.cursor().execute(sql)
        rows = cursor.fetchall()
        return [dict(zip([column.name for column in cursor.description], row, strict=True)) for row in rows]


def ids(server: TrinoServer, where: str, *parameters: Any) -> list[str]:
    """In order of their ids."""
    found = server.rows(f"SELECT id FROM {TABLE} WHERE {where} ORDER BY id", parameters)
    return [row[0] for row in found]


# -- the table


def test_the_example_query_for_a_users_updates_runs_as_it_is(table: TrinoServer) -> None:
    found = records(table, without_end(UPDATES_BY_A_USER))
    assert [(row["id"], row["entityid"]) for row in found][-1] == ("b1", "9")
    assert sorted((row["id"], row["entityid"]) for row in found) == [("b1", "9"), ("b2", "500"), ("b2", "501")]
    assert list(found[0]) == [name for name, _ in COLUMNS] + ["dt", "source"]


def test_the_example_query_for_an_order_and_its_items_runs_as_it_is(table: TrinoServer) -> None:
    found = records(table, without_end(CHANGES_OF_AN_ORDER))
    assert [(row["id"], row["entityid"], row["source"], row["dt"]) for row in found] == [
        ("a2", "501", INVENTORY, "2026-05-12"),
        ("a1", "500", ORDERS, "2026-05-12"),
    ]


def test_a_time_comes_back_to_the_millisecond_and_a_text_byte_for_byte(table: TrinoServer) -> None:
    item, order = records(table, without_end(CHANGES_OF_AN_ORDER))
    assert order["timestamp"] == datetime(2026, 5, 12, 10, 0, 0, 123_000)
    assert order["before"] == '{"price": 1.10, "n": 1e2}'
    assert order["after"] == '{ "price":2.50 }'
    assert order["entityname"] == "Bücher\n✓"
    assert (order["actorname"], order["actortype"], order["action"]) == ("jane@example.com", "User", "Update")
    assert order["correlationid"] is None
    assert item["before"] is None
    assert (item["entityparentid"], item["entityparentname"], item["entityparenttype"]) == ("500", None, "Order")


@pytest.mark.parametrize(
    "where", ["true", "dt = '2026-05-12'", "source LIKE 'myapp.%'", "source < 'n'", "source IS NOT NULL"]
)
def test_a_query_that_names_no_source_is_refused_by_the_engine(where: str, table: TrinoServer) -> None:
    with pytest.raises(TrinoUserError, match=NEEDS_SOURCE):
        ids(table, where)


def test_of_a_thousand_sources_each_is_read_and_more_are_refused(table: TrinoServer) -> None:
    """Trino makes a range of a longer list, and a range cannot be injected."""
    others = [f"other-{number}" for number in range(1000)]
    thousand = [ORDERS, *others[1:]]
    listed = ", ".join("?" * 1000)
    assert ids(table, f"dt = '2026-05-12' AND source IN ({listed})", *thousand) == ["a1", "a3"]
    with pytest.raises(TrinoUserError, match=NEEDS_SOURCE):
        ids(table, f"dt = '2026-05-12' AND source IN ({listed}, ?)", *thousand, "one-more")


@pytest.mark.parametrize(
    "where",
    [
        f"dt = '2026-05-13' AND source = '{ORDERS}'",
        f"dt >= '2026-05-13' AND dt <= '2026-05-18' AND source = '{ORDERS}'",
        "dt = '2026-05-12' AND source = 'no-such-service'",
        f"dt = '2023-12-31' AND source = '{ORDERS}'",
        f"dt = '2126-05-12' AND source = '{ORDERS}'",
        f"dt = '12/05/2026' AND source = '{ORDERS}'",
    ],
    ids=["a day", "days", "a source", "before the range", "after now", "not a day"],
)
def test_what_is_not_there_gives_no_rows(where: str, table: TrinoServer) -> None:
    assert ids(table, where) == []


def test_the_projection_is_read_from_the_glue_table(table: TrinoServer) -> None:
    """Trino shows how it has read the eight properties."""
    ((ddl,),) = table.rows(f"SHOW CREATE TABLE {TABLE}")
    for understood in (
        "partition_projection_enabled = true",
        "partition_projection_type = 'DATE'",
        "partition_projection_range = ARRAY['2024-01-01','NOW']",
        "partition_projection_format = 'yyyy-MM-dd'",
        "partition_projection_interval = 1",
        "partition_projection_interval_unit = 'DAYS'",
        "partition_projection_type = 'INJECTED'",
        f"partition_projection_location_template = '{PROPERTIES['storage.location.template']}'",
    ):
        assert understood in ddl


def test_the_file_of_a_row_can_be_selected(table: TrinoServer) -> None:
    sql = f'SELECT DISTINCT "$path" FROM {TABLE} WHERE {IS_IN_MAY} AND regexp_like("$path", ?) ORDER BY 1'
    names = [f"{LOCATION}dt=2026-05-12/source={source}/2026-05-12.parquet" for source in sorted(SOURCES)]
    assert table.rows(sql, [r"/2026-05-12\.parquet$"]) == [[name] for name in names]
    assert table.rows(sql, [r"/2026-05-13\.parquet$"]) == []


# -- parameters, and predicates on source beside its list


def test_parameters_choose_the_partitions(table: TrinoServer) -> None:
    assert ids(table, "dt >= ? AND dt <= ? AND source = ?", "2026-05-11", "2026-05-18", ORDERS) == ["a1", "a3"]
    found = ids(table, "dt >= ? AND dt <= ? AND source IN (?, ?)", "2026-05-11", "2026-05-18", *SOURCES)
    assert found == ["a1", "a2", "a3"]
    assert ids(table, "dt BETWEEN ? AND ? AND source IN (?)", "2026-05-12", "2026-05-12", INVENTORY) == ["a2"]


def test_parameters_that_choose_no_source_are_refused_as_literals_are(table: TrinoServer) -> None:
    with pytest.raises(TrinoUserError, match=NEEDS_SOURCE):
        ids(table, "dt = ? AND source < ?", "2026-05-12", "n")


@pytest.mark.parametrize(
    ("predicate", "parameters", "expected"),
    [
        ("source < ?", ["myapp.j"], ["a2"]),
        ("source > ?", ["myapp.j"], ["a1", "a3"]),
        ("source <> ?", [ORDERS], ["a2"]),
        ("source = ?", [ORDERS], ["a1", "a3"]),
        ("source = ?", ["another"], []),
        ("source LIKE ?", ["%.order%"], ["a1", "a3"]),
        ("(source < ? OR (source = ? AND id > ?))", ["myapp.j", ORDERS, "a1"], ["a2", "a3"]),
        ("(id > ? OR (id = ? AND source > ?))", ["a2", "a2", "myapp.a"], ["a2", "a3"]),
        ("(source = ? OR id = ?)", [ORDERS, "a2"], ["a1", "a2", "a3"]),
    ],
)
def test_any_predicate_on_source_goes_beside_its_list(
    predicate: str, parameters: list[str], expected: list[str], table: TrinoServer
) -> None:
    listed = "dt >= '2026-05-11' AND dt <= '2026-05-18' AND source IN (?, ?)"
    assert ids(table, f"{listed} AND {predicate}", *SOURCES, *parameters) == expected
    assert ids(table, f"{predicate} AND {listed}", *parameters, *SOURCES) == expected


def test_a_page_after_a_row_among_equal_times_continues_with_the_next(table: TrinoServer) -> None:
    after = """("timestamp" > CAST(? AS timestamp(3)) OR ("timestamp" = CAST(? AS timestamp(3))
               AND (id > ? OR (id = ? AND source > ?))))"""
    moment = "2026-05-12 10:00:00.124"
    assert ids(table, f"{IS_IN_MAY} AND {after}", moment, moment, "a2", "a2", INVENTORY) == ["a3"]
    assert ids(table, f"{IS_IN_MAY} AND {after}", moment, moment, "a2", "a2", "") == ["a2", "a3"]
    assert ids(table, f"{IS_IN_MAY} AND {after}", moment, moment, "a3", "a3", ORDERS) == []


@pytest.mark.parametrize(
    ("operator", "expected"), [("<", ["a1"]), ("<=", ["a1", "a2", "a3"]), ("=", ["a2", "a3"]), (">", [])]
)
def test_a_time_is_compared_with_a_text_that_is_cast(operator: str, expected: list[str], table: TrinoServer) -> None:
    where = f'{IS_IN_MAY} AND "timestamp" {operator} CAST(? AS timestamp(3))'
    assert ids(table, where, "2026-05-12 10:00:00.124") == expected


def test_a_time_in_iso_form_cannot_be_cast(table: TrinoServer) -> None:
    for text in ("2026-05-12T10:00:00.124", "2026-05-12T10:00:00.124Z"):
        with pytest.raises(TrinoUserError, match="cannot be cast to timestamp"):
            ids(table, f'{IS_IN_MAY} AND "timestamp" < CAST(? AS timestamp(3))', text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.10", ["a1"]), ("1.1", ["a1"]), ("1.1_", []), ("%", []), ('"price"', ["a1"]), ("PRICE", []), ("", ["a1"])],
)
def test_a_substring_is_looked_for_as_it_is(text: str, expected: list[str], table: TrinoServer) -> None:
    assert ids(table, f"{IS_IN_MAY} AND strpos(before, ?) > 0", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("O'Brien", "''", "'; DROP TABLE x; --", "--x\n", "/*", '"', "\\", "? ?", "%_"),
        *("a\nb", "a\r\nb", "a\tb", "a\0b", "\x01\x7f", "", " a "),
        *("é", "e\u0301", "日本", "😀", "\u2028", "\ufeff", "\ufffe"),
    ],
)
def test_any_text_as_a_parameter_or_a_literal_comes_back_as_it_was(text: str, trino: TrinoServer) -> None:
    literal = "'" + text.replace("'", "''") + "'"
    assert trino.rows("SELECT ?, ? = " + literal, [text, text]) == [[text, True]]
    assert trino.rows("SELECT " + literal) == [[text]]


def test_a_literal_with_escapes_is_the_text_that_they_spell(trino: TrinoServer) -> None:
    ((text,),) = trino.rows(r"SELECT U&'a\000Ab\0000c\\d\+01F600''e'")
    assert text == "a\nb\0c\\d😀'e"


def test_texts_are_in_the_order_of_their_utf8_bytes(trino: TrinoServer) -> None:
    """Not of UTF-16, in which an emoji comes before U+FFEE, nor of any language."""
    texts = ["", "A", "Z", "_", "a", "a ", "aa", "e\u0301", "z", "é", "ÿ", "日", "\uffee", "😀"]
    assert texts == sorted(texts, key=lambda text: text.encode())
    values = ", ".join(f"'{text}'" for text in reversed(texts))
    assert trino.rows(f"SELECT x FROM (VALUES {values}) t(x) ORDER BY x") == [[text] for text in texts]
    for lower, higher in pairwise(texts):
        assert trino.rows("SELECT ? < ?, ? > ?", [lower, higher, lower, higher]) == [[True, False]]


def test_only_one_statement_goes_at_a_time(trino: TrinoServer) -> None:
    with pytest.raises(TrinoUserError, match="mismatched input ';'"):
        trino.rows("SELECT 1; SELECT 2")


# -- the server itself


def test_its_addresses_lead_to_it(trino: TrinoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trino.url == f"http://audit@127.0.0.1:{trino.port}/hive"
    with trino.connect() as connection:
        found = connection.cursor().execute("SELECT current_user, current_catalog, current_timezone()").fetchall()
    assert found == [["audit", "hive", "UTC"]]
    for name, value in trino.environment().items():
        monkeypatch.setenv(name, value)
    names = {database["Name"] for database in boto3.client("glue").get_databases()["DatabaseList"]}
    assert names == {database["Name"] for database in trino.glue.get_databases()["DatabaseList"]}


def test_what_is_missing_skips_a_test_but_fails_it_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trino_server, "HOME", tmp_path / "absent")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"Trino is missing in .*absent.*: run 'make trino'"):
        trino_server.require_trino()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="run 'make trino'"):
        trino_server.require_trino()


def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("JAVA25_HOME", 17), ("JAVA_HOME", 26)):
        program = tmp_path / name / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho java.base@{version}.0.1\n")
        program.chmod(0o755)
        monkeypatch.setenv(name, str(tmp_path / name))
    assert trino_server.java() == tmp_path / "JAVA_HOME" / "bin" / "java"
    monkeypatch.setattr(trino_server, "_java_homes", lambda: iter([tmp_path / "JAVA25_HOME", tmp_path]))
    with pytest.raises(LookupError, match="no Java 25 or later was found"):
        trino_server.java()


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``mvn`` that copies small archives from this folder, and Trino's home there: not fetched yet."""
    home = tmp_path / "home" / "476"
    monkeypatch.setattr(trino_server, "HOME", home)
    for name, kind, file in (
        ("trino-server-core-476", "gztar", "lib/server.jar"),
        ("trino-server-core-476", "gztar", "plugin/geospatial/x.jar"),
        ("trino-hive-476", "zip", "io.op...ntrib_x-1.0.jar"),
    ):
        path = tmp_path / name / name / file
        path.parent.mkdir(parents=True)
        path.write_text(file)
        shutil.make_archive(str(tmp_path / name), kind, tmp_path / name)
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
for given; do case "$given" in
  -Dartifact=*) artifact="${{given#*:}}";;
  -DoutputDirectory=*) folder="${{given#*=}}";;
esac; done
cp {tmp_path}/"${{artifact%%:*}}-476.${{artifact##*:}}" "$folder"
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path


def test_archives_of_maven_are_unpacked_completely_and_once(maven: Path) -> None:
    """Also the jars with dots in a row in their names."""
    trino_server.fetch()
    home = maven / "home"
    found = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    assert found == [".gitignore", "476/lib/server.jar", "476/plugin/hive/io.op...ntrib_x-1.0.jar"]
    assert (home / ".gitignore").read_text() == "*\n"
    (maven / "bin" / "mvn").write_text("#!/bin/sh\nexit 1\n")
    trino_server.fetch()


def test_a_fetch_that_fails_leaves_no_installation(maven: Path) -> None:
    (maven / "trino-hive-476.zip").unlink()
    with pytest.raises(SystemExit, match="Maven could not fetch Trino"):
        trino_server.fetch()
    assert [path.name for path in (maven / "home").iterdir()] == [".gitignore"]
