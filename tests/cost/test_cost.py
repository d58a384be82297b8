"""What a workload costs: AWS's prices and rules of rounding, and what turns the bill."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from audit_pipeline.cost.compute import fargate, glue_python_shell, glue_spark, lambda_arm
from audit_pipeline.cost.day import cost_of_day
from audit_pipeline.cost.lines import (
    ALARMS,
    ARCHIVE_DAYS,
    Line,
    Part,
    athena_line,
    bill,
    compute_line,
    month_lines,
    path_lines,
    total,
)
from audit_pipeline.cost.prices import load_prices
from audit_pipeline.cost.rounding import GB, KB, MB, TB, billed_scan, billed_seconds, steps
from audit_pipeline.cost.workload import RAW_MONTHS, Amounts, Engine, Workload
from audit_pipeline.errors import SettingsError
from audit_pipeline.orchestration.late_files import build_late_files_sensor
from audit_pipeline.orchestration.names import ASSETS
from audit_pipeline.settings import Settings
from tests.support.cli_harness import Commands
from tests.support.lake import DAY1, DAY2, Lake, event, key, zipped
from tests.support.paths import REPOSITORY

STACK = REPOSITORY / "aws" / "cf.yaml"
PRICES = load_prices()
#: What most of the figures in this file are of.
DEFAULT = Workload(100_000)

workloads = st.builds(
    Workload,
    st.integers(1, 10**9),
    st.integers(1, 1 << 20),
    st.integers(1, 900),
    engine=st.sampled_from(Engine),
)


def dollars(lines: Iterable[Line], start: str) -> Decimal:
    """Of the lines of the path whose name starts so; there is one at least."""
    found = [line.dollars for line in lines if line.part is Part.PATH and line.name.startswith(start)]
    assert found, start
    return sum(found, Decimal(0))


def rounded(amount: Decimal, places: int = 3) -> Decimal:
    return round(amount, places)


# the aim


def test_100000_events_a_day_cost_less_than_4_dollars_a_month_and_their_compute_less_than_10_cents() -> None:
    lines = bill(DEFAULT, PRICES)
    assert (DEFAULT.engine, DEFAULT.buffer_seconds) == (Engine.LOCAL, 900)
    assert Decimal(3) < total(lines, Part.PATH) < Decimal(4)
    assert dollars(lines, "Fargate") < Decimal("0.10")


def test_a_million_events_cost_less_than_a_dollar_thirty() -> None:
    assert total(bill(DEFAULT, PRICES), Part.PATH) / 3 < Decimal("1.30")


def test_what_guards_the_path_and_the_orchestrator_cost_more_than_the_aim_and_the_bill_says_so() -> None:
    lines = bill(DEFAULT, PRICES)
    assert rounded(total(lines, Part.GUARDS), 2) == Decimal("2.54")
    assert total(lines, Part.ORCHESTRATOR) == Decimal("13.60")
    assert total(lines, Part.PATH, Part.GUARDS) > 4


# prices at work


def test_eventbridge_is_a_dollar_for_a_million_events() -> None:
    assert dollars(bill(DEFAULT, PRICES), "EventBridge") == Decimal(3)


@pytest.mark.parametrize(
    ("dpus", "minutes", "expected"),
    [(2, "30", "13.20"), (2, "5", "2.20"), (2, "3", "1.32"), (2, "1", "0.44"), (2, "0.1", "0.44"), (10, "5", "11.00")],
)
def test_glue_bills_its_dpus_by_the_second_and_a_minute_at_least(dpus: int, minutes: str, expected: str) -> None:
    line = compute_line(Part.PATH, glue_spark(PRICES, dpus), 30, Decimal(minutes) * 60)
    assert rounded(line.dollars, 2) == Decimal(expected)
    assert ("minimum" in line.how) == (Decimal(minutes) < 1)


@pytest.mark.parametrize(
    ("place", "seconds", "expected"),
    [
        (glue_python_shell(PRICES), 300, "0.069"),
        (glue_python_shell(PRICES), 1800, "0.412"),
        (fargate(PRICES, "arm", vcpus=1, gigabytes=2), 120, "0.040"),
        (fargate(PRICES, "x86", vcpus=1, gigabytes=2), 120, "0.049"),
        (lambda_arm(PRICES, gigabytes=2), 60, "0.048"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_the_run_elsewhere_costs_what_the_notes_say(place: Any, seconds: int, expected: str) -> None:
    amount = compute_line(Part.ELSEWHERE, place, 30, Decimal(seconds)).dollars
    assert abs(amount - Decimal(expected)) <= Decimal("0.0006")


def test_a_thousand_queries_cost_5_cents() -> None:
    assert rounded(dollars(bill(DEFAULT, PRICES), "Athena"), 2) == Decimal("0.05")
    # a full scan of a week's Parquet
    assert rounded(athena_line(1, 132_300_000, PRICES).dollars, 4) == Decimal("0.0006")


# rounding


@pytest.mark.parametrize(
    ("size", "records"), [(0, 0), (1, 1), (5 * KB - 1, 1), (5 * KB, 1), (5 * KB + 1, 2), (10 * KB, 2), (10 * KB + 1, 3)]
)
def test_firehose_bills_each_record_in_steps_of_5_kb(size: int, records: int) -> None:
    assert steps(size, 5 * KB) == records
    assert quantity_of("Firehose", Workload(1000, size)) * GB == 30_000 * records * 5 * KB


@pytest.mark.parametrize(("size", "chunks"), [(1, 1), (64 * KB, 1), (64 * KB + 1, 2), (128 * KB, 2), (256 * KB, 4)])
def test_eventbridge_bills_each_event_in_chunks_of_64_kb(size: int, chunks: int) -> None:
    assert quantity_of("EventBridge", Workload(1000, size)) == 30_000 * chunks


@pytest.mark.parametrize(
    ("scanned", "megabytes"),
    [(0, 10), (10 * MB - 1, 10), (10 * MB, 10), (10 * MB + 1, 11), (11 * MB, 11), (11 * MB + 1, 12)],
)
def test_athena_bills_10_mb_at_least_and_begun_megabytes(scanned: int, megabytes: int) -> None:
    assert billed_scan(scanned) == megabytes * MB
    line = athena_line(TB // MB, scanned, PRICES)
    assert line.dollars == 5 * megabytes
    assert ("minimum" in line.how) == (megabytes == 10)


@pytest.mark.parametrize(("seconds", "billed"), [("0", 60), ("59.9", 60), ("60", 60), ("60.1", Decimal("60.1"))])
def test_a_run_is_billed_for_a_minute_at_least(seconds: str, billed: Any) -> None:
    assert billed_seconds(Decimal(seconds)) == billed


def quantity_of(name: str, workload: Workload) -> Decimal:
    (line,) = (line for line in month_lines(workload.month(Decimal(60)), PRICES) if line.name == name)
    return line.quantity


# properties


@given(workloads)
def test_no_line_is_negative_and_no_total_leaves_a_line_out(workload: Workload) -> None:
    lines = bill(workload, PRICES)
    assert all(line.dollars > 0 for line in lines)
    assert sum(line.dollars for line in lines if line.part is not Part.ELSEWHERE) == total(
        lines, Part.PATH, Part.GUARDS, Part.ORCHESTRATOR
    )


@given(workloads, st.integers(1, 10**9))
def test_more_events_never_cost_less_on_any_line(workload: Workload, more: int) -> None:
    fewer = bill(workload, PRICES)
    larger = bill(replace(workload, events_per_day=workload.events_per_day + more), PRICES)
    assert [line.name for line in fewer] == [line.name for line in larger]
    for a, b in zip(fewer, larger, strict=True):
        assert a.dollars <= b.dollars, a.name


@given(workloads, st.integers(1, 1 << 20))
def test_larger_events_never_cost_less(workload: Workload, more: int) -> None:
    larger = replace(workload, event_bytes=workload.event_bytes + more)
    for a, b in zip(bill(workload, PRICES), bill(larger, PRICES), strict=True):
        assert a.dollars <= b.dollars, a.name


@given(workloads, st.integers(1, 899))
def test_a_longer_buffer_never_makes_more_objects(workload: Workload, seconds: int) -> None:
    shorter, longer = sorted([seconds, workload.buffer_seconds])
    assert replace(workload, buffer_seconds=longer).raw_objects <= replace(workload, buffer_seconds=shorter).raw_objects


@pytest.mark.parametrize(
    ("workload", "objects"),
    [
        (Workload(100_000, buffer_seconds=60), 1440),
        (Workload(100_000, buffer_seconds=900), 96),
        (Workload(100_000, buffer_seconds=7), 12_343),
        (Workload(10, buffer_seconds=60), 10),  # an object holds an event at least
        (Workload(100_000_000, 1342), 1000),  # 128 MB are full before 900 s are over
    ],
)
def test_the_buffer_gives_the_number_of_objects(workload: Workload, objects: int) -> None:
    assert workload.raw_objects == objects


def test_the_late_file_sensor_lists_each_watched_day_and_its_grace_hour_at_each_look() -> None:
    settings = Settings(raw_url="raw", lake_url="lake", start_date=DAY1)
    looks = 86_400 // build_late_files_sensor(settings).minimum_interval_seconds
    watched, swept = settings.late_days, settings.late_sweep_days - settings.late_days
    assert settings.grace_hours == DEFAULT.grace_hours == 1
    for workload, day_and_grace in ((Workload(100_000), 1 + 1), (Workload(100_000, buffer_seconds=60), 2 + 1)):
        assert workload.sensor_lists == looks * (watched * day_and_grace + 1) + swept * day_and_grace


def test_dagster_plus_takes_a_credit_for_each_asset_and_day() -> None:
    (taken,) = (line for line in bill(DEFAULT, PRICES) if line.name == "Dagster+ credits")
    assert taken.quantity == len(ASSETS) * 30


# prices


def test_every_price_has_a_source_and_a_day_and_says_whether_it_was_read() -> None:
    for name, price in PRICES.by_name().items():
        assert price.source.startswith("https://"), name
        assert price.as_of.year == 2026, name
        assert price.dollars > 0, name
    recalled = {name for name, price in PRICES.by_name().items() if price.how == "recalled"}
    assert recalled == {"firehose", "lambda_arm_memory"}


def test_every_price_is_on_a_line() -> None:
    used = {name for engine in Engine for line in bill(replace(DEFAULT, engine=engine), PRICES) for name in line.prices}
    assert used == set(PRICES.by_name())


def test_a_line_names_the_prices_that_it_is_made_of() -> None:
    for name, price in PRICES.by_name().items():
        dearer = replaced(PRICES, **{name: replaced(price, dollars=price.dollars * 2)})
        for before, after in zip(bill(DEFAULT, PRICES), bill(DEFAULT, dearer), strict=True):
            assert (after.dollars > before.dollars) == (name in before.prices), (name, before.name)


def own_file(folder: Path, text: str) -> Path:
    file = folder / "own.yaml"
    file.write_text(text, encoding="utf-8")
    return file


OWN = "firehose: {dollars: 0.058, per: 1, unit: GB, source: 'https://x', as_of: 2026-01-02, how: read}\n"


def test_a_price_file_of_ones_own_replaces_what_it_names(tmp_path: Path) -> None:
    own = load_prices(own_file(tmp_path, OWN))
    assert own.firehose.dollars == Decimal("0.058")
    assert own.s3_put == PRICES.s3_put


def test_money_is_exact_as_it_stands_in_the_file(tmp_path: Path) -> None:
    assert PRICES.lambda_arm_memory.dollars == Decimal("0.0000133334")
    digits = "0.0290000000000000000000000001"
    assert load_prices(own_file(tmp_path, OWN.replace("0.058", digits))).firehose.dollars == Decimal(digits)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("firehose: cheap", "firehose"),
        (OWN.replace("0.058", "cheap"), "firehose"),
        (OWN.replace("0.058", "-1"), "is not a price"),
        (OWN.replace("0.058", "NaN"), "is not a price"),
        (OWN.replace("per: 1", "per: 0"), "firehose"),
        (OWN.replace("firehose", "firehoses"), "firehoses"),
        (OWN.replace("how: read", "how: guessed"), "guessed"),
        ("- 1", "no prices"),
        ("{", "cannot be used"),
        ("", "no prices"),
    ],
)
def test_a_wrong_price_file_is_one_line_that_names_it(text: str, says: str, tmp_path: Path) -> None:
    file = own_file(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(says)) as error:
        load_prices(file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


# a day that has run


def test_thirty_days_that_ran_cost_what_the_month_was_said_to() -> None:
    """The manifest's arithmetic is the estimate's: of a day that is just as the workload has it, it says the same."""
    month = DEFAULT.month(Decimal(122))
    day = replace(
        month, **{name: getattr(month, name) // 30 for name in ("events", "raw_objects", "run_puts", "run_gets")},
        raw_bytes=month.raw_bytes // 30, parquet_bytes=month.parquet_bytes // 30, runs=1,
        queries=0, query_puts=0, query_gets=0,
    )  # fmt: skip
    without_queries = replace(month, queries=0, query_puts=0, query_gets=0)
    assert total(path_lines(day, PRICES), Part.PATH) * 30 == pytest.approx(
        total(path_lines(without_queries, PRICES), Part.PATH), rel=Decimal("1e-6")
    )


def test_a_day_costs_by_what_its_manifest_counts(lake: Lake) -> None:
    lake.write(key(DAY1, 10), zipped(event("e1") + event("e2")))
    lake.write(key(DAY2, 0), zipped(event("next", time="2026-05-02T00:10:00Z")))
    manifest = lake.run(DAY1)
    assert (manifest.events.read, manifest.events.deferred, manifest.objects.read) == (3, 1, 2)
    work = Decimal(str((manifest.finished_at - manifest.started_at).total_seconds()))
    amounts = Amounts(
        events=2,
        event_bytes=int(manifest.inputs[0].size * Decimal("6.2") / 2),
        raw_bytes=manifest.inputs[0].size,
        raw_objects=1,
        run_puts=2 * 2 + 80,
        run_gets=2 + 260,
        parquet_bytes=manifest.outputs[0].size,
        runs=1,
        run_seconds=120 + work,
        engine=Engine.LOCAL,
    )
    assert cost_of_day(manifest, PRICES) == total(path_lines(amounts, PRICES), Part.PATH)


def test_a_day_without_events_costs_its_run_only(lake: Lake) -> None:
    cost = cost_of_day(lake.run(DAY1), PRICES)
    assert cost is not None
    assert Decimal("0.001") < cost < Decimal("0.003")


def test_a_run_that_took_longer_costs_more_and_an_unknown_engine_nothing_is_said_of(lake: Lake) -> None:
    manifest = lake.run(DAY1)
    began = datetime(2026, 5, 2, tzinfo=UTC)
    minute = cost_of_day(replaced(manifest, started_at=began, finished_at=began.replace(minute=1)), PRICES)
    hour = cost_of_day(replaced(manifest, started_at=began, finished_at=began.replace(hour=1)), PRICES)
    assert minute is not None
    assert hour is not None
    assert rounded(hour - minute, 4) == rounded(Decimal("0.0395") * 59 / 60, 4)
    assert cost_of_day(replaced(manifest, engine="abacus"), PRICES) is None


# the stack


def test_the_bill_is_that_of_the_stack() -> None:
    class Loader(yaml.SafeLoader):
        """CloudFormation's tags are of no account here."""

    Loader.add_multi_constructor("!", lambda *_: None)
    stack = yaml.load(STACK.read_text(encoding="utf-8"), Loader=Loader)
    defaults = {name: parameter.get("Default") for name, parameter in stack["Parameters"].items()}
    assert defaults["ArchiveDays"] == ARCHIVE_DAYS
    assert defaults["RawExpiryDays"] == RAW_MONTHS * 30
    assert (defaults["BufferSeconds"], defaults["BufferMegabytes"] * MB) == (
        DEFAULT.buffer_seconds,
        DEFAULT.buffer_bytes,
    )
    kinds = [resource["Type"] for resource in stack["Resources"].values()]
    assert kinds.count("AWS::CloudWatch::Alarm") == ALARMS
    assert kinds.count("AWS::KMS::Key") == 1


