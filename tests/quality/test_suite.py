"""A user's own expectations: YAML and Python suites, what is refused, data docs, and the command."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from audit_pipeline.contract.columns import ROW_SCHEMAS
from audit_pipeline.errors import SettingsError
from audit_pipeline.quality import examine, gx, parts, quality_checks, quality_rules
from audit_pipeline.quality.docs import write_data_docs
from audit_pipeline.quality.suite import AGGREGATES, ROW_BY_ROW
from audit_pipeline.store.layout import data_path
from audit_pipeline.store.manifest import read_manifest
from audit_pipeline.store.objects import open_store
from tests.quality.test_builtin import (
    check,
    check_all,
    commit,
    failure,
    keys_of,
    output,
    row,
    settings_of,
    write_day,
    write_file,
)
from tests.support.cli_harness import Commands
from tests.support.lake import DAY1, DAY2, Lake, Record, entity, event, key
from tests.support.paths import DOCS

PAGE = DOCS / "operate" / "quality.md"
NOT_NULL = "expect_column_values_to_not_be_null"


def suite(lake: Lake, *expectations: Any) -> Path:
    return write(lake, yaml.safe_dump({"expectations": [*expectations]}))


def write(lake: Lake, text: str, name: str = "suite.yaml") -> Path:
    path = lake.root / name
    path.write_text(text)
    return path


def expect(kind: str, severity: str | None = None, meta: Mapping[str, Any] | None = None, **kwargs: Any) -> Record:
    optional = {"severity": severity, "meta": dict(meta or {})}
    return {"type": kind, "kwargs": kwargs} | {name: value for name, value in optional.items() if value}


def listed(lake: Lake, path: Path) -> dict[str, bool]:
    """The user's own checks, and whether they are critical."""
    built_in = {one.name for one in quality_checks(settings_of(lake))}
    found = quality_checks(settings_of(lake, quality_suite=path))
    return {one.name: one.is_critical for one in found if one.name not in built_in}


def only(lake: Lake, path: Path) -> Any:
    """The verdict of the suite's only check."""
    (name,) = listed(lake, path)
    return check(lake, name, quality_suite=path)


# === Suites ==========================================================================================================


def test_the_example_of_the_docs_runs(lake: Lake) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = write(lake, text)
    names = listed(lake, path)
    write_day(lake, row(ChannelCode="web", Action="Delete", ActorName="u"), row(Id="f", Action="Delete"))
    verdicts = check_all(lake, names, quality_suite=path)
    assert {name: (verdict.passed, verdict.severity) for name, verdict in verdicts.items()} == {
        "channel_given": (False, "warn"),
        "deletions_are_signed": (False, "error"),
        "shop_delivers": (True, "error"),
    }


def test_the_python_example_of_the_docs_runs(lake: Lake) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = write(lake, text, "suite.py")
    assert listed(lake, path) == {"entity_ids_are_short": False}
    write_day(lake, row(EntityId="1" * 65), row(Id="f", EntityId="1" * 64))
    assert failure(check(lake, "entity_ids_are_short", quality_suite=path), "warn")["failed"] == 1


def test_an_own_check_has_its_severity_its_count_and_its_rows(lake: Lake) -> None:
    write_day(lake, row(ChannelCode="web"), row(Id="f"), row(Id="g"))
    for severity, expected in (("critical", "error"), ("warning", "warn"), (None, "error")):
        path = suite(lake, expect(NOT_NULL, severity, {"check": "channel_given"}, column="ChannelCode"))
        assert listed(lake, path) == {"channel_given": expected == "error"}
        metadata = failure(check(lake, "channel_given", quality_suite=path), expected)
        assert (metadata["failed"], keys_of(metadata["rows"])) == (2, [("shop", "f", 0), ("shop", "g", 0)])


def test_an_expectation_for_information_passes_and_shows_its_numbers(lake: Lake) -> None:
    write_day(lake, row(ChannelCode="web"), row(Id="f"))
    path = suite(lake, expect(NOT_NULL, "info", {"check": "channel"}, column="ChannelCode"))
    assert listed(lake, path) == {"channel": False}
    verdict = check(lake, "channel", quality_suite=path)
    assert verdict.passed
    assert verdict.description.startswith("for information: 1 of 2 rows")
    assert verdict.metadata["failed"] == 1


