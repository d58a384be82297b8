"""The definition of the table: the same as Glue input and as DDL; and what Glue holds after callers have defined it."""

import copy
import json
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from http.client import BAD_REQUEST
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import sqlglot
from sqlglot import exp
from typer.testing import CliRunner, Result

from audit_pipeline.aws import glue_client
from audit_pipeline.catalog.definition import (
    TableDefinition,
    ddl,
    definitions_for_lake,
    definitions_of,
    glue_table_input,
)
from audit_pipeline.catalog.glue import ensure_table
from audit_pipeline.cli.app import app
from audit_pipeline.contract.columns import QUARANTINE_SCHEMA, ROW_SCHEMA
from audit_pipeline.errors import QueryError, SettingsError, TableMismatchError
from audit_pipeline.settings import Settings
from audit_pipeline.store.layout import LAKE_SETTINGS_PATH, data_path, quarantine_path
from audit_pipeline.store.objects import open_store
from tests.servers.glue_catalog import GlueServer, glue_server

LAKE: Final = "s3://myapp-audit-logs-bucket/analytics"
#: The same table as a person would write it, without the columns since EntityIndex.
WRITTEN_BY_HAND: Final = """
CREATE EXTERNAL TABLE audit_logs_db.auditlog (
Id string,
`Timestamp` timestamp,
ActorName string,
ActorType string,
EntityId string,
EntityName string,
EntityType string,
EntityParentId string,
EntityParentName string,
EntityParentType string,
ChannelCode string,
ChannelAccountCode string,
Action string,
Before string,
After string,
CorrelationId string
)
PARTITIONED BY (dt string, source string)
STORED AS PARQUET
LOCATION 's3://myapp-audit-logs-bucket/analytics/auditlog_parquet/'
TBLPROPERTIES (
'projection.enabled' = 'true',
'projection.dt.type' = 'date',
'projection.dt.range' = '2024-01-01,NOW',
'projection.dt.format' = 'yyyy-MM-dd',
'projection.dt.interval' = '1',
'projection.dt.interval.unit' = 'DAYS',
'projection.source.type' = 'injected',
'storage.location.template' = 's3://myapp-audit-logs-bucket/analytics/auditlog_parquet/dt=${dt}/source=${source}/'
);
"""


def settings_of(**changed: Any) -> Settings:
    given = {"raw_url": "s3://myapp-audit-logs-bucket/raw", "lake_url": LAKE, "start_date": "2024-01-01"}
    return Settings(**given | changed)


TABLE, QUARANTINE = BOTH = definitions_of(settings_of())


# -- as data


@dataclass(frozen=True)
class Parsed:
    """What a CREATE TABLE says, with Glue's spelling of names."""

    name: str
    columns: list[tuple[str, str]]
    partition_keys: list[tuple[str, str]]
    location: str
    format: str
    properties: dict[str, str]


def parsed(sql: str) -> Parsed:
    tree = sqlglot.parse_one(sql, read="athena")
    assert isinstance(tree, exp.Create)
    partitions, location, form, *_ = (
        tree.find(kind) for kind in (exp.PartitionedByProperty, exp.LocationProperty, exp.FileFormatProperty)
    )
    assert partitions
    assert location
    assert form
    properties = [node for node in tree.args["properties"].expressions if type(node) is exp.Property]
    return Parsed(
        name=tree.this.this.sql(dialect="trino", identify=False).replace('"', ""),
        columns=[_column(node) for node in tree.this.expressions],
        partition_keys=[_column(node) for node in partitions.this.expressions],
        location=location.this.name,
        format=form.this.name,
        properties={node.this.name: node.args["value"].name for node in properties},
    )


def _column(node: exp.Expr) -> tuple[str, str]:
    assert isinstance(node, exp.ColumnDef)
    return node.name.lower(), node.args["kind"].sql(dialect="hive").lower()


def named(columns: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(column["Name"], column["Type"]) for column in columns]