# the command


CLI = Commands({"COLUMNS": None})


def records(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in CLI.shows("cost", *arguments, "--json").splitlines()]


def test_the_command_writes_lines_totals_and_prices_as_json() -> None:
    found = records("--events-per-day", "100000")
    assert {record["kind"] for record in found} == {"line", "total", "price"}
    lines = [record for record in found if record["kind"] == "line"]
    for line in lines:
        assert line["dollars"] == pytest.approx(line["quantity"] * line["unit_price"])
        assert line["how"]
        assert line["prices"]
    path, guards, orchestrator = (
        sum(line["dollars"] for line in lines if line["part"] == part) for part in ("path", "guards", "orchestrator")
    )
    assert {record["of"]: record["dollars"] for record in found if record["kind"] == "total"} == {
        "from event to answer": pytest.approx(path),
        "with its guards": pytest.approx(path + guards),
        "with an orchestrator": pytest.approx(path + guards + orchestrator),
    }
    (price,) = [record for record in found if record.get("price") == "firehose"]
    assert (price["how"], price["as_of"]) == ("recalled", "2026-11-24")


def test_the_options_are_those_of_the_workload(tmp_path: Path) -> None:
    def line(name: str, *arguments: str) -> dict[str, Any]:
        found = records("--events-per-day", "1000", *arguments)
        return next(record for record in found if record.get("line") == name)

    assert line("EventBridge", "--bytes", "65537")["quantity"] == 60_000
    assert line("S3 raw: written", "--buffer-seconds", "300")["quantity"] == 288 * 30
    assert line("Glue Spark, 2 DPU", "--engine", "glue")["part"] == "path"
    assert line("Glue Spark, 2 DPU")["part"] == "elsewhere"
    assert line("Fargate arm, 2 vCPU, 8 GB", "--engine", "spark")["part"] == "path"
    own = str(own_file(tmp_path, OWN))
    assert line("Firehose", "--prices", own)["unit_price"] == 0.058