def test_a_column_that_a_file_of_an_older_release_lacks_is_null(lake: Lake) -> None:
    write_day(lake, row(Region="eu-west-1"))
    path = suite(lake, expect("expect_column_values_to_be_null", column="Region"))
    assert not only(lake, path).passed
    file = lake.path / data_path(DAY1, DAY1, "shop")
    pq.write_table(pq.ParquetFile(file).read(columns=ROW_SCHEMAS[0].names), file)
    assert only(lake, path).passed


def test_the_worst_severity_of_what_failed_counts(lake: Lake) -> None:
    write_day(lake, row(ChannelCode="web"))
    path = suite(
        lake,
        expect(
            "expect_column_values_to_be_in_set", "critical", {"check": "c"}, column="ChannelCode", value_set=["web"]
        ),
        expect("expect_column_values_to_be_in_set", "warning", {"check": "c"}, column="ChannelCode", value_set=["app"]),
    )
    assert listed(lake, path) == {"c": True}
    failure(check(lake, "c", quality_suite=path), "warn")


def test_checks_without_a_name_get_one_of_their_type_and_column(lake: Lake) -> None:
    path = suite(
        lake,
        expect(NOT_NULL, column="ChannelCode"),
        expect(NOT_NULL, column="ChannelCode", mostly=0.5),
        expect("expect_column_pair_values_to_be_equal", column_A="EntityId", column_B="EntityParentId"),
    )
    assert list(listed(lake, path)) == [
        "expect_column_values_to_not_be_null_ChannelCode",
        "expect_column_values_to_not_be_null_ChannelCode_2",
        "expect_column_pair_values_to_be_equal_EntityId_EntityParentId",
    ]