@pytest.mark.parametrize("definition", BOTH, ids=["table", "quarantine"])
def test_the_ddl_says_the_same_as_the_glue_input(definition: TableDefinition) -> None:
    written, table = parsed(ddl(definition)), dict(glue_table_input(definition))
    storage = table["StorageDescriptor"]
    assert written.name == f"{definition.database}.{table['Name']}"
    assert written.columns == named(storage["Columns"])
    assert written.partition_keys == named(table["PartitionKeys"])
    assert written.location == storage["Location"]
    assert written.format == "PARQUET"
    assert "parquet" in storage["SerdeInfo"]["SerializationLibrary"]
    added_by_athena = {"EXTERNAL": "TRUE", "classification": "parquet"}
    assert table["Parameters"] == written.properties | added_by_athena
    assert table["TableType"] == "EXTERNAL_TABLE"


def test_the_ddl_is_that_written_by_hand_and_then_the_columns_added_since() -> None:
    by_hand, ours = parsed(WRITTEN_BY_HAND), parsed(ddl(TABLE))
    assert len(by_hand.properties) == 8
    added = [(name, "string") for name in ("eventtype", "account", "region", "context", "extra")]
    assert ours == replace(by_hand, columns=[*by_hand.columns, ("entityindex", "int"), *added])


def test_every_column_of_the_contract_is_defined_in_its_order() -> None:
    assert [column.name for column in TABLE.columns] == ROW_SCHEMA.names
    assert [column.name for column in QUARANTINE.columns] == QUARANTINE_SCHEMA.names


def test_the_quarantine_is_projected_by_day_alone() -> None:
    assert QUARANTINE.name == "auditlog_quarantine"
    assert QUARANTINE.location == f"{LAKE}/auditlog_quarantine/"
    assert [key.name for key in QUARANTINE.partition_keys] == ["dt"]
    assert not any("source" in name for name in QUARANTINE.properties)


def test_the_template_leads_to_where_the_pipeline_writes() -> None:
    day = date(2026, 5, 1)
    for definition, path in ((TABLE, data_path(day, day, "shop")), (QUARANTINE, quarantine_path(day))):
        template = definition.properties["storage.location.template"]
        folder = template.replace("${dt}", str(day)).replace("${source}", "shop")
        assert f"{LAKE}/{path}".rsplit("/", 1)[0] + "/" == folder


@pytest.mark.parametrize("url", [f"{LAKE}/", f"{LAKE}//", LAKE.replace("s3:", "S3:")])
def test_a_lake_url_may_be_spelt_as_the_store_takes_it(url: str) -> None:
    assert definitions_of(settings_of(lake_url=url)) == BOTH


@pytest.mark.parametrize(
    "url",
    [
        "/srv/lake",
        "file:///srv/lake",
        "s3://",
        "s3:///x",
        "s3://b/it's",
        "s3://b/${dt}",
        "s3://b/a b",
        "s3://b/x?y",
        "s3://b/a\\",
    ],
)
def test_a_lake_that_athena_cannot_have_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="AUDIT_LAKE_URL"):
        definitions_of(settings_of(lake_url=url))


def test_the_projection_begins_with_the_lakes_first_day_though_the_settings_name_a_later_one(tmp_path: Path) -> None:
    lake = open_store(str(tmp_path / "lake"), create=True)
    later = settings_of(start_date="2026-05-01")
    assert definitions_for_lake(later, lake)[0].properties["projection.dt.range"] == "2026-05-01,NOW"
    lake.put(LAKE_SETTINGS_PATH, b'{"grace_hours":1,"first_partition":"2026-04-01"}')
    assert definitions_for_lake(later, lake)[0].properties["projection.dt.range"] == "2026-04-01,NOW"
    assert definitions_for_lake(settings_of(), lake)[1].properties["projection.dt.range"] == "2024-01-01,NOW"


# -- on the command line