def test_the_table_shows_each_line_once_with_its_dollars() -> None:
    shown = CLI.shows("cost", "--events-per-day", "100000")
    for line in bill(DEFAULT, PRICES):
        assert len(re.findall(rf"^ +{re.escape(line.name)}  +{line.dollars:,.3f} ", shown, re.MULTILINE)) == 1, line
    assert "recalled and not read: firehose, lambda_arm_memory" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--events-per-day"),
        (["--events-per-day", "0"], "--events-per-day"),
        (["--events-per-day", "1", "--bytes", "0"], "--bytes"),
        (["--events-per-day", "1", "--buffer-seconds", "901"], "--buffer-seconds"),
        (["--events-per-day", "1", "--engine", "abacus"], "--engine"),
        (["--events-per-day", "1", "--prices", "/no/such/file"], "the price file /no/such/file cannot be used"),
    ],
)
def test_wrong_use_ends_with_code_2(arguments: list[str], says: str) -> None:
    assert says in " ".join(CLI.refusal("cost", *arguments).replace("│", " ").split())


def test_status_shows_what_each_day_cost(lake: Lake) -> None:
    lake.write(key(DAY1, 10), zipped("".join(event(f"e{n}") for n in range(2000))))
    manifest = lake.run(DAY1)
    status = Commands(
        {
            "COLUMNS": None,
            "DAGSTER_HOME": None,
            "AUDIT_RAW_URL": str(lake.raw),
            "AUDIT_LAKE_URL": str(lake.path),
            "AUDIT_START_DATE": str(DAY1),
        }
    )
    cost = cost_of_day(manifest, PRICES)
    assert cost is not None
    days = status.shows("status", "--from", str(DAY1), "--to", str(DAY2), "--json").splitlines()
    assert [json.loads(day)["cost_usd"] for day in days] == [pytest.approx(float(cost), abs=1e-6), None]
    assert f" {cost:.3f} " in status.shows("status")