@pytest.mark.parametrize("part_rows", [1, 3, 100])
def test_a_share_counts_over_the_whole_day_not_over_a_part(
    lake: Lake, part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_ROWS", part_rows)
    write_day(lake, row(), row(Id="f"), *(row(Id=f"g{n}", ChannelCode="web") for n in range(6)))
    for mostly, passes in ((0.75, True), (0.76, False)):
        verdict = only(lake, suite(lake, expect(NOT_NULL, column="ChannelCode", mostly=mostly)))
        assert verdict.passed == passes
        assert ("2 not as expected" in verdict.description) == passes


def test_null_values_do_not_count_towards_a_share_but_where_they_are_what_is_looked_at(lake: Lake) -> None:
    write_day(lake, row(), row(Id="f"), row(Id="g", ChannelCode="web"), row(Id="h", ChannelCode="app"))
    matches = expect("expect_column_values_to_match_regex", column="ChannelCode", regex="^web$", mostly=0.5)
    assert only(lake, suite(lake, matches)).passed
    assert not only(lake, suite(lake, matches | {"kwargs": matches["kwargs"] | {"mostly": 0.51}})).passed
    assert only(lake, suite(lake, expect("expect_column_values_to_be_null", column="ChannelCode", mostly=0.5))).passed


def test_a_row_condition_chooses_rows_and_its_columns_are_read_and_shown(lake: Lake) -> None:
    write_day(lake, row(Action="Create"), row(Id="f", Action="Delete"), row(Id="g", Action="Delete", ActorName="u"))
    condition = {"row_condition": 'Action == "Delete"', "condition_parser": "pandas"}
    metadata = failure(only(lake, suite(lake, expect(NOT_NULL, column="ActorName", **condition))), "error")
    assert metadata["rows"] == [
        {"source": "shop", "Id": "f", "EntityIndex": 0, "dt": "2026-05-01", "ActorName": None, "Action": "Delete"}
    ]
    assert metadata["rows_checked"] == 2


def test_a_time_is_compared_as_a_time(lake: Lake) -> None:
    write_day(lake, row(Timestamp=datetime(2026, 5, 1, 3)), row(Id="f", Timestamp=datetime(2026, 5, 1, 13)))
    path = suite(
        lake, expect("expect_column_values_to_be_between", column="Timestamp", min_value="2026-05-01T12:00:00")
    )
    assert keys_of(failure(only(lake, path), "error")["rows"]) == [("shop", "e", 0)]


def test_a_query_looks_at_the_whole_day_and_at_nothing_else(lake: Lake) -> None:
    shop, billing = data_path(DAY1, DAY1, "shop"), data_path(DAY1, DAY1, "billing")
    write_file(lake, shop, [row(Id=f"e{n}", ActorName="u") for n in range(25)])
    write_file(lake, billing, [row(ActorName="v")])
    write_file(lake, data_path(DAY2, DAY1, "shop"), [row(ActorName="u")])
    commit(lake, DAY1, [output(shop, 25), output(billing, 1)])
    query = """SELECT * FROM {batch} WHERE "ActorName" IN (
        SELECT "ActorName" FROM {batch} GROUP BY 1 HAVING count(*) > 20) -- busy;"""
    path = suite(lake, expect("unexpected_rows_expectation", "warning", {"check": "busy"}, unexpected_rows_query=query))
    verdict = check(lake, "busy", quality_suite=path)
    metadata = failure(verdict, "warn")
    assert (metadata["failed"], len(metadata["rows"]), metadata["rows_checked"]) == (25, 20, 26)
    assert metadata["rows"][0]["source"] == "shop"
    assert metadata["rows"][0]["Timestamp"] == "2026-05-01T10:00:00"
    nothing = expect("unexpected_rows_expectation", unexpected_rows_query='SELECT * FROM {batch} WHERE "Id" IS NULL;')
    assert only(lake, suite(lake, nothing)).passed


def test_a_query_that_is_wrong_fails_as_one_that_could_not_be_evaluated(lake: Lake) -> None:
    write_day(lake, row())
    path = suite(lake, expect("unexpected_rows_expectation", unexpected_rows_query="SELECT Colour FROM {batch}"))
    verdict = only(lake, path)
    assert "could not be evaluated" in verdict.description
    assert "Colour" in failure(verdict, "error")["problem"]


def test_expectations_on_sources_and_on_the_day_look_at_their_numbers(lake: Lake) -> None:
    lake.write(key(DAY1), "\n".join(event(f"e{n}", source=("shop", "shop", "billing")[n]) for n in range(3)))
    lake.run()
    path = suite(
        lake,
        expect(
            "expect_column_values_to_be_between", meta={"check": "s", "batch": "sources"}, column="rows", min_value=2
        ),
        expect(
            "expect_column_sum_to_be_between", meta={"check": "sum", "batch": "sources"}, column="rows", max_value=2
        ),
        expect("expect_column_max_to_be_between", meta={"check": "d", "batch": "day"}, column="events", min_value=4),
    )
    verdicts = check_all(lake, ["s", "sum", "d"], quality_suite=path)
    metadata = failure(verdicts["s"], "error")
    assert [(r["source"], r["rows"]) for r in metadata["rows"]] == [("billing", 1)]
    assert "3 observed" in verdicts["sum"].description
    assert failure(verdicts["d"], "error")["observed"] == "3"


def test_a_python_suite_may_be_a_function_and_have_expectations_of_its_own(lake: Lake) -> None:
    text = """
import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.row_conditions import Column

class ExpectColumnValuesToHaveNoNames(gxe.ExpectColumnValuesToNotMatchRegex):
    regex: str = "[A-Z][a-z]+"

def suite():
    return gx.ExpectationSuite("mine", expectations=[
        ExpectColumnValuesToHaveNoNames(column="EntityName", severity="info", meta={"check": "no_names"}),
        gxe.ExpectColumnValuesToNotBeNull(column="ActorName", row_condition=Column("Action") == "Delete",
            condition_parser=None, severity="warning"),
        gxe.ExpectColumnSumToBeBetween(column="rows", max_value=1, meta={"batch": "sources", "check": "few"}),
    ])
"""
    path = write(lake, text, "mine.py")
    checks = listed(lake, path)
    assert checks == {"no_names": False, "expect_column_values_to_not_be_null_ActorName": False, "few": True}
    write_day(lake, row(EntityName="Alice"), row(Id="f", Action="Delete"))
    verdicts = check_all(lake, checks, quality_suite=path)
    assert verdicts["no_names"].metadata["failed"] == 1
    not_null = failure(verdicts["expect_column_values_to_not_be_null_ActorName"], "warn")
    assert keys_of(not_null["rows"]) == [("shop", "f", 0)]
    failure(verdicts["few"], "error")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("expectations: [", "is not YAML"),
        ("- type: x", "must have one field, expectations"),
        ("expectations: {}", "must have one field, expectations"),
        ("expectations: []\nname: x", "must have one field, expectations"),
        ("expectations: [not_null]", "expectation 1: 'not_null' is not a mapping"),
        ("expectations: [{kwargs: {column: Id}}]", "expectation 1: it has no type"),
        ("expectations: [{type: expect_beauty}]", "(expect_beauty): this type of expectation is not supported"),
        (f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Colour}}}}]", "rows have no column 'Colour'"),
        (f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: rows}}}}]", "rows have no column 'rows'"),
        (f"expectations: [{{type: {NOT_NULL}, kwargs: [Id]}}]", "kwargs is ['Id']: write a mapping"),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, severity: bad}}]",
            "severity is 'bad': choose from",
        ),
        (f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, level: bad}}]", "level is not known"),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, meta: {{check: a-b}}}}]",
            "letters, digits and _",
        ),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, meta: {{batch: week}}}}]",
            "meta.batch is 'week'",
        ),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, meta: {{check: key_unique}}}}]",
            "key_unique is a built-in check",
        ),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, meta: {{check: conservation}}}}]",
            "conservation is a built-in check",
        ),
        (
            "expectations: [{type: expect_column_values_to_be_unique, kwargs: {column: Id}}]",
            "(expect_column_values_to_be_unique): it evaluates all rows at once",
        ),
        (
            "expectations: [{type: expect_column_sum_to_be_between, kwargs: {column: Nope}, meta: {batch: sources}}]",
            "sources have no column 'Nope'",
        ),
        ("expectations: [{type: unexpected_rows_expectation}]", "does not select FROM {batch}"),
        (
            f"expectations: [{{type: {NOT_NULL}, kwargs: {{column: Id}}, meta: {{check: a}}}}, {{type: "
            "expect_column_sum_to_be_between, kwargs: {column: rows}, meta: {batch: day, check: a}}]",
            "check a has expectations of two batches",
        ),
    ],
)
def test_a_wrong_suite_is_refused_in_one_line_that_names_the_place(lake: Lake, text: str, says: str) -> None:
    path = write(lake, text)
    with pytest.raises(SettingsError) as refused:
        quality_checks(settings_of(lake, quality_suite=path))
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"AUDIT_QUALITY_SUITE {path}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("suite = [1]", "suite is not an ExpectationSuite"),
        ("", "suite is not an ExpectationSuite"),
        ("def suite(:", "SyntaxError"),
        ("def suite():\n    raise KeyError('x')", "KeyError"),
    ],
)
def test_a_python_suite_that_cannot_be_loaded_is_refused_in_one_line(lake: Lake, text: str, says: str) -> None:
    path = write(lake, text, "mine.py")
    with pytest.raises(SettingsError, match=says) as refused:
        quality_checks(settings_of(lake, quality_suite=path))
    assert "\n" not in str(refused.value)