def cli(*arguments: str, **changed: str) -> Result:
    settings = {"raw_url": "s3://myapp-audit-logs-bucket/raw", "lake_url": LAKE, "start_date": "2024-01-01"} | changed
    env: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("AUDIT_", "AWS_"))}
    env |= {f"AUDIT_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(app, list(arguments), env=env)


def test_the_command_prints_the_statements_of_both_tables() -> None:
    result = cli("ddl", database="audit", table="log")
    assert (result.exit_code, result.stderr) == (0, "")
    both = definitions_of(settings_of(database="audit", table="log"))
    statements = [statement for statement in sqlglot.parse(result.stdout, read="athena") if statement]
    assert [parsed(statement.sql("athena")) for statement in statements] == [parsed(ddl(one)) for one in both]
    assert [parsed(ddl(one)).name for one in both] == ["audit.log", "audit.log_quarantine"]


def test_the_command_prints_glues_inputs_as_json_lines() -> None:
    lines = cli("ddl", "--format", "glue").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [glue_table_input(one) for one in BOTH]


def test_the_command_says_that_athena_needs_a_lake_in_s3() -> None:
    result = cli("ddl", lake_url="/srv/lake")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "AUDIT_LAKE_URL is '/srv/lake', but Athena and Trino need s3://" in result.stderr


# -- in Glue


@dataclass
class Catalog:
    """A database of one test in Glue, and which calls our client has made."""

    server: GlueServer
    client: Any
    definition: TableDefinition
    calls: list[str]

    def define(self) -> list[str]:
        """Ensure the table: the calls it took."""
        self.calls.clear()
        ensure_table(self.client, self.definition)
        return list(self.calls)

    def table(self) -> dict[str, Any]:
        found: dict[str, Any] = self.server.client.get_table(
            DatabaseName=self.definition.database, Name=self.definition.name
        )["Table"]
        return found

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the table behind our back."""
        table = copy.deepcopy(dict(glue_table_input(self.definition)))
        change(table)
        self.server.client.update_table(DatabaseName=self.definition.database, TableInput=table)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlueServer]:
    with glue_server(tmp_path_factory.mktemp("glue")) as running:
        yield running


@pytest.fixture
def catalog(server: GlueServer, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    calls: list[str] = []
    client = glue_client()
    client.meta.events.register("provide-client-params.glue", lambda model, **_: calls.append(model.name))
    return Catalog(server, client, replace(TABLE, database=f"db_{uuid.uuid4().hex}"), calls)


def test_a_missing_table_is_created_with_its_database(catalog: Catalog) -> None:
    assert "CreateDatabase" in catalog.define()
    table = catalog.table()
    wanted = dict(glue_table_input(catalog.definition))
    assert {name: table[name] for name in wanted} == wanted


def test_a_role_that_may_not_create_databases_can_work_in_that_of_the_stack(catalog: Catalog) -> None:
    catalog.server.client.create_database(DatabaseInput={"Name": catalog.definition.database})
    assert catalog.define() == ["GetTable", "CreateTable"]


def test_a_table_that_is_as_defined_is_not_written(catalog: Catalog) -> None:
    catalog.define()
    assert catalog.define() == ["GetTable"]


def test_columns_that_are_new_are_added_behind_the_others(catalog: Catalog) -> None:
    newer = catalog.definition
    catalog.definition = replace(newer, columns=newer.columns[:2] + newer.columns[4:-1])
    catalog.define()
    before = named(catalog.table()["StorageDescriptor"]["Columns"])
    catalog.definition = newer
    assert catalog.define() == ["GetTable", "UpdateTable"]
    after = named(catalog.table()["StorageDescriptor"]["Columns"])
    assert after == [*before, ("actorname", "string"), ("actortype", "string"), ("extra", "string")]
    assert catalog.define() == ["GetTable"]


def test_an_earlier_first_day_moves_the_projection(catalog: Catalog) -> None:
    catalog.define()
    properties = dict(catalog.definition.properties) | {"projection.dt.range": "2023-01-01,NOW"}
    catalog.definition = replace(catalog.definition, properties=properties)
    assert catalog.define() == ["GetTable", "UpdateTable"]
    assert catalog.table()["Parameters"]["projection.dt.range"] == "2023-01-01,NOW"


def test_what_others_have_set_stays_and_a_foreign_projection_goes(catalog: Catalog) -> None:
    catalog.define()

    def meddle(table: dict[str, Any]) -> None:
        table["Description"] = "who did what"
        table["Owner"] = "audit"
        table["StorageDescriptor"]["Columns"][0]["Comment"] = "an id"
        table["StorageDescriptor"]["Location"] = table["StorageDescriptor"]["Location"].rstrip("/")
        table["Parameters"] = {
            "transient_lastDdlTime": "1",
            "projection.enabled": "false",
            "projection.source.type": "enum",
            "projection.source.values": "shop",
        }

    catalog.change(meddle)
    assert catalog.define() == ["GetTable", "UpdateTable"]
    table = catalog.table()
    wanted = dict(glue_table_input(catalog.definition))
    assert table["Parameters"] == wanted["Parameters"] | {"transient_lastDdlTime": "1"}
    assert (table["Description"], table["Owner"]) == ("who did what", "audit")
    assert table["StorageDescriptor"]["Columns"][0]["Comment"] == "an id"
    assert table["StorageDescriptor"]["Location"] == catalog.definition.location
    assert catalog.define() == ["GetTable"]


def _add_a_column(table: dict[str, Any]) -> None:
    table["StorageDescriptor"]["Columns"].append({"Name": "mine", "Type": "string"})


def _change_a_type(table: dict[str, Any]) -> None:
    table["StorageDescriptor"]["Columns"][1]["Type"] = "bigint"


def _partition_otherwise(table: dict[str, Any]) -> None:
    table["PartitionKeys"] = [{"Name": "dt", "Type": "date"}]


def _move(table: dict[str, Any]) -> None:
    table["StorageDescriptor"]["Location"] = "s3://another-bucket/auditlog_parquet/"


def _make_it_json(table: dict[str, Any]) -> None:
    table["StorageDescriptor"]["SerdeInfo"] = {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"}


def _make_it_a_view(table: dict[str, Any]) -> None:
    del table["StorageDescriptor"]
    table |= {"TableType": "VIRTUAL_VIEW", "ViewOriginalText": "SELECT 1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_add_a_column, "its column mine is unknown to this version and would be lost"),
        (_change_a_type, "its column timestamp has the type bigint, not timestamp"),
        (_partition_otherwise, "it is partitioned by (dt date), not by (dt string, source string)"),
        (_move, "it reads the files of s3://another-bucket/auditlog_parquet/, not those of"),
        (_make_it_json, "is not a table of Parquet files"),
        (_make_it_a_view, "is not a table of Parquet files"),
    ],
)
def test_a_table_that_would_lose_something_is_left_as_it_is(
    catalog: Catalog, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    catalog.define()
    catalog.change(change)
    before = catalog.table()
    with pytest.raises(TableMismatchError) as refusal:
        catalog.define()
    assert message in str(refusal.value)
    assert catalog.definition.full_name in str(refusal.value)
    assert catalog.table() == before


def test_eight_that_define_it_at_once_all_succeed(catalog: Catalog) -> None:
    older = replace(catalog.definition, columns=catalog.definition.columns[:-1])
    for definition in (older, catalog.definition):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ensure_table(glue_client(), definition), range(8)))  # noqa: B023
        columns = named(catalog.table()["StorageDescriptor"]["Columns"])
        assert columns == [(column.name.lower(), column.type) for column in definition.columns]


def test_who_comes_second_looks_again_and_writes_nothing(catalog: Catalog) -> None:
    newer = catalog.definition
    catalog.definition = replace(newer, columns=newer.columns[:-1])
    catalog.define()
    catalog.definition = newer

    def come_first(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        catalog.client.meta.events.unregister("before-call.glue.UpdateTable", come_first)
        catalog.change(lambda table: None)
        refusal = {"Error": {"Code": "ConcurrentModificationException", "Message": "version 1 is not the latest"}}
        return SimpleNamespace(status_code=BAD_REQUEST), refusal | {"ResponseMetadata": {}}

    catalog.client.meta.events.register("before-call.glue.UpdateTable", come_first)
    assert catalog.define() == ["GetTable", "UpdateTable", "GetTable"]


def test_the_change_is_made_to_the_version_that_was_read(catalog: Catalog) -> None:
    catalog.define()
    catalog.change(lambda table: table["Parameters"].clear())
    requests: list[dict[str, Any]] = []
    catalog.client.meta.events.register(
        "provide-client-params.glue.UpdateTable", lambda params, **_: requests.append(params)
    )
    version = catalog.table().get("VersionId")
    catalog.define()
    assert version
    assert [request["VersionId"] for request in requests] == [version]


def test_a_refusal_of_glue_is_one_line(catalog: Catalog) -> None:
    def refuse(**_: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        refusal = {"Error": {"Code": "AccessDeniedException", "Message": "no glue:GetTable\nfor you"}}
        return SimpleNamespace(status_code=BAD_REQUEST), refusal | {"ResponseMetadata": {}}

    catalog.client.meta.events.register("before-call.glue.GetTable", refuse)
    with pytest.raises(QueryError, match="Glue refused GetTable: AccessDeniedException: no glue:GetTable for you"):
        catalog.define()