def test_a_suite_that_is_not_there_is_refused(lake: Lake) -> None:
    for name in ("none.yaml", "none.py"):
        with pytest.raises(SettingsError, match=f"{name} cannot be"):
            quality_checks(settings_of(lake, quality_suite=lake.root / name))


@pytest.mark.parametrize(
    "kwargs", [{"column": "Id", "minimum": 1}, {"column": "Id", "min_value": "two"}, {"min_value": 1}]
)
def test_arguments_that_great_expectations_does_not_take_are_refused_when_it_runs(lake: Lake, kwargs: Any) -> None:
    write_day(lake, row())
    path = suite(lake, expect("expect_column_value_lengths_to_be_between", **kwargs))
    (name,) = listed(lake, path)
    with pytest.raises(SettingsError, match=r"expectation 1 .*does not accept its arguments") as refused:
        check(lake, name, quality_suite=path)
    assert "\n" not in str(refused.value)


def test_the_types_that_a_suite_may_have_are_those_of_great_expectations() -> None:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.expectations.registry import get_expectation_impl

    maps = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    assert gx.validate
    assert all(issubclass(get_expectation_impl(name), maps) for name in ROW_BY_ROW)
    assert all(get_expectation_impl(name) for name in AGGREGATES)
    assert not ROW_BY_ROW & AGGREGATES


# === Data docs and the command =======================================================================================


def bad_day(lake: Lake) -> None:
    lake.write(key(DAY1), event("e1", entity(before="[1]"), detail={"action": '"\\u001b[31mArchive"'}))
    lake.run()


def write_docs(lake: Lake, folder: Path, **changed: Any) -> Path:
    store = open_store(str(lake.path))
    manifest = read_manifest(store, DAY1)
    assert manifest
    settings = settings_of(lake, **changed)
    return write_data_docs(examine.examine(settings, store, manifest, quality_rules(settings)), folder)


def test_data_docs_of_a_day_name_the_expectations_that_failed(lake: Lake) -> None:
    bad_day(lake)
    path = suite(
        lake,
        expect(NOT_NULL, "warning", column="ChannelCode"),
        expect("unexpected_rows_expectation", "info", unexpected_rows_query="SELECT * FROM {batch}"),
    )
    first = write_docs(lake, lake.root / "a" / "docs", quality_suite=path)
    assert first == lake.root / "a" / "docs" / "index.html"
    (page,) = (first.parent / "validations").rglob("*.html")
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page.read_text()))
    assert "2026-05-01" in first.read_text()
    for shown in ("ChannelCode", "values must never be null. 1 unexpected values found", "EntityIndex=0", "100%"):
        assert shown in text, shown
    # again, over what is there
    assert write_docs(lake, first.parent) == first


@pytest.fixture
def cli(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.chdir(lake.root)
    return Commands({"AUDIT_RAW_URL": str(lake.raw), "AUDIT_LAKE_URL": str(lake.path), "AUDIT_START_DATE": str(DAY1)})


def test_the_command_shows_each_check_and_the_rows_that_break_it(lake: Lake, cli: Commands) -> None:
    bad_day(lake)
    shown = cli.shows("quality", str(DAY1))
    assert re.search(r"key_unique +passed", shown)
    assert re.search(r"known_actions +warns +1 of 1 rows", shown)
    # what comes from data cannot drive the terminal
    assert "\\x1b[31mArchive" in shown
    assert "\x1b[31mArchive" not in shown
    assert "known_actions: Have the producer" in shown


def test_the_command_ends_with_1_where_a_critical_check_fails_and_writes_json(lake: Lake, cli: Commands) -> None:
    write_day(lake, row(EntityName=None))
    result = cli("quality", str(DAY1), "--json", "--docs", str(lake.root / "docs"))
    assert result.exit_code == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    by_check = {record["check"]: record for record in records if "check" in record}
    assert by_check["required_not_null"]["result"] == "failed"
    assert by_check["required_not_null"]["metadata"]["rows"][0]["EntityName"] is None
    assert by_check["key_unique"]["result"] == "passed"
    assert records[-1] == {"data_docs": str(lake.root / "docs" / "index.html")}
    assert (lake.root / "docs" / "index.html").exists()


def test_the_command_needs_a_day_that_has_run(lake: Lake, cli: Commands) -> None:
    lake.run(DAY2)
    result = cli("quality", str(DAY1))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "2026-05-01 has not run" in result.stderr
    assert cli("quality", "1.5.2026").exit_code == 2


def test_a_rows_values_are_reported_as_json_can_hold_them() -> None:
    plain = examine._plain
    assert [plain(value) for value in (None, True, 3, 1.5, DAY1, b"x", "y" * 300)] == [
        *(None, True, 3, 1.5, "2026-05-01", "b'x'"),
        "y" * 200 + "…",
    ]
